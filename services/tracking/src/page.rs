//! Where a page ends, as callers hand it back: opaque to them, and bound to its watch.

use haetae_core::{WatchId, derived};

use crate::labels::hex;

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

/// The token after a place where money is, by its name.
pub(crate) fn write_place(watch: WatchId, last: &str) -> String {
    format!("{}.{}", hex(last.as_bytes()), mark_of("ends-page", watch, last))
}

/// The name of the last place that was seen; empty for the empty token, none for one that this service did not give for
/// the watch.
pub(crate) fn read_place(watch: WatchId, token: &str) -> Option<String> {
    if token.is_empty() {
        return Some(String::new());
    }
    let (last, _) = token.split_once('.')?;
    let bytes: Option<Vec<u8>> =
        last.as_bytes().chunks(2).map(|two| u8::from_str_radix(str::from_utf8(two).ok()?, 16).ok()).collect();
    let last = String::from_utf8(bytes?).ok()?;
    (write_place(watch, &last) == token).then_some(last)
}

fn mark(watch: WatchId, order: Order, last: u64) -> String {
    let kind = match order {
        Order::AsFound => "trail-page",
        Order::NewestFirst => "trail-page-newest-first",
    };
    mark_of(kind, watch, &last.to_string())
}

fn mark_of(kind: &str, watch: WatchId, last: &str) -> String {
    let id = derived(kind, &[&watch.to_string(), last]);
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
            assert_eq!(read_place(watch, bad), None, "{bad}");
        }
        let token = write_place(watch, "eip155:1:0xab eip155:1/slip44:60 3");
        assert_eq!(read_place(watch, &token).as_deref(), Some("eip155:1:0xab eip155:1/slip44:60 3"));
        assert_eq!((read_place(other, &token), read_place(watch, "").as_deref()), (None, Some("")));
    }
}
