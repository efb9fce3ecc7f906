//! The one table of the hub's limits: each with its type, its default, what it may be, what who reaches it is answered, and
//! whether that is counted. The settings ([`HubLimits`](crate::config::HubLimits)), what `ragpulse serve --limit` takes and
//! docs/limits.md are made from it.
//!
//! *What may come in:* names and numbers, fixed when this is compiled. *What it never does:* enforce anything; that is done
//! where the thing is that grows.
//!
//! `cargo xtask gen` compiles this file by itself, so it uses nothing of this crate.

/// A limit of the hub, as the docs and the command line have it.
#[derive(Debug, Clone, Copy)]
pub struct Limit {
    /// Its name in settings, on the command line, and where it is counted.
    pub name: &'static str,
    /// What it is unless it is set.
    pub default: u64,
    /// The least it may be.
    pub least: u64,
    /// The most it may be.
    pub most: u64,
    /// Whether who reaches it is refused, and that is counted in `ragpulse_limited_total` under its name.
    pub counted: bool,
    /// What becomes of who reaches it.
    pub answer: &'static str,
    /// What it bounds; lines as written in the source.
    pub doc: &'static [&'static str],
}

/// The most that a number of bytes or things may be.
const ANY: u64 = 1 << 40;

/// Hands the table to another macro: name, type, default, least and most, whether it is counted, and what is answered.
macro_rules! with_limits {
    ($callback:ident) => {
        $callback! {
            // Connections.
            /// The most TCP connections that are open, where the hub is served by `service::Server`.
            tcp_connections: usize = 25_000, 16, ANY, counted
                "429 `limit_exceeded`, and the connection is closed; with TLS it is closed without a word.";
            /// The most TCP connections of one address. Those of a trusted proxy are not counted.
            tcp_connections_per_address: usize = 12_500, 1, ANY, counted
                "As `tcp_connections`.";
            /// The most sockets, polls and streams at a time.
            connections: usize = 20_000, 1, ANY, counted
                "A socket: `connect_error` with `limit_exceeded`. A poll or stream: 429 `limit_exceeded`. The connection stays.";
            /// The most sockets, polls and streams of one address at a time. Addresses of one IPv6 /64 count as one.
            connections_per_address: usize = 10_000, 1, ANY, counted
                "As `connections`.";
            /// The most sockets, polls and streams by one token at a time, where there are tokens.
            connections_per_token: usize = 10_000, 1, ANY, counted
                "As `connections`. A token that a socket renews by `auth:refresh` to one that has too many: `limit_exceeded`, and the old one stands.";
            /// Seconds that a TLS handshake, the head of a request, or the next part of its body may take.
            request_seconds: u32 = 60, 1, 86_400, counted
                "The connection is closed; where a body stopped, after 429 `limit_exceeded`. A connection that rests between two requests is closed as well, and not counted.";
            /// Seconds that a peer may take nothing while there is something to write to it.
            stalled_seconds: u32 = 30, 1, 86_400, uncounted
                "The connection is closed. Counted by `ragpulse_disconnects_total`.";
            // What comes in.
            /// The largest HTTP body or Socket.IO message taken, in bytes.
            body_bytes: usize = 1_048_576, 1_024, ANY, counted
                "413 `body_too_large`, in acknowledgements too. A socket stays.";
            /// The largest frame that is read at all, in bytes. At least twice `body_bytes` holds in any case, so that a body
            /// that is too large is answered.
            frame_bytes: usize = 4_194_304, 4_096, ANY, counted
                "A WebSocket is closed, counted by `ragpulse_disconnects_total`. Engine.IO polling: 413 `body_too_large`, counted here.";
            /// The most events in a batch.
            batch_events: usize = 5_000, 1, ANY, counted
                "413 `batch_too_large`. Nothing of the batch is taken.";
            /// The largest event, in bytes.
            event_bytes: usize = 65_536, 256, ANY, counted
                "422 `invalid_event` with the event's index. Nothing of the batch is taken.";
            /// The longest text of a field, in bytes. Names, paths and other short fields have bounds of their own below it.
            field_bytes: usize = 8_192, 64, ANY, counted
                "422 `invalid_event` with the event's index and the field. Nothing of the batch is taken.";
            /// How deep an event, or the argument of a command, may be nested.
            json_depth: usize = 64, 8, 120, counted
                "An event: 422 `invalid_event` with its index; where it is deeper than what is parsed at all (125), 400 `invalid_json`. A command: `invalid_request`.";
            /// The most messages a second of a socket, of every command together. Four seconds' worth may come at once.
            socket_messages_per_second: u32 = 10_000, 1, 1_000_000, counted
                "The acknowledgement: `limit_exceeded`. The socket stays.";
            /// The most events a second of one reporter of a pipeline. Four seconds' worth may come at once, a batch in any
            /// case.
            reporter_events_per_second: u32 = 50_000, 1, 10_000_000, counted
                "429 `limit_exceeded` with `Retry-After: 1`, in acknowledgements too. Nothing of the batch is taken.";
            /// Batches of one socket that wait.
            socket_batches: usize = 64, 1, 65_536, counted
                "The acknowledgement: `overloaded`. The socket stays.";
            /// Requests of reporters that wait, per writer.
            ingest_queue: usize = 256, 1, 1_048_576, counted
                "503 `overloaded` after five seconds.";
            // What is kept.
            /// The most pipelines.
            pipelines: usize = 10_000, 1, ANY, counted
                "429 `limit_exceeded` to the `pipeline:online` of one more.";
            /// The most ids of pipelines that do not exist and are held for subscribers.
            held_pipelines: usize = 10_000, 1, ANY, counted
                "429 `limit_exceeded`, in acknowledgements too. Nothing is subscribed.";
            /// The most open files of a pipeline.
            open_files: usize = 100_000, 1, ANY, counted
                "429 `limit_exceeded` with the event's index. Nothing of the batch is taken.";
            /// The most ended files of a pipeline that are kept for `GET …/files`.
            ended_files: usize = 100_000, 1, ANY, uncounted
                "Nobody is refused: the file that ended first is no longer listed. The totals keep it.";
            /// The most reporters of a pipeline.
            reporters: usize = 1_024, 1, ANY, counted
                "429 `limit_exceeded` to one more.";
            /// Days after which a pipeline that is offline leaves the lists.
            offline_days: u32 = 30, 1, 36_500, uncounted
                "Nobody is refused. Counted by `ragpulse_pipelines_unlisted`.";
            /// The most events of a pipeline that the memory log keeps.
            log_events: usize = 100_000, 1, ANY, uncounted
                "Nobody is refused: the oldest go. Who comes back from further behind gets a snapshot (`trimmed`).";
            /// The most bytes of a pipeline that the memory log keeps.
            log_bytes: usize = 67_108_864, 1_024, ANY, uncounted
                "As `log_events`.";
            /// The most events that a pipeline keeps at hand for replays.
            ring_events: usize = 16_384, 1, ANY, uncounted
                "Nobody is refused: older ones are read from the log.";
            /// The most bytes that a pipeline keeps at hand for replays.
            ring_bytes: usize = 16_777_216, 1_024, ANY, uncounted
                "As `ring_events`.";
            // What goes out.
            /// The most subscriptions of one socket: each pipeline, each type, and all, is one.
            subscriptions: usize = 10_000, 1, ANY, counted
                "The acknowledgement: `limit_exceeded`. Nothing more is subscribed, and what was goes on.";
            /// Messages that wait for a connection before its subscriptions pause; of a session that began by polling, for each of its sockets.
            socket_buffer: usize = 1_024, 512, 1_048_576, uncounted
                "Its subscriptions pause. Counted by `ragpulse_paused_total`.";
            /// Bytes that wait for a connection before its subscriptions pause, where the listener tells what was written
            /// (see `service::Wire`), and as many bytes of answers.
            socket_bytes: usize = 2_097_152, 65_536, ANY, counted
                "Its subscriptions pause, counted by `ragpulse_paused_total`. Where so many answers wait, the acknowledgement: `overloaded`, counted here.";
            /// The most events replayed over a socket.
            replay_events: u64 = 10_000, 1, ANY, uncounted
                "Nobody is refused: past that a snapshot is sent (`lagged`). Counted by `ragpulse_resumes_total`.";
            /// The most bytes of events replayed over a socket.
            replay_bytes: u64 = 8_388_608, 1_024, ANY, uncounted
                "As `replay_events`.";
            /// The most progress events a second of a file.
            progress_per_file: u32 = 10, 1, 1_000, uncounted
                "Nobody is refused: the latest waits, and takes the place of what waited. Counted by `ragpulse_ingest_events_total`.";
            /// The most progress events a second of a pipeline.
            progress_per_pipeline: u32 = 200, 1, 1_000_000, uncounted
                "As `progress_per_file`.";
        }
    };
}

macro_rules! table {
    (@counted counted) => { true };
    (@counted uncounted) => { false };
    ($($(#[doc = $doc:literal])+ $name:ident: $type:ty = $default:literal, $least:literal, $most:expr, $counted:ident $answer:literal;)*) => {
        /// Every limit, in the order of the docs.
        pub static LIMITS: &[Limit] = &[$(Limit {
            name: stringify!($name),
            default: $default,
            least: $least,
            most: $most,
            counted: table!(@counted $counted),
            answer: $answer,
            doc: &[$($doc),+],
        },)*];
    };
}
with_limits!(table);
