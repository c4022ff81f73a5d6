//! What went wrong, what it means and what to do about it; and the exit code that programs branch on.

use haetae_core::{Reason, Violation};
use haetae_mesh::{Explained, explain, refusal};
use serde_json::{Value, json};
use tonic::{Code, Status};
use uuid::Uuid;

use crate::show::{Look, Tone, safe};

/// Exit codes, as `--help` lists them.
pub(crate) mod exit {
    pub(crate) const FAILED: u8 = 1;
    pub(crate) const USAGE: u8 = 2;
    pub(crate) const NOT_FOUND: u8 = 3;
    pub(crate) const UNAVAILABLE: u8 = 4;
}

/// What the person can do himself about [`refusal::reason::PEER_UNREACHABLE`].
const UNREACHABLE: &str = "Where it is the service that the profile names: check its endpoints, server_name and certificates there; \
                           -v shows why each connection failed.";

/// Why a command did not do what it was asked to.
#[derive(Debug)]
pub(crate) struct Failure {
    kind: Kind,
    hints: Vec<String>,
}

#[derive(Debug)]
enum Kind {
    /// The command, the profile or a file is wrong; nothing was sent.
    Usage(String),
    /// A file's content has faults; nothing was sent.
    Faults(String, Vec<Violation>),
    /// The service answered with a refusal, or could not be reached.
    Refused(Box<Explained>),
    /// Something that must hold does not.
    Failed(String),
    /// There was no answer in time.
    OutOfTime(String),
}

impl Failure {
    fn new(kind: Kind) -> Self {
        Self { kind, hints: Vec::new() }
    }

    /// The command, the profile or a file is wrong; nothing was sent.
    pub(crate) fn usage(what: impl Into<String>) -> Self {
        Self::new(Kind::Usage(what.into()))
    }

    /// A read without a purpose.
    pub(crate) fn no_purpose() -> Self {
        Self::usage("why is this read? Every read is recorded with its purpose")
            .hint("Give --purpose \"…\", or set purpose in the profile.")
    }

    /// A file's content has these faults; nothing was sent.
    pub(crate) fn faults(what: impl Into<String>, faults: Vec<Violation>) -> Self {
        Self::new(Kind::Faults(what.into(), faults))
    }

    /// Something that must hold does not.
    pub(crate) fn failed(what: impl Into<String>) -> Self {
        Self::new(Kind::Failed(what.into()))
    }

    /// There was no answer in time.
    pub(crate) fn out_of_time(what: impl Into<String>) -> Self {
        Self::new(Kind::OutOfTime(what.into()))
    }

    /// What to do about it, beyond what its reason says.
    #[must_use]
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }

    /// Says how to repeat a command whose outcome may be unknown.
    #[must_use]
    pub(crate) fn repeat_with(self, request_id: Uuid) -> Self {
        match self.exit_code() {
            exit::UNAVAILABLE => self.hint(format!(
                "Whether it took effect may be unknown: repeat the same command with --request-id {request_id}."
            )),
            _ => self,
        }
    }

    /// True where nothing of the id is there, or not to be seen.
    pub(crate) fn is_not_found(&self) -> bool {
        self.exit_code() == exit::NOT_FOUND
    }

    /// True where asking again later may help.
    pub(crate) fn is_unavailable(&self) -> bool {
        self.exit_code() == exit::UNAVAILABLE
    }

    /// The exit code.
    pub(crate) fn exit_code(&self) -> u8 {
        match &self.kind {
            Kind::Usage(_) | Kind::Faults(..) => exit::USAGE,
            Kind::Failed(_) => exit::FAILED,
            Kind::OutOfTime(_) => exit::UNAVAILABLE,
            Kind::Refused(explained) => match explained.code {
                Code::NotFound => exit::NOT_FOUND,
                // Waiting makes no message smaller.
                _ if explained.reason.as_deref() == Some(refusal::reason::MESSAGE_TOO_LARGE) => exit::FAILED,
                Code::Unavailable | Code::DeadlineExceeded | Code::ResourceExhausted | Code::Cancelled => {
                    exit::UNAVAILABLE
                }
                _ => exit::FAILED,
            },
        }
    }

    /// In one line.
    pub(crate) fn summary(&self) -> String {
        match &self.kind {
            Kind::Usage(what) | Kind::Failed(what) | Kind::OutOfTime(what) => what.clone(),
            Kind::Faults(what, faults) => format!("{what} has {}", counted(faults.len(), "fault")),
            Kind::Refused(explained) => match &explained.reason {
                Some(reason) => format!("{}: {}", safe(reason), safe(&explained.message)),
                None => format!("{:?}: {}", explained.code, safe(&explained.message)),
            },
        }
    }

    fn violations(&self) -> Vec<(String, String, String)> {
        match &self.kind {
            Kind::Faults(_, faults) => faults
                .iter()
                .map(|fault| (fault.field.clone(), fault.reason.name().to_owned(), fault.description.clone()))
                .collect(),
            Kind::Refused(explained) => explained
                .violations
                .iter()
                .map(|fault| (safe(&fault.field), safe(&fault.reason), safe(&fault.description)))
                .collect(),
            _ => Vec::new(),
        }
    }

    fn meaning(&self) -> Option<(&'static str, &'static str)> {
        let Kind::Refused(explained) = &self.kind else { return None };
        let reason = explained.reason.as_deref()?;
        let known = Reason::ALL.iter().find(|known| known.name() == reason)?;
        Some((known.meaning(), known.remedy()))
    }

    /// As people read it: the reason, every field at fault, the meaning, what to do.
    pub(crate) fn for_people(&self, look: &Look) -> String {
        let mut text = format!("{} {}\n", look.toned(Tone::Bad, "error:"), self.summary());
        for (field, reason, description) in self.violations() {
            let name = if field.is_empty() { "(the request)" } else { &field };
            let reason = if reason.is_empty() { String::new() } else { format!(" [{reason}]") };
            text.push_str(&format!("  {}: {description}{reason}\n", look.toned(Tone::Wait, name)));
        }
        if let Some((meaning, remedy)) = self.meaning() {
            text.push_str(&format!("  what it means: {meaning}\n  what to do:    {remedy}\n"));
        }
        if let Some(after) = self.retry_after() {
            text.push_str(&format!("  retry after:   {}\n", humantime::format_duration(after)));
        }
        for hint in &self.hints {
            text.push_str(&format!("  {hint}\n"));
        }
        text
    }

    /// As programs read it.
    pub(crate) fn for_programs(&self) -> Value {
        let violations: Vec<Value> = self
            .violations()
            .into_iter()
            .map(|(field, reason, description)| json!({"field": field, "reason": reason, "description": description}))
            .collect();
        let (code, reason) = match &self.kind {
            Kind::Refused(explained) => (Some(format!("{:?}", explained.code)), explained.reason.clone()),
            _ => (None, None),
        };
        let (meaning, remedy) = self.meaning().unzip();
        json!({"error": {
            "exit_code": self.exit_code(),
            "code": code,
            "reason": reason,
            "message": self.summary(),
            "violations": violations,
            "meaning": meaning,
            "remedy": remedy,
            "retry_after_ms": self.retry_after().map(|after| u64::try_from(after.as_millis()).unwrap_or(u64::MAX)),
            "hints": self.hints,
        }})
    }

    fn retry_after(&self) -> Option<std::time::Duration> {
        match &self.kind {
            Kind::Refused(explained) => explained.retry_after,
            _ => None,
        }
    }
}

