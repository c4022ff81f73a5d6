//! From a reason in the field's words to the status that travels.

use haetae_core::{Reason, Violation};
use haetae_mesh::{FieldViolation, Refusal};
use tonic::Status;

/// A refusal for one reason, in the table's words.
pub(crate) fn refuse(reason: Reason) -> Status {
    refusal(reason).into()
}

/// A refusal of a message with these faults, all of them at once.
pub(crate) fn refuse_all(violations: Vec<Violation>) -> Status {
    let fields = violations.into_iter().map(|violation| FieldViolation {
        field: violation.field,
        description: violation.description,
        reason: violation.reason.name().into(),
    });
    refusal(Reason::InvalidRequest).violations(fields.collect()).into()
}

/// A fault of ours: recorded here, named to nobody.
pub(crate) fn broken(error: sqlx::Error) -> Status {
    tracing::error!(%error, "the database failed");
    refuse(Reason::Internal)
}

fn refusal(reason: Reason) -> Refusal {
    Refusal::new(haetae_wire::code(reason), reason.name(), format!("{} {}", reason.meaning(), reason.remedy()))
}
