//! The block before a time: which to look at next. Pure.
//!
//! What blocks say of their time is what their makers wrote: it may repeat, go back, or lie far ahead of every clock. So a
//! time is compared with the time that is looked for and with nothing else, and how often is looked depends on nothing
//! but how many blocks there are.

/// Looks for the last block that is older than a time: from the newest back in steps that double, then by halves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Search {
    /// Seconds since 1970.
    since: i64,
    /// An older block; none is known at first.
    older: Option<u64>,
    /// No block from here on is older, as far as is known.
    younger: u64,
    step: u64,
}

/// What to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// Look at the time of this block.
    Look(u64),
    /// This is it; the chain's first block where none is older.
    Found(u64),
}

impl Search {
    /// Among the blocks up to `newest`.
    pub(crate) fn new(since: i64, newest: u64) -> Self {
        Self { since, older: None, younger: newest.saturating_add(1), step: 1 }
    }

    pub(crate) fn next(&self) -> Next {
        match self.older {
            Some(older) if older.saturating_add(1) >= self.younger => Next::Found(older),
            Some(older) => Next::Look(older + (self.younger - older) / 2),
            None if self.younger == 0 => Next::Found(0),
            None => Next::Look(self.younger.saturating_sub(self.step)),
        }
    }

    /// Takes in the time of the block that was to be looked at.
    pub(crate) fn saw(&mut self, number: u64, time: i64) {
        if time < self.since {
            self.older = Some(number);
        } else {
            self.younger = number;
            self.step = self.step.saturating_mul(2);
        }
    }
}

/// The block before, where times go back a little: of the blocks just before, whatever is not older counts as well.
pub(crate) fn before_all(found: u64, just_before: &[(u64, i64)], since: i64) -> u64 {
    let earliest = just_before.iter().filter(|(_, time)| *time >= since).map(|(number, _)| *number).min();
    earliest.map_or(found, |earliest| found.min(earliest.saturating_sub(1)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What is found, and how often was looked.
    fn search(times: &[i64], since: i64) -> (u64, u32) {
        let mut search = Search::new(since, times.len() as u64 - 1);
        let mut looks = 0;
        loop {
            match search.next() {
                Next::Found(number) => return (number, looks),
                Next::Look(number) => search.saw(number, times[usize::try_from(number).unwrap()]),
            }
            looks += 1;
            assert!(looks < 200, "it must end");
        }
    }

    #[test]
    fn the_block_before_a_time_is_found_also_at_the_ends() {
        let times: Vec<i64> = (0..5_401).map(|n| 1_000 + n * 12).collect();
        assert_eq!(search(&times, 1_000 + 600 * 12).0, 599, "a block of just that time counts");
        assert_eq!(search(&times, 1_000 + 600 * 12 + 1).0, 600);
        assert_eq!(search(&times, 0).0, 0, "everything is younger");
        assert_eq!(search(&times, i64::MAX).0, 5_400, "everything is older");
        assert_eq!(search(&[5], 5).0, 0);
    }

    #[test]
    fn times_beyond_every_clock_change_nothing() {
        let mut times: Vec<i64> = (0..5_401).map(|n| 1_000 + n * 12).collect();
        for time in &mut times[2_700..] {
            *time += 1_000_000_000_000;
        }
        let (found, looks) = search(&times, 1_000 + 600 * 12);
        assert_eq!(found, 599);
        assert!(looks < 30, "{looks}");
    }

    #[test]
    fn of_blocks_whose_times_go_back_none_is_left_out() {
        assert_eq!(before_all(9, &[(7, 40), (8, 101), (9, 99)], 100), 7);
        assert_eq!(before_all(9, &[(7, 40), (8, 90), (9, 99)], 100), 9);
        assert_eq!(before_all(1, &[(0, 300), (1, 99)], 100), 0);
    }

    proptest! {
        #[test]
        fn where_times_rise_it_is_exact(mut times in prop::collection::vec(-50i64..2_000, 1..300), since in -60i64..2_100) {
            times.sort_unstable();
            let exact = times.iter().filter(|time| **time < since).count().saturating_sub(1);
            prop_assert_eq!(search(&times, since).0, exact as u64);
        }

        #[test]
        fn whatever_the_times_it_ends_soon_at_a_block_with_nothing_older_after_it_that_was_seen(
            times in prop::collection::vec(any::<i64>(), 1..2_000), since: i64,
        ) {
            let (found, looks) = search(&times, since);
            prop_assert!(looks <= 2 * (u64::BITS - (times.len() as u64).leading_zeros()) + 2, "{looks}");
            let found = usize::try_from(found).unwrap();
            prop_assert!(found == 0 || times[found] < since);
            prop_assert!(found == 0 || found + 1 == times.len() || times[found + 1] >= since);
        }
    }
}
