//! One hub is cut off from Redis while another goes on, in the full form for longer than the log keeps: it stays up and
//! says that it is stale, and catches up by itself, or rebuilds and tells its subscribers why.

use std::sync::Arc;
use std::time::{Duration, Instant};

use ragpulse_client::TransportChoice;
use ragpulse_protocol::PipelineId;
use reqwest::StatusCode;

use super::Order;
use super::probe::Probe;
use super::stage::{Stage, pipelines};
use crate::client::{self, Client, Habits};
use crate::hubs::Plan;
use crate::oracle::{Log, difference};
use crate::proxy::{Down, Lane};
use crate::report::publisher::Publisher;
use crate::run::{AnyError, Run};
use crate::table::Table;

const LABEL: &str = "cutoff";
/// More than a log keeps of a pipeline.
const BEYOND: usize = 105_000;
const WITHIN: usize = 600;
const BATCH: usize = 300;
/// Longer than a hub waits for an answer of Redis.
const NOTICED_WITHIN: Duration = Duration::from_secs(15);
/// How long everybody may take to have what was published meanwhile.
const CAUGHT_UP_WITHIN: Duration = Duration::from_secs(90);

/// Who stays with one hub.
struct Side {
    clients: Vec<Client>,
    _lanes: Vec<Lane>,
}

pub(crate) async fn run(order: &Order, run: &Arc<Run>, table: &mut Table) -> Result<(), AnyError> {
    let stage = Stage::by(order, run, &Plan { apart: true, ..order.plan.clone() }).await?;
    let pipeline = pipelines(1)?.remove(0);
    let mut publisher = Publisher::new(&stage.hubs.each()[0].url(), &pipeline, &stage.oracle, 220)?;
    publisher.open().await?;
    publisher.probe(BATCH).await?;
    let (near, far) = (enter(&stage, &pipeline, 0).await?, enter(&stage, &pipeline, 1).await?);
    caught_up(&stage, &pipeline, &[&near, &far]).await?;

    let ways =
        if run.rng(LABEL).bool() { [Down::Refuse, Down::Swallow] } else { [Down::Swallow, Down::Refuse] };
    // First what a replay bridges, then, as it takes longer, what it does not.
    let rounds = order.either(vec![WITHIN, BEYOND], vec![WITHIN]);
    let mut rows = Vec::new();
    for (events, how) in rounds.iter().zip(ways) {
        let before = far.clients.iter().map(|client| client.view.counts().reset).sum::<u64>();
        stage.hubs.way(1)?.down(how);
        for _ in 0..events / BATCH {
            publisher.probe(BATCH).await?;
        }
        alone(&stage, &pipeline).await?;
        stage.hubs.way(1)?.up();
        let begun = Instant::now();
        caught_up(&stage, &pipeline, &[&near, &far]).await?;
        let took = begun.elapsed();
        Probe::all_take(&Probe::each(&stage)?).await?;
        let resets = far.clients.iter().map(|client| client.view.counts().reset).sum::<u64>() - before;
        if (*events == WITHIN && resets > 0) || (*events == BEYOND && resets < far.clients.len() as u64) {
            stage.fail(format!("{resets} states were given after {events} events behind a cut"));
        }
        rows.push((*events, took, resets));
    }
    let of_near: u64 = near.clients.iter().map(|client| client.view.counts().reset).sum();
    if of_near > 0 {
        stage.fail(format!("{of_near} states were given to those at the hub that went on"));
    }

    stage.quiet();
    same(&stage, &pipeline, &[&near, &far]).await?;
    if rounds == [WITHIN] {
        let logs = stage.logs(std::slice::from_ref(&pipeline)).await?;
        let findings = stage.judge(&[], &logs, &[]);
        table.add(LABEL, "events lost; doubled", format!("{}; {}", findings.lost, findings.doubled));
    }
    stage.end();
    for (events, took, resets) in rows {
        let what = format!("{events} events behind a cut: all have them after; states");
        table.add(LABEL, what, format!("{:.1} s; {resets}", took.as_secs_f64()));
    }
    Ok(())
}

