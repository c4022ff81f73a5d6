//! Ids of what follows from an entry: derived, so that reading it again makes the same thing, not a new one. What has a
//! natural identity, such as an arrival, has its id from that: see `haetae_core::derived`.

use uuid::Uuid;

/// The id of what follows from one entry of a log and has no natural identity: UUIDv5(log id, `position/part`).
#[must_use]
pub fn of_entry(log_id: Uuid, position: u64, part: &str) -> Uuid {
    Uuid::new_v5(&log_id, format!("{position}/{part}").as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Other systems hold these ids: change the expectation never.
    #[test]
    fn ids_that_follow_from_an_entry_do_not_drift() {
        assert_eq!(of_entry(Uuid::NAMESPACE_URL, 7, "leg").to_string(), "306f8248-d1ae-57a1-9bc3-638be400f05e");
    }
}
