//! Following a room: joining at a cursor, and being continued from the ring, or from what was read from the log, when a
//! buffer was full.
//!
//! Nothing here waits. What is decided is decided under the room's lock; slices of a replay are emitted outside it. Where
//! the log has to be asked or read, the caller does it, and brings the answer.

use std::collections::VecDeque;
use std::sync::Arc;

use ragpulse_protocol::command::SubscribedPipeline;
use ragpulse_protocol::status::ResetReason;
use ragpulse_protocol::{Cursor, PipelineStatus, Timestamp};

use super::{Budget, Room, RoomInner};
use crate::auth::Audience;
use crate::hub::outlet::{Dialect, Outlet, Sent};
use crate::hub::ring::Ring;
use crate::hub::snapshot::{Snapshot, SnapshotCache, with_current_status};
use crate::log::{Extent, LogError, Page, Record};
use crate::metrics::table::{DeliveredEvent, Way};

/// How many events are emitted between two looks at the room.
const SLICE: usize = 64;
/// How many times its budget a replay may fall behind while it is under way: events go on while it is read.
const GROWTH: u64 = 2;

/// A subscriber is a position in the ring.
pub(super) struct Follower {
    pub(super) outlet: Arc<dyn Outlet>,
    /// As the outlet has it: it is looked at for each event.
    pub(super) dialect: Dialect,
    /// What its holder sees, as it was when it joined.
    pub(super) audience: Audience,
    /// The last `seq` in its buffer.
    pub(super) position: u64,
    /// At the head, so that new events go to it at once.
    pub(super) live: bool,
    /// What it is to get before anything else.
    pub(super) owed: Option<Owed>,
    /// It is brought from its cursor by the log where the ring does not reach so far back.
    pub(super) from_log: bool,
    /// What was read from the log for it, right after its position. At most what is read at once.
    pub(super) backlog: VecDeque<Arc<Record>>,
    /// It asked for this pipeline, and not only for its type or for all.
    pub(super) asked: bool,
    /// It goes once it has what it is owed: the pipeline came back as one that it does not follow.
    pub(super) leaving: bool,
    /// The end of the sequence when it joined: what comes after it comes as it happens, however late.
    pub(super) joined_at: u64,
    /// Tells a later join of the same outlet, or a later life of the pipeline, from this one.
    pub(super) generation: u64,
}

#[derive(Debug)]
pub(super) enum Owed {
    /// The state, and why.
    Snapshot(Option<ResetReason>),
    /// The end of a life that it has not seen all of.
    Farewell(Arc<Record>),
    /// Whether it is a replay or a snapshot, which the log is being asked.
    Verdict,
    /// Whether it is ahead, or this room behind, which the log is being asked.
    Beyond,
}

/// What a join did.
#[derive(Debug)]
pub(crate) struct Join {
    pub(crate) answer: SubscribedPipeline,
    /// The follower is behind and has to be continued.
    pub(crate) paused: bool,
    /// What the log has to be asked before the answer is known.
    pub(crate) question: Option<Question>,
}

/// Whether the log has what a subscriber missed: to be asked, and [settled](Room::settle).
#[derive(Debug, Clone)]
pub(crate) struct Question {
    pub(crate) cursor: Cursor,
    /// The end of the sequence at the moment of joining.
    pub(crate) last: u64,
    /// The cursor is beyond what this room knows. Where the log is, it is to be [joined again](Room::rejoin).
    pub(crate) beyond: bool,
    generation: u64,
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
    /// It is behind the ring: the log has to be read from this position.
    BehindRing,
    /// The log is being asked about it; whoever asks has it continued.
    Asking,
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
    /// `asked`: it asked for this pipeline, and not only for its type or for all.
    pub(crate) fn join(
        &self,
        outlet: Arc<dyn Outlet>,
        asked: bool,
        cursor: Option<&Cursor>,
        now: Timestamp,
    ) -> Join {
        self.enter(&mut self.inner.lock(), outlet, asked, cursor, false, now)
    }

