//! Whether a batch continues what a follower has verified. Pure: standing + batch → entries and the next standing, or
//! the reason to stop.

use std::fmt;
use std::sync::Arc;

use haetae_seal::checkpoint::{Checkpoint, CheckpointError, LogVerifier, log_id};
use haetae_seal::leaf::{Leaf, commitment};
use haetae_seal::merkle::{Frontier, Hash, empty_root, verify_consistency, verify_inclusion};
use haetae_wire::log::v1::{Batch, Cursor, Entry, Header, InclusionProof, LeafOpening};
use prost::Message;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::ids;
use crate::serve::Audience;

/// Why a follower stopped. The log it follows is not what it was, or not what it must be; its cursor stays where it
/// is, and a person has to look.
#[derive(Debug, thiserror::Error)]
pub enum FollowerError {
    /// The stream, or the stored cursor, is of another log than the pinned key's.
    #[error("expected the log {expected}, found {found:?}")]
    AnotherLog {
        /// The log of the pinned key.
        expected: Uuid,
        /// What was found.
        found: String,
    },
    /// The stream, or the stored cursor, is filtered where everything is expected, or the other way round.
    #[error("the stream is not of the kind that was asked for (everything, or what is addressed to one exchange)")]
    AnotherView,
    /// A position is missing, or comes out of order.
    #[error("expected position {expected}, found {found}")]
    Gap {
        /// The position that had to come.
        expected: u64,
        /// The one that came.
        found: u64,
    },
    /// What was sent does not lead to the signed root, or the new tree does not continue the verified one: the log
    /// has another history than it had, or was altered on the way.
    #[error("the log was forked or altered: its tree of {size} entries does not continue what was verified")]
    Fork {
        /// Size of the signed tree.
        size: u64,
    },
    /// The log is shorter than it was.
    #[error("the log was rolled back below {verified} entries")]
    RolledBack {
        /// How far it was verified.
        verified: u64,
    },
    /// An entry of a filtered stream is not proven to be in the signed tree.
    #[error("the entry at {position} is not proven")]
    BadProof {
        /// Its position.
        position: u64,
    },
    /// The checkpoint is not signed by the pinned key.
    #[error("bad checkpoint: {0}")]
    BadCheckpoint(#[from] CheckpointError),
    /// The checkpoint does not cover what was sent with it.
    #[error("the checkpoint of {size} entries does not cover position {next_position}")]
    NotCovered {
        /// Size of the signed tree.
        size: u64,
        /// The position it had to cover.
        next_position: u64,
    },
    /// An entry is not in the form of its contract.
    #[error("the entry at {position} has no proper {part}")]
    BadEntry {
        /// Its position.
        position: u64,
        /// The part that is wrong.
        part: &'static str,
    },
    /// An entry was sent that is addressed to someone else.
    #[error("the entry at {position} is not addressed to this follower")]
    NotAddressed {
        /// Its position.
        position: u64,
    },
    /// The stored cursor cannot be a cursor.
    #[error("the stored cursor is damaged")]
    BadCursor,
}

/// A verified, sealed entry.
#[derive(Clone, PartialEq)]
pub struct FollowedEntry {
    /// The log it is from.
    pub log_id: Uuid,
    /// Its position in the log.
    pub position: u64,
    /// What kind of fact; names the message in the payload.
    pub kind: String,
    /// Version of its stream after it.
    pub version: u64,
    /// When it was decided.
    pub time: OffsetDateTime,
    /// What it is about.
    pub header: Header,
    /// The exact bytes of the fact.
    pub payload: Vec<u8>,
    /// Proof under [`checkpoint`](Self::checkpoint); only in filtered streams.
    pub inclusion: Option<InclusionProof>,
    /// The signed checkpoint that covers the entry.
    pub checkpoint: Arc<str>,
    pub(crate) wire: Entry,
}

impl FollowedEntry {
    /// The id of a thing that follows from this entry and has no natural identity. `part` tells the things that follow
    /// from one entry apart.
    #[must_use]
    pub fn derive_id(&self, part: &str) -> Uuid {
        ids::of_entry(self.log_id, self.position, part)
    }

    /// What opens the entry's leaf to its payload, to be handed on with the inclusion proof.
    #[must_use]
    pub fn opening(&self) -> LeafOpening {
        LeafOpening {
            kind: self.kind.clone(),
            version: self.version,
            time: self.wire.time,
            header: self.wire.header.clone(),
            salt: self.wire.salt.clone(),
        }
    }

    /// The W3C trace context of the work that caused the entry; may be empty.
    #[must_use]
    pub fn traceparent(&self) -> &str {
        &self.wire.traceparent
    }

