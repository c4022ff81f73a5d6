//! Errors on the wire: a gRPC status with `google.rpc` details, written in one place and read back in one place.

use std::{collections::HashMap, time::Duration};

use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

/// The domain of every reason of this system (`google.rpc.ErrorInfo.domain`).
pub const DOMAIN: &str = "haetae";

/// Reasons that the mesh itself gives, before a handler sees the call.
pub mod reason {
    /// The caller's certificate names no identity that may call this method.
    pub const CALLER_NOT_ALLOWED: &str = "CALLER_NOT_ALLOWED";
    /// The call ran out of time; the metadata `hop` and `method` say where.
    pub const DEADLINE_EXCEEDED: &str = "DEADLINE_EXCEEDED";
    /// A budget of the person, the unit or the system is used up; `RetryInfo` says for how long.
    pub const RATE_LIMITED: &str = "RATE_LIMITED";
    /// This replica has as many calls in hand as it may have.
    pub const OVERLOADED: &str = "OVERLOADED";
    /// The request message is larger than this server accepts.
    pub const MESSAGE_TOO_LARGE: &str = "MESSAGE_TOO_LARGE";
    /// The replica is shutting down; the stream can be resumed at another one.
    pub const DRAINING: &str = "DRAINING";
    /// No person's token came with the call.
    pub const TOKEN_MISSING: &str = "TOKEN_MISSING";
    /// The person's token is past its end.
    pub const TOKEN_EXPIRED: &str = "TOKEN_EXPIRED";
    /// The token is from another issuer, for another audience or agency, or signed by another key.
    pub const TOKEN_FOREIGN: &str = "TOKEN_FOREIGN";
    /// The token cannot be read or is not valid yet.
    pub const TOKEN_INVALID: &str = "TOKEN_INVALID";
    /// No endpoint of the peer could be reached.
    pub const PEER_UNREACHABLE: &str = "PEER_UNREACHABLE";
    /// The connection to a peer broke while a call was under way; it may have been handled.
    pub const PEER_LOST: &str = "PEER_LOST";
}

/// One field at fault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldViolation {
    /// Path to the field, such as `targets[0].address`.
    pub field: String,
    /// What is wrong, for people.
    pub description: String,
    /// What is wrong, for machines, in `UPPER_SNAKE_CASE`; empty where nobody branches on it.
    pub reason: String,
}

impl FieldViolation {
    /// A violation without a reason of its own.
    pub fn new(field: impl Into<String>, description: impl Into<String>) -> Self {
        Self { field: field.into(), description: description.into(), reason: String::new() }
    }
}

/// Why a call is refused: a code for machines that retry, a reason for machines that branch, a message for people.
///
/// The message and the metadata travel to the caller: nothing secret or personal belongs in them.
#[derive(Debug, Clone)]
pub struct Refusal {
    code: Code,
    reason: &'static str,
    message: String,
    violations: Vec<FieldViolation>,
    retry_after: Option<Duration>,
    metadata: HashMap<String, String>,
}

impl Refusal {
    /// A refusal with a reason in `UPPER_SNAKE_CASE`, unique within the domain `haetae`.
    pub fn new(code: Code, reason: &'static str, message: impl Into<String>) -> Self {
        Self {
            code,
            reason,
            message: message.into(),
            violations: Vec::new(),
            retry_after: None,
            metadata: HashMap::new(),
        }
    }

    /// Every field at fault, all at once (`google.rpc.BadRequest`).
    #[must_use]
    pub fn violations(mut self, violations: Vec<FieldViolation>) -> Self {
        self.violations = violations;
        self
    }

    /// When a retry of the same call may succeed (`google.rpc.RetryInfo`).
    #[must_use]
    pub fn retry_after(mut self, after: Duration) -> Self {
        self.retry_after = Some(after);
        self
    }

    /// One more detail under `google.rpc.ErrorInfo.metadata`.
    #[must_use]
    pub fn metadata(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.metadata.insert(key.into(), value.into());
        self
    }

    /// The reason.
    pub fn reason(&self) -> &'static str {
        self.reason
    }

    /// The code.
    pub fn code(&self) -> Code {
        self.code
    }
}

impl From<Refusal> for Status {
    fn from(refusal: Refusal) -> Self {
        let mut details = ErrorDetails::new();
        details.set_error_info(refusal.reason, DOMAIN, refusal.metadata);
        if !refusal.violations.is_empty() {
            let violations = refusal.violations.into_iter().map(|v| {
                let mut violation = tonic_types::FieldViolation::new(v.field, v.description);
                violation.reason = v.reason;
                violation
            });
            details.set_bad_request(violations.collect::<Vec<_>>());
        }
        if refusal.retry_after.is_some() {
            details.set_retry_info(refusal.retry_after);
        }
        Status::with_error_details(refusal.code, refusal.message, details)
    }
}

/// What a client reads out of a status.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explained {
    /// The gRPC code.
    pub code: Code,
    /// The message for people.
    pub message: String,
    /// The reason, where the status carries one.
    pub reason: Option<String>,
    /// The domain the reason belongs to; `haetae` for this system's own.
    pub domain: Option<String>,
    /// Details by name; empty where there are none.
    pub metadata: HashMap<String, String>,
    /// Every field at fault.
    pub violations: Vec<FieldViolation>,
    /// When a retry may succeed.
    pub retry_after: Option<Duration>,
}

/// Reads the details back out of a status; a status without details explains only its code and message.
pub fn explain(status: &Status) -> Explained {
    let details = status.get_error_details();
    let info = details.error_info().cloned();
    Explained {
        code: status.code(),
        message: status.message().to_owned(),
        reason: info.as_ref().map(|i| i.reason.clone()),
        domain: info.as_ref().map(|i| i.domain.clone()),
        metadata: info.map(|i| i.metadata).unwrap_or_default(),
        violations: details
            .bad_request()
            .map(|b| b.field_violations.as_slice())
            .unwrap_or_default()
            .iter()
            .map(|v| FieldViolation {
                field: v.field.clone(),
                description: v.description.clone(),
                reason: v.reason.clone(),
            })
            .collect(),
        retry_after: details.retry_info().and_then(|r| r.retry_delay),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_reads_back_what_the_server_refused_with() {
        let violation = FieldViolation {
            field: "case.id".into(),
            description: "must be a UUID".into(),
            reason: "NOT_A_UUID".into(),
        };
        let refusal = Refusal::new(Code::InvalidArgument, "INVALID_REQUEST", "2 fields")
            .violations(vec![violation.clone()])
            .retry_after(Duration::from_millis(1500))
            .metadata("limit", "3");
        let read = explain(&Status::from(refusal));
        assert_eq!(read.code, Code::InvalidArgument);
        assert_eq!(read.reason.as_deref(), Some("INVALID_REQUEST"));
        assert_eq!(read.domain.as_deref(), Some(DOMAIN));
        assert_eq!(read.violations, [violation]);
        assert_eq!(read.retry_after, Some(Duration::from_millis(1500)));
        assert_eq!(read.metadata["limit"], "3");
    }

    #[test]
    fn a_foreign_status_explains_its_code_only() {
        let read = explain(&Status::not_found("no such leg"));
        assert_eq!((read.code, read.reason), (Code::NotFound, None));
    }
}
