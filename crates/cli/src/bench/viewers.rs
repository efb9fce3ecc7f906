//! The subscribers of a bench, and what they have seen.
//!
//! *What may come in:* whatever the client library hands on. *What it never does:* trust it: what comes twice or out of its turn is
//! counted, although the library should let none through.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use parking_lot::Mutex;
use ragpulse_client::{Subscriber, Transport, TransportChoice, Update, What};
use ragpulse_protocol::PipelineId;
use tokio::task::JoinSet;

use crate::failure::Failure;
use crate::hub_options::HubOptions;

/// How many connect at a time, and how long these may take.
const AT_A_TIME: u32 = 50;
const CONNECT: Duration = Duration::from_secs(30);

/// What all viewers have seen so far.
pub(super) struct Tally {
    begun: Instant,
    /// When each event was reported, in microseconds since it began.
    sent: Vec<AtomicU64>,
    published: AtomicU64,
    /// Whether the hub may know the pipeline.
    known: AtomicBool,
    pub(super) delivered: AtomicU64,
    pub(super) doubled: AtomicU64,
    pub(super) out_of_order: AtomicU64,
    /// States that came in place of events.
    pub(super) resynced: AtomicU64,
    /// Viewers that have their first state.
    ready: AtomicU32,
    span: Mutex<Span>,
    pub(super) transports: Mutex<Transports>,
    failure: Mutex<Option<String>>,
}

/// Latencies, and when the first was sent and the last arrived.
struct Span {
    latencies: Histogram<u64>,
    from: Option<u64>,
    to: u64,
}

/// How many viewers were last heard by what.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Transports {
    pub(super) websocket: u32,
    pub(super) polling: u32,
    /// How often one of them changed, beyond the first.
    pub(super) changes: u32,
}

/// What a bench came to in times.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Latencies {
    /// p50, p90, p99, p99.9 and the longest, in milliseconds.
    pub(super) milliseconds: [f64; 5],
    /// From the first report to the last arrival, in seconds.
    pub(super) seconds: f64,
}

impl Tally {
    pub(super) fn new(events: u64) -> Self {
        let zero = || AtomicU64::new(0);
        Self {
            begun: Instant::now(),
            sent: (0..events).map(|_| zero()).collect(),
            published: zero(),
            known: AtomicBool::new(false),
            delivered: zero(),
            doubled: zero(),
            out_of_order: zero(),
            resynced: zero(),
            ready: AtomicU32::new(0),
            span: Mutex::new(Span { latencies: histogram(), from: None, to: 0 }),
            transports: Mutex::default(),
            failure: Mutex::new(None),
        }
    }

    pub(super) fn events(&self) -> u64 {
        self.sent.len() as u64
    }

    pub(super) fn is_known(&self) -> bool {
        self.known.load(Ordering::Acquire)
    }

    pub(super) fn set_known(&self, known: bool) {
        self.known.store(known, Ordering::Release);
    }

    /// How many were reported.
    pub(super) fn published(&self) -> u64 {
        self.published.load(Ordering::Acquire)
    }

    fn micros(&self) -> u64 {
        u64::try_from(self.begun.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    /// Notes that this event is about to be reported.
    pub(super) fn sending(&self, number: u64) {
        let now = self.micros();
        if let Some(sent) = usize::try_from(number).ok().and_then(|number| self.sent.get(number)) {
            sent.store(now, Ordering::Release);
        }
        // What is being reported when somebody stops it may or may not arrive: the one before surely should.
        self.published.store(number, Ordering::Release);
        self.span.lock().from.get_or_insert(now);
    }

    /// All were taken.
    pub(super) fn published_all(&self) {
        self.published.store(self.events(), Ordering::Release);
    }

    pub(super) fn latencies(&self) -> Latencies {
        let span = self.span.lock();
        #[allow(clippy::cast_precision_loss)]
        let ms = |part: f64| span.latencies.value_at_quantile(part) as f64 / 1_000.0;
        let from = span.from.unwrap_or(span.to);
        Latencies {
            milliseconds: [0.5, 0.9, 0.99, 0.999, 1.0].map(ms),
            seconds: Duration::from_micros(span.to.saturating_sub(from)).as_secs_f64(),
        }
    }

    fn arrived(&self, number: u64) {
        let now = self.micros();
        let sent = usize::try_from(number).ok().and_then(|number| self.sent.get(number));
        let Some(sent) = sent else { return };
        let latency = now.saturating_sub(sent.load(Ordering::Acquire)).max(1);
        let mut span = self.span.lock();
        span.latencies.saturating_record(latency);
        span.to = now;
        drop(span);
        self.delivered.fetch_add(1, Ordering::AcqRel);
    }
}

/// Ten minutes at most, by three digits.
fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, 600_000_000, 3)
        .unwrap_or_else(|_| unreachable!("these bounds are in order"))
}

/// Subscribers that follow. They leave when this is dropped.
pub(super) struct Viewers {
    count: u32,
    _tasks: JoinSet<()>,
}

