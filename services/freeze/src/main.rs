//! What must be frozen, and is it?

use std::process::ExitCode;

use haetae_service::Tables;

fn main() -> ExitCode {
    haetae_mesh::main("haetae-freeze", haetae_freeze::run, async |job| {
        Tables::with_log("freeze", &haetae_freeze::MIGRATOR).migrate(job).await
    })
}
