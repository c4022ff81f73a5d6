//! Between the log's numbers and Postgres' columns.

/// How the ledger opens its own transactions, whatever the database's default: sealing and cursors rely on each
/// statement seeing what was committed before it.
pub(crate) const BEGIN: &str = "begin isolation level read committed";

/// A position, size or version as a column holds it. No log reaches 2^63 entries; a peer's number beyond is capped,
/// which keeps it beyond every position that exists.
pub(crate) fn int(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// A position, size or version from a column; checks in the schema keep these from being negative.
pub(crate) fn uint(value: i64) -> u64 {
    u64::try_from(value).unwrap_or(0)
}
