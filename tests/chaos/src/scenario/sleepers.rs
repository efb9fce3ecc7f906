//! Subscribers that sleep through almost, and more than, what a socket is replayed: the first are given every event, also by
//! a hub that was killed in between; the others one state and why; and those who poll or stream every event however many.

use std::sync::Arc;
use std::time::{Duration, Instant};

use ragpulse_protocol::PipelineId;

use super::Order;
use super::stage::{Stage, pipelines};
use crate::client::socket::Options;
use crate::client::{self, Client, Counts, Habits};
use crate::proxy::{Down, Lane};
use crate::report::publisher::Publisher;
use crate::run::{AnyError, Run};
use crate::table::Table;

const LABEL: &str = "sleepers";
/// What a socket is replayed at most is 10,000.
const WITHIN: usize = 9_900;
const BEYOND: usize = 500;
const BATCH: usize = 100;
/// How long one may take to wake up.
const AWAKE_WITHIN: Duration = Duration::from_secs(60);

/// One who sleeps, and the way to it.
struct Sleeper {
    what: &'static str,
    lane: Lane,
}

pub(crate) async fn run(order: &Order, run: &Arc<Run>, table: &mut Table) -> Result<(), AnyError> {
    let mut stage = Stage::set(order, run).await?;
    let pipeline = pipelines(1)?.remove(0);
    let mut publisher = Publisher::new(&stage.hubs.url(), &pipeline, &stage.oracle, 300)?;
    publisher.open().await?;
    let (sleepers, clients) = enter(&stage, &pipeline).await?;
    for client in &clients {
        awake(&stage, client, &pipeline).await?;
    }
    sleepers.iter().for_each(|sleeper| sleeper.lane.down(Down::Refuse));

    publish(&mut publisher, WITHIN).await?;
    wake(&stage, &sleepers[0], &clients[0], &pipeline).await?;
    // Without a store there is nothing to come back to.
    if stage.oracle.keeps() {
        stage.hubs.kill().await?;
        stage.hubs.restart().await?;
    }
    wake(&stage, &sleepers[1], &clients[1], &pipeline).await?;
    publish(&mut publisher, BEYOND).await?;
    for (sleeper, client) in sleepers.iter().zip(&clients).skip(2) {
        wake(&stage, sleeper, client, &pipeline).await?;
    }

    stage.quiet();
    let logs = stage.logs(std::slice::from_ref(&pipeline)).await?;
    let stuck = stage.whole(&clients, &logs).await;
    let findings = stage.judge(&clients, &logs, &[]);
    stage.end();
    for (number, (sleeper, client)) in sleepers.iter().zip(&clients).enumerate() {
        let counts = client.view.counts();
        // Whether a state was permitted is the tracker's to say; that the one beyond got it, instead of a flood, is not.
        if number == 2 && (counts.reset, counts.snapshots) != (1, 2) {
            client.witness.lock().fail(format!("it was to be given one state after its sleep: {counts:?}"));
        }
        table.add(LABEL, sleeper.what, told(counts));
    }
    table.add(LABEL, "events lost; clients stuck", format!("{}; {stuck}", findings.lost));
    stage.hubs.kill().await
}

fn told(counts: Counts) -> String {
    let Counts { events, reset, .. } = counts;
    format!("{events} events, {reset} states instead")
}

async fn enter(stage: &Stage, pipeline: &PipelineId) -> Result<(Vec<Sleeper>, Vec<Client>), AnyError> {
    let setup = stage.setup();
    let (mut sleepers, mut clients) = (Vec::new(), Vec::new());
    let all = [
        ("socket, 9,900 events behind", "near"),
        ("socket, the same to a hub that was killed since", "across"),
        ("socket, 10,400 events behind", "far"),
        ("polling, 10,400 events behind", "poll"),
        ("event stream, 10,400 events behind", "stream"),
    ];
    for (what, name) in all {
        let lane = Lane::open(&stage.run, name, &stage.hubs.targets()).await?;
        clients.push(match name {
            "poll" => client::poll::start(&setup, name, &lane, pipeline, Habits::STEADY)?,
            "stream" => client::stream::start(&setup, name, &lane, pipeline, Habits::STEADY)?,
            _ => {
                let address = lane.address();
                client::socket::start(&setup, name, address, Some(&lane), pipeline, Options::default())
            }
        });
        sleepers.push(Sleeper { what, lane });
    }
    Ok((sleepers, clients))
}

async fn publish(publisher: &mut Publisher, events: usize) -> Result<(), AnyError> {
    for _ in 0..events / BATCH {
        publisher.probe(BATCH).await?;
    }
    Ok(())
}

async fn wake(
    stage: &Stage,
    sleeper: &Sleeper,
    client: &Client,
    pipeline: &PipelineId,
) -> Result<(), AnyError> {
    sleeper.lane.up();
    awake(stage, client, pipeline).await
}

/// Waits until a client stands at the end of the sequence.
async fn awake(stage: &Stage, client: &Client, pipeline: &PipelineId) -> Result<(), AnyError> {
    let deadline = Instant::now() + AWAKE_WITHIN;
    let head = stage.oracle.acknowledged(pipeline);
    while client.view.at().is_none_or(|at| at.seq < head) {
        if Instant::now() > deadline {
            let at = client.view.at();
            client.witness.lock().fail(format!("at {at:?} and not at {head} after {AWAKE_WITHIN:?}"));
            return Err("a sleeper did not wake up".into());
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    Ok(())
}
