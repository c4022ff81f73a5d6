//! Ids of what follows from a fact: derived, so that reading the fact again makes the same thing, not a new one.

use uuid::Uuid;

/// The UUIDv5 in `namespace` of a natural identity with several parts, such as watch and transfer for an arrival.
///
/// Each part is preceded by its length, so that no two lists of parts share a name (`["ab", "c"]`, `["a", "bc"]`).
#[must_use]
pub fn derived(namespace: Uuid, parts: &[&str]) -> Uuid {
    let mut name = Vec::with_capacity(parts.iter().map(|part| part.len() + 8).sum());
    for part in parts {
        name.extend_from_slice(&(part.len() as u64).to_be_bytes());
        name.extend_from_slice(part.as_bytes());
    }
    Uuid::new_v5(&namespace, &name)
}

/// The id of what follows from one entry of a log and has no natural identity: UUIDv5(log id, `position/part`).
#[must_use]
pub fn of_entry(log_id: Uuid, position: u64, part: &str) -> Uuid {
    Uuid::new_v5(&log_id, format!("{position}/{part}").as_bytes())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Other systems hold these ids: change the expectation never.
    #[test]
    fn derived_ids_do_not_drift() {
        assert_eq!(
            derived(Uuid::NAMESPACE_URL, &["watch", "transfer"]).to_string(),
            "78f74091-9eda-5fa5-b1e5-77335c5f13e6"
        );
        assert_eq!(of_entry(Uuid::NAMESPACE_URL, 7, "leg").to_string(), "306f8248-d1ae-57a1-9bc3-638be400f05e");
    }

    proptest! {
        #[test]
        fn different_parts_make_different_ids(
            a in prop::collection::vec("[ab/]{0,3}", 0..4),
            b in prop::collection::vec("[ab/]{0,3}", 0..4),
        ) {
            let id = |parts: &[String]| {
                derived(Uuid::NAMESPACE_OID, &parts.iter().map(String::as_str).collect::<Vec<_>>())
            };
            prop_assert_eq!(a == b, id(&a) == id(&b));
        }
    }
}
