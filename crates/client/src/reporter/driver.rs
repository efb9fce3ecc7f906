//! The task behind a reporter: asks the machine what to do, does it, and tells the answer.
//!
//! *What it never does:* decide anything, or hold the lock while it waits.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use parking_lot::{Condvar, Mutex};
use ragpulse_protocol::{ReportedEvent, Timestamp};
use reqwest::Url;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use super::machine::Machine;
use super::outcome::{Action, Answer, SetAside};
use super::status::{Rejected, ReporterStatus};
use crate::endpoint::ask;

/// What handles and the task share.
pub(crate) struct Shared {
    pub(crate) machine: Mutex<Machine>,
    /// Wakes the task.
    pub(crate) wake: Notify,
    /// Wakes those who wait for room, in tasks and in threads.
    pub(crate) room: Notify,
    pub(crate) room_for_threads: Condvar,
    pub(crate) status: watch::Sender<ReporterStatus>,
    pub(crate) started: Instant,
    pub(crate) on_rejected: Option<Box<dyn Fn(Rejected) + Send + Sync>>,
}

impl Shared {
    pub(crate) fn now(&self) -> Duration {
        self.started.elapsed()
    }

    fn tell(&self) {
        let status = ReporterStatus::of(&self.machine.lock(), self.now(), SystemTime::now());
        self.status.send_if_modified(|told| {
            let changed = *told != status;
            *told = status;
            changed
        });
    }

    fn make_room(&self) {
        self.room.notify_waiters();
        self.room_for_threads.notify_all();
    }

    fn reject(&self, aside: SetAside) {
        let SetAside { item, problem } = aside;
        // It was encoded from such an event.
        let Ok(event) = serde_json::from_str::<ReportedEvent>(&item.json) else { return };
        tracing::warn!(
            event = %event.event,
            event_id = event.event_id.as_deref(),
            code = %problem.code,
            field = problem.field.as_deref(),
            "the hub refused an event, which is set aside: {}",
            problem.detail
        );
        if let Some(on_rejected) = &self.on_rejected {
            on_rejected(Rejected { event, problem });
        }
    }
}

pub(crate) fn timestamp() -> Timestamp {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_millis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

/// Where batches go.
pub(crate) struct Sender {
    pub(crate) client: reqwest::Client,
    pub(crate) url: Url,
    pub(crate) reporter_id: String,
}

impl Sender {
    async fn send(&self, body: String) -> Answer {
        let request = self
            .client
            .post(self.url.clone())
            .header("content-type", "application/json")
            .header("ragpulse-reporter", &self.reporter_id)
            .body(body);
        ask(request).await
    }
}

/// Whoever waits must learn that nobody sends any more, also when the runtime ends the task.
struct Ending(Arc<Shared>);

impl Drop for Ending {
    fn drop(&mut self) {
        self.0.machine.lock().close(None, Duration::ZERO);
        // With a deadline in the past this only stops.
        let _ = self.0.machine.lock().next(self.0.now());
        self.0.tell();
        self.0.make_room();
    }
}

pub(crate) async fn drive(shared: Arc<Shared>, sender: Sender) {
    let ending = Ending(shared);
    let shared = &ending.0;
    loop {
        let action = shared.machine.lock().next(shared.now());
        shared.tell();
        match action {
            Action::Stop => break,
            Action::Wait(until) => {
                tokio::select! {
                    () = shared.wake.notified() => {}
                    () = sleep_until(shared, until) => {}
                }
            }
            Action::Send(body) => {
                let Some(answer) = until_given_up(shared, sender.send(body)).await else { continue };
                let aside = shared.machine.lock().answered(answer, shared.now(), timestamp());
                if let Some(aside) = aside {
                    shared.reject(aside);
                }
                shared.make_room();
            }
        }
    }
}

/// Waits for an answer, but no longer than closing allows.
async fn until_given_up(shared: &Shared, sending: impl Future<Output = Answer>) -> Option<Answer> {
    let mut sending = std::pin::pin!(sending);
    loop {
        let give_up_at = shared.machine.lock().give_up_at();
        tokio::select! {
            answer = &mut sending => return Some(answer),
            () = shared.wake.notified() => shared.tell(),
            () = sleep_until(shared, give_up_at) => return None,
        }
    }
}

async fn sleep_until(shared: &Shared, until: Option<Duration>) {
    match until {
        Some(until) => tokio::time::sleep_until(shared.started + until).await,
        None => std::future::pending().await,
    }
}
