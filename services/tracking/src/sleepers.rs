//! Watches of which nothing has happened yet: all that is kept of each is where it starts. Most watches are such, for most
//! of their lives; one that is touched is read into the book.

use std::collections::HashMap;

use alloy_primitives::Address;
use haetae_core::WatchId;

#[derive(Debug, Default)]
pub(crate) struct Sleepers {
    at: HashMap<Address, Ids>,
    count: usize,
}

/// The watches that start at one account; hardly ever more than one.
#[derive(Debug)]
enum Ids {
    One(WatchId),
    More(Vec<WatchId>),
}

impl Ids {
    fn all(&self) -> &[WatchId] {
        match self {
            Self::One(id) => std::slice::from_ref(id),
            Self::More(ids) => ids,
        }
    }
}

impl Sleepers {
    pub(crate) fn len(&self) -> usize {
        self.count
    }

    /// A watch falls asleep. One that sleeps there already sleeps on.
    pub(crate) fn put(&mut self, root: Address, id: WatchId) {
        let Some(here) = self.at.get_mut(&root) else {
            self.at.insert(root, Ids::One(id));
            self.count += 1;
            return;
        };
        if here.all().contains(&id) {
            return;
        }
        self.count += 1;
        match here {
            Ids::One(first) => *here = Ids::More(vec![*first, id]),
            Ids::More(ids) => ids.push(id),
        }
    }

    /// A watch does not sleep any more.
    pub(crate) fn remove(&mut self, root: Address, id: WatchId) {
        let Some(here) = self.at.get_mut(&root) else { return };
        let before = here.all().len();
        let left: Vec<WatchId> = here.all().iter().copied().filter(|other| *other != id).collect();
        self.count -= before - left.len();
        match left.as_slice() {
            [] => drop(self.at.remove(&root)),
            [one] => *here = Ids::One(*one),
            _ => *here = Ids::More(left),
        }
    }

    /// Those that start at this account wake up.
    pub(crate) fn wake(&mut self, root: &Address) -> Vec<WatchId> {
        let woken = self.at.remove(root).map(|ids| ids.all().to_vec()).unwrap_or_default();
        self.count -= woken.len();
        woken
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn each_wakes_once_with_the_others_that_start_where_it_does() {
        let (here, there) = (Address::repeat_byte(1), Address::repeat_byte(2));
        let [one, two, three] = [1, 2, 3].map(|n| WatchId(Uuid::from_u128(n)));
        let mut sleepers = Sleepers::default();
        for (root, id) in [(here, one), (here, two), (here, two), (there, three), (here, three)] {
            sleepers.put(root, id);
        }
        assert_eq!(sleepers.len(), 4);
        sleepers.remove(here, two);
        sleepers.remove(there, one);
        assert_eq!(sleepers.wake(&here), [one, three]);
        assert_eq!((sleepers.wake(&here), sleepers.len()), (Vec::new(), 1));
        sleepers.remove(there, three);
        assert_eq!(sleepers.len(), 0);
    }
}
