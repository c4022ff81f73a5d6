//! `cargo xtask demo | up | test | helm | image | size`: the main job with nothing to configure, and everything that checks it.

mod demo;
mod ending;
mod helm;
mod image;
mod narrator;
mod process;
mod report;
mod size;
mod test;
mod up;

use std::{path::PathBuf, process::ExitCode};

use clap::{Parser, Subcommand};
use haetae_testkit::parts::Install;

/// Builds, demonstrates and tests Haetae.
#[derive(Parser)]
#[command(name = "cargo xtask", version, arg_required_else_help = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
    /// Install nothing; say what is missing and stop.
    #[arg(long, global = true)]
    no_install: bool,
}

#[derive(Subcommand)]
enum Command {
    /// Plays the case on a whole mesh of real processes, checks every step, cleans up. Exit code 1 if anything expected is missing.
    Demo {
        /// Without Redis: everything works, more slowly.
        #[arg(long)]
        no_redis: bool,
        /// End with one line of JSON on standard output; the narration goes to standard error.
        #[arg(long)]
        json: bool,
        /// Where the case's picture goes, of the form that the name ends in: .html, .svg, .json or .graphml. In the system's
        /// temporary folder unless given.
        #[arg(long, value_name = "FILE")]
        picture: Option<PathBuf>,
    },
    /// Starts the same mesh and keeps it running, and says how to use the command line against it.
    Up {
        /// Without Redis.
        #[arg(long)]
        no_redis: bool,
        /// Deal a case to solve by hand: a theft is reported, and the thief moves as soon as the watch is active.
        #[arg(long)]
        practice: bool,
    },
    /// Checks the chart, its rules, dashboards and runbooks, and k8s/: everything that can be checked without a cluster.
    Helm {
        /// Write what is made from other files anew: rendered examples, k8s/, the example of the law, the table of values.
        #[arg(long)]
        bless: bool,
        /// End with one line of JSON on standard output.
        #[arg(long)]
        json: bool,
    },
    /// Builds the image that holds every program.
    Image(image::Options),
    /// Measures what a mesh costs: CPU, memory, connections and disk, at rest and at work.
    Size(size::Options),
    /// Runs all tests: contracts, units, properties, databases, the whole mesh, a client in another language.
    Test {
        /// The long suites too.
        #[arg(long)]
        all: bool,
    },
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let install = if arguments.no_install { Install::Forbidden } else { Install::Allowed };
    match run(arguments.command, install) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command, install: Install) -> anyhow::Result<()> {
    let runtime = || tokio::runtime::Builder::new_multi_thread().enable_all().build();
    match command {
        Command::Demo { no_redis, json, picture } => runtime()?.block_on(demo::run(!no_redis, json, picture, install)),
        Command::Up { no_redis, practice } => runtime()?.block_on(up::run(!no_redis, practice, install)),
        Command::Helm { bless, json } => {
            let kept = if bless { helm::Kept::Blessed } else { helm::Kept::Compared };
            helm::check(kept, json, install)
        }
        Command::Image(options) => image::build(options, install),
        Command::Size(options) => size::size(options, install),
        Command::Test { all } => test::run(all, install),
    }
}
