//! How refusals travel: the status code of each reason, and the table of reasons for the guide.

use haetae_core::{Reason, reason};
use tonic::Code;

/// The gRPC status code that a reason travels with.
pub fn code(reason: Reason) -> Code {
    match reason.code() {
        reason::Code::InvalidArgument => Code::InvalidArgument,
        reason::Code::FailedPrecondition => Code::FailedPrecondition,
        reason::Code::NotFound => Code::NotFound,
        reason::Code::AlreadyExists => Code::AlreadyExists,
        reason::Code::PermissionDenied => Code::PermissionDenied,
        reason::Code::Unauthenticated => Code::Unauthenticated,
        reason::Code::ResourceExhausted => Code::ResourceExhausted,
        reason::Code::Unavailable => Code::Unavailable,
        reason::Code::DeadlineExceeded => Code::DeadlineExceeded,
        reason::Code::Aborted => Code::Aborted,
        reason::Code::OutOfRange => Code::OutOfRange,
        reason::Code::Internal => Code::Internal,
    }
}

/// The table of all reasons in Markdown, as the guide shows it.
pub fn reasons_markdown() -> String {
    let mut table = String::from("| reason | status | what it means | what to do |\n|---|---|---|---|\n");
    for reason in Reason::ALL {
        let status = status_name(code(*reason));
        let (name, meaning, remedy) = (reason.name(), reason.meaning(), reason.remedy());
        table.push_str(&format!("| `{name}` | `{status}` | {meaning} | {remedy} |\n"));
    }
    table
}

/// A code's name in the gRPC specification, as clients of other languages know it.
fn status_name(code: Code) -> String {
    let mut name = String::new();
    for c in format!("{code:?}").chars() {
        if c.is_ascii_uppercase() && !name.is_empty() {
            name.push('_');
        }
        name.push(c.to_ascii_uppercase());
    }
    name
}

#[cfg(test)]
mod tests {
    use std::{env, fs, path::Path};

    use super::*;

    const BEGIN: &str = "<!-- reasons:begin -->\n";
    const END: &str = "<!-- reasons:end -->";

    #[test]
    fn the_guide_shows_the_reasons_that_the_code_has() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../proto/README.md");
        let guide = fs::read_to_string(&path).unwrap();
        let (before, rest) = guide.split_once(BEGIN).expect("the guide marks where the table begins");
        let (table, after) = rest.split_once(END).expect("the guide marks where the table ends");
        if env::var_os("HAETAE_BLESS").is_some() {
            fs::write(&path, format!("{before}{BEGIN}{}{END}{after}", reasons_markdown())).unwrap();
        } else {
            assert_eq!(table, reasons_markdown(), "run this test with HAETAE_BLESS=1 and look at the difference");
        }
    }

    #[test]
    fn no_cell_breaks_the_table() {
        for reason in Reason::ALL {
            assert!(!reason.meaning().contains(['|', '\n']) && !reason.remedy().contains(['|', '\n']), "{reason:?}");
        }
    }

    #[test]
    fn a_status_has_the_name_that_grpc_gives_it() {
        assert_eq!(status_name(Code::InvalidArgument), "INVALID_ARGUMENT");
        assert_eq!(status_name(Code::Internal), "INTERNAL");
    }
}
