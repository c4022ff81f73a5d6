//! A log's signature under its tree: C2SP `tlog-checkpoint` over C2SP `signed-note`, with Ed25519.
//!
//! ```text
//! police.example/freeze                              origin: the log's name
//! 4711                                               leaves in the tree
//! CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=       root
//!
//! — police.example/freeze Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=
//! ```
//!
//! Witnesses may add signatures of their own; whoever pins the log's key needs none of theirs.

mod key;
mod note;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use uuid::Uuid;

pub use key::{LogKey, LogVerifier};

use crate::merkle::Hash;

/// Namespace of log ids: the UUIDv5 of `urn:haetae:log` in the URL namespace of RFC 9562.
pub const LOG_NAMESPACE: Uuid = Uuid::from_u128(0x23ca122c_195f_5364_8c30_1f1b5e908124);

/// The id of the log with this checkpoint origin: the origin's UUIDv5 in [`LOG_NAMESPACE`].
#[must_use]
pub fn log_id(origin: &str) -> Uuid {
    Uuid::new_v5(&LOG_NAMESPACE, origin.as_bytes())
}

/// What a log says of itself at one size.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// The log's name, also the name of its key: not empty, without spaces, control characters and `+`.
    pub origin: String,
    /// Leaves in the tree.
    pub size: u64,
    /// Root of the tree.
    pub root: Hash,
}

impl Checkpoint {
    /// The text that is signed: three lines, each ended by a newline.
    #[must_use]
    pub fn body(&self) -> String {
        format!("{}\n{}\n{}\n", self.origin, self.size, BASE64.encode(self.root))
    }

    /// The signed note: the body, an empty line and the log's signature. The same checkpoint and key give the same note.
    ///
    /// # Errors
    ///
    /// [`CheckpointError::BadOrigin`] if the origin cannot name a log.
    pub fn sign(&self, key: &LogKey) -> Result<String, CheckpointError> {
        note::sign(&self.body(), &self.origin, key)
    }

    /// Opens a signed note if the log's own signature is under it, and the log speaks of itself.
    ///
    /// Other parties' signatures are not looked at; extension lines are covered by the signature and otherwise ignored.
    ///
    /// # Errors
    ///
    /// All of [`CheckpointError`] but [`CheckpointError::BadOrigin`] and [`CheckpointError::BadKey`].
    pub fn open(note: &str, log: &LogVerifier) -> Result<Self, CheckpointError> {
        let checkpoint = Self::parse(note::open(note, log)?)?;
        if checkpoint.origin == log.origin() { Ok(checkpoint) } else { Err(CheckpointError::ForeignOrigin) }
    }

    fn parse(body: &str) -> Result<Self, CheckpointError> {
        let body = body.strip_suffix('\n').ok_or(CheckpointError::MalformedBody("unfinished last line"))?;
        let mut lines = body.split('\n');
        let mut line = |missing| lines.next().ok_or(CheckpointError::MalformedBody(missing));
        let (origin, size, root) = (line("no origin")?, line("no tree size")?, line("no root hash")?);
        if lines.any(str::is_empty) {
            return Err(CheckpointError::MalformedBody("empty extension line"));
        }
        let parsed = size
            .parse::<u64>()
            .ok()
            // One spelling only: no sign, no leading zero.
            .filter(|parsed| parsed.to_string() == size)
            .ok_or(CheckpointError::MalformedBody("tree size is no number"))?;
        let root = BASE64
            .decode(root)
            .ok()
            .and_then(|root| Hash::try_from(root).ok())
            .ok_or(CheckpointError::MalformedBody("root is no SHA-256 hash"))?;
        Ok(Self { origin: origin.to_owned(), size: parsed, root })
    }
}

