//! What must be frozen, and is it?

use std::process::ExitCode;

fn main() -> ExitCode {
    haetae_mesh::main("haetae-freeze", haetae_freeze::run)
}
