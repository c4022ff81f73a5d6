//! Whether a log is what it says it is, as an auditor finds out: from its signed checkpoint, all its leaves or the newest
//! with a proof for each, and an earlier checkpoint that he kept. No IO.

use haetae_core::Moment;
use haetae_seal::{
    checkpoint::Checkpoint,
    leaf::Leaf,
    merkle::{Frontier, Hash, ProofError, verify_consistency, verify_inclusion},
};
use haetae_wire::log::v1 as log;

/// Why a log is not believed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Fault {
    /// It is shorter than it was.
    #[error("the log was rolled back: it had {earlier} leaves and now signs {now}")]
    RolledBack { earlier: u64, now: u64 },
    /// It has another past than it had.
    #[error("the log was forked: its first {size} leaves are not those whose root it signed before")]
    Forked { size: u64 },
    /// The log's own proof does not lead from the earlier checkpoint to the new one.
    #[error("the log does not prove that it continues its earlier checkpoint: {0}")]
    NotContinued(ProofError),
    /// What the log gives as proof is none.
    #[error("the log's proof that it continues its earlier checkpoint holds something that is no hash")]
    MalformedProof,
    /// Leaves are missing or out of order.
    #[error("leaf {expected} is missing: the log gave {}", given(.found))]
    Gap { expected: u64, found: Option<u64> },
    /// A leaf cannot be hashed.
    #[error("leaf {position} is malformed: {what}")]
    Malformed { position: u64, what: &'static str },
    /// A leaf is not under the signed root.
    #[error("leaf {position} is not one of those that the log signed for: {why}")]
    NotProven { position: u64, why: ProofError },
    /// The leaves are not those that were signed for.
    #[error("the leaves do not lead to the signed root: at least one of {size} was changed")]
    RootMismatch { size: u64 },
}

fn given(found: &Option<u64>) -> String {
    found.map_or("none".to_owned(), |position| format!("leaf {position}"))
}

impl Fault {
    /// A word for tables.
    pub(crate) const fn name(&self) -> &'static str {
        match self {
            Self::RolledBack { .. } => "ROLLED BACK",
            Self::Forked { .. } | Self::NotContinued(_) | Self::MalformedProof => "FORKED",
            Self::Gap { .. } | Self::Malformed { .. } => "INCOMPLETE",
            Self::NotProven { .. } | Self::RootMismatch { .. } => "TAMPERED",
        }
    }
}

/// A log being read from its first leaf on.
///
/// The root of the earlier checkpoint is recomputed on the way, so that a fork is found even where the log's own proof
/// would hide it.
#[derive(Debug)]
pub(crate) struct Replay<'a> {
    signed: &'a Checkpoint,
    earlier: Option<&'a Checkpoint>,
    tree: Frontier,
}

impl<'a> Replay<'a> {
    /// Begins with checkpoints whose signatures have been verified.
    ///
    /// # Errors
    /// [`Fault::RolledBack`].
    pub(crate) fn begin(signed: &'a Checkpoint, earlier: Option<&'a Checkpoint>) -> Result<Self, Fault> {
        if let Some(earlier) = earlier.filter(|earlier| earlier.size > signed.size) {
            return Err(Fault::RolledBack { earlier: earlier.size, now: signed.size });
        }
        let replay = Self { signed, earlier, tree: Frontier::new() };
        replay.compare_with_earlier()?;
        Ok(replay)
    }

    /// The next position wanted; none when every leaf under the checkpoint has been read.
    pub(crate) fn wants(&self) -> Option<u64> {
        (self.tree.size() < self.signed.size).then_some(self.tree.size())
    }

    /// Reads leaves in order. Those beyond the checkpoint are left alone: the log has grown meanwhile.
    ///
    /// # Errors
    /// [`Fault::Gap`], [`Fault::Malformed`], [`Fault::Forked`].
    pub(crate) fn read(&mut self, leaves: &[log::Leaf]) -> Result<(), Fault> {
        let mut completed = Vec::new();
        if let (Some(expected), []) = (self.wants(), leaves) {
            return Err(Fault::Gap { expected, found: None });
        }
        for leaf in leaves {
            let Some(expected) = self.wants() else { break };
            if leaf.position != expected {
                return Err(Fault::Gap { expected, found: Some(leaf.position) });
            }
            completed.clear();
            self.tree.push(hash(leaf)?, &mut completed);
            self.compare_with_earlier()?;
        }
        Ok(())
    }

    /// Compares the whole with what the log has signed, once [`Replay::wants`] is satisfied.
    ///
    /// # Errors
    /// [`Fault::Gap`], [`Fault::RootMismatch`].
    pub(crate) fn finish(self) -> Result<(), Fault> {
        match self.wants() {
            Some(expected) => Err(Fault::Gap { expected, found: None }),
            None if self.tree.root() == self.signed.root => Ok(()),
            None => Err(Fault::RootMismatch { size: self.signed.size }),
        }
    }

