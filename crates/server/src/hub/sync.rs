//! The lock of a room. It is parking_lot's; in tests it can also be one whose turns shuttle decides, so that every
//! interleaving of those who wait for it may come up (`hub/tests/shuttle.rs`).

#[cfg(not(test))]
pub(crate) use parking_lot::Mutex;
#[cfg(test)]
pub(crate) use testing::{Mutex, explored};

#[cfg(test)]
mod testing {
    use std::cell::Cell;
    use std::ops::{Deref, DerefMut};

    thread_local! {
        /// Whether what runs here are shuttle's threads. They are all of one thread of the system.
        static EXPLORED: Cell<bool> = const { Cell::new(false) };
    }

    /// Has locks that are made by `work` take turns by shuttle.
    pub(crate) fn explored<T>(work: impl FnOnce() -> T) -> T {
        EXPLORED.set(true);
        let result = work();
        EXPLORED.set(false);
        result
    }

    /// A lock, with a turn to be taken before it where shuttle decides.
    pub(crate) struct Mutex<T> {
        turn: Option<shuttle::sync::Mutex<()>>,
        inner: parking_lot::Mutex<T>,
    }

    pub(crate) struct Guard<'a, T> {
        // In this order: the turn ends when the lock is free.
        inner: parking_lot::MutexGuard<'a, T>,
        _turn: Option<shuttle::sync::MutexGuard<'a, ()>>,
    }

    impl<T> Mutex<T> {
        pub(crate) fn new(value: T) -> Self {
            let turn = EXPLORED.get().then(|| shuttle::sync::Mutex::new(()));
            Self { turn, inner: parking_lot::Mutex::new(value) }
        }

        pub(crate) fn lock(&self) -> Guard<'_, T> {
            // A poisoned turn is of a thread that has failed, which fails the test.
            let turn =
                self.turn.as_ref().map(|turn| turn.lock().unwrap_or_else(|poison| poison.into_inner()));
            Guard { inner: self.inner.lock(), _turn: turn }
        }
    }

    impl<T> Deref for Guard<'_, T> {
        type Target = T;
        fn deref(&self) -> &T {
            &self.inner
        }
    }

    impl<T> DerefMut for Guard<'_, T> {
        fn deref_mut(&mut self) -> &mut T {
            &mut self.inner
        }
    }
}
