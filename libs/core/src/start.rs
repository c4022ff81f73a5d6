//! Where in the chain a watch begins that does not begin now.

use crate::Moment;

/// Where a watch begins in the past.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WatchStart {
    /// With the first block that states this time or a later one.
    Since(Moment),
    /// With this transaction, the theft: its hash as the chain prints it.
    Transaction(String),
}