    fn compare_with_earlier(&self) -> Result<(), Fault> {
        match self.earlier {
            Some(earlier) if earlier.size == self.tree.size() && earlier.root != self.tree.root() => {
                Err(Fault::Forked { size: earlier.size })
            }
            _ => Ok(()),
        }
    }
}

/// The newest leaves under a checkpoint, each proven by itself: what a log holds now can be checked however large it is.
#[derive(Debug)]
pub(crate) struct Newest<'a> {
    signed: &'a Checkpoint,
    number: u64,
}

impl<'a> Newest<'a> {
    /// So many of them, or all where there are fewer.
    pub(crate) fn of(signed: &'a Checkpoint, number: u64) -> Self {
        Self { signed, number: number.min(signed.size) }
    }

    /// The first position; none in an empty log.
    pub(crate) fn start(&self) -> Option<u64> {
        (self.number > 0).then(|| self.signed.size - self.number)
    }

    /// Those of the leaves given that are wanted, once none is missing. Those beyond the checkpoint are left alone.
    ///
    /// # Errors
    /// [`Fault::Gap`].
    pub(crate) fn complete<'l>(&self, leaves: &'l [log::Leaf]) -> Result<&'l [log::Leaf], Fault> {
        let mut given = leaves.iter();
        for expected in self.signed.size - self.number..self.signed.size {
            let found = given.next().map(|leaf| leaf.position);
            if found != Some(expected) {
                return Err(Fault::Gap { expected, found });
            }
        }
        Ok(&leaves[..leaves.len() - given.len()])
    }

    /// Whether the leaf is under the signed root.
    ///
    /// # Errors
    /// [`Fault::Malformed`], [`Fault::NotProven`].
    pub(crate) fn proven(&self, leaf: &log::Leaf, proof: &[Hash]) -> Result<(), Fault> {
        let position = leaf.position;
        verify_inclusion(&hash(leaf)?, position, self.signed.size, proof, &self.signed.root)
            .map_err(|why| Fault::NotProven { position, why })
    }
}

/// Whether the log proves by itself that `signed` continues `earlier`.
///
/// # Errors
/// [`Fault::NotContinued`].
pub(crate) fn continues(earlier: &Checkpoint, signed: &Checkpoint, proof: &[Hash]) -> Result<(), Fault> {
    verify_consistency(earlier.size, &earlier.root, signed.size, &signed.root, proof).map_err(Fault::NotContinued)
}

fn hash(leaf: &log::Leaf) -> Result<Hash, Fault> {
    let malformed = |what| Fault::Malformed { position: leaf.position, what };
    let time = leaf.time.as_ref().and_then(micros).ok_or(malformed("it has no time in whole microseconds"))?;
    let commitment = leaf.commitment.as_slice().try_into().map_err(|_| malformed("its commitment is not 32 bytes"))?;
    Ok(Leaf { kind: leaf.kind.clone(), version: leaf.version, time_us: time, commitment }.hash())
}

fn micros(time: &prost_types::Timestamp) -> Option<i64> {
    let nanos = u32::try_from(time.nanos).ok().filter(|nanos| *nanos < 1_000_000_000 && nanos % 1_000 == 0)?;
    Moment::from_unix_timestamp(time.seconds).ok()?;
    time.seconds.checked_mul(1_000_000)?.checked_add(i64::from(nanos / 1_000))
}

#[cfg(test)]
mod tests {
    use haetae_seal::merkle::{ConsistencyPlan, InclusionPlan, NodeId};

    use super::*;

    fn leaf(position: u64, word: &str) -> log::Leaf {
        log::Leaf {
            position,
            kind: format!("fact-{word}"),
            version: position + 1,
            time: Some(prost_types::Timestamp { seconds: 1_790_000_000, nanos: 5_000 }),
            commitment: vec![7; 32],
        }
    }

    fn leaves(count: u64, word: &str) -> Vec<log::Leaf> {
        (0..count).map(|position| leaf(position, word)).collect()
    }

    fn checkpoint(leaves: &[log::Leaf]) -> Checkpoint {
        let mut tree = Frontier::new();
        for leaf in leaves {
            tree.push(hash(leaf).unwrap(), &mut Vec::new());
        }
        Checkpoint { origin: "police.example/intake".into(), size: tree.size(), root: tree.root() }
    }

    fn nodes(leaves: &[log::Leaf]) -> Vec<(NodeId, Hash)> {
        let (mut tree, mut nodes) = (Frontier::new(), Vec::new());
        for leaf in leaves {
            tree.push(hash(leaf).unwrap(), &mut nodes);
        }
        nodes
    }

    fn verify(signed: &Checkpoint, earlier: Option<&Checkpoint>, leaves: &[log::Leaf]) -> Result<(), Fault> {
        let mut replay = Replay::begin(signed, earlier)?;
        while let Some(next) = replay.wants() {
            let from = usize::try_from(next).unwrap().min(leaves.len());
            replay.read(&leaves[from..leaves.len().min(from + 3)])?;
        }
        replay.finish()
    }

