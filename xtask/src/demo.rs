//! `cargo xtask demo`.

use anyhow::Result;
use haetae_testkit::binaries;
use haetae_tests::{
    Mesh, Options,
    case::{self, Disturbance, Outcome, Tell},
};

use crate::narrator::Narrator;

/// Everything that a mesh runs, and the command line that checks it from outside.
pub(crate) const PROGRAMS: [&str; 6] =
    ["haetae-intake", "haetae-tracking", "haetae-freeze", "haetae-connector", "haetae-sandbox", "haetae"];

/// Starts a mesh, plays the case, and ends everything it started.
pub(crate) async fn run(redis: bool, json: bool) -> Result<()> {
    let programs = tokio::task::spawn_blocking(|| binaries::built(&PROGRAMS)).await??;
    let mut narrator = Narrator::new(json);
    narrator.act("A mesh is started: Postgres, an Ethereum node, three services, six exchanges with their connectors");
    let options = Options { redis, durable: true, programs: Some(programs.clone()), ..Options::default() };
    let mut mesh = Mesh::start(options).await?;
    narrator.step(&format!("{} processes are ready, over mutual TLS", mesh.size()));
    let played = case::play(&mut mesh, &mut narrator, &Disturbance::None, &programs.join("haetae")).await;
    drop(mesh);
    match played {
        Ok(outcome) => {
            if json {
                println!("{}", serde_json::to_string(&outcome)?);
            } else {
                conclude(&mut narrator, &outcome);
            }
            Ok(())
        }
        Err(error) => {
            if json {
                println!("{}", serde_json::to_string(&Outcome { redis, ..Outcome::default() })?);
            }
            Err(error.context("the case did not go as expected"))
        }
    }
}

fn conclude(narrator: &mut Narrator, outcome: &Outcome) {
    narrator.act("What came of it");
    let slowest = outcome.block_to_binding_ms.iter().max().copied().unwrap_or_default();
    narrator.step(&format!(
        "{} arrivals, {} legs frozen in full; from block to binding at most {slowest} ms",
        outcome.arrivals, outcome.legs_frozen
    ));
    narrator.step(&format!(
        "{} withdrawals refused, {} bystanders unharmed, every log verified from outside",
        outcome.withdrawals_refused, outcome.bystanders_unharmed
    ));
}
