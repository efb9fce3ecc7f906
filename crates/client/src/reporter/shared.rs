//! What the handles of a reporter and its task share, and the one way by which events get in.
//!
//! With a spool an event is appended there first, and then put into the queue if there is room. Both happen under the
//! spool's lock, so that their order is one; it is always taken before the machine's. The append is one short write into
//! the page cache, which is done where the caller is: handing it to another thread would cost more than it takes. Only
//! where each event is to be on the disk the callers of `report` leave it to a thread that may block.
//!
//! *What it never does:* decide what is sent, or hold a lock while it waits.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use parking_lot::{Condvar, Mutex};
use ragpulse_protocol::report::PipelineOfflineReport;
use ragpulse_protocol::{Report, ReportedEvent, Timestamp};
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use super::encode::interrupted;
use super::error::ReportError;
use super::machine::Machine;
use super::outcome::SetAside;
use super::queue::{Effect, Item, Pushed};
use super::spool::{Spool, SpoolError};
use super::status::{Rejected, ReporterStatus};

/// How soon files of an earlier life are tried to be ended again, when the spool did not take it.
const ORPHANS_AGAIN: Duration = Duration::from_secs(10);

pub(crate) struct Shared {
    pub(crate) machine: Mutex<Machine>,
    spool: Option<SpoolPlace>,
    runtime: tokio::runtime::Handle,
    /// Wakes the task.
    pub(crate) wake: Notify,
    /// Wakes those who wait for room in tasks.
    pub(crate) room: Notify,
    /// How often room was made, and wakes those who wait for it in threads.
    rooms: Mutex<u64>,
    room_for_threads: Condvar,
    pub(crate) status: watch::Sender<ReporterStatus>,
    pub(crate) started: Instant,
    on_rejected: Option<Box<dyn Fn(Rejected) + Send + Sync>>,
}

struct SpoolPlace {
    /// Until the reporter is closed: then another may use it.
    spool: Mutex<Option<Spool>>,
    sync: bool,
}

impl Shared {
    pub(crate) fn new(
        mut machine: Machine,
        spool: Option<Spool>,
        runtime: tokio::runtime::Handle,
        on_rejected: Option<Box<dyn Fn(Rejected) + Send + Sync>>,
    ) -> Self {
        machine.queue.set_elsewhere(spool.as_ref().map_or(0, Spool::unread));
        let status = ReporterStatus::of(&machine, Duration::ZERO, SystemTime::now());
        let place = |spool: Spool| SpoolPlace { sync: spool.syncs(), spool: Mutex::new(Some(spool)) };
        Self {
            machine: Mutex::new(machine),
            spool: spool.map(place),
            runtime,
            wake: Notify::new(),
            room: Notify::new(),
            rooms: Mutex::new(0),
            room_for_threads: Condvar::new(),
            status: watch::Sender::new(status),
            started: Instant::now(),
            on_rejected,
        }
    }

    pub(crate) fn now(&self) -> Duration {
        self.started.elapsed()
    }

    pub(crate) fn has_spool(&self) -> bool {
        self.spool.is_some()
    }

    pub(crate) fn tell(&self) {
        let status = ReporterStatus::of(&self.machine.lock(), self.now(), SystemTime::now());
        self.status.send_if_modified(|told| {
            let changed = *told != status;
            *told = status;
            changed
        });
    }

    pub(crate) fn make_room(&self) {
        *self.rooms.lock() += 1;
        self.room.notify_waiters();
        self.room_for_threads.notify_all();
    }

    /// How often room was made.
    pub(crate) fn rooms(&self) -> u64 {
        *self.rooms.lock()
    }

    /// Blocks the thread until room was made since.
    pub(crate) fn wait_for_room(&self, since: u64) {
        let mut rooms = self.rooms.lock();
        while *rooms == since {
            self.room_for_threads.wait(&mut rooms);
        }
    }

