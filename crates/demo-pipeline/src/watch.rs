//! Notices at once that something in the folder changed.
//!
//! Comes in: the folders that the scan visited, and the system's notices about them. Never: a statement about a file.
//! A notice is only a reason to look again, so lost, doubled and reordered ones do no harm; ignored folders are not
//! watched at all, since a build in `target/` is none of our business and watches are limited.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use notify::event::{AccessKind, AccessMode, EventKind};
use notify::{RecommendedWatcher, RecursiveMode, Watcher as _};
use parking_lot::Mutex;

use crate::debounce::Debounce;

/// On Linux the system watches folders one by one anyway; elsewhere it watches trees, and adding folders is slow.
const ONE_BY_ONE: bool = cfg!(target_os = "linux");

/// The watcher of a run.
pub(crate) struct Watch {
    watcher: RecommendedWatcher,
    watched: BTreeSet<PathBuf>,
}

impl Watch {
    /// Starts without any folder. Notices go into `debounce`, then `wake` is called.
    pub(crate) fn start(
        debounce: Arc<Mutex<Debounce>>,
        wake: impl Fn() + Send + 'static,
    ) -> Result<Self, String> {
        let watcher = notify::recommended_watcher(move |notice: notify::Result<notify::Event>| {
            let now = Instant::now();
            match notice {
                Ok(event) if !matters(&event.kind) => return,
                Ok(event) if event.need_rescan() || event.paths.is_empty() => debounce.lock().note(None, now),
                Ok(event) => {
                    let mut debounce = debounce.lock();
                    event.paths.into_iter().for_each(|path| debounce.note(Some(path), now));
                }
                // The watcher lost something, or a folder went away under it: look again.
                Err(_) => debounce.lock().note(None, now),
            }
            wake();
        })
        .map_err(|e| e.to_string())?;
        Ok(Self { watcher, watched: BTreeSet::new() })
    }

    /// Watches these folders and no others. Answers whether any is new: what happened in it before the watch was not
    /// noticed, so the caller looks again. An error leaves the others watched.
    pub(crate) fn follow(&mut self, folders: &BTreeSet<PathBuf>) -> (bool, Option<String>) {
        let (mut fresh, mut error) = (false, None);
        let depth = if ONE_BY_ONE { RecursiveMode::NonRecursive } else { RecursiveMode::Recursive };
        let wanted: BTreeSet<&PathBuf> =
            if ONE_BY_ONE { folders.iter().collect() } else { folders.iter().take(1).collect() };
        self.watched.retain(|folder| {
            let keep = wanted.contains(folder);
            if !keep {
                // Fails when the folder is gone, and its watch with it.
                let _ = self.watcher.unwatch(folder);
            }
            keep
        });
        for folder in wanted {
            if self.watched.contains(folder) {
                continue;
            }
            match self.watcher.watch(folder, depth) {
                Ok(()) => {
                    fresh = true;
                    self.watched.insert(folder.clone());
                }
                Err(e) => {
                    error.get_or_insert(format!("cannot watch {}: {e}", folder.display()));
                }
            }
        }
        (fresh, error)
    }

    /// A folder that is replaced by another of its name keeps its path but loses its watch: forgets watches whose
    /// path a notice named as removed, so that the next `follow` sets them anew.
    pub(crate) fn forget(&mut self, gone: impl Fn(&PathBuf) -> bool) {
        self.watched.retain(|folder| {
            let forget = gone(folder);
            if forget {
                let _ = self.watcher.unwatch(folder);
            }
            !forget
        });
    }
}

/// Reading is noticed too, our own included: only what can change a file counts.
fn matters(kind: &EventKind) -> bool {
    match kind {
        EventKind::Access(AccessKind::Close(AccessMode::Write)) => true,
        EventKind::Access(_) => false,
        _ => true,
    }
}
