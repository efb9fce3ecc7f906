//! Where a room's events go: one socket in one namespace, seen only as something that takes messages until it is full.

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
}
