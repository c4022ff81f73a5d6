//! Which watches are read for next, and how far. Pure.

use haetae_core::WatchId;

use crate::source::BlockRef;

/// Blocks by which a watch may lie behind another and still be taken along with it: reading them first costs the other less
/// than reading everything twice.
const TOGETHER: u64 = 512;

/// Blocks that are read once for some watches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Pass {
    /// The last block that was read for each of them.
    pub(crate) from: BlockRef,
    /// The last block to be read now.
    pub(crate) to: u64,
    pub(crate) watches: Vec<WatchId>,
}

/// The next pass for watches that were read up to these blocks. Those nearest to the head come first: somebody who asks for
/// the last half hour does not wait for somebody who asks for a month. Watches close to one another go together, the last
/// of them first, so that what they share is read once. None where there are none, or the head is behind them.
pub(crate) fn next(read: &[(WatchId, BlockRef)], head: u64, most: u64) -> Option<Pass> {
    let mut order: Vec<&(WatchId, BlockRef)> = read.iter().filter(|(_, at)| at.number <= head).collect();
    order.sort_by_key(|(id, at)| (std::cmp::Reverse(at.number), *id));
    let nearest = order.first()?.1.number;
    let last = order.iter().take_while(|(_, at)| nearest - at.number <= TOGETHER).last()?.1;
    let at_last = |(_, at): &&&(WatchId, BlockRef)| *at == last;
    let ahead = order.iter().map(|(_, at)| at.number).filter(|number| *number > last.number).min();
    let to = ahead.unwrap_or(head).min(last.number.saturating_add(most));
    Some(Pass { from: last, to, watches: order.iter().filter(at_last).map(|(id, _)| *id).collect() })
}

#[cfg(test)]
mod tests {
    use alloy_primitives::B256;
    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;

    fn watch(n: u8) -> WatchId {
        WatchId(Uuid::from_u128(n.into()))
    }

    fn at(number: u64) -> BlockRef {
        BlockRef { number, hash: B256::with_last_byte(1) }
    }

    #[test]
    fn the_watch_nearest_to_the_head_is_read_for_first() {
        let pass = next(&[(watch(1), at(0)), (watch(2), at(9_000))], 10_000, 256).unwrap();
        assert_eq!((pass.from, pass.to, pass.watches), (at(9_000), 9_256, vec![watch(2)]));
    }

    #[test]
    fn watches_close_to_one_another_meet_and_go_on_together() {
        let mut read = vec![(watch(1), at(100)), (watch(2), at(300)), (watch(3), at(300))];
        let pass = next(&read, 1_000, 256).unwrap();
        assert_eq!((pass.from, pass.to, pass.watches), (at(100), 300, vec![watch(1)]));
        read[0].1 = at(300);
        let pass = next(&read, 1_000, 256).unwrap();
        assert_eq!((pass.to, pass.watches), (556, vec![watch(1), watch(2), watch(3)]));
    }

    #[test]
    fn those_at_the_head_have_nothing_to_read_and_join() {
        let pass = next(&[(watch(1), at(1_000))], 1_000, 256).unwrap();
        assert_eq!((pass.from.number, pass.to), (1_000, 1_000));
        assert_eq!(next(&[(watch(1), at(1_001))], 1_000, 256), None, "the head went back and is not read on yet");
        assert_eq!(next(&[], 1_000, 256), None);
    }

    #[test]
    fn watches_on_two_branches_are_not_read_for_together() {
        let other = BlockRef { hash: B256::with_last_byte(2), ..at(900) };
        let pass = next(&[(watch(1), at(900)), (watch(2), other)], 1_000, 256).unwrap();
        assert_eq!(pass.watches.len(), 1);
    }

    proptest! {
        /// Those that are read for move on, the others stay, and joins when it is there: so all come to the head.
        #[test]
        fn everybody_comes_to_the_head(starts in prop::collection::vec(0u64..3_000, 1..6), head in 3_000u64..3_500) {
            let mut read: Vec<_> = (0u8..).zip(starts).map(|(n, number)| (watch(n), at(number))).collect();
            let mut passes = 0;
            while let Some(pass) = next(&read, head, 256) {
                prop_assert!(pass.from.number <= pass.to && pass.to <= head && !pass.watches.is_empty());
                prop_assert!(pass.from.number < pass.to || pass.to == head);
                for (id, at) in &mut read {
                    if pass.watches.contains(id) {
                        at.number = pass.to;
                    }
                }
                read.retain(|(_, at)| at.number < head);
                passes += 1;
                prop_assert!(passes < 500);
            }
            prop_assert!(read.is_empty());
        }
    }
}
