//! A room: one pipeline on this node. Its state, its ring, and everybody who follows it.
//!
//! Events come in from the tail, in order, one at a time. Joining and applying exclude each other by the room's lock, so
//! nobody misses an event between the state they got and the next one. Nothing here waits.

mod follow;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use ragpulse_protocol::message::Heartbeat;
use ragpulse_protocol::parts::Alive;
use ragpulse_protocol::status::{Limits, ResetReason};
use ragpulse_protocol::{
    Cursor, Epoch, Event, Liveness, Object, PipelineId, PipelineStatus, PipelineType, Timestamp, apply,
};
use serde_json::value::to_raw_value;
use tokio::sync::watch;

pub(crate) use self::follow::{Advance, Question};
use self::follow::{Follower, Owed};
use super::outlet::{Sent, Shared};
use super::ring::Ring;
use super::snapshot::{Forms, SnapshotCache};
use super::sync::Mutex;
use crate::auth::Audience;
use crate::config::HubLimits;
use crate::log::{NewRecord, Record};
use crate::metrics::Metrics;
use crate::metrics::table::{DeliveredEvent, Way};

/// For how long at most it is believed that somebody is heard, where the log keeps the leases.
const BELIEVED_MILLIS: i64 = 60_000;

/// One pipeline on this node; also an id that is held for subscribers before its pipeline exists.
pub(crate) struct Room {
    pub(crate) id: PipelineId,
    inner: Mutex<RoomInner>,
    /// The last `seq` applied; 0 while the pipeline is not known.
    head: watch::Sender<u64>,
    heard: AtomicI64,
    /// Until when somebody who reports counts as heard, as far as is known here. Only where the log keeps the leases.
    live_until: AtomicI64,
    budget: Budget,
    metrics: Arc<Metrics>,
}

/// What is replayed at most; past that a snapshot is cheaper for everybody.
struct Budget {
    events: u64,
    bytes: u64,
}

struct RoomInner {
    state: Option<PipelineStatus>,
    ring: Ring,
    followers: HashMap<u64, Follower>,
    snapshots: SnapshotCache,
    generation: u64,
    /// This life has had its last event: that the pipeline was removed.
    removed: bool,
    /// The last event of the life before this one: that the pipeline was removed.
    farewell: Option<Arc<Record>>,
    /// It has been offline for so long that it stands in no list.
    unlisted: bool,
}

/// What an applied event did.
#[derive(Debug, Default)]
pub(crate) struct Applied {
    pub(crate) delivered: u64,
    /// The outlets that are full and have to be continued.
    pub(crate) paused: Vec<u64>,
    /// The pipeline stands in no list: those who follow its scope do not know of it.
    pub(crate) unlisted: bool,
}

/// What there is after a cursor, without looking into the log.
#[derive(Debug)]
pub(crate) enum Read {
    /// There is no such pipeline.
    Unknown,
    /// These events, and whether they reach the end.
    Events { epoch: Epoch, records: Vec<Arc<Record>>, up_to_date: bool },
    /// The ring does not hold them; the log may.
    Older { epoch: Epoch },
    /// No events can be given: the state instead.
    State(Box<PipelineStatus>, Option<ResetReason>),
}

/// Who counts as heard for long may leave by another hub, and that is not told: so it is asked again.
fn believed(until: Timestamp, now: Timestamp) -> i64 {
    until.as_millis().min(now.as_millis().saturating_add(BELIEVED_MILLIS))
}

impl RoomInner {
    fn set_liveness(&mut self, liveness: Liveness) {
        let state = self.state.as_mut().filter(|state| state.is_online() && state.liveness != liveness);
        if let Some(state) = state {
            state.liveness = liveness;
            self.snapshots.forget();
        }
    }
}

impl Room {
    pub(crate) fn new(id: PipelineId, limits: &HubLimits, metrics: &Arc<Metrics>) -> Self {
        Self {
            id,
            inner: Mutex::new(RoomInner {
                state: None,
                ring: Ring::new(limits.ring_events, limits.ring_bytes),
                followers: HashMap::new(),
                snapshots: SnapshotCache::default(),
                generation: 0,
                removed: false,
                farewell: None,
                unlisted: false,
            }),
            head: watch::Sender::new(0),
            heard: AtomicI64::new(0),
            live_until: AtomicI64::new(0),
            budget: Budget { events: limits.replay_events, bytes: limits.replay_bytes },
            metrics: metrics.clone(),
        }
    }