    pub(crate) fn reject(&self, aside: SetAside) {
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

    /// As [`take`](Self::take), on a thread that may block if each event is to be on the disk.
    pub(crate) async fn take_in_task(self: &Arc<Self>, item: Item) -> Result<Option<Item>, ReportError> {
        let waits_for_disk = self.spool.as_ref().is_some_and(|place| place.sync);
        if !waits_for_disk || matches!(item.effect, Effect::Progress { .. }) {
            return self.take(item, false);
        }
        let shared = Arc::clone(self);
        let taken = self.runtime.spawn_blocking(move || shared.take(item, false)).await;
        // The runtime ends, and the task that sends with it.
        taken.unwrap_or(Err(ReportError::Closed))
    }

    /// Takes an event; gives it back when there is no room. Past the bounds if `force`.
    pub(crate) fn take(&self, item: Item, force: bool) -> Result<Option<Item>, ReportError> {
        let Some(place) = self.spool.as_ref().filter(|_| !matches!(item.effect, Effect::Progress { .. }))
        else {
            return self.take_into_memory(item, force);
        };
        let mut guard = place.spool.lock();
        let Some(spool) = guard.as_mut() else { return Err(ReportError::Closed) };
        if self.machine.lock().is_closing() {
            return Err(ReportError::Closed);
        }
        self.take_into_spool(spool, item, force)
    }

    fn take_into_memory(&self, item: Item, force: bool) -> Result<Option<Item>, ReportError> {
        let mut machine = self.machine.lock();
        if machine.is_closing() {
            return Err(ReportError::Closed);
        }
        match machine.push(item, force) {
            Pushed::Queued => {
                self.wake.notify_one();
                Ok(None)
            }
            Pushed::Dropped => Ok(None),
            Pushed::Full(item) => full(&machine, item),
        }
    }

    fn take_into_spool(
        &self,
        spool: &mut Spool,
        item: Item,
        force: bool,
    ) -> Result<Option<Item>, ReportError> {
        let number = match spool.append(&item, force) {
            Ok(Some(number)) => number,
            Ok(None) => return full(&self.machine.lock(), item),
            Err(error) if force => {
                self.take_past_spool(spool, item, &error);
                return Ok(None);
            }
            Err(error) => return Err(error.into()),
        };
        let mut machine = self.machine.lock();
        if machine.push_spooled(Item { spooled: Some(number), ..item }) {
            spool.passed();
        }
        machine.queue.set_elsewhere(spool.unread());
        drop(machine);
        self.wake.notify_one();
        Ok(None)
    }

    /// An event that nobody can be told of is held in memory, behind what was reported before it.
    fn take_past_spool(&self, spool: &mut Spool, item: Item, error: &SpoolError) {
        tracing::warn!("an event is held in memory only: {error}");
        let mut machine = self.machine.lock();
        if machine.queue.elsewhere() == 0 {
            machine.push(item, true);
        } else {
            machine.queue.pass_by(&item.effect);
            spool.keep(item);
            machine.queue.set_elsewhere(spool.unread());
        }
        drop(machine);
        self.wake.notify_one();
    }

    /// Takes nothing more but `pipeline:offline`, and sends what there is within a time.
    pub(crate) fn close(&self, within: Duration) {
        let by = self.now() + within;
        // Nothing may come between the last event and the goodbye.
        let mut guard = self.spool.as_ref().map(|place| place.spool.lock());
        let offline = {
            let mut machine = self.machine.lock();
            let offline = ReportedEvent::from(Report::from(PipelineOfflineReport::default()));
            let owed = machine.owes_offline();
            owed.then(|| machine.encoder.encode(offline, timestamp()).ok()).flatten()
        };
        match (offline, guard.as_mut().and_then(|guard| guard.as_mut())) {
            (None, _) => self.machine.lock().close(by),
            (Some(offline), None) => {
                let mut machine = self.machine.lock();
                if machine.owes_offline() {
                    machine.push(offline, true);
                }
                machine.close(by);
            }
            (Some(offline), Some(spool)) => {
                // It is forced, so it is taken.
                let _ = self.take_into_spool(spool, offline, true);
                self.machine.lock().close(by);
            }
        }
        drop(guard);
        self.wake.notify_one();
        self.make_room();
    }

    /// Tells the spool what the hub has answered for.
    pub(crate) fn settle_spool(&self) {
        self.with_spool(|spool| {
            let settled = self.machine.lock().take_settled();
            spool.settle(&settled);
        });
    }

    /// Fetches events from the spool into the queue.
    pub(crate) fn refill(&self, events: usize, bytes: usize) {
        self.with_spool(|spool| {
            let read = spool.read(events, bytes);
            let mut machine = self.machine.lock();
            match read {
                Ok(items) if !items.is_empty() => machine.refilled(items, spool.unread()),
                // All of it was looked at.
                Ok(_) => machine.queue.set_elsewhere(spool.unread()),
                Err(error) => {
                    tracing::error!("events that wait in the spool cannot be sent: {error}");
                    machine.refill_failed(error.to_string(), self.now());
                }
            }
        });
    }

    /// Ends the files that an earlier life of this reporter began and this one did not go on with.
    pub(crate) fn end_orphans(&self) {
        self.with_spool(|spool| {
            for fields in spool.orphans() {
                let item = self.machine.lock().encoder.encode(interrupted(fields), timestamp());
                let Ok(item) = item else { continue };
                if self.machine.lock().is_closing() {
                    return;
                }
                if !matches!(self.take_into_spool(spool, item, false), Ok(None)) {
                    // The disk or the spool is full: the rest later.
                    let at = self.now() + ORPHANS_AGAIN;
                    self.machine.lock().end_orphans_at(at);
                    return;
                }
            }
        });
    }

    fn with_spool(&self, work: impl FnOnce(&mut Spool)) {
        if let Some(place) = &self.spool
            && let Some(spool) = place.spool.lock().as_mut()
        {
            work(spool);
        }
    }

    /// Nothing is sent any more: another reporter may use the spool.
    pub(crate) fn let_go_of_spool(&self) {
        if let Some(place) = &self.spool {
            place.spool.lock().take();
        }
    }
}

/// There is no room: it may be waited for, unless the hub takes nothing for a cause that does not pass by itself.
fn full(machine: &Machine, item: Item) -> Result<Option<Item>, ReportError> {
    match machine.refusal() {
        Some(problem) => Err(ReportError::Refused(problem.clone())),
        None => Ok(Some(item)),
    }
}

pub(crate) fn timestamp() -> Timestamp {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_millis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

#[cfg(test)]
#[path = "shared_tests.rs"]
mod tests;
