//! Where a page of a trail ends, as callers hand it back: opaque to them, and bound to its watch.

use haetae_core::{WatchId, derived};

/// In which order a trail is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    AsFound,
    NewestFirst,
}

/// The token after an item.
pub(crate) fn write(watch: WatchId, order: Order, last: u64) -> String {
    format!("{last:x}.{}", mark(watch, order, last))
}

/// The last item that was seen: for the empty token one before all there are in the order. None for a token that this
/// service did not give for the watch and the order.
pub(crate) fn read(watch: WatchId, order: Order, token: &str) -> Option<u64> {
    if token.is_empty() {
        return Some(match order {
            Order::AsFound => 0,
            Order::NewestFirst => u64::MAX,
        });
    }
    let (last, _) = token.split_once('.')?;
    let last = u64::from_str_radix(last, 16).ok()?;
    (write(watch, order, last) == token).then_some(last)
}

fn mark(watch: WatchId, order: Order, last: u64) -> String {
    let kind = match order {
        Order::AsFound => "trail-page",
        Order::NewestFirst => "trail-page-newest-first",
    };
    let id = derived(kind, &[&watch.to_string(), &last.to_string()]);
    id.simple().to_string().split_at(12).0.to_owned()
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn a_token_is_good_for_its_own_watch_and_order_only() {
        let (watch, other) = (WatchId(Uuid::from_u128(1)), WatchId(Uuid::from_u128(2)));
        assert_eq!(read(watch, Order::AsFound, ""), Some(0));
        assert_eq!(read(watch, Order::NewestFirst, ""), Some(u64::MAX));
        let token = write(watch, Order::AsFound, 700);
        assert_eq!(read(watch, Order::AsFound, &token), Some(700));
        assert_eq!(read(watch, Order::NewestFirst, &token), None);
        assert_eq!(read(other, Order::AsFound, &token), None);
        for bad in ["7", "7.", ".", "zz.00", "2bc.000000000000"] {
            assert_eq!(read(watch, Order::AsFound, bad), None, "{bad}");
        }
    }
}
