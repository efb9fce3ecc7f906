//! Events as a reporter sends them: a name, an id that makes a resend harmless, and the event's own fields.
//!
//! The payload types are made from the [table](crate::contract). What the hub fills in is optional here.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::contract::{Class, class_of, with_contract};
use crate::parts::{
    Change, ErrorReport, Failure, FileReport, Offline, OfflineReason, Online, Results, SkipReason, Stage,
    Success, Unit,
};
use crate::{Object, Timestamp};

/// The name under which a reporter renews its lease without saying anything else. It is not logged.
pub const HEARTBEAT: &str = "heartbeat";

/// One event as a reporter sends it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS), ts(optional_fields))]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct ReportedEvent {
    /// The event's name: one of the table, any under `x:`, or `heartbeat`.
    pub event: String,
    /// Makes a resend harmless: a hub takes an id once. At most 128 characters; unique within the pipeline.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event_id: Option<String>,
    /// When it happened, with an offset. Default: when the hub receives it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timestamp: Option<Timestamp>,
    /// The event's own fields.
    #[serde(default, skip_serializing_if = "Object::is_empty")]
    #[cfg_attr(feature = "ts", ts(optional, as = "Option<Object>"))]
    pub data: Object,
}

impl ReportedEvent {
    /// A sign of life that renews the reporter's lease and is not logged.
    pub fn heartbeat() -> Self {
        Self { event: HEARTBEAT.to_owned(), event_id: None, timestamp: None, data: Object::new() }
    }

    /// How the event is treated on its way.
    pub fn class(&self) -> Class {
        if self.event == HEARTBEAT { Class::Ephemeral } else { class_of(&self.event) }
    }
}

macro_rules! define_reports {
    (
        events { $(
            $(#[doc = $edoc:literal])* $ename:literal $event:ident / $report:ident, $class:ident {
                required { $($(#[doc = $rdoc:literal])* $rf:ident : $rt:ty as $rrt:ty,)* }
                hub_filled { $($(#[doc = $hdoc:literal])* $hf:ident : $ht:ty as $hrt:ty,)* }
                optional { $($(#[doc = $odoc:literal])* $of:ident : $ot:ty,)* }
                hub_only { $($(#[doc = $udoc:literal])* $uf:ident : $ut:ty,)* }
            }
        )* }
        hub_events { $($hub_events:tt)* }
        messages { $($messages:tt)* }
        commands { $($commands:tt)* }
    ) => {
        $(
            $(#[doc = $edoc])*
            #[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
            #[cfg_attr(feature = "ts", derive(ts_rs::TS), ts(optional_fields))]
            #[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
            pub struct $report {
                $($(#[doc = $rdoc])* pub $rf: $rrt,)*
                $(
                    $(#[doc = $hdoc])*
                    #[serde(default, skip_serializing_if = "Option::is_none")]
                    pub $hf: Option<$hrt>,
                )*
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
        )*

        /// What a reporter may report, typed.
        #[derive(Debug, Clone, PartialEq)]
        #[non_exhaustive]
        pub enum Report {
            $($(#[doc = $edoc])* $event($report),)*
            /// An event under `x:`.
            Custom {
                /// Its name, with the prefix.
                name: String,
                /// Its fields.
                data: Object,
            },
        }

        impl Report {
            /// The names a reporter may use, beside those under `x:`.
            pub const NAMES: &'static [&'static str] = &[$($ename),*];

            /// Its name on the wire.
            pub fn name(&self) -> &str {
                match self {
                    $(Self::$event(_) => $ename,)*
                    Self::Custom { name, .. } => name,
                }
            }

            /// Its own fields as they stand on the wire.
            pub fn data(&self) -> Object {
                let value = match self {
                    $(Self::$event(report) => serde_json::to_value(report),)*
                    Self::Custom { data, .. } => return data.clone(),
                };
                match value {
                    Ok(Value::Object(object)) => object,
                    // A struct with named fields always makes an object.
                    _ => Object::new(),
                }
            }

            /// Decodes the own fields of the event `name`; `None` for a name that no reporter may use.
            ///
            /// Generic over the deserializer, so that a hub can follow the path to a field that is wrong.
            pub fn decode<'de, D>(name: &str, data: D) -> Option<Result<Self, D::Error>>
            where
                D: serde::Deserializer<'de>,
            {
                match name {
                    $($ename => Some($report::deserialize(data).map(Self::$event)),)*
                    _ if name.starts_with(crate::contract::CUSTOM_PREFIX) => Some(
                        Object::deserialize(data).map(|data| Self::Custom { name: name.to_owned(), data }),
                    ),
                    _ => None,
                }
            }
        }

        $(impl From<$report> for Report {
            fn from(report: $report) -> Self {
                Self::$event(report)
            }
        })*
    };
}
with_contract!(define_reports);

impl From<Report> for ReportedEvent {
    /// Without id and time: a client adds the first, a hub the second.
    fn from(report: Report) -> Self {
        Self { event: report.name().to_owned(), event_id: None, timestamp: None, data: report.data() }
    }
}
