//! The words of the command line.

mod cases;
mod labels;
mod operating;

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};

pub(crate) use self::cases::*;
pub(crate) use self::labels::*;
pub(crate) use self::operating::*;

const AFTER: &str = "\
Exit codes:
  0  done
  1  refused, or something that must hold does not (a signature, a log)
  2  wrong usage, profile or file; nothing was sent
  3  not found, or not to be seen
  4  unavailable, or no answer or conclusion in time: try again

Environment: HAETAE_PROFILE (as --profile), HAETAE_TOKEN (the person's token, unless --as is given), NO_COLOR.
With --json every command prints one JSON document, streams one object a line, errors one object on standard error;
fields are named as in the contracts, amounts are strings, times RFC 3339.";

/// Confirm who holds an address, follow stolen money, have it frozen, check the logs, and keep the mesh running.
#[derive(Debug, Parser)]
#[command(name = "haetae", version, after_help = AFTER, disable_help_subcommand = true)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) common: Common,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What every command takes.
#[derive(Debug, Args)]
pub(crate) struct Common {
    /// The profile; ~/.config/haetae/profile.toml unless given.
    #[arg(long, value_name = "FILE", env = "HAETAE_PROFILE", global = true)]
    pub(crate) profile: Option<PathBuf>,
    /// Whose token is sent, by a name in the profile's token_files.
    #[arg(long = "as", value_name = "NAME", global = true)]
    pub(crate) person: Option<String>,
    /// Why something is read; recorded with every read.
    #[arg(long, value_name = "TEXT", global = true)]
    pub(crate) purpose: Option<String>,
    /// Print JSON for programs.
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// The longest that one call may take, such as 500ms or 10s.
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration, global = true)]
    pub(crate) timeout: Option<Duration>,
    /// Say on standard error what happens on the wire; twice for more.
    #[arg(short, long, action = clap::ArgAction::Count, global = true)]
    pub(crate) verbose: u8,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Ask which exchange holds an address, and wait for the signed answers.
    Confirm(Confirm),
    /// Submit, decide on, read and follow requests.
    #[command(subcommand)]
    Request(RequestCommand),
    /// Read what a watch found.
    #[command(subcommand)]
    Watch(WatchCommand),
    /// Follow recorded money from a transfer, an address or the roots of watches on, as tables or as a picture.
    Trace(Trace),
    /// Read what was frozen.
    #[command(subcommand)]
    Freeze(FreezeCommand),
    /// Stop orders going out. One authorised person suffices; releases are never stopped.
    Halt(Brake),
    /// Let orders go out again. Needs a second person.
    Resume(Brake),
    /// How the mesh stands, in one table: replicas, logs, followers, chains, lines to exchanges, halts. For operators.
    Status(Status),
    /// Entries that a service could not handle, and trying them again. For operators.
    #[command(subcommand)]
    Parked(ParkedCommand),
    /// Have a replica finish its work and end; whatever runs it starts another. For operators.
    Drain(Drain),
    /// Check an order that came on paper or in a file.
    #[command(subcommand)]
    Order(OrderCommand),
    /// Labels: what others say about addresses.
    #[command(subcommand)]
    Labels(LabelsCommand),
    /// The exchanges in the mesh.
    #[command(subcommand)]
    Exchange(ExchangeCommand),
    /// Check the services' logs, as an auditor does.
    #[command(subcommand)]
    Log(LogCommand),
    /// The profile of this program.
    #[command(subcommand)]
    Profile(ProfileCommand),
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    fn parse(line: &str) -> Result<Cli, clap::Error> {
        Cli::try_parse_from(line.split(' '))
    }

    #[test]
    fn the_definition_of_the_commands_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn what_every_command_takes_may_stand_before_or_after_it() {
        for line in ["haetae --json exchange list --as ji-woo", "haetae exchange list --as ji-woo --json"] {
            let common = parse(line).unwrap().common;
            assert!(common.json && common.person.as_deref() == Some("ji-woo"), "{line}");
        }
    }

    #[test]
    fn a_halt_names_its_scope() {
        let cli = parse("haetae halt exchange upbit --summary matching").unwrap();
        let Command::Halt(brake) = cli.command else { panic!("not a halt") };
        assert!(matches!(brake.scope, Scope::Exchange { exchange } if exchange == "upbit"));
        assert_eq!(brake.summary.as_deref(), Some("matching"));
        assert!(parse("haetae halt").is_err());
    }

    #[test]
    fn states_are_written_as_words() {
        let cli = parse("haetae request list --state awaiting-approval").unwrap();
        assert!(matches!(cli.command, Command::Request(RequestCommand::List { state: Some(1), .. })));
        assert!(parse("haetae request list --state unspecified").is_err());
        let cli = parse("haetae watch list --case 7 --state ended").unwrap();
        assert!(matches!(cli.command, Command::Watch(WatchCommand::List { state: Some(2), .. })));
        let cli = parse("haetae watch list --state catching-up").unwrap();
        assert!(matches!(cli.command, Command::Watch(WatchCommand::List { state: Some(4), .. })));
        assert!(parse("haetae watch list --state over").is_err());
    }
}
