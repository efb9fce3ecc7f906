//! One run: subscribers, one reporter, a pace, and what it cost.
//!
//! The reporter sends single events over one connection that is kept, each when the one before is answered and its time has
//! come. The time of an event is when it was sent; where the answer before it came too late, it is when it should have been
//! sent, so that a server that cannot keep up is not excused.
//!
//! *What it never does:* measure the start: CPU is read when all of the warm-up has arrived, and again when all is.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::cores::Cores;
use super::event::{ONLINE, Shape};
use super::http::Http;
use super::process;
use super::readers::{Board, Readers, Seen};
use super::server::Server;
use crate::AnyError;

/// How long nothing may arrive before the rest is lost.
const QUIET: Duration = Duration::from_secs(3);
/// The generator is not the bottleneck below this part of its time.
pub(crate) const BUSY: f64 = 0.85;

/// How fast is published.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Pace {
    /// Events a second.
    Rate(f64),
    /// As fast as it goes, with no more than so many events that not everybody has.
    UnderWay(u64),
}

/// Who follows what.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Follow {
    /// So many sockets follow one pipeline.
    One(u64),
    /// Each of so many pipelines is followed by one of so many sockets.
    Spread { pipelines: u64, sockets: u64 },
}

/// What is done.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Plan {
    pub(crate) follow: Follow,
    pub(crate) pace: Pace,
    pub(crate) shape: Shape,
    pub(crate) warm: Duration,
    pub(crate) window: Duration,
}

/// What came of it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Outcome {
    pub(crate) cpu_per_delivery: f64,
    pub(crate) cpu_per_event: f64,
    /// Milliseconds.
    pub(crate) p50: f64,
    pub(crate) p99: f64,
    pub(crate) p999: f64,
    pub(crate) deliveries_per_second: f64,
    /// Events a second that were taken.
    pub(crate) rate: f64,
    pub(crate) bytes_per_delivery: f64,
    pub(crate) lost: u64,
    pub(crate) twice: u64,
    /// States that came in place of events.
    pub(crate) resynced: u64,
    /// The part of its time that the generator was busy, by its busiest thread or all its cores.
    pub(crate) generator: f64,
    pub(crate) failures: Vec<String>,
}

impl Outcome {
    /// Whether everybody got everything, once and in order.
    pub(crate) fn whole(&self) -> bool {
        self.lost == 0 && self.twice == 0 && self.resynced == 0 && self.failures.is_empty()
    }
}

/// Runs a plan: `publish` takes the events, and `subscribe`, which may be the same, has the subscribers. CPU is counted of
/// all `counted`.
pub(crate) fn run(
    plan: &Plan,
    publish: &Server,
    subscribe: &Server,
    counted: &[&Server],
    cores: &Cores,
) -> Result<Outcome, AnyError> {
    let mut run = Run::set_up(plan, publish, subscribe, cores)?;
    run.publish(plan.warm)?;
    run.arrive();
    run.measure(counted)
}

struct Run<'a> {
    plan: &'a Plan,
    board: Arc<Board>,
    readers: Readers,
    http: Http,
    /// How many subscribers get each event.
    each: u64,
    subscriptions: u64,
    published: u64,
    line: Vec<u8>,
    /// Deliveries that are no longer waited for.
    forgiven: u64,
    cores: &'a Cores,
}