/// One subscriber of each kind, all at one hub.
async fn enter(stage: &Stage, pipeline: &PipelineId, hub: usize) -> Result<Side, AnyError> {
    let setup = stage.setup();
    let (mut clients, mut lanes) = (Vec::new(), Vec::new());
    for kind in ["socket", "poll", "stream", "library"] {
        let name = format!("{kind} at {}", hub + 1);
        let lane = Lane::open(&stage.run, &name, &stage.hubs.targets()[hub..=hub]).await?;
        clients.push(match kind {
            "poll" => client::poll::start(&setup, &name, &lane, pipeline, Habits::STEADY)?,
            "stream" => client::stream::start(&setup, &name, &lane, pipeline, Habits::STEADY)?,
            "library" => client::real::start(&setup, &name, &lane, pipeline, TransportChoice::Auto)?,
            _ => {
                let (address, options) = (lane.address(), client::socket::Options::default());
                client::socket::start(&setup, &name, address, Some(&lane), pipeline, options)
            }
        });
        lanes.push(lane);
    }
    Ok(Side { clients, _lanes: lanes })
}

/// Waits until the hub that is cut off says that it is, and sees that it serves and takes nothing.
async fn alone(stage: &Stage, pipeline: &PipelineId) -> Result<(), AnyError> {
    let mut probes = Probe::each(stage)?;
    let far = probes.remove(1);
    let deadline = Instant::now() + NOTICED_WITHIN;
    loop {
        let answer = far.get(&format!("/api/pipelines/{pipeline}/events")).await?;
        if answer.status != StatusCode::OK {
            stage.fail(format!("{} says {} without Redis: {}", far.name, answer.status, answer.text));
            return Ok(());
        }
        if answer.stale.is_some() {
            break;
        }
        if Instant::now() > deadline {
            stage
                .fail(format!("{} does not say that it is stale {NOTICED_WITHIN:?} after the cut", far.name));
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let refused = far.report().await?;
    if refused.status != StatusCode::SERVICE_UNAVAILABLE {
        stage
            .fail(format!("{} answers what is reported with {}: {}", far.name, refused.status, refused.text));
    }
    Ok(())
}

async fn caught_up(stage: &Stage, pipeline: &PipelineId, sides: &[&Side]) -> Result<(), AnyError> {
    let deadline = Instant::now() + CAUGHT_UP_WITHIN;
    let head = stage.oracle.acknowledged(pipeline);
    let behind = |client: &&Client| client.view.at().is_none_or(|at| at.seq < head);
    loop {
        let Some(client) = sides.iter().flat_map(|side| &side.clients).find(behind) else { return Ok(()) };
        if Instant::now() > deadline {
            let at = client.view.at();
            client.witness.lock().fail(format!("at {at:?} and not at {head} after {CAUGHT_UP_WITHIN:?}"));
            return Err("not everybody was given what was published".into());
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Every hub and every subscriber shows the same.
async fn same(stage: &Stage, pipeline: &PipelineId, sides: &[&Side]) -> Result<(), AnyError> {
    let hubs = stage.hubs.each();
    let first = Log::shown(&stage.http, &hubs[0].url(), pipeline).await?;
    for hub in &hubs[1..] {
        let shown = Log::shown(&stage.http, &hub.url(), pipeline).await?;
        if let Some(difference) = difference(&first, &shown) {
            stage.fail(format!("the hubs do not show the same: {difference}"));
        }
    }
    for client in sides.iter().flat_map(|side| &side.clients) {
        if let Some(difference) = client.view.state().and_then(|state| difference(&first, &state)) {
            client.witness.lock().fail(format!("its state is not that of the hubs: {difference}"));
        }
    }
    Ok(())
}
