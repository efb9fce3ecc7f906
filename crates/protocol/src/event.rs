//! Events as a hub delivers them: the shared fields, their own, and whatever else came along in `extra`.
//!
//! The payload types are made from the [table](crate::contract).

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::contract::{Class, with_contract};
use crate::parts::{
    Change, ErrorInfo, Failure, FileRef, Offline, OfflineReason, Online, PreviousState, Results, SkipReason,
    Stage, Success, Unit,
};
use crate::{Cursor, Epoch, Object, PipelineId, PipelineType, Timestamp};

macro_rules! payload {
    (
        [$($doc:literal)*] $name:ident
        { $($(#[doc = $rdoc:literal])* $rf:ident : $rt:ty,)* }
        { $($(#[doc = $odoc:literal])* $of:ident : $ot:ty,)* }
    ) => {
        $(#[doc = $doc])*
        #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
        #[cfg_attr(feature = "ts", derive(ts_rs::TS), ts(optional_fields))]
        #[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
        #[non_exhaustive]
        pub struct $name {
            /// The pipeline.
            pub pipeline_id: PipelineId,
            /// Its kind.
            pub pipeline_type: PipelineType,
            /// The life of the sequence in which `seq` counts.
            pub epoch: Epoch,
            /// The place in the pipeline's sequence: 1, 2, 3 … without holes.
            pub seq: u64,
            /// When it happened, by the reporter's clock. Default: when the hub received it.
            pub timestamp: Timestamp,
            /// When the hub received it: the only clock used for liveness, retention and latency.
            pub received_at: Timestamp,
            $($(#[doc = $rdoc])* pub $rf: $rt,)*
            $(
                $(#[doc = $odoc])*
                #[serde(default, skip_serializing_if = "Option::is_none")]
                pub $of: Option<$ot>,
            )*
            /// Fields that this version does not know.
            #[serde(flatten)]
            #[cfg_attr(feature = "ts", ts(skip))]
            pub extra: Object,
        }
    };
}

macro_rules! define_events {
    (
        events { $(
            $(#[doc = $edoc:literal])* $ename:literal $event:ident / $report:ident, $class:ident {
                required { $($(#[doc = $rdoc:literal])* $rf:ident : $rt:ty as $rrt:ty,)* }
                hub_filled { $($(#[doc = $hdoc:literal])* $hf:ident : $ht:ty as $hrt:ty,)* }
                optional { $($(#[doc = $odoc:literal])* $of:ident : $ot:ty,)* }
                hub_only { $($(#[doc = $udoc:literal])* $uf:ident : $ut:ty,)* }
            }
        )* }
        hub_events { $(
            $(#[doc = $vdoc:literal])* $vname:literal $vevent:ident, $vclass:ident {
                hub_only { $($(#[doc = $vudoc:literal])* $vuf:ident : $vut:ty,)* }
            }
        )* }
        messages { $($messages:tt)* }
        commands { $($commands:tt)* }
    ) => {
        $(payload! {
            [$($edoc)*] $event
            { $($(#[doc = $rdoc])* $rf: $rt,)* $($(#[doc = $hdoc])* $hf: $ht,)* }
            { $($(#[doc = $odoc])* $of: $ot,)* $($(#[doc = $udoc])* $uf: $ut,)* }
        })*
        $(payload! {
            [$($vdoc)*] $vevent
            {}
            { $($(#[doc = $vudoc])* $vuf: $vut,)* }
        })*

        /// An event of a pipeline's sequence, as a hub delivers it.
        #[derive(Debug, Clone, PartialEq)]
        #[non_exhaustive]
        pub enum Event {
            $($(#[doc = $edoc])* $event($event),)*
            $($(#[doc = $vdoc])* $vevent($vevent),)*
            /// An event under `x:`, or of a later version: carried and counted, not understood.
            Other(OtherEvent),
        }

        impl Event {
            /// Decodes the payload of the event `name`. An unknown name gives [`Event::Other`].
            ///
            /// # Errors
            /// When the payload is not what the contract says of that name.
            pub fn decode(name: &str, payload: &str) -> Result<Self, serde_json::Error> {
                Ok(match name {
                    $($ename => Self::$event(serde_json::from_str(payload)?),)*
                    $($vname => Self::$vevent(serde_json::from_str(payload)?),)*
                    _ => Self::Other(OtherEvent { name: name.to_owned(), ..serde_json::from_str(payload)? }),
                })
            }

            /// As [`decode`](Self::decode), from a value.
            ///
            /// # Errors
            /// When the payload is not what the contract says of that name.
            pub fn from_value(name: &str, payload: Value) -> Result<Self, serde_json::Error> {
                Ok(match name {
                    $($ename => Self::$event(serde_json::from_value(payload)?),)*
                    $($vname => Self::$vevent(serde_json::from_value(payload)?),)*
                    _ => Self::Other(OtherEvent { name: name.to_owned(), ..serde_json::from_value(payload)? }),
                })
            }

            /// The payload as it stands on the wire.
            pub fn payload(&self) -> Value {
                let value = match self {
                    $(Self::$event(event) => serde_json::to_value(event),)*
                    $(Self::$vevent(event) => serde_json::to_value(event),)*
                    Self::Other(event) => serde_json::to_value(event),
                };
                // Every key is a string and every number finite, or it could not have been decoded.
                value.unwrap_or_default()
            }

            /// Its name on the wire.
            pub fn name(&self) -> &str {
                match self {
                    $(Self::$event(_) => $ename,)*
                    $(Self::$vevent(_) => $vname,)*
                    Self::Other(event) => &event.name,
                }
            }

            /// How it is treated on its way.
            pub fn class(&self) -> Class {
                match self {
                    $(Self::$event(_) => Class::$class,)*
                    $(Self::$vevent(_) => Class::$vclass,)*
                    Self::Other(_) => Class::MustArrive,
                }
            }

            /// The fields that every event has.
            pub fn shared(&self) -> Shared<'_> {
                match self {
                    $(Self::$event(e) => Shared {
                        pipeline_id: &e.pipeline_id, pipeline_type: &e.pipeline_type, epoch: &e.epoch,
                        seq: e.seq, timestamp: e.timestamp, received_at: e.received_at,
                    },)*
                    $(Self::$vevent(e) => Shared {
                        pipeline_id: &e.pipeline_id, pipeline_type: &e.pipeline_type, epoch: &e.epoch,
                        seq: e.seq, timestamp: e.timestamp, received_at: e.received_at,
                    },)*
                    Self::Other(e) => Shared {
                        pipeline_id: &e.pipeline_id, pipeline_type: &e.pipeline_type, epoch: &e.epoch,
                        seq: e.seq, timestamp: e.timestamp, received_at: e.received_at,
                    },
                }
            }
        }

        $(impl From<$event> for Event {
            fn from(event: $event) -> Self {
                Self::$event(event)
            }
        })*
    };
}
with_contract!(define_events);

impl Event {
    /// The file it is about, if it is about one.
    pub fn file(&self) -> Option<&FileRef> {
        match self {
            Self::FileQueued(event) => Some(&event.file),
            Self::FileProcessing(event) => Some(&event.file),
            Self::FileProgress(event) => Some(&event.file),
            Self::FileCompleted(event) => Some(&event.file),
            Self::FileFailed(event) => Some(&event.file),
            Self::FileSkipped(event) => Some(&event.file),
            Self::FileRetrying(event) => Some(&event.file),
            Self::FileCancelled(event) => Some(&event.file),
            Self::FileDeleted(event) => Some(&event.file),
            Self::PipelineOnline(_)
            | Self::PipelineOffline(_)
            | Self::PipelineRemoved(_)
            | Self::StatusUpdate(_)
            | Self::Other(_) => None,
        }
    }
}

/// An event that is carried and counted without being understood: under `x:`, or of a later version.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct OtherEvent {
    /// Its name on the wire; not part of the payload.
    #[serde(skip)]
    pub name: String,
    /// The pipeline.
    pub pipeline_id: PipelineId,
    /// Its kind.
    pub pipeline_type: PipelineType,
    /// The life of the sequence in which `seq` counts.
    pub epoch: Epoch,
    /// The place in the pipeline's sequence: 1, 2, 3 … without holes.
    pub seq: u64,
    /// When it happened, by the reporter's clock. Default: when the hub received it.
    pub timestamp: Timestamp,
    /// When the hub received it: the only clock used for liveness, retention and latency.
    pub received_at: Timestamp,
    /// Its own fields.
    #[serde(flatten)]
    #[cfg_attr(feature = "ts", ts(skip))]
    pub extra: Object,
}

/// The fields that every event has, borrowed from one.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Shared<'a> {
    /// The pipeline.
    pub pipeline_id: &'a PipelineId,
    /// Its kind.
    pub pipeline_type: &'a PipelineType,
    /// The life of the sequence in which `seq` counts.
    pub epoch: &'a Epoch,
    /// The place in the sequence.
    pub seq: u64,
    /// When it happened, by the reporter's clock.
    pub timestamp: Timestamp,
    /// When the hub received it.
    pub received_at: Timestamp,
}

impl Shared<'_> {
    /// The position right after this event.
    pub fn cursor(&self) -> Cursor {
        Cursor { epoch: self.epoch.clone(), seq: self.seq }
    }
}