impl<'a> Run<'a> {
    fn set_up(
        plan: &'a Plan,
        publish: &Server,
        subscribe: &Server,
        cores: &'a Cores,
    ) -> Result<Self, AnyError> {
        let (pipelines, sockets, shared_by) = match plan.follow {
            Follow::One(sockets) => (1, sockets, 1),
            Follow::Spread { pipelines, sockets } => (pipelines, sockets, sockets),
        };
        let mut http = Http::to(&publish.host)?;
        open(&publish.host, pipelines)?;
        for batch in plan.shape.opening() {
            http.publish(&name(pipelines, 0), &batch)?;
        }
        let board = Board::new(pipelines, shared_by, 0);
        // One core is for the reporter where there are several.
        let mut readers = Readers::start(&board, cores.of_generator().saturating_sub(1))?;
        for socket in 0..sockets {
            let wanted = match plan.follow {
                Follow::One(_) => serde_json::json!({ "pipeline_id": name(1, 0) }),
                Follow::Spread { .. } => {
                    let own = (socket..pipelines).step_by(usize::try_from(sockets)?);
                    serde_json::json!({ "pipeline_ids": own.map(|number| name(pipelines, number)).collect::<Vec<_>>() })
                }
            };
            readers.open(&subscribe.host, &serde_json::json!(["subscribe", wanted]).to_string())?;
        }
        readers.wait(0)?;
        let (each, subscriptions) = match plan.follow {
            Follow::One(sockets) => (sockets, sockets),
            Follow::Spread { pipelines, .. } => (1, pipelines),
        };
        // Each has its state, so that all that comes later is more than that.
        wait_for(|| board.states.load(Ordering::Relaxed) >= subscriptions, "not every state came")?;
        let (published, forgiven) = (0, 0);
        Ok(Self {
            plan,
            board,
            readers,
            http,
            each,
            subscriptions,
            published,
            line: Vec::new(),
            forgiven,
            cores,
        })
    }

    /// Publishes for so long.
    fn publish(&mut self, length: Duration) -> Result<(), AnyError> {
        let pipelines = self.board.turns.pipelines;
        let begin = Instant::now();
        // When the first event was due: put off by what a clock that wakes late takes, which is the generator's fault.
        let mut start = begin;
        let mut number = 0_u32;
        loop {
            let sent = match self.plan.pace {
                Pace::Rate(rate) => {
                    let due = start + Duration::from_secs_f64(f64::from(number) / rate);
                    let early = due.saturating_duration_since(Instant::now());
                    std::thread::sleep(early);
                    if early.is_zero() && number > 0 {
                        // The answer before it came too late, which is the server's fault.
                        due
                    } else {
                        let now = Instant::now();
                        let overslept = now.saturating_duration_since(due);
                        if overslept > Duration::from_secs_f64(0.25 / rate) {
                            start += overslept;
                        }
                        now
                    }
                }
                Pace::UnderWay(most) => {
                    self.let_arrive(most);
                    Instant::now()
                }
            };
            if begin.elapsed() >= length {
                return Ok(());
            }
            self.line.clear();
            self.plan.shape.write(self.published, &mut self.line);
            self.board.sending(self.published, sent);
            let pipeline = name(pipelines, self.published % pipelines);
            self.http.publish(&pipeline, &self.line)?;
            self.published += 1;
            number += 1;
        }
    }

    fn missing(&self) -> u64 {
        let delivered = self.board.delivered.load(Ordering::Acquire);
        (self.published * self.each).saturating_sub(delivered + self.forgiven)
    }

    /// Waits until no more than so many events are under way; what does not come is not waited for again.
    fn let_arrive(&mut self, most: u64) {
        let mut missing = self.missing();
        let mut since = Instant::now();
        while missing > most * self.each {
            if since.elapsed() > QUIET {
                self.forgiven += missing;
                return;
            }
            std::thread::sleep(Duration::from_micros(50));
            let now = self.missing();
            if now != missing {
                (missing, since) = (now, Instant::now());
            }
        }
    }

    /// Waits until all has arrived, or nothing more does.
    fn arrive(&mut self) {
        self.let_arrive(0);
    }

