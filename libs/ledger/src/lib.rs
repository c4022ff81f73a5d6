//! How state is kept: one log per service in its own Postgres, sealed into a Merkle tree, followed by others.
//!
//! A command changes state in one transaction: it [appends](Log::append) entries to the service's [`Log`], updates the
//! service's tables and [commits](Log::commit). Committed entries are *sealed*: given consecutive positions, hashed into
//! the tree, covered by a signed checkpoint. Only sealed entries are [handed out](Log::follow). Whoever acts on them
//! is a [`Follower`]: it verifies what it receives, and moves its cursor in the same transaction as the effect, so that
//! the effect happens exactly once.
//!
//! | | |
//! |---|---|
//! | [`Log`], [`NewEntry`] | writing, reading and proving one's own log |
//! | [`Sealer`] | seals what appends could not seal in their own commit |
//! | [`AuditApi`] | leaves, proofs and checkpoints for auditors |
//! | [`Follower`], [`Handler`], [`LogSource`] | acting on a log, one's own or another's |
//! | [`parked`] | entries that could not be handled, for operators |
//! | [`followers`], [`Log::standing`], [`replica`] | how all of it stands, for operators |
//! | [`Doorbell`] | the hint that makes following fast; never needed |
//! | [`request`] | a command repeated under the same id gives the same answer |
//! | [`ids`] | ids that follow from a fact |

mod append;
mod apply;
mod audit;
mod backoff;
mod cursor;
mod doorbell;
mod follow;
mod handle;
pub mod ids;
mod log;
mod metrics;
pub mod parked;
mod read;
pub mod replica;
pub mod request;
mod schema;
mod seal;
mod serve;
mod source;
mod sql;
mod standing;
mod stored;
mod trace;
mod tree;

pub use append::{AppendError, Appended, Expected, MAX_ENTRY_BYTES, NewEntry};
pub use audit::AuditApi;
pub use cursor::{FollowedEntry, FollowerError};
pub use doorbell::Doorbell;
pub use follow::{Follower, Following};
pub use handle::{HandleError, Handler};
pub use log::{Log, LogConfig, OpenError};
pub use read::{ReadError, Sealed, StreamEntry, Which};
pub use schema::{MIGRATOR, PRIVILEGES, migrate};
pub use seal::{SealError, Sealer};
pub use serve::{Audience, FollowError};
pub use source::LogSource;
pub use standing::{FollowerStanding, LogStanding, followers};
