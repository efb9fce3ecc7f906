//! Two hubs on one Redis: published at one, delivered by the other, beside one hub on the same Redis; and how many events a
//! second are acknowledged in batches. Only with `--redis`.

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::Context;
use crate::AnyError;
use crate::suite::event::{ONLINE, Shape};
use crate::suite::figures::Spread;
use crate::suite::http::Http;
use crate::suite::load::{self, Follow, Outcome, Pace, Plan};
use crate::suite::report::{Column, Target};
use crate::suite::server::Kind;

/// Events of a batch.
const BATCH: u64 = 500;

/// A Redis that keeps what it has in memory, on the server's cores.
struct Redis {
    child: Child,
    store: String,
    _folder: tempfile::TempDir,
}

impl Redis {
    fn start(context: &Context<'_>) -> Result<Self, AnyError> {
        let folder = tempfile::tempdir_in(&context.programs.built)?;
        // Free now; who takes it meanwhile makes the start fail, and not the figures wrong.
        let port = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let mut command = Command::new("redis-server");
        command.args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--appendonly", "yes", "--dir"]);
        command.arg(folder.path()).stdin(Stdio::null()).stdout(Stdio::null());
        let child = context.programs.cores.as_server(|| command.spawn());
        let child = child.map_err(|error| {
            format!("cannot start redis-server ({error}); run: apt-get install -y redis-server")
        })?;
        let redis = Self { child, store: format!("redis://127.0.0.1:{port}"), _folder: folder };
        load::wait_for(
            || std::net::TcpStream::connect(("127.0.0.1", port)).is_ok(),
            "redis-server does not listen",
        )?;
        Ok(redis)
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs one hub and two in turns.
pub(crate) fn run(context: &mut Context<'_>) -> Result<(), AnyError> {
    let title = "two hubs on one Redis: 100 subscribers × 100 events/s";
    let plan = Plan {
        follow: Follow::One(100),
        pace: Pace::Rate(100.0),
        shape: Shape::Custom,
        warm: context.length(Duration::from_secs(2), Duration::from_millis(500)),
        window: context.length(Duration::from_secs(8), Duration::from_secs(2)),
    };
    let (mut one, mut two, mut acked) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..context.rounds {
        for hubs in [1, 2] {
            context.tell(title, round, if hubs == 1 { "one hub" } else { "two hubs" });
            let redis = Redis::start(context)?;
            let publish = context.programs.start_hub(&redis.store)?;
            let cores = &context.programs.cores;
            if hubs == 1 {
                one.push(load::run(&plan, &publish, &publish, &[&publish], cores)?);
                acked.push(batches(
                    &publish.host,
                    context.length(Duration::from_secs(5), Duration::from_secs(1)),
                )?);
            } else {
                let subscribe = context.programs.start_hub(&redis.store)?;
                two.push(load::run(&plan, &publish, &subscribe, &[&publish, &subscribe], cores)?);
            }
        }
    }
    context.check(title, Kind::Hub, &one);
    context.check(title, Kind::Hub, &two);
    let columns = [
        Column::new("p50 ms", |outcome| outcome.p50),
        Column::new("p99 ms", |outcome| outcome.p99),
        Column::new("p99.9 ms", |outcome| outcome.p999),
        Column::new("CPU µs/delivery", |outcome| outcome.cpu_per_delivery),
    ];
    let row = |name: &str, outcomes: &[Outcome]| {
        let cells = columns.iter().map(|column| Spread::of(outcomes.iter().map(column.of))).collect();
        (name.to_owned(), cells)
    };
    let mut names = vec!["hubs"];
    names.extend(columns.iter().map(|column| column.name));
    let rows =
        vec![row("publish and deliver at one", &one), row("publish at one, deliver at the other", &two)];
    context.rows(title, &names, rows);
    // 2 × p99 + 2 ms, as one figure: how much of that was used.
    let used = two.iter().zip(&one).map(|(two, one)| two.p99 / (2.0 * one.p99 + 2.0));
    context.target(
        Target::at_most("p99 across two hubs, of 2 × one hub's p99 + 2 ms".to_owned(), 1.0, "×"),
        Spread::of(used),
    );
    let what = format!("acknowledged events a second on Redis, in batches of {BATCH}");
    context.target(Target::at_least(what, 15_000.0, "/s"), Spread::of(acked));
    Ok(())
}

/// How many events a second are acknowledged, by four reporters.
fn batches(host: &str, window: Duration) -> Result<f64, AnyError> {
    let start = Instant::now();
    let total = std::thread::scope(|scope| {
        let reporters: Vec<_> = (0..4_u64)
            .map(|reporter| {
                scope.spawn(move || -> Result<u64, String> {
                    let text = |error: AnyError| error.to_string();
                    let mut http = Http::to(host).map_err(text)?;
                    let pipeline = format!("batches-{reporter}");
                    http.publish(&pipeline, ONLINE).map_err(text)?;
                    let (mut lines, mut number) = (Vec::new(), 0);
                    while start.elapsed() < window {
                        lines.clear();
                        for _ in 0..BATCH {
                            Shape::Custom.write(number, &mut lines);
                            number += 1;
                        }
                        http.publish(&pipeline, &lines).map_err(text)?;
                    }
                    Ok(number)
                })
            })
            .collect();
        reporters
            .into_iter()
            .map(|one| one.join().map_err(|_| "a reporter panicked".to_owned())?)
            .sum::<Result<u64, String>>()
    })?;
    #[allow(clippy::cast_precision_loss)]
    Ok(total as f64 / start.elapsed().as_secs_f64())
}
