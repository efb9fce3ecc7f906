//! The one table of the hub's metrics: every family with its type, unit and help, and every label with all its values.
//! What the hub counts into, what `/metrics` exports and docs/metrics.md are made from it.
//!
//! *What may come in:* names, fixed when this is compiled. *What it never does:* take a label's value from outside: a set
//! of values that grows with pipelines, files or clients would grow the store of whoever scrapes.
//!
//! `cargo xtask gen` compiles this file by itself, so it uses nothing of this crate.

use ragpulse_protocol::Code;
use ragpulse_protocol::contract::{EVENTS, MESSAGES};

/// What a family's numbers do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Only goes up, from 0 at the start of the hub.
    Counter,
    /// Is what it is now.
    Gauge,
    /// How many were within each of some bounds, how many there were, and their sum.
    Histogram,
}

/// In what a family is measured. It stands at the end of its name, before `_total`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Measure {
    /// Things.
    Count,
    /// Seconds, kept in microseconds.
    Seconds,
    /// Bytes.
    Bytes,
    /// A part of one, kept in millionths.
    Ratio,
}

/// A label and all its values.
#[derive(Debug, Clone, Copy)]
pub struct Label {
    /// Its name.
    pub name: &'static str,
    /// Its values. Each is exported from the start.
    pub values: &'static [&'static str],
}

/// A family of metrics.
#[derive(Debug, Clone, Copy)]
pub struct Family {
    /// Its name as Prometheus knows it: a counter's ends in `_total`.
    pub name: &'static str,
    /// What its numbers do.
    pub kind: Kind,
    /// In what it is measured.
    pub measure: Measure,
    /// What it means.
    pub help: &'static str,
    /// Its labels.
    pub labels: &'static [Label],
    /// The upper bounds of a histogram's buckets, each included, without the last, which has none.
    pub buckets: &'static [f64],
}

/// The values of a label as a type, so that nothing else can be counted.
pub(crate) trait Value: Copy {
    /// The label.
    const LABEL: Label;
    /// Which of its values this is.
    fn index(self) -> usize;
}

