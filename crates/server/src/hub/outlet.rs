//! Where a room's events go: one socket in one namespace, seen only as something that takes messages until it is full.

use std::sync::OnceLock;

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

/// What is made once of a message for all it goes to: name and payload as the one array that is sent.
#[derive(Debug, Default)]
pub(crate) struct Shared(OnceLock<Box<RawValue>>);

impl Shared {
    /// The array of this message; always to be asked with the same one.
    pub(crate) fn array(&self, event: &str, payload: &RawValue) -> &RawValue {
        self.0.get_or_init(|| {
            let name = serde_json::to_string(event).unwrap_or_default();
            // It is made of two valid texts.
            RawValue::from_string(format!("[{name},{}]", payload.get()))
                .unwrap_or_else(|_| RawValue::NULL.to_owned())
        })
    }
}
