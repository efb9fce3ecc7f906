//! The one table. Every event, message and command of the contract stands here once, with its payload, its class and
//! each field's presence; the [`Event`](crate::Event) and [`Report`](crate::Report) enums, the TypeScript event maps,
//! JSON Schema, the AsyncAPI document and docs/spec/events.md are all made from it by `cargo xtask gen`.
//!
//! To add an event: add a row, an arm to the [reducer](crate::reduce), fixtures in `tests/fixtures`, and run
//! `cargo xtask gen`.

use crate::macros::closed_enum;

closed_enum! {
    /// How a message may be treated on its way.
    pub enum Class {
        /// Delivered once, in order, whatever happens between.
        MustArrive = "must arrive",
        /// Only the newest counts: conflated before it gets a `seq`, and then delivered as one that must arrive.
        LatestWins = "latest wins",
        /// A state that replaces all before it; not in the log.
        State = "state",
        /// Of the moment; not in the log.
        Ephemeral = "ephemeral",
        /// About the connection, not about a pipeline's sequence.
        Control = "control",
    }
}

closed_enum! {
    /// Who provides a field of an event.
    pub enum Presence {
        /// The reporter must give it.
        Required = "required",
        /// The hub fills it in where the reporter does not; it is always delivered.
        HubFilled = "hub-filled",
        /// The reporter may give it.
        Optional = "optional",
        /// Only a hub sets it, where it has something to say.
        HubOnly = "hub-only",
    }
}

/// One field of an event.
#[derive(Debug, Clone, Copy)]
pub struct FieldInfo {
    /// Its name on the wire.
    pub name: &'static str,
    /// Its Rust type as delivered.
    pub rust_type: &'static str,
    /// Who provides it.
    pub presence: Presence,
    /// What it means; lines as written in the source.
    pub doc: &'static [&'static str],
}

/// One event that a reporter reports and a hub delivers.
#[derive(Debug, Clone, Copy)]
pub struct EventInfo {
    /// Its name on the wire.
    pub name: &'static str,
    /// The type of its payload as delivered.
    pub payload: &'static str,
    /// The type of its own fields as reported, or `None` when only a hub makes it.
    pub report: Option<&'static str>,
    /// How it is treated on its way.
    pub class: Class,
    /// What it means.
    pub doc: &'static [&'static str],
    /// Its own fields, without the [shared ones](SHARED_FIELDS).
    pub fields: &'static [FieldInfo],
}

/// One message of a hub to its subscribers that is not an event of a sequence.
#[derive(Debug, Clone, Copy)]
pub struct MessageInfo {
    /// Its name on the wire.
    pub name: &'static str,
    /// The type of its payload.
    pub payload: &'static str,
    /// How it is treated on its way.
    pub class: Class,
    /// What it means.
    pub doc: &'static [&'static str],
}

/// One command of a client to a hub.
#[derive(Debug, Clone, Copy)]
pub struct CommandInfo {
    /// Its name on the wire.
    pub name: &'static str,
    /// The namespace in which it is heard: `/` stands for every namespace of subscribers.
    pub namespace: &'static str,
    /// The type of its argument.
    pub request: &'static str,
    /// The type of the acknowledgement.
    pub reply: &'static str,
    /// What it means.
    pub doc: &'static [&'static str],
}

