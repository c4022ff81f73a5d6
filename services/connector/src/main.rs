//! The connector of one exchange.

use std::process::ExitCode;

fn main() -> ExitCode {
    haetae_mesh::main("haetae-connector", haetae_connector::run)
}
