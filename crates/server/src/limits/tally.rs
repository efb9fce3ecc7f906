//! How many of something there are, of each kind. A kind of which there are none takes no room, so the tally is never larger
//! than what it counts.

use std::collections::HashMap;
use std::hash::Hash;

#[derive(Debug)]
pub(crate) struct Tally<K>(HashMap<K, usize>);

impl<K> Default for Tally<K> {
    fn default() -> Self {
        Self(HashMap::new())
    }
}

impl<K: Eq + Hash> Tally<K> {
    /// How many there are of a kind.
    pub(crate) fn of(&self, kind: &K) -> usize {
        self.0.get(kind).copied().unwrap_or(0)
    }

    /// One more.
    pub(crate) fn add(&mut self, kind: K) {
        *self.0.entry(kind).or_insert(0) += 1;
    }

    /// One less.
    pub(crate) fn take(&mut self, kind: &K) {
        if let Some(count) = self.0.get_mut(kind) {
            *count -= 1;
            if *count == 0 {
                self.0.remove(kind);
            }
        }
    }

    /// Of how many kinds there is anything.
    #[cfg(test)]
    pub(crate) fn kinds(&self) -> usize {
        self.0.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_there_takes_no_room() {
        let mut tally = Tally::default();
        for kind in 0..100 {
            tally.add(kind);
            tally.add(kind);
        }
        assert_eq!((tally.of(&7), tally.kinds()), (2, 100));
        for kind in 0..100 {
            tally.take(&kind);
            tally.take(&kind);
            tally.take(&kind);
        }
        assert_eq!((tally.of(&7), tally.kinds()), (0, 0));
    }
}
