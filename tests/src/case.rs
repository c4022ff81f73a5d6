//! The case: what is stolen, where it goes, and what becomes of it. Played on a running mesh, step by step; each step
//! is checked before the next begins, so a case that ends has happened.

use std::{
    collections::BTreeMap,
    path::Path,
    process::Stdio,
    time::{Duration, SystemTime},
};

use anyhow::{Context, Result, bail, ensure};
use haetae_wire::{
    exchange::v1::{LegState, WalletRole},
    freeze::v1::Leg,
    intake::v1::Request,
    sandbox::v1::WithdrawalOutcome,
    tracking::v1::{Answer, ArrivalState, Conclusion, TrailEndReason, TrailItem, WatchState, trail_item::Item},
};
use serde::Serialize;
use tokio::time::timeout;
use tonic::Code;
use tonic_types::StatusExt;

use crate::{
    Actor, Agency, COIN, Mesh, Who,
    agency::{confirm, release, under_warrant, watch_and_freeze},
    chain::{ETHER, Kind, TOKEN, address},
    until,
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

/// Plays the case from beginning to end.
///
/// # Errors
/// Names the first thing that was expected and did not happen.
pub async fn play(mesh: &mut Mesh, tell: &mut dyn Tell, disturbance: &Disturbance, tool: &Path) -> Result<Outcome> {
    let played = to_the_end(mesh, tell, disturbance, tool).await;
    // A process that has ended is why, whatever was waited for in vain.
    let running = mesh.all_running();
    match (played, running) {
        (Ok(outcome), Ok(())) => Ok(Outcome { ok: true, ..outcome }),
        (Err(missing), Err(ended)) => Err(ended.context(format!("{missing:#}"))),
        (Err(error), Ok(())) | (Ok(_), Err(error)) => Err(error),
    }
}

async fn to_the_end(mesh: &mut Mesh, tell: &mut dyn Tell, disturbance: &Disturbance, tool: &Path) -> Result<Outcome> {
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
    play.act_three(&request).await?;
    play.evidence(tool).await?;
    Ok(play.outcome)
}

impl<'a> Play<'a> {
    /// Accounts are opened and older money is deposited, before anything happens.
    async fn prepare(mesh: &'a mut Mesh, tell: &'a mut dyn Tell) -> Result<Self> {
        let mut deposits = BTreeMap::new();
        for exchange in ["upbit", "bithumb", "binance"] {
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
        let outcome = Outcome { redis: mesh.redis.is_some(), ..Outcome::default() };
        let token = mesh.chain.token();
        let mut play = Self { mesh, tell, cast, token, investigator, leader, outcome };
        play.older_money().await?;
        Ok(play)
    }

    async fn older_money(&mut self) -> Result<()> {
        self.tell.act("Before: people have accounts and money of their own");
        let chain = &self.mesh.chain;
        for wallet in [&self.cast.a, &self.cast.a2, &self.cast.b, &self.cast.b2, &self.cast.c, &self.cast.d] {
            chain.give_coins(wallet.address(), ETHER / 10).await?;
        }
        chain.give_coins(self.cast.hana.address(), 50 * ETHER).await?;
        chain.give_tokens(self.cast.hana.address(), 1_000_000 * TOKEN as u128).await?;

        let clean = Actor::named("salary");
        chain.give_coins(clean.address(), 100 * ETHER).await?;
        let ji_eun = self.mesh.customers.open("bithumb", "ji-eun").await?;
        chain.give_tokens(clean.address(), 1_000 * TOKEN as u128).await?;
        let parts = [
            (address(&self.cast.deposits["upbit"])?, Kind::Tokens, 500 * TOKEN as u128),
            (address(&self.cast.bystander)?, Kind::Tokens, 250 * TOKEN as u128),
            (address(&ji_eun)?, Kind::Coins, 3 * ETHER),
        ];
        chain.split(&clean, &parts).await?;
        let token = self.token.clone();
        self.credited("upbit", "mallory", &token, 500 * TOKEN as u128).await?;
        self.credited("upbit", "dong-hyun", &token, 250 * TOKEN as u128).await?;
        self.credited("bithumb", "ji-eun", COIN, 3 * ETHER).await?;
        self.tell.step(
            "Mallory, Dong-hyun and Ji-eun have honest balances at Upbit and Bithumb, credited after two confirmations",
        );
        Ok(())
    }

    async fn credited(&self, exchange: &str, customer: &str, asset: &str, amount: u128) -> Result<()> {
        until(&format!("{customer}'s deposit is credited at {exchange}"), PATIENCE, async || {
            let balance = self.mesh.customers.balance(exchange, customer, asset).await?;
            Ok((balance.total.parse::<u128>()? >= amount).then_some(()))
        })
        .await
    }

    /// A victim's address is confirmed while one exchange does not answer.
    async fn act_one(&mut self) -> Result<()> {
        self.tell.act("Act one: who holds this address?");
        let account = self.mesh.customers.open("coinone", "hana").await?;
        self.mesh.customers.set_outage("korbit", true).await?;
        self.tell.step("Korbit's API is down");
        let request = self.investigator.submit(under_warrant(confirm(&account))).await?;
        let confirmation = until("the exchanges have answered", PATIENCE, async || {
            let read = self.investigator.confirmation(&request.request_id).await;
            let Some(confirmation) = unless_unavailable(read)? else { return Ok(None) };
            let pending = confirmation.lines.iter().any(|line| line.answer() == Answer::Pending);
            Ok((confirmation.lines.len() == 6 && !pending).then_some(confirmation))
        })
        .await?;
        for line in &confirmation.lines {
            let expected = match line.exchange.as_str() {
                "coinone" => Answer::Held,
                "korbit" => Answer::Unavailable,
                _ => Answer::NotHeld,
            };
            ensure!(line.answer() == expected, "{} answered {:?}", line.exchange, line.answer());
            let signed = if line.statement.is_empty() { "no statement" } else { "signed" };
            self.tell.step(&format!("{:<8} {:<11} {signed}", line.exchange, words(line.answer())));
        }
        let held = confirmation.lines.iter().find(|line| line.exchange == "coinone");
        ensure!(
            held.is_some_and(|line| line.wallet_role() == WalletRole::CustomerDeposit),
            "the wallet's role is not said"
        );
        self.mesh.customers.set_outage("korbit", false).await?;
        until("Korbit answers when it is back", PATIENCE, async || {
            let confirmation = self.investigator.confirmation(&request.request_id).await?;
            Ok((confirmation.conclusion() == Conclusion::Held
                && confirmation.lines.iter().all(|line| matches!(line.answer(), Answer::Held | Answer::NotHeld)))
            .then_some(()))
        })
        .await?;
        self.tell.step("Korbit is back and answers the same question: NOT_HELD");
        Ok(())
    }

    /// The theft, the request, and two persons.
    async fn open_the_case(&mut self) -> Result<Request> {
        self.tell.act("Act two: the chase");
        let chain = &self.mesh.chain;
        let root = &self.cast.root;
        let parts = [(root.address(), Kind::Tokens, STOLEN_TOKENS), (root.address(), Kind::Coins, STOLEN_COINS)];
        chain.split(&self.cast.hana, &parts).await?;
        self.tell.step("600,000 rKRW and 20 ether are taken from Hana's wallet");

        let stolen = [(self.token.as_str(), STOLEN_TOKENS), (COIN, STOLEN_COINS)];
        let dust = [(self.token.as_str(), DUST_TOKENS), (COIN, DUST_COINS)];
        let content = under_warrant(watch_and_freeze(&root.account(), &stolen, &dust));
        let request = self.investigator.submit(content).await?;
        self.tell.step("Inspector Ji-woo asks for a watch with a standing freeze, under a warrant");
        let refused = self.investigator.approve(&request.request_id).await.err().context("she approved it herself")?;
        ensure!(refused.code() == Code::PermissionDenied, "self-approval was refused as {:?}", refused.code());
        let reason = refused.get_details_error_info().map(|info| info.reason);
        ensure!(reason.as_deref() == Some("SELF_APPROVAL"), "self-approval was refused for {reason:?}");
        self.tell.step("Her attempt to approve it herself is refused: SELF_APPROVAL");
        let request = self.leader.approve(&request.request_id).await?;
        ensure!(!request.watch_id.is_empty(), "an approved watch has no id");
        until("the watch is active", PATIENCE, async || match self.investigator.watch(&request.watch_id).await {
            Ok(watch) => Ok((watch.state() == WatchState::Active).then_some(())),
            Err(status) => Err(status.into()),
        })
        .await?;
        self.tell.step("Team leader Min-jun approves; the watch is active: every later block is matched against it");
        Ok(request)
    }

    /// The thief splits, parks, dusts and swaps.
    async fn first_hops(&mut self, request: &Request) -> Result<()> {
        let (chain, cast) = (&self.mesh.chain, &self.cast);
        let tokens = |thousands: u128| thousands * 1_000 * TOKEN as u128;
        let parts = [
            (cast.a.address(), Kind::Tokens, tokens(250)),
            (cast.b.address(), Kind::Tokens, tokens(150)),
            (cast.b.address(), Kind::Coins, 8 * ETHER),
            (cast.c.address(), Kind::Coins, 9 * ETHER),
            (cast.parked.address(), Kind::Tokens, tokens(100)),
            (address(&cast.bystander)?, Kind::Tokens, 1),
        ];
        chain.split(&cast.root, &parts).await?;
        chain.swap_tokens(&cast.root, tokens(50)).await?;
        self.tell.step("The thief splits the loot four ways, dusts a bystander and swaps a part through a contract");
        let not_held = [&cast.a, &cast.b, &cast.c, &cast.parked].map(Actor::account);
        self.concluded(request, &not_held).await?;
        let swap = chain.swap_address().to_checksum(None);
        self.trail(request, "the swap ends its trail", |items| {
            items.iter().any(|item| {
                matches!(item, Item::Ended(end) if end.reason() == TrailEndReason::Contract && end.account.ends_with(&swap))
            })
        })
        .await?;
        self.tell.step("Four new addresses: none of the six exchanges holds them. The swap's trail ends: CONTRACT");
        Ok(())
    }

    async fn second_hops(&mut self, request: &Request) -> Result<()> {
        let (chain, cast) = (&self.mesh.chain, &self.cast);
        let tokens = |thousands: u128| thousands * 1_000 * TOKEN as u128;
        let b = [(cast.b2.address(), Kind::Tokens, tokens(150)), (cast.b2.address(), Kind::Coins, 79 * ETHER / 10)];
        tokio::try_join!(
            async { chain.send_tokens(&cast.a, cast.a2.address(), tokens(250)).await.map(drop) },
            chain.split(&cast.b, &b)
        )?;
        self.concluded(request, &[cast.a2.account(), cast.b2.account()]).await?;
        self.tell.step("A second hop each; again nobody holds them");
        Ok(())
    }

    async fn disturb(&mut self, disturbance: &Disturbance) -> Result<()> {
        match disturbance {
            Disturbance::None => Ok(()),
            Disturbance::RedisStops => {
                self.mesh.redis.as_mut().context("there is no Redis to stop")?.stop();
                self.tell.step("Redis stops");
                Ok(())
            }
            Disturbance::Kill(processes) => {
                for name in processes {
                    self.tell.step(&format!("{name} is killed with -9 and started again"));
                    let process = self.mesh.process(name)?;
                    process.kill9();
                    process.restart()?;
                }
                Ok(())
            }
        }
    }

    /// The third hop, into three exchanges, while one exchange's API is down.
    async fn deposits(&mut self, request: &Request) -> Result<()> {
        let tokens = |thousands: u128| thousands * 1_000 * TOKEN as u128;
        self.mesh.customers.set_outage("gopax", true).await?;
        self.tell.step("Gopax's API goes down; its chain side goes on");
        let (chain, cast) = (&self.mesh.chain, &self.cast);
        let upbit = address(&cast.deposits["upbit"])?;
        let bithumb = address(&cast.deposits["bithumb"])?;
        let b2 = [(bithumb, Kind::Tokens, tokens(150)), (bithumb, Kind::Coins, 78 * ETHER / 10)];
        tokio::try_join!(
            async { chain.send_tokens(&cast.a2, upbit, tokens(250)).await.map(drop) },
            chain.split(&cast.b2, &b2),
            async { chain.send_coins(&cast.c, cast.d.address(), 89 * ETHER / 10).await.map(drop) },
        )?;
        chain.send_coins(&cast.d, address(&cast.deposits["binance"])?, 88 * ETHER / 10).await?;
        self.tell.step("The third hop: into Upbit and Bithumb; by another wallet, which Gopax has not answered about, into Binance");
        self.trail(request, "three arrivals are settled", |items| arrivals(items, ArrivalState::Settled) == 3).await?;
        self.trail(request, "one arrival is held back", |items| arrivals(items, ArrivalState::HeldBack) == 1).await?;
        self.tell.step("Three arrivals are settled; the one beyond the open question is held back");
        Ok(())
    }

    /// Binding before the deposit is credited, then frozen as it is credited, and the thief is refused.
    async fn frozen(&mut self, request: &Request) -> Result<()> {
        let binding = self
            .legs(request, "three legs are binding", |legs| {
                legs.iter().filter(|leg| leg.binding_at.is_some()).count() == 3
            })
            .await?;
        let times = self.block_to_binding(request, &binding).await?;
        for (leg, ms) in &times {
            self.tell.step(&format!("{:<8} binding {ms} ms after the block was first heard of", leg));
        }
        self.outcome.block_to_binding_ms = times.into_iter().map(|(_, ms)| ms).collect();
        let frozen = self
            .legs(request, "three legs are frozen in full", |legs| {
                legs.iter().filter(|leg| leg.reported() == LegState::FrozenFull).count() == 3
            })
            .await?;
        self.withheld(&frozen).await?;
        self.outcome.bound_before_credit = self.bound_before_credit(request, &frozen).await?;
        match self.outcome.bound_before_credit {
            bound if bound == frozen.len() => {
                self.tell.step("The deposits are credited, and withheld as they are credited");
            }
            bound => {
                self.tell.step(&format!("The deposits are credited and withheld; {bound} freezes were binding before"));
            }
        }
        let tokens = |thousands: u128| thousands * 1_000 * TOKEN as u128;
        let token = self.token.clone();
        self.refused("upbit", &token, tokens(250)).await?;
        self.refused("bithumb", &token, tokens(150)).await?;
        self.refused("bithumb", COIN, 78 * ETHER / 10).await
    }

    /// The exchanges' own books withhold what each leg says, no less and no more: nothing is frozen twice.
    async fn withheld(&self, legs: &[Leg]) -> Result<()> {
        for leg in legs {
            let balance = self.mesh.customers.balance(&leg.exchange, "mallory", &leg.asset).await?;
            let (withheld, cap) = (&balance.withheld, &leg.cap);
            ensure!(withheld == cap, "{} withholds {withheld} of {}, not {cap}", leg.exchange, leg.asset);
        }
        Ok(())
    }

    /// How many of these legs their exchange called binding while nothing was withheld yet, before it withheld all.
    async fn bound_before_credit(&self, request: &Request, legs: &[Leg]) -> Result<usize> {
        let told = self.investigator.legs_told(&request.request_id, |told| {
            let full =
                |leg: &Leg| told.iter().any(|now| now.leg_id == leg.leg_id && now.reported() == LegState::FrozenFull);
            legs.iter().all(full)
        });
        let told = timeout(PATIENCE, told).await.context("that the legs are frozen in full was not told")??;
        let bound = |leg: &&Leg| {
            let of_leg = || told.iter().filter(|now| now.leg_id == leg.leg_id);
            let first = |state| of_leg().position(|now| now.reported() == state);
            let unfrozen = of_leg()
                .find(|now| now.reported() == LegState::Binding)
                .is_some_and(|now| matches!(now.frozen_amount.as_str(), "" | "0"));
            unfrozen && first(LegState::Binding) < first(LegState::FrozenFull)
        };
        Ok(legs.iter().filter(bound).count())
    }

    async fn refused(&mut self, exchange: &str, asset: &str, amount: u128) -> Result<()> {
        let to = Actor::named("thief exit").account();
        let answer = self.mesh.customers.withdraw(exchange, "mallory", asset, amount, &to).await?;
        ensure!(answer.outcome() == WithdrawalOutcome::Frozen, "{exchange} answered {:?}", answer.outcome());
        self.outcome.withdrawals_refused += 1;
        self.tell.step(&format!("{exchange:<8} refuses the thief's withdrawal: it is frozen"));
        Ok(())
    }

    /// Nobody else is touched.
    async fn bystanders(&mut self, request: &Request) -> Result<()> {
        let token = self.token.clone();
        let free = [
            ("upbit", "mallory", token.as_str(), 500 * TOKEN as u128, "the thief's own older balance"),
            ("upbit", "dong-hyun", token.as_str(), 250 * TOKEN as u128, "the dusted bystander's account"),
            ("bithumb", "ji-eun", COIN, ETHER, "an uninvolved customer's account"),
        ];
        for (exchange, customer, asset, amount, whose) in free {
            let to = Actor::named(&format!("{customer} at home")).account();
            let answer = self.mesh.customers.withdraw(exchange, customer, asset, amount, &to).await?;
            ensure!(answer.outcome() == WithdrawalOutcome::Paid, "{whose}: {:?}", answer.outcome());
            self.outcome.bystanders_unharmed += 1;
            self.tell.step(&format!("{exchange:<8} pays a withdrawal from {whose}"));
        }
        let bystander = &self.cast.bystander;
        let trail = self.investigator.trail(&request.watch_id).await?;
        let items = || trail.iter().filter_map(|item| item.item.as_ref());
        let dusted = items().any(|item| {
            matches!(item, Item::Ended(end) if end.reason() == TrailEndReason::Dust && end.account == *bystander)
        });
        ensure!(dusted, "the dust that the bystander got was not seen");
        let touched = items().any(|item| match item {
            Item::Hop(hop) => hop.to == *bystander,
            Item::Address(asked) => asked.target.as_ref().is_some_and(|target| target.account == *bystander),
            _ => false,
        });
        ensure!(!touched, "the dusted bystander came under watch");
        Ok(())
    }

    /// The branch behind the open question waits until the exchange is back.
    async fn open_branch(&mut self, request: &Request) -> Result<()> {
        let legs = self.investigator.legs(&request.request_id).await?;
        ensure!(legs.iter().all(|leg| leg.exchange != "binance"), "something was frozen beyond an open question");
        self.tell.step("Nothing is frozen at Binance: Gopax might hold the wallet before it");
        self.mesh.customers.set_outage("gopax", false).await?;
        self.tell.step("Gopax is back");
        self.trail(request, "the last arrival is settled", |items| arrivals(items, ArrivalState::Settled) == 4).await?;
        let legs = self
            .legs(request, "the last leg is frozen", |legs| {
                legs.iter().filter(|leg| leg.reported() == LegState::FrozenFull).count() == 4
            })
            .await?;
        let late: Vec<Leg> = legs.iter().filter(|leg| leg.exchange == "binance").cloned().collect();
        let times = self.block_to_binding(request, &late).await?;
        self.outcome.delayed_ms = times.into_iter().map(|(_, ms)| ms).collect();
        self.tell.step("Gopax: NOT_HELD. The arrival is settled and frozen");
        self.refused("binance", COIN, 88 * ETHER / 10).await?;
        self.withheld(&legs).await?;
        self.outcome.legs_frozen = legs.len();
        let trail = self.investigator.trail(&request.watch_id).await?;
        let items: Vec<Item> = trail.into_iter().filter_map(|item| item.item).collect();
        self.outcome.arrivals = arrivals(&items, ArrivalState::Settled);
        Ok(())
    }

    /// A release after a second approval.
    async fn act_three(&mut self, request: &Request) -> Result<()> {
        self.tell.act("Act three: what is frozen can be released, and everything can be checked");
        let legs = self.investigator.legs(&request.request_id).await?;
        let leg = legs.iter().find(|leg| leg.exchange == "upbit").context("no leg at Upbit")?;
        let content = under_warrant(release(&request.request_id, vec![leg.leg_id.clone()]));
        let released = self.investigator.submit(content).await?;
        self.leader.approve(&released.request_id).await?;
        self.tell.step("The court orders a release at Upbit: asked for by one, approved by another");
        self.legs(request, "the leg is released", |legs| {
            legs.iter().any(|now| now.leg_id == leg.leg_id && now.reported() == LegState::Released)
        })
        .await?;
        let to = Actor::named("thief exit").account();
        let amount = 250_000 * TOKEN as u128;
        let answer = self.mesh.customers.withdraw("upbit", "mallory", &self.token, amount, &to).await?;
        ensure!(answer.outcome() == WithdrawalOutcome::Paid, "after the release: {:?}", answer.outcome());
        self.tell.step("Upbit acknowledges, signed; the withdrawal is paid");
        Ok(())
    }

    /// Every log is read and recomputed by an auditor's own tool.
    async fn evidence(&mut self, tool: &Path) -> Result<()> {
        let profile = self.mesh.house.write_profile(&self.token)?;
        let verified = tokio::process::Command::new(tool)
            .args(["--profile".as_ref(), profile.as_os_str(), "--json".as_ref(), "log".as_ref(), "verify".as_ref()])
            .stdin(Stdio::null())
            .output()
            .await
            .with_context(|| format!("{} cannot be run", tool.display()))?;
        if !verified.status.success() {
            bail!("the logs do not verify: {}", String::from_utf8_lossy(&verified.stderr));
        }
        self.outcome.evidence_verified = true;
        self.tell.step("Every log is verified from outside: signatures, trees, checkpoints");
        Ok(())
    }

    /// Per leg: from the first sight of its arrivals' last block to binding.
    async fn block_to_binding(&self, request: &Request, legs: &[Leg]) -> Result<Vec<(String, u64)>> {
        let trail = self.investigator.trail(&request.watch_id).await?;
        let mut times = Vec::new();
        for leg in legs {
            let blocks = trail.iter().filter_map(|item| match &item.item {
                Some(Item::Arrived(arrived)) => arrived.arrival.as_ref(),
                _ => None,
            });
            let heard = blocks
                .filter(|arrival| leg.arrival_ids.contains(&arrival.arrival_id))
                .filter_map(|arrival| self.mesh.chain.first_heard(&arrival.block_hash))
                .min()
                .context("the block of an arrival was not heard of")?;
            let binding = leg.binding_at.context("a leg without its time of binding")?;
            let binding = SystemTime::try_from(binding).context("a time before 1970")?;
            let took = binding.duration_since(heard).context("binding before the block of its arrival was heard of")?;
            times.push((leg.exchange.clone(), u64::try_from(took.as_millis())?));
        }
        Ok(times)
    }

    async fn concluded(&self, request: &Request, accounts: &[String]) -> Result<()> {
        self.trail(request, "nobody holds the new addresses", |items| {
            accounts.iter().all(|account| {
                items.iter().any(|item| {
                    matches!(item, Item::Address(said) if said.conclusion() == Conclusion::NotHeld
                        && said.target.as_ref().is_some_and(|target| target.account == *account))
                })
            })
        })
        .await
    }

    async fn trail(&self, request: &Request, what: &str, holds: impl Fn(&[Item]) -> bool) -> Result<()> {
        until(what, PATIENCE, async || {
            let trail = unless_unavailable(self.investigator.trail(&request.watch_id).await)?.unwrap_or_default();
            let items: Vec<Item> = trail.into_iter().filter_map(|item: TrailItem| item.item).collect();
            Ok(holds(&items).then_some(()))
        })
        .await
    }

    async fn legs(&self, request: &Request, what: &str, hold: impl Fn(&[Leg]) -> bool) -> Result<Vec<Leg>> {
        until(what, PATIENCE, async || {
            let legs = unless_unavailable(self.investigator.legs(&request.request_id).await)?.unwrap_or_default();
            Ok(hold(&legs).then_some(legs))
        })
        .await
    }
}

/// A service that was just killed is not there for a moment; that is no fault of the case.
fn unless_unavailable<T>(answer: Result<T, tonic::Status>) -> Result<Option<T>> {
    match answer {
        Ok(answer) => Ok(Some(answer)),
        Err(status) if matches!(status.code(), Code::Unavailable | Code::DeadlineExceeded) => Ok(None),
        Err(status) => Err(status.into()),
    }
}

/// How many arrivals stand so by what was said last of each.
fn arrivals(items: &[Item], state: ArrivalState) -> usize {
    let mut last = BTreeMap::new();
    for item in items {
        if let Item::Arrived(arrived) = item
            && let Some(arrival) = &arrived.arrival
        {
            last.insert(arrival.arrival_id.as_str(), arrived.state());
        }
    }
    last.values().filter(|now| **now == state).count()
}

fn words(answer: Answer) -> &'static str {
    match answer {
        Answer::Unspecified => "?",
        Answer::Pending => "PENDING",
        Answer::Held => "HELD",
        Answer::NotHeld => "NOT_HELD",
        Answer::Unknown => "UNKNOWN",
        Answer::Unavailable => "UNAVAILABLE",
        Answer::Refused => "REFUSED",
    }
}
