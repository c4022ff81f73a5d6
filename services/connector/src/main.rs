//! The connector of one exchange.

use std::process::ExitCode;

use haetae_service::Tables;

fn main() -> ExitCode {
    haetae_mesh::main("haetae-connector", haetae_connector::run, async |job| {
        Tables::with_log("connector", &haetae_connector::MIGRATOR).migrate(job).await
    })
}
