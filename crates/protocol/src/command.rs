//! What clients ask of a hub over Socket.IO, and the acknowledgements.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::problem::ErrorReply;
use crate::status::ResetReason;
use crate::{Cursor, Epoch, Object, PipelineId, PipelineType, ReportedEvent, ReporterId, Timestamp};

/// Something about the program that subscribes, for the hub's log.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS), ts(optional_fields))]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ClientInfo {
    /// What it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_agent: Option<String>,
    /// Its time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timestamp: Option<String>,
    /// The version of the protocol it speaks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub protocol: Option<u32>,
    /// Fields that this version does not know.
    #[serde(flatten)]
    #[cfg_attr(feature = "ts", ts(skip))]
    pub extra: Object,
}

/// `subscribe`: which pipelines, and from where. Name one, several, all of a type, or all.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS), ts(optional_fields))]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct SubscribeRequest {
    /// One pipeline.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pipeline_id: Option<PipelineId>,
    /// Several pipelines. An id not known yet is held: its events come from the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pipeline_ids: Option<Vec<PipelineId>>,
    /// All pipelines of a type, later ones too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pipeline_type: Option<PipelineType>,
    /// All pipelines that may be seen, later ones too. Only in `/`: a reference namespace is of one type.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub all: Option<bool>,
    /// From where to resume, by pipeline id. Without one a snapshot comes first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursors: Option<BTreeMap<PipelineId, Cursor>>,
    /// About the program that subscribes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_info: Option<ClientInfo>,
}

/// What became of one pipeline of a `subscribe`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS), ts(optional_fields))]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct SubscribedPipeline {
    /// The pipeline.
    pub pipeline_id: PipelineId,
    /// Whether the sequence goes on from the cursor without a snapshot.
    pub recovered: bool,
    /// How many events are replayed.
    pub replayed: u64,
    /// Why a snapshot comes in place of a replay. `unknown_pipeline`: drop the state; events come from `seq` 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<ResetReason>,
}

/// The good answer to `subscribe`. The state itself comes by events, before or after this.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct SubscribeAck {
    /// Each pipeline subscribed to.
    pub pipelines: Vec<SubscribedPipeline>,
}

/// `unsubscribe`: which subscriptions to end. Without any field: all.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS), ts(optional_fields))]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct UnsubscribeRequest {
    /// One pipeline.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pipeline_id: Option<PipelineId>,
    /// Several pipelines.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pipeline_ids: Option<Vec<PipelineId>>,
    /// All pipelines of a type, later ones too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pipeline_type: Option<PipelineType>,
    /// All pipelines there are, and those to come that `all` would bring. Held ids stay, and types for what comes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub all: Option<bool>,
    /// About the program that subscribes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_info: Option<ClientInfo>,
}

/// The good answer to `unsubscribe`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct UnsubscribeAck {
    /// The pipelines that are no longer subscribed to.
    pub pipelines: Vec<PipelineId>,
}

/// `ping`: the client's time in milliseconds since 1970; any number will do.
pub type PingRequest = f64;
/// The answer to `ping`: the hub's time in milliseconds since 1970.
pub type PingReply = u64;

crate::macros::open_enum! {
    /// What the person before a client is doing.
    pub enum Activity {
        /// Looking at it.
        Active = "active",
        /// Away.
        Idle = "idle",
        /// The page is hidden.
        Background = "background",
    }
}

/// `client:status`: how a client fares. The first three fields are the reference's. A client that polls, which has no
/// socket, sends the same as ASCII JSON of at most 1,024 bytes in the header `RagPulse-Client-Status` of
/// `GET /api/pipelines/{id}/events`; what cannot be read there is ignored. The hub counts times of 0 to a day.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS), ts(optional_fields))]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ClientStatus {
    /// A stable name that the client gave itself.
    pub client_id: String,
    /// What its person is doing.
    pub status: Activity,
    /// The client's time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timestamp: Option<String>,
    /// By what it is connected: `websocket` or `polling`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transport: Option<String>,
    /// Its last round trip in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latency_ms: Option<f64>,
    /// Why it fell back to polling; named once for each fallback. Its first word is counted: `chosen`, `advised`, `failed`,
    /// `offline`, `refused`, `rejected`, `silence`, `hub_closing`, or else as other.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fallback_cause: Option<String>,
    /// For how long it polled, in milliseconds; told once, when the fallback is over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fallback_dwell_ms: Option<f64>,
    /// How long an event took from its report until it was painted, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paint_latency_ms: Option<f64>,
    /// Fields that this version does not know.
    #[serde(flatten)]
    #[cfg_attr(feature = "ts", ts(skip))]
    pub extra: Object,
}

/// `auth:refresh`: a token to replace the one this connection came with.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct AuthRefresh {
    /// The new token.
    pub token: String,
}

/// The good answer to commands that have nothing to say.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS), ts(optional_fields))]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Done {
    /// When the connection's token expires, where it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
}

/// `publish`, in namespace `/ingest`: events of one pipeline, in order. All are taken, or none.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS), ts(optional_fields))]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct PublishRequest {
    /// The pipeline.
    pub pipeline_id: PipelineId,
    /// Who reports, where a pipeline has several reporters. Default: one anonymous reporter.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reporter_id: Option<ReporterId>,
    /// The events.
    pub events: Vec<ReportedEvent>,
}

/// The good answer to `publish`. The first three add up to what was sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct PublishReceipt {
    /// How many are in the log.
    pub accepted: u64,
    /// How many had been taken before, by their `event_id`.
    pub duplicates: u64,
    /// How many are not in the log by design: progress held back or superseded, heartbeats, and a `pipeline:offline`
    /// while other reporters stay.
    pub conflated: u64,
    /// The epoch in which `seq` counts.
    pub epoch: Epoch,
    /// The end of the sequence after this batch.
    pub seq: u64,
}

macro_rules! replies {
    ($($(#[doc = $doc:literal])* $name:ident($ok:ty);)*) => {$(
        $(#[doc = $doc])*
        #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
        #[cfg_attr(feature = "ts", derive(ts_rs::TS))]
        #[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
        #[serde(untagged)]
        pub enum $name {
            /// Nothing was done.
            Error(ErrorReply),
            /// It was done.
            Ok($ok),
        }

        impl $name {
            /// The answer as a result.
            ///
            /// # Errors
            /// When the hub refused.
            pub fn into_result(self) -> Result<$ok, crate::problem::CommandError> {
                match self {
                    Self::Ok(ok) => Ok(ok),
                    Self::Error(reply) => Err(reply.error),
                }
            }
        }

        impl From<Result<$ok, crate::Problem>> for $name {
            fn from(result: Result<$ok, crate::Problem>) -> Self {
                match result {
                    Ok(ok) => Self::Ok(ok),
                    Err(problem) => Self::Error(problem.into_reply()),
                }
            }
        }
    )*};
}

replies! {
    /// The acknowledgement of `subscribe`.
    SubscribeReply(SubscribeAck);
    /// The acknowledgement of `unsubscribe`.
    UnsubscribeReply(UnsubscribeAck);
    /// The acknowledgement of `client:status`.
    ClientStatusReply(Done);
    /// The acknowledgement of `auth:refresh`.
    AuthRefreshReply(Done);
    /// The acknowledgement of `publish`.
    PublishReply(PublishReceipt);
}