    pub(crate) fn state(&self) -> Option<PipelineStatus> {
        self.inner.lock().state.clone()
    }

    /// Looks at the state without copying it.
    pub(crate) fn with_state<T>(&self, look: impl FnOnce(&PipelineStatus) -> T) -> Option<T> {
        self.inner.lock().state.as_ref().map(look)
    }

    pub(crate) fn head(&self) -> watch::Receiver<u64> {
        self.head.subscribe()
    }

    /// Whether it knows of what a cursor is of.
    pub(crate) fn covers(&self, cursor: &Cursor) -> bool {
        self.with_state(|state| state.epoch == cursor.epoch && state.seq >= cursor.seq) == Some(true)
    }

    pub(crate) fn is_known(&self) -> bool {
        self.inner.lock().state.is_some()
    }

    /// Whether it stands in the lists.
    pub(crate) fn is_listed(&self) -> bool {
        let inner = self.inner.lock();
        inner.state.is_some() && !inner.unlisted
    }

    /// Takes it from the lists where it is offline and nothing has happened since then. Whether it stood there.
    pub(crate) fn unlist(&self, before: Timestamp) -> bool {
        let mut inner = self.inner.lock();
        let heard = self.last_heard();
        let is_old = |state: &PipelineStatus| !state.is_online() && state.last_activity.max(heard) <= before;
        let leaves = !inner.unlisted && inner.state.as_ref().is_some_and(is_old);
        inner.unlisted |= leaves;
        leaves
    }

    /// Puts it back into the lists.
    pub(crate) fn list(&self) {
        self.inner.lock().unlisted = false;
    }

    pub(crate) fn pipeline_type(&self) -> Option<PipelineType> {
        self.inner.lock().state.as_ref().map(|state| state.pipeline_type.clone())
    }

    pub(crate) fn follower_count(&self) -> usize {
        self.inner.lock().followers.len()
    }

    /// When a reporter was last heard.
    pub(crate) fn last_heard(&self) -> Timestamp {
        Timestamp::from_millis(self.heard.load(Ordering::Relaxed))
    }

    /// Somebody who reports was heard here, and counts as heard until then.
    pub(crate) fn hear(&self, heard: Timestamp, live_until: Option<Timestamp>, now: Timestamp) {
        self.heard.fetch_max(heard.as_millis(), Ordering::Relaxed);
        if let Some(until) = live_until {
            self.live_until.store(believed(until, now), Ordering::Relaxed);
        }
    }

    /// The log said so. What was heard here meanwhile counts too.
    pub(crate) fn found_heard(&self, heard: Timestamp, live_until: Option<Timestamp>, now: Timestamp) {
        self.heard.fetch_max(heard.as_millis(), Ordering::Relaxed);
        if let Some(until) = live_until {
            self.live_until.fetch_max(believed(until, now), Ordering::Relaxed);
        }
    }

    /// Whether its pipeline is online, and nobody is known to be heard any more.
    pub(crate) fn looks_late(&self, now: Timestamp) -> bool {
        self.live_until.load(Ordering::Relaxed) <= now.as_millis()
            && self.with_state(PipelineStatus::is_online) == Some(true)
    }

    /// It was found late, unless somebody was heard meanwhile.
    pub(crate) fn found_late(&self, now: Timestamp) {
        let mut inner = self.inner.lock();
        // Who is heard says so before it takes the lock to set it live.
        if self.live_until.load(Ordering::Relaxed) <= now.as_millis() {
            inner.set_liveness(Liveness::Late);
        }
    }

    /// Takes over a state and its last events from the log, for a hub that starts.
    pub(crate) fn restore(&self, state: PipelineStatus, records: Vec<Arc<Record>>) {
        self.heard.store(state.last_activity.as_millis(), Ordering::Relaxed);
        let mut inner = self.inner.lock();
        self.head.send_replace(state.seq);
        inner.state = Some(state);
        records.into_iter().for_each(|record| inner.ring.push(record));
        inner.snapshots.forget();
    }

