//! What the hub counts, and `/metrics`.
//!
//! *What it is for:* numbers of fixed kind and number for people who run a hub. Each hub has its own: there is no
//! recorder of the process, so that two hubs in one do not mix. *What may come in:* counts from everywhere in the hub,
//! each one relaxed atomic addition. *What it never does:* keep a name of a pipeline, a file or a client.
//!
//! [`table`] says what there is; [`cells`] is what is counted into; [`sessions`] works out how much of the time wanted
//! clients were connected; [`export`] writes it as text.

pub(crate) mod cells;
pub(crate) mod export;
pub(crate) mod process;
pub(crate) mod sessions;
#[macro_use]
pub(crate) mod table;

use std::time::Duration;

use parking_lot::Mutex;
use ragpulse_protocol::reduce::AnomalyKind;
use ragpulse_protocol::status::ResetReason;
use ragpulse_protocol::{Code, Event, Liveness, Problem, Timestamp};

use self::cells::{Counter, Gauge, Histogram, Series, micros};
use self::sessions::{End, Sessions, Spent};
use self::table::*;
use crate::hub::Inner;
use crate::limits::limit_of;
use crate::log::Record;

pub use self::table::{FAMILIES, Family, Kind, Label, Measure};

macro_rules! metrics {
    ($($kind:ident $field:ident $name:literal $measure:ident ($($label:ident),*) [$($buckets:ident)?] $help:literal;)*) => {
        /// The numbers of one hub.
        #[derive(Debug)]
        #[allow(unused_parens)]
        pub(crate) struct Metrics {
            $(pub(crate) $field: $kind<($($label),*)>,)*
            sessions: Mutex<Sessions>,
        }

        impl Metrics {
            /// All at 0. `most` bounds the clients whose names are known at once.
            pub(crate) fn new(most: usize) -> Self {
                let mut families = FAMILIES.iter();
                let mut buckets = || families.next().map_or(&[][..], |family| family.buckets);
                Self {
                    $($field: $kind::new(buckets()),)*
                    sessions: Mutex::new(Sessions::new(most)),
                }
            }

            /// Every family with its series.
            fn families(&self) -> impl Iterator<Item = (&'static Family, Series<'_>)> {
                FAMILIES.iter().zip([$(self.$field.series()),*])
            }
        }
    };
}
with_families!(metrics);

impl Metrics {
    /// A client was given an error.
    pub(crate) fn problem(&self, problem: &Problem) {
        self.problems.add(problem.code, 1);
        self.limited(problem);
    }

    /// Somebody was refused by a limit, where it was one.
    pub(crate) fn limited(&self, problem: &Problem) {
        if let Some(limit) = limit_of(problem).and_then(Limited::named) {
            self.limited.add(limit, 1);
        }
    }

    /// Something in an event did not fit.
    pub(crate) fn anomaly(&self, kind: AnomalyKind) {
        if let Some(kind) = Anomaly::named(kind.as_str()) {
            self.anomalies.add(kind, 1);
        }
    }

    /// A socket's subscription to a pipeline began.
    pub(crate) fn resumed(&self, recovered: bool, had_cursor: bool, reason: Option<&ResetReason>) {
        let how = match reason {
            None if recovered && had_cursor => Resume::Recovered,
            None => Resume::Fresh,
            Some(reason) => Resume::named(reason.as_str()).unwrap_or(Resume::Other),
        };
        self.resumes.add(how, 1);
    }

    /// Messages of one name were given to subscribers.
    pub(crate) fn delivered(&self, event: DeliveredEvent, way: Way, times: u64, bytes: usize) {
        if times > 0 {
            self.events_out.add(event, times);
            self.delivered_bytes.add(way, times.saturating_mul(bytes as u64));
        }
    }

    /// An event came to subscribers as it happened: received at one time, given at another. Progress is held back so that
    /// newer takes its place, which is no delay of the hub's.
    pub(crate) fn took(&self, way: Way, record: &Record, now: Timestamp, times: u64) {
        if matches!(record.event, Event::FileProgress(_)) {
            return;
        }
        let millis = u64::try_from(now.millis_since(record.received_at)).unwrap_or(0);
        self.delivery.add(way, millis.saturating_mul(1_000), times);
    }

    /// A socket of a subscriber is there.
    pub(crate) fn connected(&self, outlet: u64, now: Timestamp) {
        self.sessions.lock().connected(outlet, now);
    }

    /// A socket tells whose it is, and whether its page is hidden.
    pub(crate) fn told(&self, outlet: u64, name: &str, hidden: bool, now: Timestamp) {
        self.sessions.lock().told(outlet, name, hidden, now);
    }

