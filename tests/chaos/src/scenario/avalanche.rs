//! Thousands of subscribers lose their hub at once and come back as soon as it does: all of them by replay.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::Order;
use super::stage::{Stage, pipelines};
use crate::client::socket::Options;
use crate::client::{self, Backoff, Client, Habits};
use crate::report::workload::Workload;
use crate::report::{self, Pace};
use crate::run::{AnyError, Run};
use crate::table::Table;

const LABEL: &str = "avalanche";
/// How long everybody may take to join, and to resume.
const WITHIN: Duration = Duration::from_secs(120);
/// How many deliveries a second there are at most, to all clients together.
const DELIVERIES: f64 = 30_000.0;
/// The descriptors that are left for everything but the clients.
const SPARE: usize = 1_500;
/// The fewest clients of the full form, and the most: a hub takes 20,000 connections unless told otherwise.
const CLIENTS: std::ops::RangeInclusive<usize> = 5_000..=18_000;
/// How many connect at once in the beginning.
const WAVE: usize = 100;

pub(crate) async fn run(order: &Order, run: &Arc<Run>, table: &mut Table) -> Result<(), AnyError> {
    let count = match order.options.clients {
        Some(count) => count,
        None if order.options.short => 250,
        None => most_clients(usize::from(order.plan.hubs > 1))?,
    };
    // As much as a small machine delivers while it also runs all the clients.
    #[allow(clippy::cast_precision_loss)]
    let rate = (DELIVERIES / count.max(1) as f64).min(10.0);
    let mut stage = Stage::set(order, run).await?;
    let setup = stage.setup();
    let pipeline = pipelines(1)?.remove(0);
    let workload = Workload::new("r", run.rng("workload"));
    let reporter =
        report::light::start(&setup, &stage.hubs.url(), None, &pipeline, workload, Pace { rate, batch: 5 })?;

    let habits = Habits { stays: None, sleeps: 0..=0, backoff: Backoff::LIBRARY };
    let mut clients: Vec<Client> = Vec::new();
    for number in 0..count {
        let options = Options {
            habits: habits.clone(),
            keeps_state: false,
            // What a hub that has much to do is slow with is not lost.
            patience: Some(Duration::from_secs(30)),
            ..Default::default()
        };
        let (name, address) = (format!("subscriber {number}"), stage.hubs.address());
        clients.push(client::socket::start(&setup, &name, address, None, &pipeline, options));
        if number % WAVE == WAVE - 1 {
            tokio::time::sleep(Duration::from_millis(30)).await;
        }
    }
    let joined = Instant::now();
    wait_for(&clients, |client| client.view.at().is_some(), count).await;
    let joining = joined.elapsed();
    tokio::time::sleep(Duration::from_millis(order.either(3_000, 500))).await;

    stage.hubs.kill().await?;
    let killed = Instant::now();
    // Long enough that everybody has noticed.
    tokio::time::sleep(Duration::from_millis(order.either(1_000, 300))).await;
    let started_in = stage.hubs.restart().await?;
    let served = Instant::now();
    let back = |client: &Client| {
        let counts = client.view.counts();
        counts.recovered + counts.reset > 0
    };
    let [half, most, all] = [count / 2, count * 99 / 100, count];
    let mut times = Vec::new();
    for wanted in [half, most, all] {
        wait_for(&clients, back, wanted).await;
        times.push(format!("{:.2} s", served.elapsed().as_secs_f64()));
    }
    let since_kill = killed.elapsed();

    stage.quiet();
    let told = stage.reported(vec![reporter]).await?;
    let logs = stage.logs(std::slice::from_ref(&pipeline)).await?;
    let stuck = stage.whole(&clients, &logs).await;
    let findings = stage.judge(&clients, &logs, &told);
    let counts = Stage::counts(&clients);
    let replayed = clients.iter().filter(|client| client.view.counts().recovered > 0).count();
    let resident = stage.hubs.resident().unwrap_or_default();
    stage.end();
    if stage.oracle.keeps() && replayed < count {
        stage.fail(format!("{} of {count} did not resume by replay", count - replayed));
    }

    let mut row = |what: &str, value: String| table.add(LABEL, what, value);
    row("subscribers; events a second", format!("{count}; {rate:.1}"));
    row("all joined after", format!("{:.2} s", joining.as_secs_f64()));
    row("hub serves again after its start", format!("{} ms", started_in.as_millis()));
    row("resumed by replay; given a state instead", format!("{replayed} of {count}; {}", counts.reset));
    row("half, 99 %, all back after it serves", times.join(", "));
    row("all back after the kill", format!("{:.2} s", since_kill.as_secs_f64()));
    row("deliveries, each once and in order", counts.events.to_string());
    row("hub's memory then", format!("{} MiB", resident / 1024 / 1024));
    row("acknowledged events lost; clients stuck", format!("{}; {stuck}", findings.lost));
    stage.hubs.kill().await
}

/// As many clients as the descriptors of a process allow, where the system tells. Each takes one, and two more for each lane
/// before the hubs.
fn most_clients(lanes: usize) -> Result<usize, AnyError> {
    let limits = std::fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"));
    let Some(allowed) = line.and_then(|line| line.split_whitespace().next()?.parse::<usize>().ok()) else {
        return Ok(*CLIENTS.start());
    };
    let each = 1 + 2 * lanes;
    let clients = allowed.saturating_sub(SPARE) / each;
    if clients < *CLIENTS.start() {
        let needed = CLIENTS.start() * each + SPARE;
        return Err(format!("a process may open {allowed} files here, and the avalanche needs {needed}; run `ulimit -n {needed}` first").into());
    }
    Ok(clients.min(*CLIENTS.end()))
}

async fn wait_for(clients: &[Client], is: impl Fn(&Client) -> bool, wanted: usize) {
    let deadline = Instant::now() + WITHIN;
    while clients.iter().filter(|client| is(client)).count() < wanted && Instant::now() < deadline {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