    /// Joins a subscriber whose cursor is beyond what this room knows, and may yet be of what other hubs appended: it hears nothing until the log
    /// was asked.
    pub(crate) fn join_beyond(
        &self,
        outlet: Arc<dyn Outlet>,
        asked: bool,
        cursor: &Cursor,
        now: Timestamp,
    ) -> Join {
        self.enter(&mut self.inner.lock(), outlet, asked, Some(cursor), true, now)
    }

    /// The log was asked, and this room is where it is: joins who waited for that. `None` for who has left or joined anew since.
    pub(crate) fn rejoin(&self, outlet: u64, question: &Question, now: Timestamp) -> Option<Join> {
        let mut inner = self.inner.lock();
        inner.followers.get(&outlet).filter(|follower| follower.generation == question.generation)?;
        let follower = inner.followers.remove(&outlet).filter(|follower| !follower.leaving)?;
        let (outlet, asked) = (follower.outlet, follower.asked);
        Some(self.enter(&mut inner, outlet, asked, Some(&question.cursor), false, now))
    }

    /// Whether this question still has to be answered.
    pub(crate) fn waits(&self, outlet: u64, question: &Question) -> bool {
        let inner = self.inner.lock();
        inner.followers.get(&outlet).is_some_and(|follower| follower.generation == question.generation)
    }

