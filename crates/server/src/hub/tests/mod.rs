//! Rooms, rings and the sweeper with ways out that can be filled and drained at will.

mod group;
mod model;
mod ring;
mod room;
mod shuttle;
mod storm;

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;
use ragpulse_protocol::{Epoch, PipelineId, PipelineType, ServerMessage, Timestamp};
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::outlet::{Dialect, Outlet, Sent};
use super::room::{Advance, Room};
use crate::config::HubLimits;
use crate::log::{NewRecord, Record};
use crate::metrics::Metrics;

pub(super) const NOW: i64 = 1_000_000;

pub(super) fn now() -> Timestamp {
    Timestamp::from_millis(NOW)
}

pub(super) fn id(name: &str) -> PipelineId {
    PipelineId::new(name).unwrap()
}

/// What runs once, in the middle of an emit.
type Hook = Box<dyn FnOnce() + Send>;

/// A socket with room for some messages, which the test takes out.
pub(super) struct Fake {
    id: u64,
    dialect: Dialect,
    room_for: usize,
    buffer: Mutex<VecDeque<(String, String)>>,
    gone: AtomicBool,
    hook: Mutex<Option<Hook>>,
}

impl Fake {
    pub(super) fn new(id: u64, room_for: usize) -> Arc<Self> {
        Self::speaking(id, room_for, Dialect::Native)
    }

    pub(super) fn speaking(id: u64, room_for: usize, dialect: Dialect) -> Arc<Self> {
        Arc::new(Self {
            id,
            dialect,
            room_for,
            buffer: Mutex::default(),
            gone: AtomicBool::new(false),
            hook: Mutex::default(),
        })
    }

    pub(super) fn leave(&self) {
        self.gone.store(true, Ordering::SeqCst);
    }

    /// Has something happen in the middle of the next emit. Only while no lock is held: in a slice.
    pub(super) fn during_next_emit(&self, hook: impl FnOnce() + Send + 'static) {
        *self.hook.lock() = Some(Box::new(hook));
    }

    pub(super) fn drain(&self, most: usize) -> Vec<ServerMessage> {
        let mut buffer = self.buffer.lock();
        let count = most.min(buffer.len());
        buffer.drain(..count).map(|(name, text)| ServerMessage::decode(&name, &text).unwrap()).collect()
    }

    /// What came, in short: `3` for an event, `@3 reason` for a snapshot, `~3` for a heartbeat.
    pub(super) fn heard(&self) -> Vec<String> {
        self.drain(usize::MAX).iter().map(short).collect()
    }
}

pub(super) fn short(message: &ServerMessage) -> String {
    match message {
        ServerMessage::Event(event) => event.shared().seq.to_string(),
        ServerMessage::Snapshot(state) => match &state.reason {
            Some(reason) => format!("@{} {reason}", state.seq),
            None => format!("@{}", state.seq),
        },
        ServerMessage::Heartbeat(heartbeat) => format!("~{}", heartbeat.seq),
        other => format!("{other:?}"),
    }
}

impl Outlet for Fake {
    fn id(&self) -> u64 {
        self.id
    }

    fn dialect(&self) -> Dialect {
        self.dialect
    }

    fn audience(&self, _: &PipelineId) -> crate::auth::Audience {
        crate::auth::Audience::Full
    }
    fn may_view(&self, _: &PipelineId) -> bool {
        true
    }

    fn emit(&self, event: &str, payload: &RawValue) -> Sent {
        if self.gone.load(Ordering::SeqCst) {
            return Sent::Gone;
        }
        let hook = self.hook.lock().take();
        if let Some(hook) = hook {
            hook();
        }
        let mut buffer = self.buffer.lock();
        if buffer.len() >= self.room_for {
            return Sent::Full;
        }
        buffer.push_back((event.to_owned(), payload.get().to_owned()));
        Sent::Buffered
    }
}

/// A room with a small ring.
pub(super) fn room(ring_events: usize, replay_events: u64) -> Arc<Room> {
    let limits = HubLimits { ring_events, replay_events, ..HubLimits::default() };
    Arc::new(Room::new(id("p"), &limits, &Arc::new(Metrics::new(1))))
}

/// An event in its place.
pub(super) fn placed(epoch: &str, seq: u64, name: &str, fields: &Value) -> Arc<Record> {
    let record = NewRecord {
        name: Arc::from(name),
        event_id: None,
        reporter: None,
        timestamp: now(),
        received_at: now(),
        file_id: None,
        body: fields.to_string(),
        request_id: None,
    };
    let kind = PipelineType::new("local_files").unwrap();
    let epoch = Epoch::new(epoch).unwrap();
    Arc::new(record.place(&id("p"), &kind, &epoch, seq, None).unwrap())
}

/// The event that a test means where it does not matter which.
pub(super) fn event(epoch: &str, seq: u64) -> Arc<Record> {
    if seq == 1 {
        return placed(epoch, 1, "pipeline:online", &json!({ "status": "online", "started_at": now() }));
    }
    let file = format!("f{}", seq / 2);
    let fields =
        json!({ "file": { "id": file, "name": file }, "change": "created", "results": {}, "success": true });
    placed(epoch, seq, if seq.is_multiple_of(2) { "file:queued" } else { "file:completed" }, &fields)
}

/// Appends events up to and with `last`; what paused is not continued.
pub(super) fn append(room: &Room, epoch: &str, last: u64) {
    let first = room.with_state(|state| state.seq).unwrap_or(0) + 1;
    for seq in first..=last {
        room.apply(event(epoch, seq), now());
    }
}

/// Continues a follower until it is at the head, or its buffer is full.
pub(super) fn settle(room: &Room, outlet: u64) -> Advance {
    loop {
        let moved = room.advance(outlet, now());
        if moved.to != Advance::Behind || moved.delivered == 0 {
            return moved.to;
        }
    }
}

/// Continues and reads a follower until it is at the head; gives all that it heard.
pub(super) fn read_all(room: &Room, outlet: &Fake) -> Vec<String> {
    let mut heard = Vec::new();
    for _ in 0..100 {
        let to = settle(room, outlet.id());
        heard.extend(outlet.heard());
        if to != Advance::Behind {
            return heard;
        }
    }
    panic!("it never comes to the head: {heard:?}");
}
