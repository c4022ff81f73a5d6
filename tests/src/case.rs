//! The case: what is stolen, where it goes, and what becomes of it. Played on a running mesh, step by step; each step
//! is checked before the next begins, so a case that ends has happened.

mod chase;
mod ending;
mod frozen;
mod looking;
mod moved;
mod opening;
mod peeled;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::Result;
use serde::Serialize;

use crate::{
    Actor, Agency, CHAIN, Mesh, Who,
    chain::{ETHER, TOKEN},
    regtest::BITCOIN,
};

/// Who hears what happens.
pub trait Tell {
    /// A new act begins.
    fn act(&mut self, title: &str);
    /// Something happened.
    fn step(&mut self, text: &str);
}

/// A listener who does not listen.
pub struct Silence;

impl Tell for Silence {
    fn act(&mut self, _: &str) {}
    fn step(&mut self, _: &str) {}
}

/// What goes wrong in the middle of the case, after the second hop and before the deposits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Disturbance {
    /// Nothing.
    None,
    /// Redis stops and does not come back.
    RedisStops,
    /// `kill -9` of these processes, one after another, and a new start of each while the case goes on.
    Kill(Vec<String>),
}

/// What came of it. Times are in milliseconds.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Outcome {
    /// Everything expected happened.
    pub ok: bool,
    /// Stolen money that reached exchanges.
    pub arrivals: usize,
    /// Legs whose whole cap was withheld, as the exchanges' own books say.
    pub legs_frozen: usize,
    /// Legs that were binding before the money was credited, and frozen as it was.
    #[serde(skip)]
    pub bound_before_credit: usize,
    /// From the first sight of an arrival's block to the stored first signed statement of binding or later.
    pub block_to_binding_ms: Vec<u64>,
    /// The same for arrivals that an open question held back.
    pub delayed_ms: Vec<u64>,
    /// Withdrawals of stolen money that an exchange refused.
    pub withdrawals_refused: usize,
    /// People and balances that the case touched by chance and that stayed free.
    pub bystanders_unharmed: usize,
    /// Every log was verified from outside.
    pub evidence_verified: bool,
    /// Whether Redis took part.
    pub redis: bool,
    /// The chains it was played on (CAIP-2).
    pub chains: Vec<String>,
    /// Hops that a reorganisation took out of the chain, which came back as the same.
    pub reorg_retracted: usize,
    /// Where the case's picture is.
    pub picture: Option<PathBuf>,
}

/// How long anything in the case may take.
const PATIENCE: Duration = Duration::from_secs(30);

const STOLEN_TOKENS: u128 = 600_000 * TOKEN as u128;
const STOLEN_COINS: u128 = 20 * ETHER;
/// Transfers of less than this are not followed.
const DUST_TOKENS: u128 = TOKEN as u128;
const DUST_COINS: u128 = ETHER / 100;

/// The thief's wallets, and the people around.
struct Cast {
    hana: Actor,
    root: Actor,
    a: Actor,
    a2: Actor,
    b: Actor,
    b2: Actor,
    c: Actor,
    d: Actor,
    parked: Actor,
    /// Dong-hyun's deposit address at Upbit.
    bystander: String,
    /// Deposit addresses of the thief: exchange → account.
    deposits: BTreeMap<&'static str, String>,
}

/// The case as it is being played.
pub struct Play<'a> {
    mesh: &'a mut Mesh,
    tell: &'a mut dyn Tell,
    cast: Cast,
    token: String,
    investigator: Agency,
    leader: Agency,
    outcome: Outcome,
}

/// Plays the case from beginning to end. `tool` is the command line; it draws the case into `picture`, of the form that the
/// file's name says.
///
/// # Errors
/// Names the first thing that was expected and did not happen.
pub async fn play(
    mesh: &mut Mesh,
    tell: &mut dyn Tell,
    disturbance: &Disturbance,
    tool: &Path,
    picture: Option<&Path>,
) -> Result<Outcome> {
    let played = to_the_end(mesh, tell, disturbance, tool, picture).await;
    // A process that has ended is why, whatever was waited for in vain.
    let running = mesh.all_running();
    match (played, running) {
        (Ok(outcome), Ok(())) => Ok(Outcome { ok: true, ..outcome }),
        (Err(missing), Err(ended)) => Err(ended.context(format!("{missing:#}"))),
        (Err(error), Ok(())) | (Ok(_), Err(error)) => Err(error),
    }
}

async fn to_the_end(
    mesh: &mut Mesh,
    tell: &mut dyn Tell,
    disturbance: &Disturbance,
    tool: &Path,
    picture: Option<&Path>,
) -> Result<Outcome> {
    let mut play = Play::prepare(mesh, tell).await?;
    play.act_one().await?;
    let request = play.open_the_case().await?;
    play.first_hops(&request).await?;
    play.second_hops(&request).await?;
    play.disturb(disturbance).await?;
    play.deposits(&request).await?;
    play.frozen(&request).await?;
    play.bystanders(&request).await?;
    play.open_branch(&request).await?;
    play.moved(&request).await?;
    play.peeled().await?;
    play.release(&request).await?;
    play.evidence(tool).await?;
    if let Some(file) = picture {
        play.picture(tool, file).await?;
    }
    Ok(play.outcome)
}

impl<'a> Play<'a> {
    /// Accounts are opened and older money is deposited, before anything happens.
    async fn prepare(mesh: &'a mut Mesh, tell: &'a mut dyn Tell) -> Result<Self> {
        let mut deposits = BTreeMap::new();
        for exchange in ["upbit", "bithumb", "binance", "coinone"] {
            deposits.insert(exchange, mesh.customers.open(exchange, "mallory").await?);
        }
        let bystander = mesh.customers.open("upbit", "dong-hyun").await?;
        let named = Actor::named;
        let cast = Cast {
            hana: named("hana"),
            root: named("thief root"),
            a: named("thief a"),
            a2: named("thief a2"),
            b: named("thief b"),
            b2: named("thief b2"),
            c: named("thief c"),
            d: named("thief d"),
            parked: named("thief parked"),
            bystander,
            deposits,
        };
        let (investigator, leader) = (mesh.people.agency(Who::JiWoo), mesh.people.agency(Who::MinJun));
        let chains = std::iter::once(CHAIN).chain(mesh.bitcoin.as_ref().map(|_| BITCOIN)).map(str::to_owned).collect();
        let outcome = Outcome { redis: mesh.redis.is_some(), chains, ..Outcome::default() };
        let token = mesh.chain.token();
        let mut play = Self { mesh, tell, cast, token, investigator, leader, outcome };
        play.older_money().await?;
        Ok(play)
    }
}
