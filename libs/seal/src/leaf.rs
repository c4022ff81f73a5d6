//! What a log entry leaves in the Merkle tree: enough to prove it, nothing to read in it.
//!
//! The leaf stays when header, payload and salt are erased at the end of retention. The salt keeps a reader of leaves
//! from testing guesses about a payload that he does not hold.

use sha2::{Digest, Sha256};

use crate::merkle::{self, Hash};

/// First bytes of every leaf: the format's name and version.
const PREFIX: &[u8] = b"haetae-leaf-v1\n";

/// Commits to an entry's header and payload: `SHA-256(salt ‖ u32 len(header) ‖ header ‖ payload)`, big-endian.
///
/// # Panics
///
/// If the header is 4 GiB or longer: its length would not fit, and the boundary to the payload be ambiguous.
#[must_use]
pub fn commitment(salt: &[u8; 32], header: &[u8], payload: &[u8]) -> Hash {
    #[expect(
        clippy::expect_used,
        reason = "no transport or column delivers a header of 4 GiB; stopping is safer than an ambiguous hash"
    )]
    let header_len = u32::try_from(header.len()).expect("a header is shorter than 4 GiB");
    Sha256::new()
        .chain_update(salt)
        .chain_update(header_len.to_be_bytes())
        .chain_update(header)
        .chain_update(payload)
        .finalize()
        .into()
}

/// A log entry as the tree sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leaf {
    /// What happened, for example `freeze.ordered`; never a name, an address or free text.
    pub kind: String,
    /// The entry's version within its stream.
    pub version: u64,
    /// When the entry was written, in microseconds since the Unix epoch.
    pub time_us: i64,
    /// [`commitment`] to header and payload.
    pub commitment: Hash,
}

impl Leaf {
    /// The leaf's bytes: `"haetae-leaf-v1\n" ‖ u16 len(kind) ‖ kind ‖ u64 version ‖ i64 µs ‖ commitment`, big-endian.
    ///
    /// A kind longer than 65 535 bytes has no valid encoding; its length then reads 65 535, and because the whole is
    /// longer than any valid leaf it equals none.
    #[must_use]
    pub fn data(&self) -> Vec<u8> {
        let kind_len = u16::try_from(self.kind.len()).unwrap_or(u16::MAX);
        [
            PREFIX,
            &kind_len.to_be_bytes(),
            self.kind.as_bytes(),
            &self.version.to_be_bytes(),
            &self.time_us.to_be_bytes(),
            &self.commitment,
        ]
        .concat()
    }

    /// The leaf's hash in the tree (RFC 6962 §2.1).
    #[must_use]
    pub fn hash(&self) -> Hash {
        merkle::leaf_hash(&self.data())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn golden() -> Leaf {
        let salt = std::array::from_fn(|i| u8::try_from(i).unwrap());
        Leaf {
            kind: "freeze.leg.ordered.v1".into(),
            version: 7,
            time_us: 1_767_225_600_123_456,
            commitment: commitment(&salt, b"stream=leg-1", b"payload bytes"),
        }
    }

    /// Computed outside this code base. If this test fails, every proof ever handed out is void: change the test never.
    #[test]
    fn the_leaf_format_does_not_drift() {
        let leaf = golden();
        assert_eq!(hex::encode(leaf.commitment), "bfd0213bd8bd35eda698187e444dbf9c7bc4e50b430d043cb254c374bef2a8ef");
        assert_eq!(
            hex::encode(leaf.data()),
            "6861657461652d6c6561662d76310a\
             0015667265657a652e6c65672e6f7264657265642e7631\
             0000000000000007\
             0006474846222240\
             bfd0213bd8bd35eda698187e444dbf9c7bc4e50b430d043cb254c374bef2a8ef"
        );
        assert_eq!(hex::encode(leaf.hash()), "1c8143c92f998410bad2a0dee3bc8c3b59658c2fbb92d21f93150c130da6eaf0");
    }

    #[test]
    fn an_overlong_kind_does_not_pass_for_a_shorter_one() {
        let long = Leaf { kind: "k".repeat(65_536), ..golden() };
        let longest = Leaf { kind: "k".repeat(65_535), ..golden() };
        assert_eq!(long.data().len(), longest.data().len() + 1);
        assert_ne!(long.hash(), longest.hash());
    }

    fn any_leaf() -> impl Strategy<Value = Leaf> {
        ("[a-z.]{0,40}", any::<u64>(), any::<i64>(), any::<Hash>())
            .prop_map(|(kind, version, time_us, commitment)| Leaf { kind, version, time_us, commitment })
    }

    proptest! {
        #[test]
        fn different_leaves_have_different_bytes(a in any_leaf(), b in any_leaf()) {
            prop_assert_eq!(a == b, a.data() == b.data());
        }

        #[test]
        fn a_byte_cannot_move_between_header_and_payload(
            salt in any::<[u8; 32]>(),
            bytes in prop::collection::vec(any::<u8>(), 1..64),
            cuts in (any::<prop::sample::Index>(), any::<prop::sample::Index>()),
        ) {
            let (a, b) = (cuts.0.index(bytes.len() + 1), cuts.1.index(bytes.len() + 1));
            prop_assume!(a != b);
            prop_assert_ne!(
                commitment(&salt, &bytes[..a], &bytes[a..]),
                commitment(&salt, &bytes[..b], &bytes[b..])
            );
        }

        #[test]
        fn salt_header_and_payload_all_count(
            salt in any::<[u8; 32]>(),
            header in prop::collection::vec(any::<u8>(), 1..32),
            payload in prop::collection::vec(any::<u8>(), 1..32),
            at in any::<prop::sample::Index>(),
            bit in 0..8u32,
        ) {
            let mut all = [&salt[..], &header, &payload].concat();
            all[at.index(salt.len() + header.len() + payload.len())] ^= 1 << bit;
            let altered_salt: [u8; 32] = all[..32].try_into().unwrap();
            let (altered_header, altered_payload) = all[32..].split_at(header.len());
            prop_assert_ne!(
                commitment(&salt, &header, &payload),
                commitment(&altered_salt, altered_header, altered_payload)
            );
        }
    }
}
