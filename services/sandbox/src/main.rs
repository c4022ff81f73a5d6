//! A rehearsal exchange.

use std::process::ExitCode;

use haetae_mesh::Boot;
use haetae_sandbox::{Config, MIGRATOR, Sandbox};
use haetae_service::Tables;

fn main() -> ExitCode {
    let serve = async |boot: Boot<Config>| Sandbox::open(boot.settings(), boot.shutdown()).await?.run().await;
    haetae_mesh::main("haetae-sandbox", serve, async |job| Tables::own("sandbox", &MIGRATOR).migrate(job).await)
}
