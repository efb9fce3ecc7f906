//! Following a room: joining at a cursor, and being continued from the ring when a buffer was full.
//!
//! Nothing here waits. What is decided is decided under the room's lock; slices of a replay are emitted outside it.

use std::sync::Arc;

use ragpulse_protocol::command::SubscribedPipeline;
use ragpulse_protocol::status::ResetReason;
use ragpulse_protocol::{Cursor, PipelineStatus, Timestamp};

use super::Room;
use crate::hub::outlet::{Dialect, Outlet, Sent};
use crate::hub::ring::Ring;
use crate::hub::snapshot::{SnapshotCache, with_current_status};
use crate::log::Record;

/// How many events are emitted between two looks at the room.
const SLICE: usize = 64;

/// A subscriber is a position in the ring.
pub(super) struct Follower {
    pub(super) outlet: Arc<dyn Outlet>,
    /// The last `seq` in its buffer.
    pub(super) position: u64,
    /// At the head, so that new events go to it at once.
    pub(super) live: bool,
    /// What it is to get before anything else.
    pub(super) owed: Option<Owed>,
    /// It asked for this pipeline, and not only for its type.
    pub(super) asked: bool,
    /// It goes once it has what it is owed: the pipeline came back as one of another type.
    pub(super) leaving: bool,
    /// Tells a later join of the same outlet, or a later life of the pipeline, from this one.
    pub(super) generation: u64,
}

#[derive(Debug)]
pub(super) enum Owed {
    /// The state, and why.
    Snapshot(Option<ResetReason>),
    /// The end of a life that it has not seen all of.
    Farewell(Arc<Record>),
}

/// What a join did.
#[derive(Debug)]
pub(crate) struct Join {
    pub(crate) answer: SubscribedPipeline,
    /// The follower is behind and has to be continued.
    pub(crate) paused: bool,
}

/// What continuing a follower did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Moved {
    pub(crate) to: Advance,
    /// How many messages went into its buffer.
    pub(crate) delivered: u64,
    /// It got a snapshot because the ring had gone on without it.
    pub(crate) lagged: bool,
}

/// Where continuing a follower brought it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Advance {
    /// It is at the head again.
    Live,
    /// It is still behind: its buffer is full, or the slice was not the last.
    Behind,
    /// It has left.
    Gone,
}

impl Advance {
    fn after(self, delivered: u64) -> Moved {
        Moved { to: self, delivered, lagged: false }
    }
}

impl Room {
    /// Joins a subscriber at its cursor, in place of an earlier join of the same outlet.
    ///
    /// `asked`: it asked for this pipeline, and not only for its type.
    pub(crate) fn join(
        &self,
        outlet: Arc<dyn Outlet>,
        asked: bool,
        cursor: Option<&Cursor>,
        now: Timestamp,
    ) -> Join {
        let mut inner = self.inner.lock();
        let inner = &mut *inner;
        inner.generation += 1;
        let earlier = inner.followers.remove(&outlet.id());
        let asked = asked || earlier.as_ref().is_some_and(|earlier| earlier.asked);
        let mut follower = Follower {
            position: 0,
            live: false,
            owed: None,
            asked,
            leaving: false,
            generation: inner.generation,
            outlet,
        };
        let mut answer =
            SubscribedPipeline { pipeline_id: self.id.clone(), recovered: false, replayed: 0, reason: None };
        match plan_join(inner.state.as_ref(), &inner.ring, cursor, self.replay_events) {
            Plan::Hold => {
                // What is in its buffer may be of a life of which it has yet to hear the end.
                follower.owed = earlier.and_then(|earlier| earlier.owed);
                follower.live = follower.owed.is_none();
                answer.recovered = cursor.is_none();
                answer.reason = cursor.is_some().then_some(ResetReason::UnknownPipeline);
            }
            Plan::Replay { from, events } => {
                follower.position = from;
                follower.live = events == 0;
                answer.recovered = true;
                answer.replayed = events;
            }
            Plan::Snapshot(reason) => {
                answer.reason.clone_from(&reason);
                follower.owed = Some(Owed::Snapshot(reason));
            }
        }
        let mut gone = false;
        if matches!(follower.owed, Some(Owed::Snapshot(_)))
            && let Some(state) = &inner.state
        {
            gone = give_snapshot(&mut follower, state, &mut inner.snapshots, now) == Sent::Gone;
        }
        let paused = !follower.live && !gone;
        if !gone {
            inner.followers.insert(follower.outlet.id(), follower);
        }
        Join { answer, paused }
    }

    /// Whether this outlet follows.
    pub(crate) fn has(&self, outlet: u64) -> bool {
        self.inner.lock().followers.contains_key(&outlet)
    }

    pub(crate) fn leave(&self, outlet: u64) -> bool {
        self.inner.lock().followers.remove(&outlet).is_some()
    }

