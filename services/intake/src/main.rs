//! The one door for agency systems.

use std::process::ExitCode;

fn main() -> ExitCode {
    haetae_mesh::main("haetae-intake", haetae_intake::run)
}
