//! What a hub sends to a subscriber, decoded: events, and the messages that are not part of a sequence.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::parts::Alive;
use crate::problem::Code;
use crate::{Cursor, Epoch, Event, Liveness, Object, PipelineId, PipelineStatus, PipelineType, Timestamp};

/// A sign of life of the hub for one pipeline. In order with the pipeline's events, so a client that has seen less
/// than `seq` has lost something.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS), ts(optional_fields))]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Heartbeat {
    /// The pipeline.
    pub pipeline_id: PipelineId,
    /// Its kind.
    pub pipeline_type: PipelineType,
    /// The life of the sequence in which `seq` counts.
    pub epoch: Epoch,
    /// The last sequence number that exists.
    pub seq: u64,
    /// The hub's time.
    pub timestamp: Timestamp,
    /// Always `alive`: it is the hub that speaks.
    pub status: Alive,
    /// Whether the pipeline's reporters are heard.
    pub liveness: Liveness,
    /// How long the hub has been running, in seconds.
    pub uptime: f64,
    /// How many files are being processed.
    pub active_files: u64,
    /// The hub's resident memory in bytes, where it can be told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_usage: Option<u64>,
    /// Fields that this version does not know.
    #[serde(flatten)]
    #[cfg_attr(feature = "ts", ts(skip))]
    pub extra: Object,
}

impl Heartbeat {
    /// The position it speaks of.
    pub fn cursor(&self) -> Cursor {
        Cursor { epoch: self.epoch.clone(), seq: self.seq }
    }
}

/// The hub has ended a subscription.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct SubscriptionEnded {
    /// The pipeline.
    pub pipeline_id: PipelineId,
    /// Why.
    pub code: Code,
}

/// The hub is about to close.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct HubClosing {
    /// How long to wait before coming back, in milliseconds. Add a random part: others wait too.
    pub retry_after_ms: u64,
}

/// Anything a hub sends to a subscriber.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum ServerMessage {
    /// `pipeline:status`.
    Snapshot(Box<PipelineStatus>),
    /// `heartbeat`.
    Heartbeat(Box<Heartbeat>),
    /// `subscription:ended`.
    SubscriptionEnded(SubscriptionEnded),
    /// `hub:closing`.
    HubClosing(HubClosing),
    /// Any other: an event of the pipeline's sequence.
    Event(Box<Event>),
}

impl ServerMessage {
    /// Decodes the message `name`. A name that is not known is taken for an event of a later version.
    ///
    /// # Errors
    /// When the payload is not what the contract says of that name.
    pub fn from_value(name: &str, payload: Value) -> Result<Self, serde_json::Error> {
        Ok(match name {
            "pipeline:status" => Self::Snapshot(serde_json::from_value(payload)?),
            "heartbeat" => Self::Heartbeat(serde_json::from_value(payload)?),
            "subscription:ended" => Self::SubscriptionEnded(serde_json::from_value(payload)?),
            "hub:closing" => Self::HubClosing(serde_json::from_value(payload)?),
            _ => Self::Event(Box::new(Event::from_value(name, payload)?)),
        })
    }

    /// As [`from_value`](Self::from_value), from text.
    ///
    /// # Errors
    /// When the text is not JSON, or the payload is not what the contract says of that name.
    pub fn decode(name: &str, payload: &str) -> Result<Self, serde_json::Error> {
        Self::from_value(name, serde_json::from_str(payload)?)
    }
}
