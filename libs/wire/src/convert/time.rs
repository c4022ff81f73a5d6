//! Moments and durations. Reading them is in [`crate::read`].

use haetae_core::Moment;

/// A moment as it travels. Everything that is signed or stored has whole microseconds already; what is finer is cut.
pub fn timestamp(moment: Moment) -> prost_types::Timestamp {
    let moment = haetae_core::micros(moment);
    // At most 999 999 999, which fits.
    prost_types::Timestamp { seconds: moment.unix_timestamp(), nanos: moment.nanosecond().cast_signed() }
}

/// A duration as it travels; the longest one that can travel past that.
pub fn duration(duration: std::time::Duration) -> prost_types::Duration {
    prost_types::Duration {
        seconds: i64::try_from(duration.as_secs()).unwrap_or(i64::MAX),
        nanos: duration.subsec_nanos().cast_signed(),
    }
}
