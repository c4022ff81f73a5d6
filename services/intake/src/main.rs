//! The one door for agency systems.

use std::process::ExitCode;

use haetae_service::Tables;

fn main() -> ExitCode {
    haetae_mesh::main("haetae-intake", haetae_intake::run, async |job| {
        Tables::with_log("intake", &haetae_intake::MIGRATOR).migrate(job).await
    })
}
