//! The words of the command line.

use std::{path::PathBuf, time::Duration};

use clap::{Args, Parser, Subcommand};
use haetae_core::{ChainId, RequestKind};
use uuid::Uuid;

use crate::commands::ends::parse_reason;

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

#[derive(Debug, Args)]
pub(crate) struct Confirm {
    /// In CAIP-10 form (eip155:1:0x…), or as the chain writes it.
    pub(crate) address: String,
    /// The chain of an address that names none; the profile's unless given.
    #[arg(long, value_name = "CAIP-2")]
    pub(crate) chain: Option<ChainId>,
    /// The agency's case number; the profile's default case unless given.
    #[arg(long = "case", value_name = "NUMBER")]
    pub(crate) case_number: Option<String>,
    /// The legal basis; that of the case in the profile unless given.
    #[arg(long, value_name = "NAME")]
    pub(crate) basis: Option<String>,
    /// The document it rests on, described in a TOML or JSON file; that of the case unless given.
    #[arg(long, value_name = "FILE")]
    pub(crate) document: Option<PathBuf>,
    /// What it is about, without names of persons; that of the case unless given.
    #[arg(long, value_name = "TEXT")]
    pub(crate) summary: Option<String>,
    /// An exchange to ask; may be given several times. All that the basis allows unless given.
    #[arg(long = "exchange", value_name = "NAME")]
    pub(crate) exchanges: Vec<String>,
    /// How long to wait for a conclusion.
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration, default_value = "5s")]
    pub(crate) wait: Duration,
    /// The id of an earlier attempt, to repeat it instead of asking again.
    #[arg(long, value_name = "UUID")]
    pub(crate) request_id: Option<Uuid>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum RequestCommand {
    /// Hand in a request from a TOML or JSON file; `-` reads standard input.
    Submit {
        /// See `haetae request example KIND`.
        file: PathBuf,
        /// The id of an earlier attempt, to repeat it instead of submitting again.
        #[arg(long, value_name = "UUID")]
        request_id: Option<Uuid>,
    },
    /// Print an example of a request file, every field explained.
    Example {
        /// confirm-address, watch, standing-freeze, freeze, release, halt, resume or end-watch.
        kind: RequestKind,
    },
    /// Approve a request of another person.
    Approve(Decide),
    /// Refuse a request of another person.
    Reject {
        #[command(flatten)]
        decide: Decide,
        /// Why; at most 500 characters.
        #[arg(long, value_name = "TEXT")]
        reason: String,
    },
    /// Withdraw a request of one's own before it is approved.
    Cancel {
        #[command(flatten)]
        decide: Decide,
        /// Why; at most 500 characters.
        #[arg(long, value_name = "TEXT", default_value = "")]
        reason: String,
    },
    /// Read a request.
    Show {
        /// The request.
        id: Uuid,
    },
    /// List the unit's requests, newest first.
    List {
        /// Only those awaiting-approval, approved, in-effect, closed, rejected, cancelled or lapsed.
        #[arg(long, value_parser = state)]
        state: Option<i32>,
        /// At most this many; 0 for all.
        #[arg(long, value_name = "N", default_value_t = 50)]
        limit: usize,
    },
    /// Read what the exchanges answered to a confirm-address request.
    Answers {
        /// The request.
        id: Uuid,
        /// How long to wait for a conclusion.
        #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration, default_value = "0s")]
        wait: Duration,
    },
    /// Follow what happens to a request, or to all that may be seen, until interrupted.
    Follow {
        /// The request; all unless given.
        id: Option<Uuid>,
        /// Go on after the update with this cursor; from the oldest unless given.
        #[arg(long, value_name = "CURSOR", default_value = "")]
        after: String,
        /// Stop after this time.
        #[arg(long = "for", value_name = "TIME", value_parser = humantime::parse_duration)]
        period: Option<Duration>,
    },
}

