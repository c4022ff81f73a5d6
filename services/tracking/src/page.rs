//! Where a page of a trail ends, as callers hand it back: opaque to them, and bound to its watch.

use haetae_core::{WatchId, derived};

/// The token after an item.
pub(crate) fn write(watch: WatchId, last: u64) -> String {
    format!("{last:x}.{}", mark(watch, last))
}

/// The last item that was seen; 0 for the empty token, none for one that this service did not give for the watch.
pub(crate) fn read(watch: WatchId, token: &str) -> Option<u64> {
    if token.is_empty() {
        return Some(0);
    }
    let (last, _) = token.split_once('.')?;
    let last = u64::from_str_radix(last, 16).ok()?;
    (write(watch, last) == token).then_some(last)
}

fn mark(watch: WatchId, last: u64) -> String {
    let id = derived("trail-page", &[&watch.to_string(), &last.to_string()]);
    id.simple().to_string().split_at(12).0.to_owned()
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn a_token_is_good_for_its_own_watch_only() {
        let (watch, other) = (WatchId(Uuid::from_u128(1)), WatchId(Uuid::from_u128(2)));
        assert_eq!(read(watch, ""), Some(0));
        assert_eq!(read(watch, &write(watch, 700)), Some(700));
        assert_eq!(read(other, &write(watch, 700)), None);
        for bad in ["7", "7.", ".", "zz.00", "2bc.000000000000"] {
            assert_eq!(read(watch, bad), None, "{bad}");
        }
    }
}