    /// Header, payload and salt were erased at the end of their retention; only the leaf is left.
    pub(crate) fn is_erased(&self) -> bool {
        !self.wire.commitment.is_empty()
    }

    /// Reads an entry; also gives the hash of its leaf.
    pub(crate) fn read(log_id: Uuid, wire: Entry, checkpoint: Arc<str>) -> Result<(Self, Hash), FollowerError> {
        let position = wire.position;
        let bad = |part| FollowerError::BadEntry { position, part };
        let time = read_time(&wire).ok_or(bad("time"))?;
        let commitment = if wire.commitment.is_empty() {
            let salt = wire.salt.as_slice().try_into().map_err(|_| bad("salt"))?;
            commitment(salt, &wire.header, &wire.payload)
        } else if wire.header.is_empty() && wire.payload.is_empty() && wire.salt.is_empty() {
            wire.commitment.as_slice().try_into().map_err(|_| bad("commitment"))?
        } else {
            return Err(bad("commitment"));
        };
        let leaf = Leaf {
            kind: wire.kind.clone(),
            version: wire.version,
            time_us: crate::seal::microseconds(time),
            commitment,
        };
        let entry = Self {
            log_id,
            position,
            kind: wire.kind.clone(),
            version: wire.version,
            time,
            header: Header::decode(wire.header.as_slice()).map_err(|_| bad("header"))?,
            payload: wire.payload.clone(),
            inclusion: wire.inclusion.clone(),
            checkpoint,
            wire,
        };
        Ok((entry, leaf.hash()))
    }
}

impl fmt::Debug for FollowedEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FollowedEntry")
            .field("log_id", &self.log_id)
            .field("position", &self.position)
            .field("kind", &self.kind)
            .finish_non_exhaustive()
    }
}

fn read_time(wire: &Entry) -> Option<OffsetDateTime> {
    let time = wire.time.as_ref()?;
    let nanos = u32::try_from(time.nanos).ok()?;
    // The leaf holds whole microseconds; anything below would not be covered by it.
    if nanos % 1_000 != 0 {
        return None;
    }
    OffsetDateTime::from_unix_timestamp(time.seconds).ok()?.replace_nanosecond(nanos).ok()
}

/// The log that a follower follows, and what it may see of it.
#[derive(Debug)]
pub(crate) struct Followed {
    pub(crate) verifier: LogVerifier,
    pub(crate) log_id: Uuid,
    pub(crate) audience: Audience,
}

impl Followed {
    pub(crate) fn new(verifier: LogVerifier, audience: Audience) -> Self {
        Self { log_id: log_id(verifier.origin()), verifier, audience }
    }

    /// Where one stands who has seen nothing.
    pub(crate) fn beginning(&self) -> Standing {
        Standing {
            next_position: 0,
            tree: match self.audience {
                Audience::Everything => Tree::Whole(Frontier::new()),
                Audience::Exchange(_) => Tree::Head { size: 0, root: empty_root() },
            },
        }
    }
}

/// How far a follower has got, and what it knows of the tree so far.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Standing {
    pub(crate) next_position: u64,
    pub(crate) tree: Tree,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Tree {
    /// All leaves before the next position; from them, roots can be computed.
    Whole(Frontier),
    /// The last verified head.
    Head { size: u64, root: Hash },
}

impl Tree {
    pub(crate) fn size(&self) -> u64 {
        match self {
            Self::Whole(frontier) => frontier.size(),
            Self::Head { size, .. } => *size,
        }
    }

    pub(crate) fn root(&self) -> Hash {
        match self {
            Self::Whole(frontier) => frontier.root(),
            Self::Head { root, .. } => *root,
        }
    }
}

/// A verified batch.
#[derive(Debug)]
pub(crate) struct Accepted {
    pub(crate) entries: Vec<FollowedEntry>,
    /// Where one stands who has handled all of it.
    pub(crate) after: Standing,
    before: Standing,
    leaves: Vec<Hash>,
}

impl Accepted {
    /// Where one stands who has handled the first `count` entries.
    pub(crate) fn after_entries(&self, count: usize) -> Standing {
        let Some(next) = self.entries.get(count) else {
            return self.after.clone();
        };
        let tree = match &self.before.tree {
            Tree::Whole(frontier) => {
                let mut frontier = frontier.clone();
                for leaf in self.leaves.iter().take(count) {
                    frontier.push(*leaf, &mut Vec::new());
                }
                Tree::Whole(frontier)
            }
            Tree::Head { .. } => self.after.tree.clone(),
        };
        Standing { next_position: next.position, tree }
    }
}

impl Standing {
    /// What to ask a log for.
    pub(crate) fn cursor(&self, log_id: Uuid) -> Cursor {
        Cursor { log_id: log_id.to_string(), next_position: self.next_position, verified_size: self.tree.size() }
    }

