//! Where a room's events go: one socket in one namespace, seen only as something that takes messages until it is full.

use std::sync::OnceLock;

use bytes::Bytes;
use parking_lot::Mutex;

use ragpulse_protocol::PipelineId;
use serde_json::value::RawValue;

use crate::auth::Audience;

/// What became of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sent {
    /// It is in the buffer of its socket.
    Buffered,
    /// The buffer is full; nothing was done.
    Full,
    /// The socket is gone.
    Gone,
}

/// Which shapes a subscriber expects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dialect {
    /// RagPulse's own.
    Native,
    /// Those of the reference application: lists beside the snapshot, `current_status` in updates.
    Reference,
}

/// One subscriber's way out.
pub(crate) trait Outlet: Send + Sync + 'static {
    /// Identifies it among all outlets of the hub.
    fn id(&self) -> u64;
    /// Which shapes it expects.
    fn dialect(&self) -> Dialect;
    /// Whether its holder may see a pipeline, whether or not it exists.
    fn may_view(&self, pipeline: &PipelineId) -> bool;
    /// What its holder sees of a pipeline. Asked when it joins, not for each message.
    fn audience(&self, pipeline: &PipelineId) -> Audience;
    /// Puts a message into its buffer. Never waits.
    fn emit(&self, event: &str, payload: &RawValue) -> Sent;
    /// As [`emit`](Self::emit), for a message that goes to many: what of making it ready is the same for all is done once.
    fn emit_shared(&self, event: &str, payload: &RawValue, _shared: &Shared) -> Sent {
        self.emit(event, payload)
    }
}

/// What is made once of a message for all it goes to. Always to be asked with the same message.
#[derive(Debug, Default)]
pub(crate) struct Shared {
    array: OnceLock<Box<RawValue>>,
    /// As it goes to the namespace that most are in.
    root: OnceLock<Bytes>,
    /// As it goes to others, of which there are a few.
    others: Mutex<Vec<(Box<str>, Bytes)>>,
}

impl Shared {
    /// Name and payload as the one array that is sent.
    pub(crate) fn array(&self, event: &str, payload: &RawValue) -> &RawValue {
        self.array.get_or_init(|| {
            let name = serde_json::to_string(event).unwrap_or_default();
            // It is made of two valid texts.
            RawValue::from_string(format!("[{name},{}]", payload.get()))
                .unwrap_or_else(|_| RawValue::NULL.to_owned())
        })
    }

    /// The bytes that go to a namespace.
    pub(crate) fn bytes(&self, namespace: &str, make: impl FnOnce() -> Bytes) -> Bytes {
        if namespace == "/" {
            return self.root.get_or_init(make).clone();
        }
        let mut others = self.others.lock();
        if let Some((_, bytes)) = others.iter().find(|(name, _)| **name == *namespace) {
            return bytes.clone();
        }
        let bytes = make();
        others.push((namespace.into(), bytes.clone()));
        bytes
    }
}