    fn enter(
        &self,
        inner: &mut RoomInner,
        outlet: Arc<dyn Outlet>,
        asked: bool,
        cursor: Option<&Cursor>,
        beyond: bool,
        now: Timestamp,
    ) -> Join {
        inner.generation += 1;
        let earlier = inner.followers.remove(&outlet.id());
        let resync = earlier.is_some() && cursor.is_some();
        let asked = asked || earlier.as_ref().is_some_and(|earlier| earlier.asked);
        let mut follower = Follower {
            position: 0,
            live: false,
            owed: None,
            from_log: false,
            backlog: VecDeque::new(),
            asked,
            leaving: false,
            joined_at: inner.state.as_ref().map_or(0, |state| state.seq),
            generation: inner.generation,
            audience: outlet.audience(&self.id),
            dialect: outlet.dialect(),
            outlet,
        };
        let mut question = None;
        let mut answer =
            SubscribedPipeline { pipeline_id: self.id.clone(), recovered: false, replayed: 0, reason: None };
        // One whose last event was applied is gone, though the log has yet to say so.
        let state = inner.state.as_ref().filter(|_| !inner.removed);
        // Who has yet to hear the end of a life hears that first.
        let parting = earlier.as_ref().is_some_and(|earlier| matches!(earlier.owed, Some(Owed::Farewell(_))));
        let plan = match cursor {
            Some(cursor) if beyond && !parting => Plan::Beyond(cursor.clone()),
            _ => plan_join(state, &inner.ring, cursor, &self.budget),
        };
        match plan {
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
            Plan::Ask { cursor, last } => {
                follower.position = cursor.seq;
                follower.owed = Some(Owed::Verdict);
                question = Some(Question { cursor, last, beyond: false, generation: inner.generation });
            }
            Plan::Beyond(cursor) => {
                follower.position = cursor.seq;
                follower.owed = Some(Owed::Beyond);
                question = Some(Question { cursor, last: 0, beyond: true, generation: inner.generation });
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
            gone = self.give_snapshot(&mut follower, state, &mut inner.snapshots, now) == Sent::Gone;
        }
        let paused = !follower.live && !gone && question.is_none();
        self.metrics.resyncs.add((), u64::from(resync));
        if question.is_none() {
            self.metrics.resumed(answer.recovered, cursor.is_some(), answer.reason.as_ref());
        }
        if !gone {
            inner.followers.insert(follower.outlet.id(), follower);
        }
        Join { answer, paused, question }
    }

    /// Settles what the log was asked when a subscriber joined. It has to be continued after that.
    pub(crate) fn settle(
        &self,
        outlet: u64,
        question: &Question,
        extent: &Result<Extent, LogError>,
    ) -> SubscribedPipeline {
        let reason = match extent {
            Ok(Extent::Held { bytes }) if *bytes <= self.budget.bytes => None,
            Ok(Extent::Held { .. }) => Some(ResetReason::Lagged),
            Ok(Extent::EpochChanged) => Some(ResetReason::EpochChanged),
            // What cannot be read is not to be had.
            Ok(Extent::Trimmed | Extent::Unknown) | Err(_) => Some(ResetReason::Trimmed),
        };
        let mut inner = self.inner.lock();
        // Joined anew, or forgotten, since: then another answer holds.
        let follower = inner.followers.get_mut(&outlet);
        if let Some(follower) = follower.filter(|follower| follower.generation == question.generation) {
            follower.from_log = reason.is_none();
            follower.owed = reason.clone().map(|reason| Owed::Snapshot(Some(reason)));
        }
        let recovered = reason.is_none();
        self.metrics.resumed(recovered, true, reason.as_ref());
        let replayed = if recovered { question.last - question.cursor.seq } else { 0 };
        SubscribedPipeline { pipeline_id: self.id.clone(), recovered, replayed, reason }
    }

    /// From where the log has to be read for a follower that is behind the ring.
    pub(crate) fn wants(&self, outlet: u64) -> Option<Cursor> {
        let inner = self.inner.lock();
        let follower = inner.followers.get(&outlet)?;
        let wants = follower.owed.is_none() && follower.from_log && follower.backlog.is_empty();
        let epoch = inner.state.as_ref().filter(|_| wants)?.epoch.clone();
        Some(Cursor { epoch, seq: follower.position })
    }

    /// Brings a follower what was read from the log after `cursor`. It has to be continued after that.
    pub(crate) fn stock(&self, outlet: u64, cursor: &Cursor, page: Page) {
        let mut inner = self.inner.lock();
        let inner = &mut *inner;
        let Some(state) = inner.state.as_ref().filter(|state| state.epoch == cursor.epoch) else { return };
        let Some(follower) = inner.followers.get_mut(&outlet) else { return };
        if follower.owed.is_some() || !follower.from_log || follower.position != cursor.seq {
            return;
        }
        match page {
            // The log may be ahead of this room; what the room has not applied is not told yet.
            Page::Records(records) => {
                follower.backlog = records.into_iter().take_while(|record| record.seq <= state.seq).collect();
            }
            Page::Trimmed | Page::EpochChanged | Page::Unknown => {
                follower.owed = Some(Owed::Snapshot(Some(ResetReason::Trimmed)));
            }
        }
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
        let (out, slice, generation, audience, joined_at, reference) = {
            let mut inner = self.inner.lock();
            let inner = &mut *inner;
            let Some(follower) = inner.followers.get_mut(&outlet) else { return Advance::Gone.after(0) };
            if follower.live {
                return Advance::Live.after(0);
            }
            if let Some(Owed::Farewell(record)) = &follower.owed {
                match follower.outlet.emit(&record.name, &follower.audience.of(&record.payload)) {
                    Sent::Buffered if !follower.leaving => {
                        let name = DeliveredEvent::of(&record.name);
                        self.metrics.delivered(name, Way::Socket, 1, record.size());
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
            if matches!(follower.owed, Some(Owed::Beyond)) {
                return Advance::Asking.after(0);
            }
            let Some(state) = &inner.state else {
                follower.live = true;
                return Advance::Live.after(0);
            };
            if follower.owed.is_none() && follower.position == state.seq {
                follower.live = true;
                return Advance::Live.after(0);
            }
            if matches!(follower.owed, Some(Owed::Verdict)) {
                return Advance::Asking.after(0);
            }
            if follower.owed.is_none()
                && follower.backlog.is_empty()
                && inner.ring.after(follower.position, 0).is_none()
            {
                let behind = state.seq.saturating_sub(follower.position);
                if follower.from_log && behind <= self.budget.events.saturating_mul(GROWTH) {
                    return Advance::BehindRing.after(0);
                }
                follower.owed = Some(Owed::Snapshot(Some(ResetReason::Lagged)));
            }
            if let Some(Owed::Snapshot(reason)) = &follower.owed {
                let lagged = *reason == Some(ResetReason::Lagged);
                return match self.give_snapshot(follower, state, &mut inner.snapshots, now) {
                    Sent::Buffered => Moved { to: Advance::Live, delivered: 1, lagged },
                    Sent::Full => Advance::Behind.after(0),
                    Sent::Gone => {
                        inner.followers.remove(&outlet);
                        Advance::Gone.after(0)
                    }
                };
            }
            let slice: Vec<Arc<Record>> = if follower.backlog.is_empty() {
                let records = inner.ring.after(follower.position, SLICE);
                records.map(|records| records.cloned().collect()).unwrap_or_default()
            } else {
                follower.backlog.iter().take(SLICE).cloned().collect()
            };
            // The state of an earlier moment cannot be had, so an update that is late brings the present one.
            let updates = slice.iter().any(|record| &*record.name == "status:update");
            let reference = (follower.dialect == Dialect::Reference && updates).then(|| state.clone());
            let Follower { generation, audience, joined_at, .. } = *follower;
            (follower.outlet.clone(), slice, generation, audience, joined_at, reference)
        };
        let mut reached = None;
        let mut last = Sent::Buffered;
        let mut count = 0;
        for record in &slice {
            let current = reference.as_ref().map(|state| with_current_status(record, state, now));
            last = out.emit(&record.name, &audience.of(current.as_deref().unwrap_or(&record.payload)));
            if last != Sent::Buffered {
                break;
            }
            count += 1;
            reached = Some(record.seq);
            self.metrics.delivered(DeliveredEvent::of(&record.name), Way::Socket, 1, record.size());
            if record.seq > joined_at {
                self.metrics.took(Way::Socket, record, now, 1);
            }
            let (request_id, event) = (record.request_id.as_deref(), &*record.name);
            tracing::debug!(request_id, pipeline = %self.id, seq = record.seq, event, outlet, "continued");
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
        while follower.backlog.front().is_some_and(|record| record.seq <= follower.position) {
            follower.backlog.pop_front();
        }
        follower.live = follower.position == head;
        (if follower.live { Advance::Live } else { Advance::Behind }).after(count)
    }
}

enum Plan {
    Hold,
    Replay { from: u64, events: u64 },
    Ask { cursor: Cursor, last: u64 },
    Beyond(Cursor),
    Snapshot(Option<ResetReason>),
}

/// How to bring a subscriber from its cursor to the head.
fn plan_join(state: Option<&PipelineStatus>, ring: &Ring, cursor: Option<&Cursor>, budget: &Budget) -> Plan {
    let Some(state) = state else { return Plan::Hold };
    let Some(cursor) = cursor else { return Plan::Snapshot(None) };
    if cursor.epoch != state.epoch {
        return Plan::Snapshot(Some(ResetReason::EpochChanged));
    }
    match state.seq.checked_sub(cursor.seq) {
        None => Plan::Snapshot(Some(ResetReason::Ahead)),
        Some(0) => Plan::Replay { from: cursor.seq, events: 0 },
        Some(events) if events > budget.events => Plan::Snapshot(Some(ResetReason::Lagged)),
        Some(events) => match ring.bytes_after(cursor.seq) {
            Some(bytes) if bytes <= budget.bytes => Plan::Replay { from: cursor.seq, events },
            Some(_) => Plan::Snapshot(Some(ResetReason::Lagged)),
            None => Plan::Ask { cursor: cursor.clone(), last: state.seq },
        },
    }
}

impl Room {
    /// Puts the state into a follower's buffer.
    fn give_snapshot(
        &self,
        follower: &mut Follower,
        state: &PipelineStatus,
        snapshots: &mut SnapshotCache,
        now: Timestamp,
    ) -> Sent {
        let reason = match &follower.owed {
            Some(Owed::Snapshot(reason)) => reason.clone(),
            _ => None,
        };
        let (dialect, audience) = (follower.dialect, follower.audience);
        let snapshot = snapshots.get(state, dialect, audience, reason.as_ref(), now);
        let Snapshot { payload, shared } = &*snapshot;
        let sent = follower.outlet.emit_shared("pipeline:status", payload, shared);
        if sent == Sent::Buffered {
            let name = DeliveredEvent::of("pipeline:status");
            self.metrics.delivered(name, Way::Socket, 1, payload.get().len());
            follower.owed = None;
            follower.position = state.seq;
            follower.live = true;
        }
        sent
    }
}
