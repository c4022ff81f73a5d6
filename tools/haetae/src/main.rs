//! `haetae`: the command line of agency people, and of those who keep the mesh running.

mod args;
mod client;
mod commands;
mod content;
mod failure;
mod json;
mod out;
mod page;
mod picture;
mod profile;
mod show;
mod statement;
mod table;
mod tagpack;
mod trail;
mod verify;

use std::{
    io::{stderr, stdout},
    process::ExitCode,
};

use clap::Parser;
use tracing_subscriber::EnvFilter;

use crate::{args::Cli, show::Look};

fn main() -> ExitCode {
    let cli = Cli::parse();
    tell(cli.common.verbose);
    let json = cli.common.json;
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("error: cannot start: {error}");
            return ExitCode::from(failure::exit::FAILED);
        }
    };
    match runtime.block_on(commands::run(cli, out::colourful(&stdout()))) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) if json => {
            eprintln!("{}", failure.for_programs());
            ExitCode::from(failure.exit_code())
        }
        Err(failure) => {
            eprint!("{}", failure.for_people(&Look { colour: out::colourful(&stderr()), ..Look::default() }));
            ExitCode::from(failure.exit_code())
        }
    }
}

/// What happens on the wire, for those who ask.
fn tell(verbosity: u8) {
    let filter = match verbosity {
        0 => return,
        1 => "warn,haetae_mesh=debug",
        // Frames hold what is nobody else's business.
        _ => "debug,h2=warn,hyper=warn",
    };
    tracing_subscriber::fmt().with_writer(stderr).with_env_filter(EnvFilter::new(filter)).init();
}