macro_rules! field_infos {
    ($presence:ident { $($(#[doc = $doc:literal])* $name:ident : $ty:ty,)* }) => {
        [$($crate::contract::FieldInfo {
            name: stringify!($name),
            rust_type: stringify!($ty),
            presence: $crate::contract::Presence::$presence,
            doc: &[$($doc),*],
        },)*]
    };
}

/// Hands the whole table to another macro: `with_contract!(callback)`.
///
/// In `required` and `hub_filled` a field reads `name: Delivered as Reported`.
macro_rules! with_contract {
    ($callback:path) => {
        $callback! {
            events {
                /// A pipeline has started, or is back. Opens a pipeline that was never seen.
                "pipeline:online" PipelineOnline / PipelineOnlineReport, MustArrive {
                    required {}
                    hub_filled {
                        /// Always `online`.
                        status: Online as Online,
                        /// When it started. Default: the event's time.
                        started_at: Timestamp as Timestamp,
                    }
                    optional {
                        /// Seconds between two looks at the source.
                        check_interval: f64,
                        /// What it watches: a folder, a Drive folder id.
                        watch_location: String,
                        /// After how many seconds of silence its reporter counts as lost. Default 120.
                        lease_seconds: u32,
                    }
                    hub_only {}
                }
                /// A pipeline has stopped, or its last reporter fell silent for longer than its lease.
                "pipeline:offline" PipelineOffline / PipelineOfflineReport, MustArrive {
                    required {}
                    hub_filled {
                        /// Always `offline`.
                        status: Offline as Offline,
                        /// When it stopped. Default: the event's time.
                        shutdown_at: Timestamp as Timestamp,
                        /// Why. Default `normal_shutdown`.
                        reason: OfflineReason as OfflineReason,
                    }
                    optional {}
                    hub_only {}
                }
                /// A file waits for its turn. Opens a new attempt of a file that had ended.
                "file:queued" FileQueued / FileQueuedReport, MustArrive {
                    required {
                        /// Which file.
                        file: FileRef as FileReport,
                    }
                    hub_filled {
                        /// Why it was queued. Default `created`.
                        change: Change as Change,
                    }
                    optional {
                        /// How many files are before it.
                        queue_position: u64,
                    }
                    hub_only {
                        /// What the hub knew of the file before; absent for a file never seen.
                        previous_state: PreviousState,
                    }
                }
                /// Work on a file begins. Opens a new attempt, unless the file was queued.
                "file:processing" FileProcessing / FileProcessingReport, MustArrive {
                    required {
                        /// Which file.
                        file: FileRef as FileReport,
                    }
                    hub_filled {}
                    optional {
                        /// The first stage.
                        processing_stage: Stage,
                        /// How long it may take, in seconds.
                        estimated_duration: f64,
                        /// Which attempt this is, from 1. Default: counted by the reducer.
                        attempt: u32,
                    }
                    hub_only {
                        /// What the hub knew of the file before; absent for a file never seen.
                        previous_state: PreviousState,
                    }
                }
                /// How far a file is.
                "file:progress" FileProgress / FileProgressReport, LatestWins {
                    required {
                        /// Which file.
                        file: FileRef as FileReport,
                        /// The part of the stage that is done, 0 to 1.
                        progress: f64 as f64,
                    }
                    hub_filled {}
                    optional {
                        /// The stage.
                        processing_stage: Stage,
                        /// How many units are done.
                        current: u64,
                        /// How many units there are.
                        total: u64,
                        /// What `current` and `total` count.
                        unit: Unit,
                        /// Seconds until the file is done, as estimated by the reporter.
                        eta_seconds: f64,
                    }
                    hub_only {}
                }
                /// A file was ingested.
                "file:completed" FileCompleted / FileCompletedReport, MustArrive {
                    required {
                        /// Which file.
                        file: FileRef as FileReport,
                    }
                    hub_filled {
                        /// Always true.
                        success: Success as Success,
                        /// What came of it. Default: an empty object.
                        results: Results as Results,
                    }
                    optional {
                        /// What is worth knowing although it went well.
                        warnings: Vec<String>,
                    }
                    hub_only {
                        /// What the hub knew of the file before; absent for a file never seen.
                        previous_state: PreviousState,
                    }
                }
                /// A file could not be ingested.
                "file:failed" FileFailed / FileFailedReport, MustArrive {
                    required {
                        /// Which file.
                        file: FileRef as FileReport,
                        /// Why.
                        error: ErrorInfo as ErrorReport,
                    }
                    hub_filled {
                        /// Always false.
                        success: Failure as Failure,
                    }
                    optional {
                        /// What else is worth knowing.
                        warnings: Vec<String>,
                    }
                    hub_only {
                        /// What the hub knew of the file before; absent for a file never seen.
                        previous_state: PreviousState,
                    }
                }
                /// A file was left out on purpose.
                "file:skipped" FileSkipped / FileSkippedReport, MustArrive {
                    required {
                        /// Which file.
                        file: FileRef as FileReport,
                    }
                    hub_filled {
                        /// Why. Default `unspecified`.
                        reason: SkipReason as SkipReason,
                    }
                    optional {
                        /// The id of the file whose content it repeats.
                        duplicate_of: String,
                        /// More about the reason, for people.
                        message: String,
                    }
                    hub_only {
                        /// What the hub knew of the file before; absent for a file never seen.
                        previous_state: PreviousState,
                    }
                }
                /// A file will be tried again; it waits until then. Opens a new attempt.
                "file:retrying" FileRetrying / FileRetryingReport, MustArrive {
                    required {
                        /// Which file.
                        file: FileRef as FileReport,
                    }
                    hub_filled {}
                    optional {
                        /// Which attempt comes next, from 1. Default: counted by the reducer.
                        attempt: u32,
                        /// How many attempts there will be at most.
                        max_attempts: u32,
                        /// When it will be tried again.
                        retry_at: Timestamp,
                    }
                    hub_only {
                        /// What the hub knew of the file before; absent for a file never seen.
                        previous_state: PreviousState,
                    }
                }
                /// A file was given up on request.
                "file:cancelled" FileCancelled / FileCancelledReport, MustArrive {
                    required {
                        /// Which file.
                        file: FileRef as FileReport,
                    }
                    hub_filled {}
                    optional {
                        /// Who asked for it.
                        requested_by: String,
                    }
                    hub_only {
                        /// What the hub knew of the file before; absent for a file never seen.
                        previous_state: PreviousState,
                    }
                }
                /// A file is gone, and so is what was made of it.
                "file:deleted" FileDeleted / FileDeletedReport, MustArrive {
                    required {
                        /// Which file.
                        file: FileRef as FileReport,
                    }
                    hub_filled {}
                    optional {
                        /// How many chunks were taken out of the store.
                        chunks_deleted: u64,
                    }
                    hub_only {
                        /// What the hub knew of the file before; absent for a file never seen.
                        previous_state: PreviousState,
                    }
                }
                /// Keys of the pipeline's own status have changed.
                "status:update" StatusUpdate / StatusUpdateReport, MustArrive {
                    required {
                        /// The keys and their new values; `null` takes a key out. Keys that reducers own (`files*`,
                        /// `total_*`, `counts` and the identity of the pipeline) are refused: put such figures of your
                        /// own under `reported`.
                        changes: Object as Object,
                    }
                    hub_filled {}
                    optional {}
                    hub_only {
                        /// The state after the change, in the reference's shape. Filled at delivery to reference
                        /// namespaces only; reducers ignore it.
                        current_status: Object,
                    }
                }
            }
            hub_events {
                /// A pipeline was forgotten on request, and its history with it. Subscribers drop its state.
                "pipeline:removed" PipelineRemoved, MustArrive {
                    hub_only {
                        /// Who asked for it.
                        requested_by: String,
                    }
                }
            }
            messages {
                /// The state of a pipeline: a snapshot that replaces all before it.
                "pipeline:status" PipelineStatus, State;
                /// A sign of life of the hub for one pipeline, every 10 s, in order with the pipeline's events.
                "heartbeat" Heartbeat, Ephemeral;
                /// The hub has ended a subscription.
                "subscription:ended" SubscriptionEnded, Control;
                /// The hub is about to close; come back after the time given.
                "hub:closing" HubClosing, Control;
            }
            commands {
                /// Subscribe to pipelines. State comes by events: a snapshot or a replay, then what is new.
                "subscribe" "/" SubscribeRequest => SubscribeReply;
                /// End subscriptions.
                "unsubscribe" "/" UnsubscribeRequest => UnsubscribeReply;
                /// Check the connection; the answer is the hub's time in milliseconds since 1970.
                "ping" "/" PingRequest => PingReply;
                /// Tell how the client fares.
                "client:status" "/" ClientStatus => ClientStatusReply;
                /// Replace the token of this connection before it expires.
                "auth:refresh" "/" AuthRefresh => AuthRefreshReply;
                /// Report events.
                "publish" "/ingest" PublishRequest => PublishReply;
            }
        }
    };
}
pub(crate) use with_contract;

macro_rules! define_tables {
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
        messages { $( $(#[doc = $mdoc:literal])* $mname:literal $message:ident, $mclass:ident; )* }
        commands { $( $(#[doc = $cdoc:literal])* $cname:literal $cns:literal $request:ident => $reply:ident; )* }
    ) => {
        /// Every event, in the order of the table.
        pub const EVENTS: &[EventInfo] = &[
            $(EventInfo {
                name: $ename,
                payload: stringify!($event),
                report: Some(stringify!($report)),
                class: Class::$class,
                doc: &[$($edoc),*],
                fields: &[
                    $(FieldInfo { name: stringify!($rf), rust_type: stringify!($rt), presence: Presence::Required, doc: &[$($rdoc),*] },)*
                    $(FieldInfo { name: stringify!($hf), rust_type: stringify!($ht), presence: Presence::HubFilled, doc: &[$($hdoc),*] },)*
                    $(FieldInfo { name: stringify!($of), rust_type: stringify!($ot), presence: Presence::Optional, doc: &[$($odoc),*] },)*
                    $(FieldInfo { name: stringify!($uf), rust_type: stringify!($ut), presence: Presence::HubOnly, doc: &[$($udoc),*] },)*
                ],
            },)*
            $(EventInfo {
                name: $vname,
                payload: stringify!($vevent),
                report: None,
                class: Class::$vclass,
                doc: &[$($vdoc),*],
                fields: &[
                    $(FieldInfo { name: stringify!($vuf), rust_type: stringify!($vut), presence: Presence::HubOnly, doc: &[$($vudoc),*] },)*
                ],
            },)*
        ];

        /// Every other message of a hub to its subscribers.
        pub const MESSAGES: &[MessageInfo] = &[
            $(MessageInfo { name: $mname, payload: stringify!($message), class: Class::$mclass, doc: &[$($mdoc),*] },)*
        ];

        /// Every command of a client.
        pub const COMMANDS: &[CommandInfo] = &[
            $(CommandInfo {
                name: $cname,
                namespace: $cns,
                request: stringify!($request),
                reply: stringify!($reply),
                doc: &[$($cdoc),*],
            },)*
        ];
    };
}
with_contract!(define_tables);

/// The fields that every event carries beside its own, all filled in by the hub.
pub const SHARED_FIELDS: &[FieldInfo] = &field_infos!(HubFilled {
    #[doc = " The pipeline."]
    pipeline_id: PipelineId,
    #[doc = " Its kind."]
    pipeline_type: PipelineType,
    #[doc = " The life of the sequence in which `seq` counts."]
    epoch: Epoch,
    #[doc = " The place in the pipeline's sequence: 1, 2, 3 … without holes."]
    seq: u64,
    #[doc = " When it happened, by the reporter's clock. Default: when the hub received it."]
    timestamp: Timestamp,
    #[doc = " When the hub received it: the only clock used for liveness, retention and latency."]
    received_at: Timestamp,
});

/// What stands before the names of events that are carried without being understood: any object may travel so.
pub const CUSTOM_PREFIX: &str = "x:";

/// The class of an event by its name; unknown names must arrive.
pub fn class_of(name: &str) -> Class {
    EVENTS.iter().find(|event| event.name == name).map_or(Class::MustArrive, |event| event.class)
}
