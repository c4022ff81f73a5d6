//! From a reason in the field's words to what travels.

use haetae_core::{Reason, Violation};
use haetae_mesh::{FieldViolation, Refusal};

/// A refusal for one reason, in the table's words.
pub fn refuse(reason: Reason) -> Refusal {
    Refusal::new(haetae_wire::code(reason), reason.name(), format!("{} {}", reason.meaning(), reason.remedy()))
}

/// A refusal of a message with these faults, all of them at once. A single fault gives its own reason; several give
/// [`Reason::InvalidRequest`]; each violation names its reason in any case.
pub fn refuse_all(violations: Vec<Violation>) -> Refusal {
    let reason = match violations.as_slice() {
        [only] => only.reason,
        _ => Reason::InvalidRequest,
    };
    let fields = violations.into_iter().map(|violation| FieldViolation {
        field: violation.field,
        description: violation.description,
        reason: violation.reason.name().to_owned(),
    });
    refuse(reason).violations(fields.collect())
}