    /// Takes over a state in place of the events that led to it, which cannot be had. Everybody who follows gets it, with the
    /// reason, before anything else; gives those who have to be continued for that.
    pub(crate) fn reset(
        &self,
        state: PipelineStatus,
        records: Vec<Arc<Record>>,
        reason: &ResetReason,
    ) -> Vec<u64> {
        let mut inner = self.inner.lock();
        let inner = &mut *inner;
        self.head.send_replace(state.seq);
        (inner.removed, inner.farewell) = (false, None);
        inner.ring.clear();
        records.into_iter().for_each(|record| inner.ring.push(record));
        // Who waits for this room to come as far as its cursor is joined by that.
        let beyond = |follower: &&mut Follower| matches!(follower.owed, Some(Owed::Beyond));
        for follower in inner.followers.values_mut().filter(|follower| !beyond(follower)) {
            // A slice, or a question to the log, that is under way is of what was before.
            inner.generation += 1;
            follower.generation = inner.generation;
            (follower.position, follower.joined_at) = (0, state.seq);
            (follower.live, follower.from_log) = (false, false);
            follower.backlog.clear();
            // Who has yet to hear the end of an earlier life hears that first, and then is too far behind.
            if !matches!(follower.owed, Some(Owed::Farewell(_))) {
                follower.owed = Some(Owed::Snapshot(Some(reason.clone())));
            }
        }
        inner.state = Some(state);
        inner.snapshots.forget();
        inner.followers.keys().copied().collect()
    }

    /// What time alone changes: whether the reporters of an online pipeline are heard.
    pub(crate) fn set_liveness(&self, liveness: Liveness) {
        self.inner.lock().set_liveness(liveness);
    }

    /// Applies the next event and hands it to everybody at the head.
    pub(crate) fn apply(&self, record: Arc<Record>, now: Timestamp) -> Applied {
        let mut inner = self.inner.lock();
        let inner = &mut *inner;
        let mut applied = Applied::default();
        inner.farewell = None;
        let state = inner.state.get_or_insert_with(|| {
            let shared = record.event.shared();
            PipelineStatus::opening(
                shared.pipeline_id.clone(),
                shared.pipeline_type.clone(),
                shared.epoch.clone(),
                shared.timestamp,
                Limits::default(),
            )
        });
        apply(state, &record.event).iter().for_each(|anomaly| self.metrics.anomaly(anomaly.kind));
        inner.removed = matches!(record.event, Event::PipelineRemoved(_));
        inner.snapshots.forget();
        inner.ring.push(record.clone());

        let mut forms = Forms::new(&record);
        inner.followers.retain(|id, follower| {
            if !follower.live {
                return true;
            }
            let (payload, shared) = forms.get(follower.dialect, follower.audience, state, now);
            match follower.outlet.emit_shared(&record.name, payload, shared) {
                Sent::Buffered => {
                    follower.position = record.seq;
                    applied.delivered += 1;
                    true
                }
                Sent::Full => {
                    follower.live = false;
                    applied.paused.push(*id);
                    true
                }
                Sent::Gone => false,
            }
        });
        // Its last event brings nobody to it.
        applied.unlisted = inner.unlisted && !inner.removed;
        self.head.send_replace(record.seq);
        // Once for all of them, and not once for each.
        let (metrics, times) = (&self.metrics, applied.delivered);
        metrics.delivered(DeliveredEvent::of(&record.name), Way::Socket, times, record.size());
        metrics.paused.add((), applied.paused.len() as u64);
        applied
    }

    /// The last event of a life that ends without it, right after all that was applied; `None` where it was, or there is no life.
    pub(crate) fn untold_end(&self, make: impl FnOnce() -> NewRecord) -> Option<Arc<Record>> {
        let inner = self.inner.lock();
        let state = inner.state.as_ref().filter(|_| !inner.removed)?;
        let (id, kind, epoch) = (&state.pipeline_id, &state.pipeline_type, &state.epoch);
        match make().place(id, kind, epoch, state.seq + 1, None) {
            Ok(record) => Some(Arc::new(record)),
            Err(error) => {
                tracing::error!(%error, pipeline = %self.id, "its last event could not be made");
                None
            }
        }
    }

