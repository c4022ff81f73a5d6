//! The tracking service.

use std::process::ExitCode;

use haetae_service::Tables;

fn main() -> ExitCode {
    haetae_mesh::main("haetae-tracking", haetae_tracking::run, async |job| {
        Tables::with_log("tracking", &haetae_tracking::MIGRATOR).migrate(job).await
    })
}
