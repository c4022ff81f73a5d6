//! A rehearsal exchange.

use std::process::ExitCode;

use haetae_sandbox::{Config, Sandbox};

fn main() -> ExitCode {
    haetae_mesh::main::<Config, _>("haetae-sandbox", async |boot| {
        Sandbox::open(boot.settings(), boot.shutdown()).await?.run().await
    })
}