#[derive(Debug, Args)]
pub(crate) struct Decide {
    /// The request.
    pub(crate) id: Uuid,
    /// The id of an earlier attempt of this call, to repeat it.
    #[arg(long, value_name = "UUID")]
    pub(crate) request_id: Option<Uuid>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum WatchCommand {
    /// List the unit's watches, newest first.
    List {
        /// Only those of this case.
        #[arg(long, value_name = "NUMBER")]
        case: Option<String>,
        /// Only those pending, active or ended.
        #[arg(long, value_parser = watch_state)]
        state: Option<i32>,
        /// At most this many; 0 for all.
        #[arg(long, value_name = "N", default_value_t = 50)]
        limit: usize,
    },
    /// Where a watch stands, how much is where, and the trail.
    Show {
        /// The watch.
        id: Uuid,
        /// Only so many findings, the newest first: where the money is now.
        #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u16).range(1..=1_000))]
        newest: Option<u16>,
    },
    /// Every place where the money lies or ended, why, and since when.
    Ends {
        /// The watch.
        id: Uuid,
        /// Only where it is for this reason, such as parked, held or mixer; may be given several times.
        #[arg(long = "reason", value_name = "NAME", value_parser = parse_reason)]
        reasons: Vec<i32>,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum LabelsCommand {
    /// Import TagPacks. One that broke off goes on; one that is here already changes nothing; a newer version takes the
    /// place of the older one. For label curators and operators.
    Import {
        /// YAML files, as GraphSense publishes them.
        #[arg(required = true)]
        files: Vec<PathBuf>,
        /// What tells newer versions of this pack from other packs; its URI, or its title and creator, unless given.
        #[arg(long, value_name = "NAME")]
        series: Option<String>,
    },
    /// Read TagPacks and say what is wrong with them, without any network.
    Check {
        /// YAML files.
        #[arg(required = true)]
        files: Vec<PathBuf>,
    },
    /// All that is said of an address, and where that is from.
    Show {
        /// In CAIP-10 form (eip155:1:0x…), or as the chain writes it, then on every chain.
        address: String,
    },
    /// The packs, and whether they count.
    List,
    /// Write packs as TagPacks again.
    Export {
        /// A pack, by its id or the first digits of it; may be given several times. All that count unless given.
        #[arg(long = "pack", value_name = "ID")]
        packs: Vec<String>,
        /// The file; or where several packs are written, the folder.
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
    },
}

#[derive(Debug, Args)]
pub(crate) struct Trace {
    /// Start at this account, in CAIP-10 form or as the chain writes it. At the roots of the watches unless given.
    #[arg(conflicts_with = "transfer")]
    pub(crate) address: Option<String>,
    /// The chain of an address that names none; the profile's unless given.
    #[arg(long, value_name = "CAIP-2")]
    pub(crate) chain: Option<ChainId>,
    /// Start at this recorded transfer, or without its index at all of the transaction.
    #[arg(long, value_name = "CHAIN/TX[/INDEX]")]
    pub(crate) transfer: Option<String>,
    /// Go through what this watch recorded.
    #[arg(long, value_name = "UUID", conflicts_with = "case_number")]
    pub(crate) watch: Option<Uuid>,
    /// Go through what all watches of this case recorded; the profile's default case unless a watch is given.
    #[arg(long = "case", value_name = "NUMBER")]
    pub(crate) case_number: Option<String>,
    /// To where the money came from, not to where it went.
    #[arg(long, conflicts_with = "both")]
    pub(crate) backward: bool,
    /// Both ways.
    #[arg(long)]
    pub(crate) both: bool,
    /// Only this asset, in CAIP-19 form or by its symbol in the profile; may be given several times.
    #[arg(long = "asset", value_name = "ASSET")]
    pub(crate) assets: Vec<String>,
    /// Only what was seen since: a moment, or how long ago, such as 2h.
    #[arg(long, value_name = "TIME")]
    pub(crate) since: Option<String>,
    /// Only what was seen before: a moment, or how long ago.
    #[arg(long, value_name = "TIME")]
    pub(crate) until: Option<String>,
    /// Only movements of at least so much, in the smallest unit of the one --asset.
    #[arg(long, value_name = "AMOUNT")]
    pub(crate) min: Option<String>,
    /// Payments too small to be followed, too.
    #[arg(long)]
    pub(crate) with_dust: bool,
    /// What left the chain, or turned out not to be traced, too.
    #[arg(long)]
    pub(crate) with_retracted: bool,
    /// Recorded movements of other money, too.
    #[arg(long)]
    pub(crate) with_untraced: bool,
    /// At most this many accounts; 0 for the service's own default.
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) max_nodes: u32,
    /// At most this many transfers from the start; 0 for no such limit.
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) max_depth: u32,
    /// Do not ask what is frozen.
    #[arg(long)]
    pub(crate) without_freezes: bool,
    /// Draw it into this file, by its ending: .svg, .html, .json or .graphml. May be given several times.
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Vec<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum FreezeCommand {
    /// The legs of a freeze, standing freeze or watch: what is desired and what the exchange reports.
    Show {
        /// The request that froze.
        request_id: Uuid,
    },
    /// Print a leg's signed order as a page, to be handed to an exchange that does not answer.
    Order {
        /// The leg.
        leg_id: Uuid,
        /// Write the page here instead of printing it.
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum OrderCommand {
    /// Check a page that `haetae freeze order` printed, without any network: signatures, authorisation, proof, words.
    Verify {
        /// The page.
        file: PathBuf,
        /// The registry with the pinned keys; the profile's unless given. With it, no profile is needed.
        #[arg(long, value_name = "FILE")]
        registry: Option<PathBuf>,
    },
}

#[derive(Debug, Args)]
pub(crate) struct Brake {
    #[command(subcommand)]
    pub(crate) scope: Scope,
    /// The case it is filed under; that of [brake] in the profile unless given.
    #[arg(long = "file-under", value_name = "NUMBER", global = true)]
    pub(crate) case_number: Option<String>,
    /// The legal basis; that of [brake] in the profile unless given.
    #[arg(long, value_name = "NAME", global = true)]
    pub(crate) basis: Option<String>,
    /// Why, without names of persons.
    #[arg(long, value_name = "TEXT", global = true)]
    pub(crate) summary: Option<String>,
    /// The id of an earlier attempt, to repeat it.
    #[arg(long, value_name = "UUID", global = true)]
    pub(crate) request_id: Option<Uuid>,
}

#[derive(Clone, Debug, Subcommand)]
pub(crate) enum Scope {
    /// Every order to every exchange.
    Everything,
    /// Every order to one exchange.
    Exchange {
        /// Its name in the mesh.
        exchange: String,
    },
    /// Every order of one case of the agency.
    Case {
        /// The case number.
        number: String,
    },
}

#[derive(Debug, Args)]
pub(crate) struct Status {
    /// Every follower and every queue, not only those that are behind or hold something.
    #[arg(long)]
    pub(crate) all: bool,
    /// End with 1 where something needs a person.
    #[arg(long)]
    pub(crate) check: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ParkedCommand {
    /// List what is parked and why.
    List {
        /// One service, such as freeze or connector/upbit; all unless given.
        #[arg(long, value_name = "NAME")]
        service: Option<String>,
    },
    /// Have a parked entry tried again, and what waits behind it, in order. Mend the cause first.
    Retry(Retry),
}

#[derive(Debug, Args)]
pub(crate) struct Retry {
    /// The service that parked it, as listed.
    pub(crate) service: String,
    /// The entry's id, as listed, such as tracking@57.
    pub(crate) id: String,
    /// How long to wait for what becomes of it; every look is recorded.
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration, default_value = "15s")]
    pub(crate) wait: Duration,
    /// The id of an earlier attempt of this call, to repeat it.
    #[arg(long, value_name = "UUID")]
    pub(crate) request_id: Option<Uuid>,
}

#[derive(Debug, Args)]
pub(crate) struct Drain {
    /// The service, such as intake or connector/upbit.
    pub(crate) service: String,
    /// Its replica, as `haetae status` names it.
    pub(crate) replica: String,
    /// How long to wait until it is gone; every look is recorded.
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration, default_value = "40s")]
    pub(crate) wait: Duration,
    /// The id of an earlier attempt of this call, to repeat it.
    #[arg(long, value_name = "UUID")]
    pub(crate) request_id: Option<Uuid>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ExchangeCommand {
    /// The exchanges and how they are doing.
    List,
}

#[derive(Debug, Subcommand)]
pub(crate) enum LogCommand {
    /// Read every leaf, recompute the root, and compare it with what the log signed.
    Verify {
        /// Read only so many leaves, the newest, and have each proven against the signed root: for logs that have grown
        /// large. What is older is not looked at.
        #[arg(long, value_name = "LEAVES", value_parser = clap::value_parser!(u32).range(1..=1000))]
        newest: Option<u32>,
        /// A service whose log is checked; all in the profile unless given.
        #[arg(long = "service", value_name = "NAME")]
        services: Vec<String>,
        /// Checkpoints saved earlier, which the logs must continue.
        #[arg(long, value_name = "FILE")]
        from: Option<PathBuf>,
        /// Save the checkpoints that were verified, for the next time.
        #[arg(long, value_name = "FILE")]
        save: Option<PathBuf>,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum ProfileCommand {
    /// Print an example with every setting explained.
    Example,
}

fn state(name: &str) -> Result<i32, String> {
    use haetae_wire::intake::v1::RequestState;
    let full = format!("REQUEST_STATE_{}", name.to_uppercase().replace('-', "_"));
    RequestState::from_str_name(&full).filter(|state| *state != RequestState::Unspecified).map(Into::into).ok_or_else(
        || "the states are awaiting-approval, approved, in-effect, closed, rejected, cancelled, lapsed".to_owned(),
    )
}

fn watch_state(name: &str) -> Result<i32, String> {
    use haetae_wire::tracking::v1::WatchState;
    let full = format!("WATCH_STATE_{}", name.to_uppercase().replace('-', "_"));
    WatchState::from_str_name(&full)
        .filter(|state| *state != WatchState::Unspecified)
        .map(Into::into)
        .ok_or_else(|| "the states are pending, catching-up, active, ended".to_owned())
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
