//! Asking a run to stop, from any thread, at any time.
//!
//! Comes in: one call of [`Shutdown::trigger`], from a signal handler's task or a test. Never: a way back, and
//! never a lock held while a hook runs.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;

type Hook = Box<dyn Fn() + Send>;

/// A switch that is shared by cloning and can only be thrown once.
#[derive(Clone, Default)]
pub struct Shutdown {
    inner: Arc<Inner>,
}

#[derive(Default)]
struct Inner {
    on: AtomicBool,
    hooks: Mutex<Vec<Hook>>,
}

impl Shutdown {
    /// A switch that has not been thrown.
    pub fn new() -> Self {
        Self::default()
    }

    /// Asks everything that holds this switch to stop.
    pub fn trigger(&self) {
        self.inner.on.store(true, Ordering::SeqCst);
        let hooks = std::mem::take(&mut *self.inner.hooks.lock());
        for hook in hooks {
            hook();
        }
    }

    /// Whether it has been thrown.
    pub fn is_triggered(&self) -> bool {
        self.inner.on.load(Ordering::SeqCst)
    }

    /// Runs `hook` when the switch is thrown, at once if it has been already: wakes what sleeps in a channel.
    pub(crate) fn on_trigger(&self, hook: impl Fn() + Send + 'static) {
        let mut hooks = self.inner.hooks.lock();
        if self.is_triggered() {
            drop(hooks);
            hook();
        } else {
            hooks.push(Box::new(hook));
        }
    }
}

impl std::fmt::Debug for Shutdown {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shutdown").field("triggered", &self.is_triggered()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicUsize;

    #[test]
    fn every_hook_runs_once_before_and_after_the_trigger() {
        let runs = Arc::new(AtomicUsize::new(0));
        let count = |runs: &Arc<AtomicUsize>| {
            let runs = Arc::clone(runs);
            move || {
                runs.fetch_add(1, Ordering::SeqCst);
            }
        };
        let shutdown = Shutdown::new();
        shutdown.on_trigger(count(&runs));
        assert_eq!(runs.load(Ordering::SeqCst), 0);
        shutdown.clone().trigger();
        shutdown.trigger();
        shutdown.on_trigger(count(&runs));
        assert_eq!(runs.load(Ordering::SeqCst), 2);
    }
}