    #[test]
    fn an_honest_log_verifies_whatever_its_size_and_whatever_was_seen_before() {
        for size in 0..20_u64 {
            let all = leaves(size, "a");
            for earlier in 0..=size {
                let seen = checkpoint(&all[..usize::try_from(earlier).unwrap()]);
                assert_eq!(verify(&checkpoint(&all), Some(&seen), &all), Ok(()), "{earlier} of {size}");
            }
        }
    }

    #[test]
    fn a_log_that_grows_while_it_is_read_still_verifies() {
        let all = leaves(9, "a");
        assert_eq!(verify(&checkpoint(&all[..5]), None, &all), Ok(()));
    }

    #[test]
    fn a_leaf_changed_in_any_of_its_parts_is_noticed() {
        let honest = leaves(7, "a");
        let signed = checkpoint(&honest);
        let changes: [fn(&mut log::Leaf); 4] = [
            |leaf| leaf.kind.push('x'),
            |leaf| leaf.version += 1,
            |leaf| leaf.time.as_mut().unwrap().nanos += 1_000,
            |leaf| leaf.commitment[31] ^= 1,
        ];
        for change in changes {
            let mut tampered = honest.clone();
            change(&mut tampered[3]);
            assert_eq!(verify(&signed, None, &tampered), Err(Fault::RootMismatch { size: 7 }));
        }
    }

    #[test]
    fn a_log_whose_past_was_rewritten_is_forked_even_though_its_new_checkpoint_fits() {
        let seen = checkpoint(&leaves(4, "a"));
        let rewritten = leaves(9, "b");
        assert_eq!(verify(&checkpoint(&rewritten), Some(&seen), &rewritten), Err(Fault::Forked { size: 4 }));
    }

    #[test]
    fn a_shorter_log_was_rolled_back() {
        let all = leaves(9, "a");
        let (seen, now) = (checkpoint(&all), checkpoint(&all[..6]));
        assert_eq!(verify(&now, Some(&seen), &all[..6]), Err(Fault::RolledBack { earlier: 9, now: 6 }));
    }

    #[test]
    fn withheld_and_exchanged_leaves_are_gaps() {
        let mut all = leaves(6, "a");
        let signed = checkpoint(&all);
        assert_eq!(verify(&signed, None, &all[..4]), Err(Fault::Gap { expected: 4, found: None }));
        all.swap(1, 2);
        assert_eq!(verify(&signed, None, &all), Err(Fault::Gap { expected: 1, found: Some(2) }));
    }

    #[test]
    fn a_leaf_that_cannot_be_hashed_is_malformed_not_skipped() {
        let mut all = leaves(3, "a");
        let signed = checkpoint(&all);
        all[1].commitment.pop();
        let what = "its commitment is not 32 bytes";
        assert_eq!(verify(&signed, None, &all), Err(Fault::Malformed { position: 1, what }));
        all[1] = log::Leaf { time: None, ..leaf(1, "a") };
        let what = "it has no time in whole microseconds";
        assert_eq!(verify(&signed, None, &all), Err(Fault::Malformed { position: 1, what }));
    }

    #[test]
    fn the_newest_leaves_are_proven_each_by_itself() {
        for size in 1..12_u64 {
            let all = leaves(size, "a");
            let (signed, nodes) = (checkpoint(&all), nodes(&all));
            let newest = Newest::of(&signed, 3);
            let from = usize::try_from(newest.start().unwrap()).unwrap();
            for leaf in newest.complete(&all[from..]).unwrap() {
                let load = |id| nodes.iter().find(|(node, _)| *node == id).map(|(_, hash)| *hash);
                let proof = InclusionPlan::new(leaf.position, size).unwrap().assemble(load).unwrap();
                assert_eq!(newest.proven(leaf, &proof), Ok(()), "{} of {size}", leaf.position);
                let mut tampered = leaf.clone();
                tampered.commitment[0] ^= 1;
                let position = leaf.position;
                let why = ProofError::RootMismatch;
                assert_eq!(newest.proven(&tampered, &proof), Err(Fault::NotProven { position, why }));
            }
            assert_eq!(newest.complete(&[]), Err(Fault::Gap { expected: newest.start().unwrap(), found: None }));
        }
        assert_eq!(Newest::of(&checkpoint(&[]), 3).start(), None);
    }

    #[test]
    fn the_logs_own_proof_is_checked_too() {
        let all = leaves(7, "a");
        let (earlier, signed) = (checkpoint(&all[..3]), checkpoint(&all));
        let nodes = nodes(&all);
        let load = |id| nodes.iter().find(|(node, _)| *node == id).map(|(_, hash)| *hash);
        let mut proof = ConsistencyPlan::new(3, 7).unwrap().assemble(load).unwrap();
        assert_eq!(continues(&earlier, &signed, &proof), Ok(()));
        proof[0][0] ^= 1;
        assert_eq!(continues(&earlier, &signed, &proof), Err(Fault::NotContinued(ProofError::OldRootMismatch)));
    }
}
