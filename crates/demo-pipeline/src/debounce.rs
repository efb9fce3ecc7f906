//! Gathers changes until the folder is quiet, so that a file written in a hundred steps is looked at once.
//!
//! Comes in: paths and the time. Never: a clock of its own, or memory without bound; past a number of paths it only
//! remembers that there were many.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

const MAX_PATHS: usize = 10_000;
/// A folder that never gets quiet is looked at after this many quiet times all the same.
const PATIENCE: u32 = 8;

/// Changes that belong together.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Batch {
    paths: HashSet<PathBuf>,
    /// There were too many to remember, or the watcher lost some.
    all: bool,
}

impl Batch {
    #[cfg(test)]
    pub(crate) fn everything() -> Self {
        Self { all: true, ..Self::default() }
    }

    /// Whether this path may have changed.
    pub(crate) fn touches(&self, path: &Path) -> bool {
        self.all || self.paths.contains(path)
    }
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Debounce {
    quiet: Duration,
    batch: Batch,
    first: Option<Instant>,
    last: Instant,
}

impl Debounce {
    pub(crate) fn new(quiet: Duration, now: Instant) -> Self {
        Self { quiet, batch: Batch::default(), first: None, last: now }
    }

    /// A change of one path, or with none given, of what the watcher cannot tell.
    pub(crate) fn note(&mut self, path: Option<PathBuf>, now: Instant) {
        self.first.get_or_insert(now);
        self.last = now;
        match path {
            Some(path) if self.batch.paths.len() < MAX_PATHS => {
                self.batch.paths.insert(path);
            }
            _ => self.batch.all = true,
        }
    }

    /// When there will be something to take.
    pub(crate) fn due(&self) -> Option<Instant> {
        self.first.map(|first| (self.last + self.quiet).min(first + self.quiet * PATIENCE))
    }

    /// What there is to take by now.
    pub(crate) fn take(&mut self, now: Instant) -> Option<Batch> {
        if self.due()? > now {
            return None;
        }
        self.first = None;
        Some(std::mem::take(&mut self.batch))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUIET: Duration = Duration::from_millis(100);

    #[test]
    fn a_burst_is_one_batch_once_it_is_over() {
        let start = Instant::now();
        let mut debounce = Debounce::new(QUIET, start);
        assert_eq!(debounce.take(start + QUIET * 9), None);
        for n in 0..4 {
            debounce.note(Some("a".into()), start + QUIET / 2 * n);
        }
        assert_eq!(debounce.take(start + QUIET * 2), None, "the last came half a quiet time ago");
        let batch = debounce.take(start + QUIET * 3).unwrap();
        assert!(batch.touches(Path::new("a")) && !batch.touches(Path::new("b")));
        assert_eq!(debounce.due(), None);
    }

    #[test]
    fn a_lasting_storm_is_not_waited_out() {
        let start = Instant::now();
        let mut debounce = Debounce::new(QUIET, start);
        let mut at = start;
        while debounce.take(at).is_none() {
            assert!(at <= start + QUIET * PATIENCE);
            debounce.note(Some("a".into()), at);
            at += QUIET / 4;
        }
    }

    #[test]
    fn too_many_paths_and_lost_ones_mean_all() {
        let now = Instant::now();
        let mut debounce = Debounce::new(QUIET, now);
        for n in 0..=MAX_PATHS {
            debounce.note(Some(n.to_string().into()), now);
        }
        let batch = debounce.take(now + QUIET).unwrap();
        assert!(batch.paths.len() == MAX_PATHS && batch.touches(Path::new("never named")));
        debounce.note(None, now);
        assert!(debounce.take(now + QUIET).unwrap().touches(Path::new("x")));
    }
}
