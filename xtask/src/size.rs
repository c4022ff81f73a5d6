//! `cargo xtask size`: what a mesh costs, measured on one that is started for it: CPU time and memory of every process,
//! connections and disk of Postgres, while it rests, while people ask for watches, and while a chain is busy.

mod measure;
mod page;

use std::{path::PathBuf, time::Duration};

use anyhow::{Context, Result, bail};
use clap::Args;
use haetae_testkit::{
    binaries,
    parts::{Install, Part, ensure},
};
use haetae_tests::{
    Actor, Agency, COIN, Mesh, Options as MeshOptions, Who,
    agency::{under_warrant, watch_and_freeze},
    chain::{ETHER, Kind, TOKEN},
    until,
};
use haetae_wire::tracking::v1::WatchState;
use serde::Serialize;
use tokio::time::{Instant, sleep};
use tonic::Code;

use self::measure::{Cost, Meter};
use crate::{demo::PROGRAMS, helm::Kept, report::Report};

/// How much is measured.
#[derive(Args)]
pub(crate) struct Options {
    /// Watches that are asked for and approved, each a request of its own.
    #[arg(long, default_value_t = 1_000)]
    watches: u32,
    /// Transfers on the chain, none of them of a watched address.
    #[arg(long, default_value_t = 2_000)]
    transfers: u32,
    /// Seconds for which the mesh is watched at rest.
    #[arg(long, default_value_t = 30)]
    rest: u64,
    /// A folder of programs, such as those of a release build; built as this one is where absent.
    #[arg(long)]
    programs: Option<PathBuf>,
    /// How those were built, as the page is to say it.
    #[arg(long, value_name = "TEXT", default_value = "release programs")]
    built: String,
    /// Write what was measured into the sizing page.
    #[arg(long)]
    bless: bool,
    /// End with one line of JSON on standard output.
    #[arg(long)]
    json: bool,
}

/// What was measured.
#[derive(Serialize)]
struct Measured {
    /// How the programs were built, as far as is known.
    programs: String,
    /// How large the machine is, and what else it did.
    machine: String,
    watches: u32,
    transfers: u32,
    /// Exchanges, each with a connector.
    exchanges: usize,
    rest: Cost,
    asking: Cost,
    busy: Cost,
}

/// People at work at once; each may call twenty times a second.
const PEOPLE: [(Who, Who); 2] = [(Who::JiWoo, Who::MinJun), (Who::MinJun, Who::JiWoo)];

/// How long what was asked for may take to come into effect.
const IN_EFFECT: Duration = Duration::from_secs(120);

/// Transfers that are sent in one go.
const AT_ONCE: usize = 100;

/// Starts a mesh, measures, and says what was found.
pub(crate) fn size(options: Options, install: Install) -> Result<()> {
    ensure(&[Part::Postgres, Part::Redis, Part::Anvil], install)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let measured = runtime.block_on(measured(&options))?;
    let part = page::part(&measured);
    if options.bless {
        let file = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../helm/haetae/SIZING.md"));
        let mut report = Report::default();
        crate::helm::part_of_page(&file, "measured", &part, Kept::Blessed, &mut report)?;
        if let Some(failure) = report.failures().first() {
            bail!("{failure}");
        }
    }
    if options.json {
        eprintln!("{part}");
        println!("{}", serde_json::to_string(&measured)?);
    } else {
        println!("{part}");
    }
    Ok(())
}