/// Why a note is no checkpoint of this log, or a key no log's key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CheckpointError {
    /// The origin is empty, or holds a space, a control character or `+`, and so cannot name a key.
    #[error("a log's origin is not empty and holds no space, control character or plus sign")]
    BadOrigin,
    /// The text is no signed note.
    #[error("not a signed note: {0}")]
    MalformedNote(&'static str),
    /// The note is signed, but its text is no checkpoint.
    #[error("not a checkpoint: {0}")]
    MalformedBody(&'static str),
    /// No signature in the note is by this log's key.
    #[error("the note is not signed by this log's key")]
    NotSigned,
    /// A signature in the note names this log's key but is not by it.
    #[error("the log's signature does not verify")]
    BadSignature,
    /// The log's key signed a checkpoint of another origin.
    #[error("the log's key signed a checkpoint of another log")]
    ForeignOrigin,
    /// The text is no Ed25519 key: not a PKCS#8 PEM for [`LogKey`], not a verifier key for [`LogVerifier`].
    #[error("not a log key: {0}")]
    BadKey(&'static str),
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::merkle::empty_root;

    const ORIGIN: &str = "police.example/freeze";

    fn key() -> LogKey {
        LogKey::from_seed_for_tests([7; 32])
    }

    fn verifier() -> LogVerifier {
        key().verifier(ORIGIN).unwrap()
    }

    fn checkpoint() -> Checkpoint {
        Checkpoint { origin: ORIGIN.into(), size: 4711, root: empty_root() }
    }

    fn open_body(body: &str) -> Result<Checkpoint, CheckpointError> {
        Checkpoint::open(&note::sign(body, ORIGIN, &key()).unwrap(), &verifier())
    }

    #[test]
    fn a_checkpoint_opens_as_it_was_signed() {
        let note = checkpoint().sign(&key()).unwrap();
        assert_eq!(Checkpoint::open(&note, &verifier()), Ok(checkpoint()));
    }

    #[test]
    fn the_body_is_origin_size_and_root() {
        assert_eq!(checkpoint().body(), "police.example/freeze\n4711\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n");
    }

    #[test]
    fn another_logs_key_is_not_enough() {
        let other = LogKey::from_seed_for_tests([8; 32]);
        let note = checkpoint().sign(&other).unwrap();
        assert_eq!(Checkpoint::open(&note, &verifier()), Err(CheckpointError::NotSigned));
    }

    #[test]
    fn a_log_cannot_speak_for_another() {
        let body = Checkpoint { origin: "police.example/intake".into(), ..checkpoint() }.body();
        assert_eq!(open_body(&body), Err(CheckpointError::ForeignOrigin));
    }

    #[test]
    fn extension_lines_are_tolerated_but_not_empty_ones() {
        let body = checkpoint().body();
        assert_eq!(open_body(&format!("{body}extension\n")), Ok(checkpoint()));
        assert_eq!(
            open_body(&format!("{body}\nextension\n")),
            Err(CheckpointError::MalformedBody("empty extension line"))
        );
    }

    #[test]
    fn a_size_has_one_spelling() {
        for size in ["", "+4711", "04711", "-1", "4711 ", "18446744073709551616"] {
            let body = checkpoint().body().replace("4711", size);
            assert_eq!(open_body(&body), Err(CheckpointError::MalformedBody("tree size is no number")), "{size:?}");
        }
        let largest = Checkpoint { size: u64::MAX, ..checkpoint() };
        assert_eq!(open_body(&largest.body()), Ok(largest));
    }

    #[test]
    fn a_root_is_32_bytes_in_canonical_base64() {
        for root in
            ["", "AAAA", "47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU=", "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFV="]
        {
            let body = format!("{ORIGIN}\n4711\n{root}\n");
            assert_eq!(open_body(&body), Err(CheckpointError::MalformedBody("root is no SHA-256 hash")), "{root:?}");
        }
    }

    #[test]
    fn an_origin_that_cannot_name_a_key_signs_nothing() {
        for origin in ["", "two words", "a+b", "line\nbreak", "no\u{a0}break"] {
            let checkpoint = Checkpoint { origin: origin.into(), ..checkpoint() };
            assert_eq!(checkpoint.sign(&key()), Err(CheckpointError::BadOrigin));
            assert_eq!(key().verifier(origin).map(|_| ()), Err(CheckpointError::BadOrigin));
        }
    }

    #[test]
    fn a_log_id_is_a_fixed_function_of_the_origin() {
        assert_eq!(LOG_NAMESPACE, Uuid::new_v5(&Uuid::NAMESPACE_URL, b"urn:haetae:log"));
        assert_eq!(log_id("haetae.example/freeze").to_string(), "31d508b0-eef3-5776-8e96-239e3615a8f0");
    }

    proptest! {
        #[test]
        fn every_checkpoint_survives_the_round_trip(
            origin in "[a-z0-9./-]{1,40}",
            size in any::<u64>(),
            root in any::<Hash>(),
        ) {
            let checkpoint = Checkpoint { origin, size, root };
            let note = checkpoint.sign(&key()).unwrap();
            let verifier = key().verifier(&checkpoint.origin).unwrap();
            prop_assert_eq!(Checkpoint::open(&note, &verifier), Ok(checkpoint));
        }

        #[test]
        fn an_altered_note_never_opens_as_something_else(
            at in any::<prop::sample::Index>(),
            byte in any::<u8>(),
        ) {
            let note = checkpoint().sign(&key()).unwrap();
            let mut altered = note.clone().into_bytes();
            let at = at.index(altered.len());
            prop_assume!(altered[at] != byte);
            altered[at] = byte;
            if let Ok(altered) = String::from_utf8(altered) {
                prop_assert!(Checkpoint::open(&altered, &verifier()).is_err());
            }
        }

        #[test]
        fn arbitrary_text_neither_opens_nor_panics(text in any::<String>()) {
            prop_assert!(Checkpoint::open(&text, &verifier()).is_err());
        }
    }
}