impl Viewers {
    /// Connects them all; each has its first state then.
    ///
    /// # Errors
    /// When one is refused, or not all get there.
    pub(super) async fn connect(
        hub: &HubOptions,
        pipeline: &PipelineId,
        count: u32,
        choice: TransportChoice,
        tally: &Arc<Tally>,
    ) -> Result<Self, Failure> {
        let mut tasks = JoinSet::new();
        let token = hub.token()?;
        for number in 0..count {
            let builder = Subscriber::builder(&hub.url).pipeline(pipeline).transport(choice);
            let subscriber = token.clone().for_subscriber(builder).connect();
            let subscriber = subscriber.map_err(|error| Failure::new(error.to_string()))?;
            tasks.spawn(Viewer::new(tally.clone()).follow(subscriber));
            if (number + 1) % AT_A_TIME == 0 || number + 1 == count {
                all_ready(tally, number + 1).await?;
            }
        }
        Ok(Self { count, _tasks: tasks })
    }

    /// Waits until everybody has everything, or nothing has arrived for so long.
    pub(super) async fn have_all(&self, tally: &Tally, quiet: Duration) {
        let all = tally.events() * u64::from(self.count);
        let (mut last, mut since) = (0, Instant::now());
        loop {
            let now = tally.delivered.load(Ordering::Acquire);
            if now >= all || since.elapsed() > quiet {
                return;
            }
            if now != last {
                (last, since) = (now, Instant::now());
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

async fn all_ready(tally: &Tally, count: u32) -> Result<(), Failure> {
    let started = Instant::now();
    loop {
        let ready = tally.ready.load(Ordering::Acquire);
        if ready >= count {
            return Ok(());
        }
        if let Some(why) = tally.failure.lock().take() {
            return Err(Failure::new(format!("a subscriber could not follow: {why}")));
        }
        if started.elapsed() > CONNECT {
            return Err(Failure::new(format!(
                "{ready} of {count} subscribers had a first state within {} s; `ragpulse doctor` finds out why",
                CONNECT.as_secs()
            )));
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// One of them.
struct Viewer {
    tally: Arc<Tally>,
    /// A bit for each event.
    seen: Vec<u64>,
    /// The number after the highest that was seen.
    next: u64,
    ready: bool,
    transport: Option<Transport>,
}

impl Viewer {
    fn new(tally: Arc<Tally>) -> Self {
        let words = usize::try_from(tally.events().div_ceil(64)).unwrap_or_default();
        Self { tally, seen: vec![0; words], next: 0, ready: false, transport: None }
    }

    async fn follow(mut self, mut subscriber: Subscriber) {
        while let Some(update) = subscriber.recv().await {
            self.take(&update);
        }
    }

    fn take(&mut self, update: &Update) {
        match &update.what {
            What::Event(event) => {
                let number = event.payload()["number"].as_u64();
                if let Some(number) = number.filter(|number| *number < self.tally.events()) {
                    self.event(number);
                }
            }
            What::Snapshot { .. } if !self.ready => {
                self.ready = true;
                self.tally.ready.fetch_add(1, Ordering::AcqRel);
            }
            What::Snapshot { .. } => {
                self.tally.resynced.fetch_add(1, Ordering::AcqRel);
            }
            What::Ended(code) => *self.tally.failure.lock() = Some(code.to_string()),
            What::Connection(connection) => {
                if let Some(transport) = connection.transport {
                    self.by(transport);
                }
                if connection.closed {
                    let why = connection.cause.as_ref().map_or_else(String::new, ToString::to_string);
                    *self.tally.failure.lock() = Some(why);
                }
            }
            _ => {}
        }
    }

    fn event(&mut self, number: u64) {
        let (word, bit) = (usize::try_from(number / 64).unwrap_or_default(), 1 << (number % 64));
        let Some(word) = self.seen.get_mut(word) else { return };
        if *word & bit != 0 {
            self.tally.doubled.fetch_add(1, Ordering::AcqRel);
            return;
        }
        *word |= bit;
        if number < self.next {
            self.tally.out_of_order.fetch_add(1, Ordering::AcqRel);
        }
        self.next = self.next.max(number + 1);
        self.tally.arrived(number);
    }

    fn by(&mut self, transport: Transport) {
        if self.transport == Some(transport) {
            return;
        }
        let mut transports = self.tally.transports.lock();
        let count = |transports: &mut Transports, transport, by: i32| {
            let count = match transport {
                Transport::Websocket => &mut transports.websocket,
                _ => &mut transports.polling,
            };
            *count = count.saturating_add_signed(by);
        };
        if let Some(before) = self.transport.replace(transport) {
            count(&mut transports, before, -1);
            transports.changes += 1;
        }
        count(&mut transports, transport, 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(tally: &Tally) -> [u64; 3] {
        [&tally.delivered, &tally.doubled, &tally.out_of_order].map(|count| count.load(Ordering::Acquire))
    }

    #[test]
    fn what_comes_twice_or_late_is_counted_as_that() {
        let tally = Arc::new(Tally::new(200));
        let mut viewer = Viewer::new(tally.clone());
        for number in [0, 1, 3, 130, 2, 3, 130] {
            viewer.event(number);
        }
        assert_eq!(counts(&tally), [5, 2, 1]);
    }

    #[test]
    fn a_viewer_counts_by_what_it_was_last_heard() {
        let tally = Arc::new(Tally::new(1));
        let (mut one, mut other) = (Viewer::new(tally.clone()), Viewer::new(tally.clone()));
        for transport in [Transport::Websocket, Transport::Websocket, Transport::Polling] {
            one.by(transport);
        }
        other.by(Transport::Websocket);
        assert_eq!(*tally.transports.lock(), Transports { websocket: 1, polling: 1, changes: 1 });
    }
}