macro_rules! labels {
    ($($(#[doc = $doc:literal])* $type:ident $label:literal { $($value:ident $name:literal,)* })*) => {$(
        $(#[doc = $doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        #[allow(missing_docs, dead_code)]
        pub(crate) enum $type { $($value,)* }

        #[allow(dead_code)]
        impl $type {
            /// All values, in their order.
            pub(crate) const ALL: &'static [Self] = &[$(Self::$value,)*];

            /// The value of this name.
            pub(crate) fn named(name: &str) -> Option<Self> {
                match name { $($name => Some(Self::$value),)* _ => None }
            }
        }

        impl Value for $type {
            const LABEL: Label = Label { name: $label, values: &[$($name,)*] };
            fn index(self) -> usize {
                self as usize
            }
        }
    )*};
}

labels! {
    /// By what somebody is connected. A session of Socket.IO counts under what it began with.
    Transport "transport" {
        Websocket "websocket",
        Polling "polling",
        Poll "poll",
        Stream "stream",
    }
    /// What came of an attempt to connect.
    Outcome "outcome" { Accepted "accepted", Refused "refused", }
    /// Why a handshake failed.
    HandshakeCause "cause" {
        Origin "origin",
        Host "host",
        Auth "auth",
        Upgrade "upgrade",
        Limit "limit",
        Closing "closing",
    }
    /// Why a socket ended.
    DisconnectReason "reason" {
        Client "client",
        Server "server",
        TransportClose "transport_close",
        TransportError "transport_error",
        HeartbeatTimeout "heartbeat_timeout",
        ProtocolError "protocol_error",
        Closing "closing",
    }
    /// How a subscription to one pipeline began.
    Resume "outcome" {
        Fresh "fresh",
        Recovered "recovered",
        EpochChanged "epoch_changed",
        Trimmed "trimmed",
        Ahead "ahead",
        Lagged "lagged",
        UnknownPipeline "unknown_pipeline",
        Other "other",
    }
    /// What became of a reported event.
    Taken "result" { Accepted "accepted", Duplicate "duplicate", Conflated "conflated", }
    /// What became of a batch.
    Batch "outcome" { Taken "taken", Invalid "invalid", Refused "refused", Failed "failed", }
    /// Where bytes of events went.
    Way "transport" { Socket "socket", Poll "poll", Stream "stream", }
    /// What an event did not fit.
    Anomaly "kind" {
        SecondEnd "second_end",
        NeverOpened "never_opened",
        ProgressNotOpen "progress_not_open",
        ReservedKey "reserved_key",
        BadValue "bad_value",
        TooManyKeys "too_many_keys",
    }
    /// What waits.
    Queue "queue" { Ingest "ingest", Tail "tail", Sweeper "sweeper", Feeder "feeder", }
    /// Why the log failed.
    LogFailure "kind" { Full "full", Unavailable "unavailable", }
    /// The transport that a client said it has.
    ReportedTransport "transport" { Websocket "websocket", Polling "polling", Other "other", }
    /// The first word of why a client fell back to polling.
    FallbackCause "cause" {
        Chosen "chosen",
        Advised "advised",
        Failed "failed",
        Offline "offline",
        Refused "refused",
        Rejected "rejected",
        Silence "silence",
        HubClosing "hub_closing",
        Other "other",
    }
    /// What a poll was answered with.
    Poll "result" {
        Events "events",
        Empty "empty",
        Snapshot "snapshot",
        Reset "reset",
        Unknown "unknown",
        Refused "refused",
    }
    /// The limits by which somebody is refused, in the order of docs/limits.md.
    Limited "limit" {
        TcpConnections "tcp_connections",
        TcpConnectionsPerAddress "tcp_connections_per_address",
        Connections "connections",
        ConnectionsPerAddress "connections_per_address",
        ConnectionsPerToken "connections_per_token",
        RequestSeconds "request_seconds",
        BodyBytes "body_bytes",
        FrameBytes "frame_bytes",
        BatchEvents "batch_events",
        EventBytes "event_bytes",
        FieldBytes "field_bytes",
        JsonDepth "json_depth",
        SocketMessagesPerSecond "socket_messages_per_second",
        ReporterEventsPerSecond "reporter_events_per_second",
        SocketBatches "socket_batches",
        IngestQueue "ingest_queue",
        Pipelines "pipelines",
        HeldPipelines "held_pipelines",
        OpenFiles "open_files",
        Reporters "reporters",
        Subscriptions "subscriptions",
        SocketBytes "socket_bytes",
    }
    /// What was refused for want of a right.
    Denial "code" { Unauthorized "unauthorized", Forbidden "forbidden", }
    /// Whether a pipeline's reporters are heard.
    Heard "liveness" { Live "live", Late "late", Lost "lost", Offline "offline", }
    /// The class of an HTTP status.
    Status "status" { Informational "1xx", Good "2xx", Redirect "3xx", Client "4xx", Server "5xx", }
    /// By what a session was connected.
    By "transport" { Socket "socket", Polling "polling", }
    /// What came of an interruption.
    Interruption "outcome" { Returned "returned", Gone "gone", }
}

/// Names of fixed number, gathered when this is compiled.
const fn event_names<const N: usize>(reported: bool) -> [&'static str; N] {
    let mut names = ["custom"; N];
    let (mut at, mut next) = (0, 0);
    while at < EVENTS.len() {
        if !reported || EVENTS[at].report.is_some() {
            names[next] = EVENTS[at].name;
            next += 1;
        }
        at += 1;
    }
    if reported {
        names[next] = "heartbeat";
        next += 1;
    } else {
        at = 0;
        while at < MESSAGES.len() {
            names[next] = MESSAGES[at].name;
            next += 1;
            at += 1;
        }
    }
    // The last is what others do not name: `x:…`.
    assert!(next + 1 == N, "every name has its place");
    names
}

const fn reported() -> usize {
    let (mut at, mut count) = (0, 0);
    while at < EVENTS.len() {
        count += EVENTS[at].report.is_some() as usize;
        at += 1;
    }
    count
}

const REPORTED: [&str; reported() + 2] = event_names(true);
const DELIVERED: [&str; EVENTS.len() + MESSAGES.len() + 1] = event_names(false);

macro_rules! event_labels {
    ($($(#[doc = $doc:literal])* $type:ident $names:ident;)*) => {$(
        $(#[doc = $doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(crate) struct $type(u8);

        impl $type {
            /// The value for an event of this name; any other is `custom`.
            pub(crate) fn of(name: &str) -> Self {
                let last = $names.len() - 1;
                let at = $names[..last].iter().position(|known| *known == name).unwrap_or(last);
                // There are far fewer than 256.
                #[allow(clippy::cast_possible_truncation)]
                Self(at as u8)
            }
        }

        impl Value for $type {
            const LABEL: Label = Label { name: "event", values: &$names };
            fn index(self) -> usize {
                usize::from(self.0)
            }
        }
    )*};
}

event_labels! {
    /// The name of an event that reporters report; those under `x:` are all `custom`.
    ReportedEvent REPORTED;
    /// The name of what subscribers are sent; events under `x:` are all `custom`.
    DeliveredEvent DELIVERED;
}

const fn code_names() -> [&'static str; Code::ALL.len()] {
    let mut names = [""; Code::ALL.len()];
    let mut at = 0;
    while at < names.len() {
        names[at] = Code::ALL[at].as_str();
        at += 1;
    }
    names
}

const CODES: [&str; Code::ALL.len()] = code_names();

impl Value for Code {
    const LABEL: Label = Label { name: "code", values: &CODES };
    fn index(self) -> usize {
        // `ALL` is in the order of their definition.
        self as usize
    }
}

/// The version that runs.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Version;

impl Value for Version {
    const LABEL: Label = Label { name: "version", values: &[VERSION] };
    fn index(self) -> usize {
        0
    }
}

/// All crates of the workspace have the same one.
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Work of the hub itself: from a tenth of a millisecond.
const WORK: &[f64] = &[0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0];
/// What people wait for. The same as `LATENCY_BOUNDS_MS`.
const LATENCY: &[f64] = &[0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0];
/// How long a fallback lasts.
const DWELL: &[f64] = &[1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3600.0, 14400.0, 86400.0];

/// Hands the table to another macro.
macro_rules! with_families {
    ($callback:ident) => {
        $callback! {
            Gauge connections "ragpulse_connections" Count (Transport) []
                "Sockets, held polls and streams open now, by what they began with.";
            Counter connection_attempts "ragpulse_connection_attempts_total" Count (Transport, Outcome) []
                "Sockets, held polls and streams that were asked for.";
            Counter handshake_failures "ragpulse_handshake_failures_total" Count (HandshakeCause) []
                "Handshakes of Socket.IO that failed: at the doors (origin, host), for want of a valid token (auth), because the WebSocket was not upgraded or the opening was malformed (upgrade), or because the hub was full or closing.";
            Counter disconnects "ragpulse_disconnects_total" Count (DisconnectReason) []
                "Sockets of subscribers that ended.";
            Gauge subscriptions "ragpulse_subscriptions" Count () []
                "Pipelines followed by sockets now, each socket's counted.";
            Counter resumes "ragpulse_resumes_total" Count (Resume) []
                "Subscriptions to one pipeline over a socket: fresh ones without a cursor, recovered ones, and those that got a state for this reason.";
            Counter resyncs "ragpulse_resyncs_total" Count () []
                "Subscriptions that a socket asked for again with a cursor, because its client missed something.";
            Gauge pipelines "ragpulse_pipelines" Count (Heard) []
                "Pipelines known now, by whether their reporters are heard.";
            Gauge pipelines_unlisted "ragpulse_pipelines_unlisted" Count () []
                "Of these, those offline for so long that they stand in no list.";
            Counter events_in "ragpulse_events_in_total" Count (ReportedEvent) []
                "Events that reporters sent and that were valid, by name.";
            Counter ingest_events "ragpulse_ingest_events_total" Count (Taken) []
                "Events by what became of them, as in the receipts.";
            Counter ingest_batches "ragpulse_ingest_batches_total" Count (Batch) []
                "Batches of reporters: taken, with an invalid event, refused for another fault of the client, or failed by the hub's.";
            Counter ingest_bytes "ragpulse_ingest_bytes_total" Bytes () []
                "Bytes of batches that reporters sent.";
            Counter events_out "ragpulse_events_out_total" Count (DeliveredEvent) []
                "Messages given to subscribers by socket, poll or stream, by name.";
            Counter delivered_bytes "ragpulse_delivered_bytes_total" Bytes (Way) []
                "Bytes of messages given to subscribers, without what frames and headers add.";
            Counter paused "ragpulse_paused_total" Count () []
                "Times a subscription paused because its buffer was full.";
            Counter lagged "ragpulse_lagged_total" Count () []
                "Snapshots sent because a subscriber was too far behind.";
            Counter anomalies "ragpulse_anomalies_total" Count (Anomaly) []
                "Events that did not fit the state they were folded into.";
            Gauge queue_depth "ragpulse_queue_depth" Count (Queue) []
                "What waits: requests of reporters, batches between log and rooms, subscriptions to be continued, and those that wait for the log.";
            Histogram log_append "ragpulse_log_append_seconds" Seconds () [WORK]
                "How long an append of one pipeline took, its wait for the log included.";
            Histogram log_sync "ragpulse_log_sync_seconds" Seconds () [WORK]
                "How long a commit of the store took: with durability full it waits for the disk. None in memory.";
            Counter log_failures "ragpulse_log_failures_total" Count (LogFailure) []
                "Appends that the log did not take.";
            Gauge log_silent "ragpulse_log_silent_seconds" Seconds () []
                "For how long the store has not answered; 0 while it does. Always 0 with a store of the hub's own.";
            Gauge store_size "ragpulse_store_bytes" Bytes () []
                "The size of the store: its files, or the events kept in memory.";
            Histogram fanout "ragpulse_fanout_seconds" Seconds () [WORK]
                "How long it took to fold one event and hand it to all who follow.";
            Histogram delivery "ragpulse_delivery_seconds" Seconds (Way) [LATENCY]
                "From when the hub received an event until it was in a subscriber's buffer or answer, in whole milliseconds. Replays are not in it, nor file:progress, which waits on purpose for what takes its place.";
            Histogram paint "ragpulse_paint_seconds" Seconds () [LATENCY]
                "From when the hub received an event until a client painted it, as clients report it.";
            Histogram client_latency "ragpulse_client_latency_seconds" Seconds () [LATENCY]
                "Round trips, as clients report them.";
            Counter client_reports "ragpulse_client_reports_total" Count (ReportedTransport) []
                "Reports of clients, by the transport that they named.";
            Counter fallbacks "ragpulse_fallbacks_total" Count (FallbackCause) []
                "Fallbacks to polling that clients reported, by the first word of their cause.";
            Histogram fallback_dwell "ragpulse_fallback_dwell_seconds" Seconds () [DWELL]
                "How long fallbacks to polling lasted, told when they were over.";
            Counter polls "ragpulse_polls_total" Count (Poll) []
                "Polls for events, by what they were answered with: reset is a state for a cursor that cannot be gone on from.";
            Counter responses "ragpulse_http_responses_total" Count (Status) []
                "Answers over HTTP but for those of Socket.IO, by the class of their status.";
            Counter problems "ragpulse_problems_total" Count (Code) []
                "Errors that clients were given, over HTTP and in acknowledgements, by their code.";
            Counter limited "ragpulse_limited_total" Count (Limited) []
                "Refusals by a limit of the hub, by its name in docs/limits.md.";
            Counter auth_denials "ragpulse_auth_denials_total" Count (Denial) []
                "Of these, those for want of a valid token or of the right to an act.";
            Counter leases_lapsed "ragpulse_leases_lapsed_total" Count () []
                "Leases of reporters that ended without a word.";
            Counter session_wanted "ragpulse_session_wanted_seconds_total" Seconds () []
                "Time for which clients wanted to be connected. Deliberate closes and hidden pages are left out.";
            Counter session_connected "ragpulse_session_connected_seconds_total" Seconds (By) []
                "The part of the time wanted in which they were.";
            Counter session_interruptions "ragpulse_session_interruptions_total" Count (Interruption) []
                "Interruptions of sessions, when they were over: the client returned, or had not within two minutes.";
            Gauge uptime_ratio "ragpulse_connection_uptime_ratio" Ratio () []
                "Time connected by time wanted since the hub started; 1 while nobody wanted any.";
            Gauge build_info "ragpulse_build_info" Count (Version) []
                "Always 1; the version is the label.";
            Gauge start_time "ragpulse_start_time_seconds" Seconds () []
                "When the hub was built, since 1970.";
            Gauge process_memory "ragpulse_process_resident_memory_bytes" Bytes () []
                "Resident memory of the process. 0 where the system does not tell, as for the two below.";
            Gauge process_fds "ragpulse_process_open_fds" Count () []
                "Descriptors that the process has open.";
            Counter process_cpu "ragpulse_process_cpu_seconds_total" Seconds () []
                "Processor time that the process has used.";
        }
    };
}

macro_rules! families {
    ($($kind:ident $field:ident $name:literal $measure:ident ($($label:ident),*) [$($buckets:ident)?] $help:literal;)*) => {
        /// Every family, in the order in which it is exported.
        pub static FAMILIES: &[Family] = &[$(Family {
            name: $name,
            kind: Kind::$kind,
            measure: Measure::$measure,
            help: $help,
            labels: &[$(<$label as Value>::LABEL),*],
            buckets: {
                let none: &[f64] = &[];
                let _ = none;
                $(let none = $buckets;)?
                none
            },
        },)*];
    };
}
with_families!(families);
