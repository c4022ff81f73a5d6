//! What investigators and approvers ask for.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};
use haetae_core::{ChainId, RequestKind};
use uuid::Uuid;

use crate::commands::ends::parse_reason;

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
        /// Only those pending, catching-up, active or ended.
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