    /// A client that polls tells who it is.
    pub(crate) fn polled(&self, name: &str, hidden: bool, now: Timestamp) {
        self.sessions.lock().polled(name, hidden, now);
    }

    /// A socket of a subscriber is gone.
    pub(crate) fn disconnected(&self, outlet: u64, reason: DisconnectReason, now: Timestamp) {
        self.disconnects.add(reason, 1);
        let end = match reason {
            DisconnectReason::Client | DisconnectReason::Server | DisconnectReason::Closing => End::Meant,
            DisconnectReason::TransportClose => End::Orderly,
            DisconnectReason::TransportError | DisconnectReason::ProtocolError => End::Broken,
            DisconnectReason::HeartbeatTimeout => End::Silent,
        };
        self.sessions.lock().ended(outlet, end, now);
    }

    /// The hub closes: so many sockets ended by that.
    pub(crate) fn closed(&self, sockets: u64, now: Timestamp) {
        self.disconnects.add(DisconnectReason::Closing, sockets);
        let spent = self.sessions.lock().clear(now);
        self.spend(spent);
    }

    /// Counts the time of sessions up to now. From time to time, and before each export.
    pub(crate) fn settle(&self, now: Timestamp) {
        let spent = self.sessions.lock().settle(now);
        self.spend(spent);
    }

    fn spend(&self, spent: Spent) {
        let time = |ms: i64| micros(Duration::from_millis(u64::try_from(ms).unwrap_or(0)));
        self.session_wanted.add((), time(spent.wanted));
        self.session_connected.add(By::Socket, time(spent.by_socket));
        self.session_connected.add(By::Polling, time(spent.by_polls));
        self.session_interruptions.add(Interruption::Returned, spent.returned);
        self.session_interruptions.add(Interruption::Gone, spent.gone);
    }
}

/// Brings what is looked up and not counted up to date, before an export.
pub(crate) async fn refresh(hub: &Inner) {
    let metrics = &hub.metrics;
    metrics.settle(hub.clock.now());
    let (wanted, connected) = (metrics.session_wanted.get(()), metrics.session_connected.sum());
    let ratio = u128::from(connected.min(wanted)) * 1_000_000 / u128::from(wanted.max(1));
    metrics.uptime_ratio.set((), if wanted == 0 { 1_000_000 } else { u64::try_from(ratio).unwrap_or(0) });

    let mut heard = [0; Heard::ALL.len()];
    for room in hub.registry.known() {
        let liveness = room.with_state(|state| state.liveness);
        if let Some(liveness) = liveness.and_then(heard_of) {
            heard[liveness.index()] += 1;
        }
    }
    for (liveness, count) in Heard::ALL.iter().zip(heard) {
        metrics.pipelines.set(*liveness, count);
    }
    let unlisted = hub.registry.known().iter().filter(|room| !room.is_listed()).count();
    metrics.pipelines_unlisted.set((), unlisted as u64);
    metrics.subscriptions.set((), hub.registry.subscriptions() as u64);
    let waiting = |queue: &tokio::sync::mpsc::Sender<_>| queue.max_capacity() - queue.capacity();
    metrics.queue_depth.set(Queue::Ingest, hub.writers.iter().map(waiting).sum::<usize>() as u64);
    metrics.queue_depth.set(Queue::Sweeper, hub.sweeper.len() as u64);
    metrics.queue_depth.set(Queue::Feeder, hub.hungry.len() as u64);
    metrics.log_silent.set((), hub.log.silent_for().map_or(0, micros));
    if let Some(bytes) = hub.log.bytes().await {
        metrics.store_size.set((), bytes);
    }
    for (denial, code) in [(Denial::Unauthorized, Code::Unauthorized), (Denial::Forbidden, Code::Forbidden)] {
        metrics.auth_denials.mirror(denial, metrics.problems.get(code));
    }
    metrics.build_info.set(Version, 1);
    let started = u64::try_from(hub.started.as_millis()).unwrap_or(0);
    metrics.start_time.set((), started.saturating_mul(1_000));
    let usage = process::usage();
    metrics.process_memory.set((), usage.resident_bytes);
    metrics.process_fds.set((), usage.open_fds);
    metrics.process_cpu.mirror((), micros(usage.cpu));
}

fn heard_of(liveness: Liveness) -> Option<Heard> {
    Heard::named(liveness.as_str())
}

/// What became of a batch that was refused.
pub(crate) fn batch_of(problem: &Problem) -> Batch {
    if problem.code.status() >= 500 { Batch::Failed } else { Batch::Refused }
}
