//! Every subscriber is cut abruptly every few seconds for up to two, while events come steadily: each must be given every
//! event that must arrive exactly once, as an event, and progress must end at its last value.

use std::sync::Arc;
use std::time::Duration;

use ragpulse_client::TransportChoice;
use tokio::time::Instant;

use super::Order;
use super::stage::{Stage, pipelines};
use crate::client::{self, Client};
use crate::proxy::{Down, Lane};
use crate::report::workload::Workload;
use crate::report::{self, Pace};
use crate::run::{AnyError, Run, millis};
use crate::table::Table;

const LABEL: &str = "jitter";
const RATE: f64 = 50.0;

pub(crate) async fn run(order: &Order, run: &Arc<Run>, table: &mut Table) -> Result<(), AnyError> {
    let length = Duration::from_secs_f64(order.scaled(120.0, 6.0));
    let (subscribers, real) = order.either((200, 10), (30, 3));
    let mut stage = Stage::set(order, run).await?;
    let setup = stage.setup();
    let pipeline = pipelines(1)?.remove(0);

    let workload = Workload::new("r", run.rng("workload"));
    let pace = Pace { rate: RATE, batch: 8 };
    let reporter = report::light::start(&setup, &stage.hubs.url(), None, &pipeline, workload, pace)?;
    let mut clients: Vec<Client> = Vec::new();
    let mut lanes = Vec::new();
    for number in 0..subscribers {
        let name = format!("subscriber {number}");
        let lane = Arc::new(Lane::open(run, &name, &stage.hubs.targets()).await?);
        clients.push(if number < real {
            let choice = [TransportChoice::Auto, TransportChoice::Websocket][number % 2];
            client::real::start(&setup, &name, &lane, &pipeline, choice)?
        } else {
            // Folding costs, and a fourth of them proves it as well.
            let options = client::socket::Options { keeps_state: number % 4 == 0, ..Default::default() };
            client::socket::start(&setup, &name, lane.address(), Some(&lane), &pipeline, options)
        });
        lanes.push(lane);
    }

    let until = Instant::now() + length;
    let (up, down) = order.either((2_000..=6_000, 200..=2_000), (600..=1_800, 100..=600));
    let mut cutting = tokio::task::JoinSet::new();
    for (number, lane) in lanes.iter().enumerate() {
        let (lane, mut rng) = (lane.clone(), run.rng(&format!("cuts {number}")));
        let (up, down) = (up.clone(), down.clone());
        cutting.spawn(async move {
            let mut cuts = 0_u64;
            loop {
                tokio::time::sleep(millis(&mut rng, up.clone())).await;
                if Instant::now() >= until {
                    return cuts;
                }
                // A subscriber that leaves a dead socket to itself hangs longer than one that is told.
                lane.down(if rng.u32(0..8) == 0 { Down::Swallow } else { Down::Refuse });
                cuts += 1;
                tokio::time::sleep(millis(&mut rng, down.clone())).await;
                lane.up();
            }
        });
    }
    let mut cuts = 0;
    while let Some(joined) = cutting.join_next().await {
        cuts += joined?;
    }

    stage.quiet();
    let told = stage.reported(vec![reporter]).await?;
    let logs = stage.logs(std::slice::from_ref(&pipeline)).await?;
    let stuck = stage.whole(&clients, &logs).await;
    let mut findings = stage.judge(&clients, &logs, &told);
    let before = findings.wrong.len();
    let last = told.first().map(|told| told.progress.clone()).unwrap_or_default();
    findings.progress(&logs[0], &last);
    for wrong in &findings.wrong[before..] {
        stage.fail(wrong.clone());
    }
    let counts = Stage::counts(&clients);
    if counts.reset > 0 {
        stage.fail(format!("{} times a state was given instead of a replay", counts.reset));
    }
    stage.end();

    let (open, wrong) = (last.len(), findings.wrong.len() - before);
    let mut row = |what: &str, value: String| table.add(LABEL, what, value);
    row("events a second; seconds", format!("{RATE}; {:.0}", length.as_secs_f64()));
    row("cuts of 0.2 to 2 s", cuts.to_string());
    row("events that must arrive; in all", format!("{}; {}", findings.promised, logs[0].head.seq));
    row("deliveries, each once and in order", counts.events.to_string());
    row("resumed with recovered: true; not", format!("{}; {}", counts.recovered, counts.reset));
    row(
        "open files whose progress ends at its last value",
        format!("{} of {open}", open.saturating_sub(wrong)),
    );
    row("subscribers whole", format!("{} of {subscribers}", subscribers - run.befallen().max(stuck)));
    stage.hubs.kill().await
}
