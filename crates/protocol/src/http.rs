//! The answers of a hub over HTTP.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::reference::{ReferenceFile, ReferenceStatus};
use crate::status::ResetReason;
use crate::{Epoch, FileStatus, PipelineId, PipelineStatus, PipelineType, Timestamp};

/// One event of a page: its name and its payload.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct NamedEvent {
    /// The event's name.
    pub event: String,
    /// Its payload, as over Socket.IO.
    #[cfg_attr(feature = "ts", ts(type = "Record<string, unknown>"))]
    pub data: Value,
}

/// `GET /api/pipelines/{id}/events`: what came after a cursor.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(untagged)]
pub enum EventsAnswer {
    /// A state in place of events: there was no cursor, or its history is gone.
    Snapshot(SnapshotAnswer),
    /// The events after the cursor, none when nothing came while the answer was held.
    Events(EventsPage),
}

/// Events after a cursor.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct EventsPage {
    /// The epoch in which `seq` counts; `null` while the pipeline is not known.
    pub epoch: Option<Epoch>,
    /// The position after the last event of this page: ask again from it.
    pub seq: u64,
    /// Whether this page reaches the end of the sequence.
    pub up_to_date: bool,
    /// The events in order.
    pub events: Vec<NamedEvent>,
    /// `unknown_pipeline`: drop the state that the cursor stands for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "ts", ts(optional))]
    pub reason: Option<ResetReason>,
}

/// A state in place of events.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct SnapshotAnswer {
    /// The epoch in which `seq` counts.
    pub epoch: Epoch,
    /// The position of the state: ask again from it.
    pub seq: u64,
    /// The state.
    pub snapshot: Box<PipelineStatus>,
    /// Why; absent when there was no cursor.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "ts", ts(optional))]
    pub reason: Option<ResetReason>,
}

/// `GET /api/pipelines/{id}/files`: a page of a pipeline's files, in order of `seq`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct FilesPage {
    /// The files.
    pub files: Vec<FileStatus>,
    /// What to give as `after` for the next page; absent on the last one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "ts", ts(optional))]
    pub next_after: Option<u64>,
}

/// `GET /api/pipelines/{id}/history`: a page of what happened in a pipeline, in order of `seq`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct HistoryPage {
    /// The events that were asked for; those of earlier epochs too.
    pub events: Vec<NamedEvent>,
    /// What to give as `after` for the next page; absent on the last one. A page may be short, or empty, before it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "ts", ts(optional))]
    pub next_after: Option<u64>,
}

crate::macros::closed_enum! {
    /// Whether something is there.
    pub enum Presence {
        /// It is.
        Online = "online",
        /// It is not.
        Offline = "offline",
    }
}

/// One pipeline in [`RagStatus`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct RagPipeline {
    /// The pipeline.
    pub pipeline_id: PipelineId,
    /// Its kind.
    pub pipeline_type: PipelineType,
    /// `online` or `offline`.
    pub server_status: Presence,
    /// When it was last heard.
    pub last_heartbeat: Timestamp,
    /// The reference's status dict.
    pub status_details: ReferenceStatus,
    /// Whether it is online and was heard within its lease.
    pub is_active: bool,
}

/// `GET /api/rag-status`: what the reference's frontends poll.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS), ts(optional_fields))]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct RagStatus {
    /// `online` when any pipeline is active.
    pub status: Presence,
    /// Every pipeline, or the one asked for.
    pub pipelines: Vec<RagPipeline>,
    /// The hub's time.
    #[serde(rename = "serverTime")]
    pub server_time: Timestamp,
    /// What to know when there is no pipeline.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// The dict of the first active pipeline.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status_details: Option<ReferenceStatus>,
    /// When the first active pipeline was last heard of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_activity: Option<Timestamp>,
    /// What the first active pipeline is processing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub files_processing: Option<Vec<ReferenceFile>>,
    /// What the first active pipeline completed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub files_completed: Option<Vec<ReferenceFile>>,
    /// What failed in the first active pipeline.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub files_failed: Option<Vec<ReferenceFile>>,
    /// Whether Socket.IO can be had here: true.
    pub websocket_available: bool,
    /// Where, when not at this address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub websocket_url: Option<String>,
    /// The namespaces of subscribers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub websocket_namespaces: Option<Vec<String>>,
    /// Whether clients are told to poll.
    pub fallback_mode: bool,
}

crate::macros::closed_enum! {
    /// By what clients are told to follow a hub.
    pub enum TransportFlag {
        /// By socket, falling back to polling.
        Auto = "auto",
        /// By socket only.
        Websocket = "websocket",
        /// By polling only.
        Polling = "polling",
    }
}

crate::macros::closed_enum! {
    /// How a hub fares.
    pub enum Health {
        /// Well.
        Healthy = "healthy",
        /// It serves state, but takes no events.
        Degraded = "degraded",
        /// Not at all.
        Unavailable = "unavailable",
    }
}

/// What a hub can do, in the reference's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Features {
    /// Events arrive as they happen.
    pub realtime_updates: bool,
    /// Files tell their progress.
    pub file_progress: bool,
    /// A connection that was lost is resumed.
    pub auto_reconnect: bool,
    /// Where there is no socket, polling has the same events.
    pub fallback_polling: bool,
}

/// `GET /api/socket/info`: how to follow this hub.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS), ts(optional_fields))]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct SocketInfo {
    /// Whether Socket.IO can be had here.
    pub available: bool,
    /// Where, when not at this address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// The namespaces of subscribers.
    pub namespaces: Vec<String>,
    /// The transports of Socket.IO.
    pub transports: Vec<String>,
    /// The version of the hub.
    pub version: String,
    /// The version of the protocol.
    pub protocol: u32,
    /// How the hub fares.
    pub health: Health,
    /// The hub's own latency from a report to its delivery in milliseconds, where it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latency: Option<f64>,
    /// What the hub can do.
    pub features: Features,
    /// When this was said.
    pub last_checked: Timestamp,
    /// By what clients shall follow this hub.
    pub transport: TransportFlag,
    /// How many of a hundred clients, by a stable hash of their id, shall use the socket.
    pub rollout_percentage: u8,
    /// How long a client that lost its connection shall wait before it comes back, in milliseconds.
    pub retry_after_ms: u64,
}

/// `POST /api/socket/test`: whether this hub takes connections.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct SocketTest {
    /// It does.
    pub success: bool,
    /// How many are open.
    pub connections: u64,
    /// The hub's time.
    pub timestamp: Timestamp,
}