impl From<Status> for Failure {
    fn from(status: Status) -> Self {
        let explained = explain(&status);
        let unreachable = explained.reason.as_deref() == Some(refusal::reason::PEER_UNREACHABLE);
        let failure = Self::new(Kind::Refused(Box::new(explained)));
        if unreachable { failure.hint(UNREACHABLE) } else { failure }
    }
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Self::failed(format!("{error:#}"))
    }
}

/// A number of things, in words.
pub(crate) fn counted(number: usize, thing: &str) -> String {
    if number == 1 { format!("1 {thing}") } else { format!("{number} {thing}s") }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use haetae_mesh::{FieldViolation, Refusal};

    use super::*;

    fn refused(code: Code, reason: &'static str) -> Refusal {
        Refusal::new(code, reason, "as the service puts it")
    }

    #[test]
    fn a_refusal_says_reason_meaning_remedy_and_every_field_at_fault() {
        let violations = vec![
            FieldViolation {
                field: "content.watch.period".into(),
                description: "is longer than 90 days".into(),
                reason: "PERIOD_OVER_LIMIT".into(),
            },
            FieldViolation::new("content.officer", "is required"),
        ];
        let status: Status = refused(Code::InvalidArgument, "INVALID_REQUEST").violations(violations).into();
        assert_eq!(
            Failure::from(status).for_people(&Look::default()),
            "error: INVALID_REQUEST: as the service puts it\n  \
             content.watch.period: is longer than 90 days [PERIOD_OVER_LIMIT]\n  \
             content.officer: is required\n  \
             what it means: The request has faults; each is a field violation with a reason of its own.\n  \
             what to do:    Mend every violation listed; nothing was changed.\n"
        );
    }

    #[test]
    fn exit_codes_tell_refused_from_not_found_from_unavailable() {
        for (code, reason, exit) in [
            (Code::PermissionDenied, "SELF_APPROVAL", exit::FAILED),
            (Code::NotFound, "NOT_FOUND", exit::NOT_FOUND),
            (Code::Unavailable, "PEER_UNREACHABLE", exit::UNAVAILABLE),
            (Code::DeadlineExceeded, "DEADLINE_EXCEEDED", exit::UNAVAILABLE),
            (Code::ResourceExhausted, "RATE_LIMITED", exit::UNAVAILABLE),
            (Code::ResourceExhausted, "MESSAGE_TOO_LARGE", exit::FAILED),
        ] {
            let failure = Failure::from(Status::from(refused(code, reason)));
            assert_eq!(failure.exit_code(), exit, "{reason}");
            assert!(failure.meaning().is_some(), "{reason} is explained");
        }
        assert_eq!(Failure::usage("x").exit_code(), exit::USAGE);
    }

    #[test]
    fn a_command_whose_outcome_is_unknown_says_how_to_repeat_it() {
        let id = Uuid::from_u128(7);
        let lost = Failure::from(Status::from(refused(Code::Unavailable, "PEER_LOST"))).repeat_with(id);
        assert!(lost.for_people(&Look::default()).contains(&format!("--request-id {id}")));
        let denied = Failure::from(Status::from(refused(Code::PermissionDenied, "ROLE_MISSING"))).repeat_with(id);
        assert!(!denied.for_people(&Look::default()).contains("--request-id"));
    }

    #[test]
    fn programs_get_the_same_with_stable_names() {
        let status: Status =
            refused(Code::ResourceExhausted, "RATE_LIMITED").retry_after(Duration::from_millis(1500)).into();
        let error = &Failure::from(status).for_programs()["error"];
        assert_eq!(error["reason"], "RATE_LIMITED");
        assert_eq!(error["exit_code"], 4);
        assert_eq!(error["retry_after_ms"], 1500);
    }

    #[test]
    fn an_answer_from_elsewhere_cannot_steer_the_terminal() {
        let status = Status::internal("\u{1b}[2J");
        assert!(!Failure::from(status).for_people(&Look::default()).contains('\u{1b}'));
    }
}
