//! The tracking service.

use std::process::ExitCode;

fn main() -> ExitCode {
    haetae_mesh::main("haetae-tracking", haetae_tracking::run)
}
