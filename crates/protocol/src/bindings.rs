//! Every type of the contract, for the tools that write schemas and types in other languages from it.
//!
//! Only there with the feature `schema` or `ts`.

use crate::contract::with_contract;
use crate::{command, event, http, problem, reference, report};

/// On which way a type goes; a field that may be absent on one may always be there on the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// From a hub to its clients.
    ToClient,
    /// From a client to a hub.
    ToHub,
}

/// One type of the contract.
#[derive(Debug, Clone, Copy)]
pub struct TypeInfo {
    /// Its name.
    pub name: &'static str,
    /// On which way it goes.
    pub direction: Direction,
    /// Puts its schema, and those it refers to, into a generator; gives a reference to it.
    #[cfg(feature = "schema")]
    pub schema: fn(&mut schemars::SchemaGenerator) -> schemars::Schema,
    /// How TypeScript names it.
    #[cfg(feature = "ts")]
    pub ts_name: fn(&ts_rs::Config) -> String,
    /// The TypeScript files that declare it and all it refers to.
    #[cfg(feature = "ts")]
    pub ts_files: fn(
        &ts_rs::Config,
    )
        -> Result<std::collections::BTreeMap<std::path::PathBuf, String>, ts_rs::ExportError>,
}

macro_rules! type_info {
    ($direction:ident, $name:expr, $ty:ty) => {
        TypeInfo {
            name: $name,
            direction: Direction::$direction,
            #[cfg(feature = "schema")]
            schema: |generator| generator.subschema_for::<$ty>(),
            #[cfg(feature = "ts")]
            ts_name: <$ty as ts_rs::TS>::name,
            #[cfg(feature = "ts")]
            ts_files: typescript::files::<$ty>,
        }
    };
}

macro_rules! define_types {
    (
        events { $(
            $(#[doc = $edoc:literal])* $ename:literal $event:ident / $report:ident, $class:ident { $($fields:tt)* }
        )* }
        hub_events { $(
            $(#[doc = $vdoc:literal])* $vname:literal $vevent:ident, $vclass:ident { $($vfields:tt)* }
        )* }
        messages { $( $(#[doc = $mdoc:literal])* $mname:literal $message:ident, $mclass:ident; )* }
        commands { $( $(#[doc = $cdoc:literal])* $cname:literal $cns:literal $request:ident => $reply:ident; )* }
    ) => {
        /// The payloads of every event, message and command of the [table](crate::contract).
        const TABLE: &[TypeInfo] = &[
            $(
                type_info!(ToClient, stringify!($event), event::$event),
                type_info!(ToHub, stringify!($report), report::$report),
            )*
            $(type_info!(ToClient, stringify!($vevent), event::$vevent),)*
            $(type_info!(ToClient, stringify!($message), payloads::$message),)*
            $(
                type_info!(ToHub, stringify!($request), command::$request),
                type_info!(ToClient, stringify!($reply), command::$reply),
            )*
        ];
    };
}
with_contract!(define_types);

/// The payloads of messages, from wherever they are defined.
mod payloads {
    pub(super) use crate::message::{Heartbeat, HubClosing, SubscriptionEnded};
    pub(super) use crate::status::PipelineStatus;
}

/// What is public beside the table: the shapes of HTTP, events under `x:`, and the reference's own.
const BESIDE: &[TypeInfo] = &[
    type_info!(ToClient, "OtherEvent", event::OtherEvent),
    type_info!(ToHub, "ReportedEvent", report::ReportedEvent),
    type_info!(ToClient, "ReferenceSnapshot", reference::ReferenceSnapshot),
    type_info!(ToClient, "ReferenceStatus", reference::ReferenceStatus),
    type_info!(ToClient, "EventsAnswer", http::EventsAnswer),
    type_info!(ToClient, "FilesPage", http::FilesPage),
    type_info!(ToClient, "HistoryPage", http::HistoryPage),
    type_info!(ToClient, "RagStatus", http::RagStatus),
    type_info!(ToClient, "SocketInfo", http::SocketInfo),
    type_info!(ToClient, "SocketTest", http::SocketTest),
    type_info!(ToClient, "PublishReceipt", command::PublishReceipt),
    type_info!(ToClient, "Problem", problem::Problem),
];

/// Every type of the contract that travels by itself; those it is made of come with it.
pub fn types() -> impl Iterator<Item = &'static TypeInfo> {
    TABLE.iter().chain(BESIDE)
}

#[cfg(feature = "ts")]
mod typescript {
    use std::collections::BTreeMap;
    use std::path::PathBuf;

    use ts_rs::{Config, ExportError, TS, TypeVisitor};

    type Files = BTreeMap<PathBuf, String>;

    struct Collect<'a> {
        config: &'a Config,
        files: Result<Files, ExportError>,
    }

    impl TypeVisitor for Collect<'_> {
        fn visit<T: TS + 'static + ?Sized>(&mut self) {
            let (Some(path), Ok(files)) = (T::output_path(), &mut self.files) else { return };
            if files.contains_key(&path) {
                return;
            }
            match T::export_to_string(self.config) {
                Ok(text) => {
                    files.insert(path, text);
                    T::visit_dependencies(self);
                }
                Err(error) => self.files = Err(error),
            }
        }
    }

    pub(super) fn files<T: TS + 'static>(config: &Config) -> Result<Files, ExportError> {
        let mut collect = Collect { config, files: Ok(Files::new()) };
        collect.visit::<T>();
        collect.files
    }
}
