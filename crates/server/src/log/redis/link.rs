//! The session that calls go by, while there is one; and since when the store has been silent.
//!
//! *What it never does:* connect, or repeat anything. Who finds a session broken takes it away here, and the [reader](super::reader), which
//! opens sessions, is woken.

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::Notify;

use super::super::{LogError, LogErrorKind};
use super::reply::Fault;
use super::session::Session;

/// A store that is well answers once a second or oftener.
const SILENT_AFTER: Duration = Duration::from_secs(4);

#[derive(Debug)]
pub(super) struct Link {
    current: Mutex<Option<Arc<Session>>>,
    heard: Mutex<Instant>,
    broken: Notify,
}

impl Link {
    pub(super) fn new() -> Self {
        Self { current: Mutex::new(None), heard: Mutex::new(Instant::now()), broken: Notify::new() }
    }

    /// The session of now. `doing` is what it is wanted for.
    pub(super) fn session(&self, doing: &'static str) -> Result<Arc<Session>, LogError> {
        let current = self.current.lock().clone();
        current.ok_or_else(|| unavailable(doing, "there is no connection to Redis; it is tried again"))
    }

    pub(super) fn set(&self, session: Arc<Session>) {
        *self.current.lock() = Some(session);
        self.heard();
    }

    pub(super) fn clear(&self) {
        *self.current.lock() = None;
    }

    /// The store has answered.
    pub(super) fn heard(&self) {
        *self.heard.lock() = Instant::now();
    }

    /// For how long it has not, if it should have.
    pub(super) fn silent_for(&self) -> Option<Duration> {
        let silent = self.heard.lock().elapsed();
        (silent > SILENT_AFTER || self.current.lock().is_none()).then_some(silent)
    }

    /// Waits until somebody finds the session broken.
    pub(super) async fn broken(&self) {
        loop {
            self.broken.notified().await;
            // It may have been another session that this was about.
            if self.current.lock().is_none() {
                return;
            }
        }
    }

    /// What a fault of a session means for who called.
    pub(super) fn fault(&self, session: &Arc<Session>, fault: &Fault, doing: &'static str) -> LogError {
        let kind = match fault {
            Fault::Full(_) => LogErrorKind::Full,
            _ => LogErrorKind::Unavailable,
        };
        if matches!(fault, Fault::Gone(_) | Fault::NewLife | Fault::Login(_)) {
            let mut current = self.current.lock();
            if current.as_ref().is_some_and(|current| Arc::ptr_eq(current, session)) {
                *current = None;
                self.broken.notify_one();
            }
        } else {
            self.heard();
        }
        LogError { kind, doing, cause: fault.to_string() }
    }
}

pub(super) fn unavailable(doing: &'static str, cause: impl ToString) -> LogError {
    LogError { kind: LogErrorKind::Unavailable, doing, cause: cause.to_string() }
}