    #[allow(clippy::cast_precision_loss)]
    fn measure(mut self, counted: &[&Server]) -> Result<Outcome, AnyError> {
        let cpu = || counted.iter().map(|server| process::cpu_seconds(server.process())).sum::<f64>();
        let sums =
            |board: &Board| (board.delivered.load(Ordering::Acquire), board.bytes.load(Ordering::Relaxed));
        self.board.measured_from.store(self.published, Ordering::Relaxed);
        let (before, delivered, start) = (cpu(), sums(&self.board), Instant::now());
        let (threads, from) = (process::threads(), self.published);
        self.publish(self.plan.window)?;
        let published_for = start.elapsed();
        self.arrive();
        let cpu = cpu() - before;
        // What was waited for in vain is no time of delivering.
        let took = start.elapsed().saturating_sub(if self.forgiven > 0 { QUIET } else { Duration::ZERO });
        let generator = busy(&threads, took, self.cores.of_generator());
        let (delivered_now, bytes_now) = sums(&self.board);
        let (deliveries, bytes) = (delivered_now - delivered.0, bytes_now - delivered.1);
        let events = self.published - from;
        let board = self.board.clone();
        let seen = self.readers.finish()?;
        let ms = |percent: f64| seen.latencies.value_at_quantile(percent / 100.0) as f64 / 1_000.0;
        Ok(Outcome {
            cpu_per_delivery: cpu * 1e6 / deliveries as f64,
            cpu_per_event: cpu * 1e6 / events as f64,
            p50: ms(50.0),
            p99: ms(99.0),
            p999: ms(99.9),
            deliveries_per_second: deliveries as f64 / took.as_secs_f64(),
            rate: events as f64 / published_for.as_secs_f64(),
            bytes_per_delivery: bytes as f64 / deliveries as f64,
            lost: lost(&seen, self.published, self.each),
            twice: board.twice.load(Ordering::Relaxed),
            resynced: board.states.load(Ordering::Relaxed).saturating_sub(self.subscriptions),
            generator,
            failures: board.failures(),
        })
    }
}

/// Makes the pipelines known, by several reporters at a time: thousands would take long one after the other.
fn open(host: &str, pipelines: u64) -> Result<(), AnyError> {
    const REPORTERS: u64 = 8;
    std::thread::scope(|scope| {
        let reporters: Vec<_> = (0..REPORTERS.min(pipelines))
            .map(|reporter| {
                scope.spawn(move || -> Result<(), AnyError> {
                    let mut http = Http::to(host)?;
                    for pipeline in (reporter..pipelines).step_by(REPORTERS as usize) {
                        http.publish(&name(pipelines, pipeline), ONLINE)?;
                    }
                    Ok(())
                })
            })
            .collect();
        reporters.into_iter().try_for_each(|reporter| reporter.join().map_err(|_| "a reporter panicked")?)
    })
}

/// What did not arrive: what was skipped, and what is missing at the end.
fn lost(seen: &Seen, published: u64, each: u64) -> u64 {
    let past: u64 = seen.up_to.iter().sum();
    (published * each).saturating_sub(past).saturating_add(seen.skipped)
}

/// The part of a time that this process was busy: its busiest thread, or all of it over its cores.
#[allow(clippy::cast_precision_loss)]
pub(crate) fn busy(before: &std::collections::HashMap<u32, f64>, took: Duration, cores: usize) -> f64 {
    let used: Vec<f64> = process::threads()
        .into_iter()
        .map(|(id, seconds)| seconds - before.get(&id).copied().unwrap_or(0.0))
        .collect();
    let most = used.iter().copied().fold(0.0, f64::max);
    most.max(used.iter().sum::<f64>() / cores as f64) / took.as_secs_f64().max(1e-9)
}

/// Waits for something that comes soon.
pub(crate) fn wait_for(so: impl Fn() -> bool, otherwise: &str) -> Result<(), AnyError> {
    let start = Instant::now();
    while !so() {
        if start.elapsed() > Duration::from_secs(120) {
            return Err(otherwise.into());
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    Ok(())
}

/// The name of a pipeline.
pub(crate) fn name(pipelines: u64, number: u64) -> String {
    if pipelines == 1 { "bench".to_owned() } else { format!("bench-{number}") }
}
