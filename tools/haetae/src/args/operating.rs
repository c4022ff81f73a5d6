//! What keeps a mesh running, and proves what it did.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};
use uuid::Uuid;

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