    /// Continues a follower that is behind, from the ring, by at most one slice. The emits are outside the lock.
    pub(crate) fn advance(&self, outlet: u64, now: Timestamp) -> Moved {
        let (out, slice, generation, reference) = {
            let mut inner = self.inner.lock();
            let inner = &mut *inner;
            let Some(follower) = inner.followers.get_mut(&outlet) else { return Advance::Gone.after(0) };
            if follower.live {
                return Advance::Live.after(0);
            }
            if let Some(Owed::Farewell(record)) = &follower.owed {
                match follower.outlet.emit(&record.name, &record.payload) {
                    Sent::Buffered if !follower.leaving => {
                        follower.owed = None;
                        follower.live = inner.state.is_none();
                        let to = if follower.live { Advance::Live } else { Advance::Behind };
                        return to.after(1);
                    }
                    Sent::Full => return Advance::Behind.after(0),
                    Sent::Buffered | Sent::Gone => {
                        inner.followers.remove(&outlet);
                        return Advance::Gone.after(0);
                    }
                }
            }
            let Some(state) = &inner.state else {
                follower.live = true;
                return Advance::Live.after(0);
            };
            if follower.owed.is_none() && follower.position == state.seq {
                follower.live = true;
                return Advance::Live.after(0);
            }
            if follower.owed.is_none() && inner.ring.after(follower.position, 0).is_none() {
                follower.owed = Some(Owed::Snapshot(Some(ResetReason::Lagged)));
            }
            if let Some(Owed::Snapshot(reason)) = &follower.owed {
                let lagged = *reason == Some(ResetReason::Lagged);
                return match give_snapshot(follower, state, &mut inner.snapshots, now) {
                    Sent::Buffered => Moved { to: Advance::Live, delivered: 1, lagged },
                    Sent::Full => Advance::Behind.after(0),
                    Sent::Gone => {
                        inner.followers.remove(&outlet);
                        Advance::Gone.after(0)
                    }
                };
            }
            let slice: Vec<Arc<Record>> = inner
                .ring
                .after(follower.position, SLICE)
                .map(|records| records.cloned().collect())
                .unwrap_or_default();
            // The state of an earlier moment cannot be had, so an update that is late brings the present one.
            let updates = slice.iter().any(|record| &*record.name == "status:update");
            let reference =
                (follower.outlet.dialect() == Dialect::Reference && updates).then(|| state.clone());
            (follower.outlet.clone(), slice, follower.generation, reference)
        };
        let mut reached = None;
        let mut last = Sent::Buffered;
        let mut count = 0;
        for record in &slice {
            let current = reference.as_ref().map(|state| with_current_status(record, state, now));
            last = out.emit(&record.name, current.as_deref().unwrap_or(&record.payload));
            if last != Sent::Buffered {
                break;
            }
            count += 1;
            reached = Some(record.seq);
        }
        let mut inner = self.inner.lock();
        let inner = &mut *inner;
        let head = inner.state.as_ref().map_or(0, |state| state.seq);
        let Some(follower) = inner.followers.get_mut(&outlet) else { return Advance::Gone.after(count) };
        if follower.generation != generation || head == 0 {
            // Joined anew, or forgotten, while this slice was under way; what it sent is ignored by the apply rule.
            return Advance::Behind.after(count);
        }
        if last == Sent::Gone {
            inner.followers.remove(&outlet);
            return Advance::Gone.after(count);
        }
        follower.position = reached.unwrap_or(follower.position);
        follower.live = follower.position == head;
        (if follower.live { Advance::Live } else { Advance::Behind }).after(count)
    }
}

enum Plan {
    Hold,
    Replay { from: u64, events: u64 },
    Snapshot(Option<ResetReason>),
}

/// How to bring a subscriber from its cursor to the head.
fn plan_join(state: Option<&PipelineStatus>, ring: &Ring, cursor: Option<&Cursor>, budget: u64) -> Plan {
    let Some(state) = state else { return Plan::Hold };
    let Some(cursor) = cursor else { return Plan::Snapshot(None) };
    if cursor.epoch != state.epoch {
        return Plan::Snapshot(Some(ResetReason::EpochChanged));
    }
    match state.seq.checked_sub(cursor.seq) {
        None => Plan::Snapshot(Some(ResetReason::Ahead)),
        Some(0) => Plan::Replay { from: cursor.seq, events: 0 },
        Some(events) if events > budget => Plan::Snapshot(Some(ResetReason::Lagged)),
        Some(events) if ring.after(cursor.seq, 0).is_some() => Plan::Replay { from: cursor.seq, events },
        Some(_) => Plan::Snapshot(Some(ResetReason::Trimmed)),
    }
}

fn give_snapshot(
    follower: &mut Follower,
    state: &PipelineStatus,
    snapshots: &mut SnapshotCache,
    now: Timestamp,
) -> Sent {
    let reason = match &follower.owed {
        Some(Owed::Snapshot(reason)) => reason.clone(),
        _ => None,
    };
    let payload = snapshots.get(state, follower.outlet.dialect(), reason.as_ref(), now);
    let sent = follower.outlet.emit("pipeline:status", &payload);
    if sent == Sent::Buffered {
        follower.owed = None;
        follower.position = state.seq;
        follower.live = true;
    }
    sent
}