    /// Verifies a batch as the continuation of this standing.
    pub(crate) fn accept(&self, log: &Followed, batch: Batch) -> Result<Accepted, FollowerError> {
        if batch.log_id != log.log_id.to_string() {
            return Err(FollowerError::AnotherLog { expected: log.log_id, found: batch.log_id });
        }
        let signed = Checkpoint::open(&batch.checkpoint, &log.verifier)?;
        if signed.size < self.tree.size() || batch.next_position < self.next_position {
            return Err(FollowerError::RolledBack { verified: self.tree.size() });
        }
        if signed.size < batch.next_position {
            return Err(FollowerError::NotCovered { size: signed.size, next_position: batch.next_position });
        }
        match (&self.tree, &log.audience, batch.unfiltered) {
            (Tree::Whole(frontier), Audience::Everything, true) => {
                self.accept_everything(log, batch, &signed, frontier.clone())
            }
            (Tree::Head { size, root }, Audience::Exchange(exchange), false) => {
                self.accept_addressed(log, batch, &signed, (*size, root), exchange)
            }
            _ => Err(FollowerError::AnotherView),
        }
    }

    /// Every position must be there, and together they must make the signed root.
    fn accept_everything(
        &self,
        log: &Followed,
        batch: Batch,
        signed: &Checkpoint,
        mut frontier: Frontier,
    ) -> Result<Accepted, FollowerError> {
        let checkpoint: Arc<str> = batch.checkpoint.into();
        let mut entries = Vec::with_capacity(batch.entries.len());
        let mut leaves = Vec::with_capacity(batch.entries.len());
        for wire in batch.entries {
            if wire.position != frontier.size() {
                return Err(FollowerError::Gap { expected: frontier.size(), found: wire.position });
            }
            let (entry, leaf) = FollowedEntry::read(log.log_id, wire, checkpoint.clone())?;
            frontier.push(leaf, &mut Vec::new());
            entries.push(entry);
            leaves.push(leaf);
        }
        if batch.next_position != frontier.size() {
            return Err(FollowerError::Gap { expected: frontier.size(), found: batch.next_position });
        }
        if signed.size != frontier.size() {
            return Err(FollowerError::NotCovered { size: signed.size, next_position: batch.next_position });
        }
        if signed.root != frontier.root() {
            return Err(FollowerError::Fork { size: signed.size });
        }
        Ok(Accepted {
            entries,
            leaves,
            before: self.clone(),
            after: Standing { next_position: batch.next_position, tree: Tree::Whole(frontier) },
        })
    }

    /// The signed tree must continue the verified one, and each entry be proven in it.
    fn accept_addressed(
        &self,
        log: &Followed,
        batch: Batch,
        signed: &Checkpoint,
        (old_size, old_root): (u64, &Hash),
        exchange: &str,
    ) -> Result<Accepted, FollowerError> {
        let fork = FollowerError::Fork { size: signed.size };
        let Some(continues) = batch.consistency.as_ref().and_then(|p| hashes(&p.hashes)) else {
            return Err(fork);
        };
        if verify_consistency(old_size, old_root, signed.size, &signed.root, &continues).is_err() {
            return Err(fork);
        }
        let checkpoint: Arc<str> = batch.checkpoint.into();
        let mut expected = self.next_position;
        let mut entries = Vec::with_capacity(batch.entries.len());
        let mut leaves = Vec::with_capacity(batch.entries.len());
        for wire in batch.entries {
            let position = wire.position;
            if position < expected || position >= batch.next_position {
                return Err(FollowerError::Gap { expected, found: position });
            }
            expected = position + 1;
            let (entry, leaf) = FollowedEntry::read(log.log_id, wire, checkpoint.clone())?;
            let proven = entry
                .inclusion
                .as_ref()
                .filter(|proof| proof.leaf_index == position && proof.tree_size == signed.size)
                .and_then(|proof| hashes(&proof.hashes))
                .is_some_and(|path| verify_inclusion(&leaf, position, signed.size, &path, &signed.root).is_ok());
            if !proven {
                return Err(FollowerError::BadProof { position });
            }
            if !entry.is_erased() && entry.header.audience != exchange {
                return Err(FollowerError::NotAddressed { position });
            }
            entries.push(entry);
            leaves.push(leaf);
        }
        Ok(Accepted {
            entries,
            leaves,
            before: self.clone(),
            after: Standing {
                next_position: batch.next_position,
                tree: Tree::Head { size: signed.size, root: signed.root },
            },
        })
    }
}

fn hashes(wire: &[Vec<u8>]) -> Option<Vec<Hash>> {
    wire.iter().map(|hash| hash.as_slice().try_into().ok()).collect()
}
