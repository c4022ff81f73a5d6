//! C2SP signed-note: a text, an empty line, and signature lines `— name base64(key id ‖ signature)`.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use super::{CheckpointError, LogKey, LogVerifier};

/// Far more than a checkpoint with a hundred witnesses needs; bounds the work that a stranger's note can cause.
const MAX_NOTE: usize = 64 * 1024;

/// Signs a text, which must end with a newline, in the name of a log.
pub(super) fn sign(text: &str, origin: &str, key: &LogKey) -> Result<String, CheckpointError> {
    let key_id = key.verifier(origin)?.key_id();
    let signature = BASE64.encode([&key_id[..], &key.sign(text)].concat());
    Ok(format!("{text}\n— {origin} {signature}\n"))
}

/// The text of a note that this log signed, with its last newline.
///
/// Every signature line must be well-formed; those of other keys are otherwise ignored.
pub(super) fn open<'a>(note: &'a str, log: &LogVerifier) -> Result<&'a str, CheckpointError> {
    let malformed = CheckpointError::MalformedNote;
    if note.len() > MAX_NOTE {
        return Err(malformed("longer than 64 KiB"));
    }
    if note.contains(|c: char| c.is_ascii_control() && c != '\n') {
        return Err(malformed("control character"));
    }
    // The text may hold empty lines itself: the last one separates.
    let separator = note.rfind("\n\n").ok_or(malformed("no empty line before the signatures"))?;
    let (text, signatures) = (&note[..=separator], &note[separator + 2..]);
    let signatures = signatures.strip_suffix('\n').ok_or(malformed("unfinished signature line"))?;

    let mut signed = false;
    for line in signatures.split('\n') {
        let (name, blob) = line
            .strip_prefix("— ")
            .and_then(|line| line.split_once(' '))
            .filter(|(name, _)| !name.is_empty() && !name.contains('+'))
            .ok_or(malformed("signature line is not of the form — name base64"))?;
        let blob = BASE64.decode(blob).map_err(|_| malformed("signature is not base64"))?;
        let (key_id, signature) = blob
            .split_first_chunk()
            .filter(|(_, signature)| !signature.is_empty())
            .ok_or(malformed("signature is too short"))?;
        if name == log.origin() && *key_id == log.key_id() {
            if !log.verify(text, signature) {
                return Err(CheckpointError::BadSignature);
            }
            signed = true;
        }
    }
    if signed { Ok(text) } else { Err(CheckpointError::NotSigned) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Keys and signatures of the documentation of golang.org/x/mod/sumdb/note.
    const TEXT: &str = "If you think cryptography is the answer to your problem,\n\
        then you don't know what your problem is.\n";
    const PETER: &str = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
    /// The type byte and the seed, as the published signing key holds them.
    const PETER_SECRET: &str = "AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz";
    const PETER_LINE: &str =
        "— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n";
    const ENOCH: &str = "EnochRoot+af0cfe78+ATtqJ7zOtqQtYqOo0CpvDXNlMhV3HeJDpjrASKGLWdop";
    const ENOCH_LINE: &str =
        "— EnochRoot rwz+eBzmZa0SO3NbfRGzPCpDckykFXSdeX+MNtCOXm2/5n2tiOHp+vAF1aGrQ5ovTG01oOTGwnWLox33WWd1RvMc+QQ=\n";

    fn verifier(vkey: &str) -> LogVerifier {
        vkey.parse().unwrap()
    }

    #[test]
    fn the_published_note_opens() {
        let note = format!("{TEXT}\n{PETER_LINE}");
        assert_eq!(open(&note, &verifier(PETER)), Ok(TEXT));
    }

    #[test]
    fn the_published_key_gives_the_published_note() {
        let secret = BASE64.decode(PETER_SECRET).unwrap();
        let key = LogKey::from_seed_for_tests(secret[1..].try_into().unwrap());
        assert_eq!(key.verifier("PeterNeumann").unwrap(), verifier(PETER));
        assert_eq!(sign(TEXT, "PeterNeumann", &key).unwrap(), format!("{TEXT}\n{PETER_LINE}"));
    }

    #[test]
    fn each_signer_is_found_among_others() {
        let note = format!("{TEXT}\n{PETER_LINE}{ENOCH_LINE}");
        assert_eq!(open(&note, &verifier(PETER)), Ok(TEXT));
        assert_eq!(open(&note, &verifier(ENOCH)), Ok(TEXT));
        let without_enoch = format!("{TEXT}\n{PETER_LINE}");
        assert_eq!(open(&without_enoch, &verifier(ENOCH)), Err(CheckpointError::NotSigned));
    }

    #[test]
    fn a_bad_signature_by_the_log_spoils_the_note_even_beside_a_good_one() {
        let bad = PETER_LINE.replace("ZJku", "ZJkv");
        for note in [format!("{TEXT}\n{bad}"), format!("{TEXT}\n{PETER_LINE}{bad}")] {
            assert_eq!(open(&note, &verifier(PETER)), Err(CheckpointError::BadSignature));
        }
    }

    #[test]
    fn a_stranger_with_the_logs_name_or_a_bad_signature_is_ignored() {
        let namesake = ENOCH_LINE.replace("EnochRoot", "PeterNeumann");
        let note = format!("{TEXT}\n{namesake}{PETER_LINE}");
        assert_eq!(open(&note, &verifier(PETER)), Ok(TEXT));
    }

    #[test]
    fn a_text_may_hold_empty_lines() {
        let key = LogKey::generate();
        let text = "one\n\ntwo\n\n";
        let note = sign(text, "log", &key).unwrap();
        assert_eq!(open(&note, &key.verifier("log").unwrap()), Ok(text));
    }

    #[test]
    fn what_is_no_signed_note_is_named() {
        let line = PETER_LINE;
        for (note, reason) in [
            (String::new(), "no empty line before the signatures"),
            (TEXT.to_owned(), "no empty line before the signatures"),
            (format!("{TEXT}{line}"), "no empty line before the signatures"),
            (format!("{TEXT}\n"), "unfinished signature line"),
            (format!("{TEXT}\n{}", line.trim_end()), "unfinished signature line"),
            (format!("{TEXT}\n{line}\r"), "control character"),
            (format!("{TEXT}\n{line}* someone\n"), "signature line is not of the form — name base64"),
            (format!("{TEXT}\n{line}—  AAAAAAA=\n"), "signature line is not of the form — name base64"),
            (format!("{TEXT}\n{line}— someone AAAA AAAA\n"), "signature is not base64"),
            (format!("{TEXT}\n{line}— someone AAAAAA==\n"), "signature is too short"),
            ("a".repeat(MAX_NOTE + 1), "longer than 64 KiB"),
        ] {
            assert_eq!(open(&note, &verifier(PETER)), Err(CheckpointError::MalformedNote(reason)), "{note:.200?}");
        }
    }
}