    /// The pipeline is forgotten: who follows it waits for its next life.
    pub(crate) fn forget(&self) {
        let mut inner = self.inner.lock();
        let inner = &mut *inner;
        inner.state = None;
        inner.removed = false;
        inner.unlisted = false;
        inner.farewell = inner.ring.last().cloned();
        inner.ring.clear();
        inner.snapshots.forget();
        let beyond = |follower: &&mut Follower| matches!(follower.owed, Some(Owed::Beyond));
        for follower in inner.followers.values_mut().filter(|follower| !beyond(follower)) {
            // A slice that is under way is of the old life.
            inner.generation += 1;
            follower.generation = inner.generation;
            (follower.position, follower.joined_at) = (0, 0);
            follower.from_log = false;
            follower.backlog.clear();
            if !follower.live {
                // The sweeper brings it the end of this life before anything of the next.
                follower.owed = inner.farewell.clone().map(Owed::Farewell);
            }
        }
        self.head.send_replace(0);
    }

    /// The last event of the life that was forgotten, until the next begins.
    pub(crate) fn farewell(&self) -> Option<Arc<Record>> {
        self.inner.lock().farewell.clone()
    }

    /// A new life begins, in a scope that these outlets follow: others stay only if they asked for this pipeline.
    pub(crate) fn keep(&self, following: &HashSet<u64>) {
        self.inner.lock().followers.retain(|id, follower| {
            let stays = follower.asked || following.contains(id);
            follower.leaving = !stays;
            stays || follower.owed.is_some()
        });
    }

    /// What there is after a cursor.
    pub(crate) fn read(&self, cursor: Option<&Cursor>, limit: usize) -> Read {
        let inner = self.inner.lock();
        let Some(state) = &inner.state else { return Read::Unknown };
        let whole = |reason| Read::State(Box::new(state.clone()), reason);
        let Some(cursor) = cursor else { return whole(None) };
        if cursor.epoch != state.epoch {
            return whole(Some(ResetReason::EpochChanged));
        }
        if cursor.seq > state.seq {
            return whole(Some(ResetReason::Ahead));
        }
        let epoch = state.epoch.clone();
        if cursor.seq == state.seq {
            return Read::Events { epoch, records: Vec::new(), up_to_date: true };
        }
        match inner.ring.after(cursor.seq, limit) {
            Some(records) => {
                let records: Vec<Arc<Record>> = records.cloned().collect();
                let up_to_date = records.last().is_some_and(|record| record.seq == state.seq);
                Read::Events { epoch, records, up_to_date }
            }
            None => Read::Older { epoch },
        }
    }

    /// Tells everybody at the head that the hub is there, and how far the sequence goes.
    pub(crate) fn heartbeat(&self, now: Timestamp, uptime: f64, memory: Option<u64>) {
        let mut inner = self.inner.lock();
        let inner = &mut *inner;
        let Some(state) = inner.state.as_ref().filter(|_| !inner.followers.is_empty()) else { return };
        let heartbeat = Heartbeat {
            pipeline_id: state.pipeline_id.clone(),
            pipeline_type: state.pipeline_type.clone(),
            epoch: state.epoch.clone(),
            seq: state.seq,
            timestamp: now,
            status: Alive,
            liveness: state.liveness,
            uptime,
            active_files: state.counts.processing,
            memory_usage: memory,
            extra: Object::new(),
        };
        let Ok(payload) = to_raw_value(&heartbeat) else { return };
        // A full buffer drops it: it only says what the next event or heartbeat will say too.
        let mut sent = 0;
        let shared = Shared::default();
        inner.followers.retain(|_, follower| {
            if !follower.live {
                return true;
            }
            let emitted = follower.outlet.emit_shared("heartbeat", &payload, &shared);
            sent += u64::from(emitted == Sent::Buffered);
            emitted != Sent::Gone
        });
        self.metrics.delivered(DeliveredEvent::of("heartbeat"), Way::Socket, sent, payload.get().len());
    }

    /// From now on an outlet sees so much; what it has got it has.
    pub(crate) fn set_audience(&self, outlet: u64, audience: Audience) {
        if let Some(follower) = self.inner.lock().followers.get_mut(&outlet) {
            follower.audience = audience;
        }
    }

    pub(crate) fn clear_outlets(&self) {
        self.inner.lock().followers.clear();
    }
}
