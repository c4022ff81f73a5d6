//! Which watches look at something: one look by a keyed hash, whatever the number of watches.

use std::borrow::Borrow;
use std::collections::{HashMap, HashSet};
use std::hash::Hash;

use haetae_core::WatchId;

#[derive(Debug)]
pub(super) struct Watching<K> {
    watches: HashMap<K, HashSet<WatchId>>,
    of: HashMap<WatchId, HashSet<K>>,
}

impl<K> Default for Watching<K> {
    fn default() -> Self {
        Self { watches: HashMap::new(), of: HashMap::new() }
    }
}

impl<K: Clone + Eq + Hash> Watching<K> {
    pub(super) fn enter(&mut self, key: K, id: WatchId) {
        self.of.entry(id).or_default().insert(key.clone());
        self.watches.entry(key).or_default().insert(id);
    }

    pub(super) fn remove(&mut self, id: WatchId) {
        for key in self.of.remove(&id).unwrap_or_default() {
            if let Some(watches) = self.watches.get_mut(&key) {
                watches.remove(&id);
                if watches.is_empty() {
                    self.watches.remove(&key);
                }
            }
        }
    }

    pub(super) fn watches<Q>(&self, key: &Q) -> impl Iterator<Item = WatchId>
    where
        K: Borrow<Q>,
        Q: Eq + Hash + ?Sized,
    {
        self.watches.get(key).into_iter().flatten().copied()
    }

    #[cfg(test)]
    pub(super) fn keys(&self) -> impl Iterator<Item = &K> {
        self.watches.keys()
    }
}
