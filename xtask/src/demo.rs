//! `cargo xtask demo`.

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use haetae_testkit::{
    binaries,
    parts::{Install, Part, ensure},
};
use haetae_tests::{
    Mesh, Options,
    case::{self, Disturbance, Outcome, Tell},
};

use crate::{ending, narrator::Narrator};

/// Everything that a mesh runs, and the command line that checks it from outside.
pub(crate) const PROGRAMS: [&str; 6] =
    ["haetae-intake", "haetae-tracking", "haetae-freeze", "haetae-connector", "haetae-sandbox", "haetae"];

/// From the first sight of a block to binding, with Redis and everything on one machine.
const BINDING_WITHIN_MS: u64 = 1_000;

/// Starts a mesh, plays the case, and ends everything it started, also when it is told to end before.
pub(crate) async fn run(redis: bool, json: bool, picture: Option<PathBuf>, install: Install) -> Result<()> {
    let picture =
        picture.unwrap_or_else(|| std::env::temp_dir().join(format!("haetae-case-{}.html", std::process::id())));
    let (outcome, told) = match played(redis, json, &picture, install).await {
        Ok(outcome) => judged(outcome),
        Err(error) => (Outcome { redis, ..Outcome::default() }, Err(error.context("the case did not go as expected"))),
    };
    if json {
        println!("{}", serde_json::to_string(&outcome)?);
    } else if told.is_ok() {
        conclude(&outcome);
    }
    told
}

/// What a mesh needs that is not there, and the programs.
pub(crate) async fn prepared(redis: bool, install: Install) -> Result<PathBuf> {
    let prepare = move || {
        ensure(&[Part::Postgres, Part::Anvil, Part::Bcoin], install)?;
        if redis {
            ensure(&[Part::Redis], install)?;
        }
        binaries::built(&PROGRAMS)
    };
    tokio::task::spawn_blocking(prepare).await?
}

async fn played(redis: bool, json: bool, picture: &Path, install: Install) -> Result<Outcome> {
    let programs = prepared(redis, install).await?;
    let told_to_end = ending::told()?;
    let mut narrator = Narrator::new(json);
    tokio::select! {
        played = play(redis, &programs, picture, &mut narrator) => played,
        () = told_to_end => bail!("told to end; everything that was started is ended"),
    }
}

async fn play(redis: bool, programs: &Path, picture: &Path, narrator: &mut Narrator) -> Result<Outcome> {
    narrator.act(
        "A mesh is started: Postgres, an Ethereum and a Bitcoin node, three services, six exchanges with their connectors",
    );
    let programs_in = Some(programs.to_owned());
    let options = Options { redis, bitcoin: true, durable: true, programs: programs_in, ..Options::default() };
    let mut mesh = Mesh::start(options).await?;
    narrator.step(&format!("{} processes are ready, over mutual TLS", mesh.size()));
    case::play(&mut mesh, narrator, &Disturbance::None, &programs.join("haetae"), Some(picture)).await
}

/// What a demonstration promises beyond the case itself, with Redis and on a machine that has nothing else to do.
fn judged(outcome: Outcome) -> (Outcome, Result<()>) {
    let slowest = slowest(&outcome);
    let broken = if slowest >= BINDING_WITHIN_MS {
        Some(format!("a freeze was binding only {slowest} ms after the block, not within {BINDING_WITHIN_MS} ms"))
    } else if outcome.bound_before_credit < outcome.block_to_binding_ms.len() {
        Some("a freeze was not binding before the money was credited".to_owned())
    } else {
        None
    };
    match broken {
        Some(promise) if outcome.redis => (Outcome { ok: false, ..outcome }, Err(anyhow::anyhow!(promise))),
        _ => (outcome, Ok(())),
    }
}

fn slowest(outcome: &Outcome) -> u64 {
    outcome.block_to_binding_ms.iter().max().copied().unwrap_or_default()
}

fn conclude(outcome: &Outcome) {
    println!(
        "
What came of it: {} arrivals, {} legs frozen in full, from block to binding at most {} ms;
{} withdrawals refused, {} bystanders unharmed, every log verified from outside",
        outcome.arrivals,
        outcome.legs_frozen,
        slowest(outcome),
        outcome.withdrawals_refused,
        outcome.bystanders_unharmed
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(block_to_binding_ms: &[u64], bound_before_credit: usize) -> Outcome {
        let block_to_binding_ms = block_to_binding_ms.to_vec();
        Outcome { ok: true, redis: true, block_to_binding_ms, bound_before_credit, ..Outcome::default() }
    }

    #[test]
    fn a_case_that_went_well_but_slowly_is_not_well_where_redis_takes_part() {
        let (kept, told) = judged(outcome(&[557, 999, 702], 3));
        assert!(kept.ok && told.is_ok());
        let (kept, told) = judged(outcome(&[557, 1_000, 702], 3));
        assert!(!kept.ok && told.is_err());
        assert_eq!(kept.block_to_binding_ms, [557, 1_000, 702], "what was measured is still told");
        let (kept, told) = judged(Outcome { redis: false, ..outcome(&[557, 1_000, 702], 2) });
        assert!(kept.ok && told.is_ok(), "without Redis the times are told, not judged");
    }

    #[test]
    fn a_freeze_that_came_after_the_credit_is_not_what_was_promised() {
        let (kept, told) = judged(outcome(&[557, 521, 702], 2));
        assert!(!kept.ok && told.is_err());
    }
}