async fn measured(options: &Options) -> Result<Measured> {
    let (programs, said) = match &options.programs {
        Some(folder) => (folder.clone(), options.built.clone()),
        None => {
            let built = tokio::task::spawn_blocking(|| binaries::built(&PROGRAMS)).await??;
            (built, "a debug build".to_owned())
        }
    };
    let load = measure::load()?;
    let mesh = MeshOptions { durable: true, programs: Some(programs), ..MeshOptions::default() };
    let mut mesh = Mesh::start(mesh).await?;
    eprintln!("{} processes are ready", mesh.size());
    let mut meter = Meter::new(&mut mesh)?;

    eprintln!("at rest for {} s", options.rest);
    let before = meter.read().await?;
    sleep(Duration::from_secs(options.rest)).await;
    let rest = meter.since(&before).await?;

    eprintln!("{} watches are asked for and approved", options.watches);
    let before = meter.read().await?;
    ask(&mesh, options.watches).await?;
    let asking = meter.since(&before).await?;

    eprintln!("{} transfers", options.transfers);
    let before = meter.read().await?;
    transfer(&mesh, options.transfers).await?;
    let busy = meter.since(&before).await?;
    mesh.all_running()?;
    let exchanges = haetae_tests::EXCHANGES.len();
    let machine = format!(
        "{} cores, whose load average over a minute was {load} before the mesh was started and {} at the end",
        std::thread::available_parallelism()?,
        measure::load()?
    );
    Ok(Measured {
        programs: said,
        machine,
        watches: options.watches,
        transfers: options.transfers,
        exchanges,
        rest,
        asking,
        busy,
    })
}

/// Every watch by the way that people go: asked for by one, approved by another, then active at tracking.
async fn ask(mesh: &Mesh, watches: u32) -> Result<()> {
    let [(first, second), (third, fourth)] =
        PEOPLE.map(|(asks, approves)| (mesh.people.agency(asks), mesh.people.agency(approves)));
    let one = watch_all(&first, &second, 0..watches / 2);
    let other = watch_all(&third, &fourth, watches / 2..watches);
    tokio::try_join!(one, other).map(drop)
}

async fn watch_all(asks: &Agency, approves: &Agency, numbers: std::ops::Range<u32>) -> Result<()> {
    let mut last = String::new();
    for number in numbers {
        last = watch(asks, approves, number).await?;
    }
    active(asks, &last).await
}

async fn watch(asks: &Agency, approves: &Agency, number: u32) -> Result<String> {
    let root = Actor::named(&format!("sizing {number}"));
    let stolen = [(COIN, ETHER)];
    let mut content = under_warrant(watch_and_freeze(&root.account(), &stolen, &[]));
    // A case has no more watches than the law allows.
    content.case_number = format!("2026-sizing-{}", number / 100);
    let id = uuid::Uuid::new_v4();
    let request = patiently(async || asks.submit_as(id, content.clone()).await).await?;
    let approved = patiently(async || approves.approve(&request.request_id).await).await?;
    Ok(approved.watch_id)
}

/// Waits where the budget of a person or of a unit is used up: that is part of the way people go.
async fn patiently<T>(mut call: impl AsyncFnMut() -> Result<T, tonic::Status>) -> Result<T> {
    let deadline = Instant::now() + IN_EFFECT;
    loop {
        match call().await {
            Err(status) if status.code() == Code::ResourceExhausted && Instant::now() < deadline => {
                sleep(Duration::from_millis(50)).await;
            }
            said => return said.context("a call to intake"),
        }
    }
}

async fn active(agency: &Agency, watch: &str) -> Result<()> {
    if watch.is_empty() {
        return Ok(());
    }
    until("the last watch is active", IN_EFFECT, async || match agency.watch(watch).await {
        Ok(watch) => Ok((watch.state() == WatchState::Active).then_some(())),
        Err(status) if [Code::NotFound, Code::ResourceExhausted, Code::Unavailable].contains(&status.code()) => {
            Ok(None)
        }
        Err(status) => Err(status).context("reading a watch"),
    })
    .await
}

/// Coins and tokens between addresses that nobody watches.
async fn transfer(mesh: &Mesh, transfers: u32) -> Result<()> {
    let sender = Actor::named("sizing sender");
    mesh.chain.give_coins(sender.address(), 10_000 * ETHER).await?;
    mesh.chain.give_tokens(sender.address(), u128::from(TOKEN) * 1_000_000).await?;
    let mut number = 0;
    while number < transfers {
        let mut parts = Vec::new();
        while number < transfers && parts.len() < AT_ONCE {
            let kind = if number % 2 == 0 { Kind::Coins } else { Kind::Tokens };
            parts.push((Actor::named(&format!("sizing receiver {number}")).address(), kind, 1));
            number += 1;
        }
        mesh.chain.split(&sender, &parts).await?;
    }
    Ok(())
}
