//! Redis is emptied under hubs that live: pipelines of which somebody reports are opened again, in a new epoch; of the
//! others nobody keeps a state.

use std::sync::Arc;
use std::time::{Duration, Instant};

use ragpulse_client::TransportChoice;
use ragpulse_protocol::PipelineId;

use super::Order;
use super::outage::Outage;
use super::stage::Stage;
use crate::client::{self, Client, Habits};
use crate::oracle::Log;
use crate::proxy::Lane;
use crate::report::publisher::Publisher;
use crate::run::{AnyError, Run, millis};
use crate::table::Table;

const LABEL: &str = "flushed";
/// How long anybody may keep what is gone: the pauses of the client library are the longest part.
const FORGOTTEN_WITHIN: Duration = Duration::from_secs(40);

pub(crate) async fn run(order: &Order, run: &Arc<Run>, table: &mut Table) -> Result<(), AnyError> {
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    let times = order.scaled(5.0, 1.0).ceil() as u32;
    let mut outage = Outage::set(order, run, LABEL).await?;
    let (mut kept, mut watchers) = (0, 0);
    for round in 1..=times {
        let still = PipelineId::new(format!("still-{round}"))?;
        let (lanes, clients) = watch(&outage.stage, &still).await?;
        tokio::time::sleep(millis(&mut outage.rng, 300..=2_500)).await;
        outage.stage.oracle.is_emptied();
        outage.stage.hubs.redis()?.flush().await?;
        outage.over().await?;
        kept += forgotten(&outage.stage, &still, &clients).await;
        watchers += clients.len();
        drop(lanes);
        if run.has_failed() {
            break;
        }
    }

    let done = ("times Redis was emptied", outage.times().to_string());
    let watchers = ("watchers of what is gone; that kept a state", format!("{watchers}; {kept}"));
    outage.finish(table, done, "", Some(watchers)).await
}

/// A pipeline of which nobody reports any more, and one subscriber of each kind that has its state.
async fn watch(stage: &Stage, still: &PipelineId) -> Result<(Vec<Lane>, Vec<Client>), AnyError> {
    let mut publisher =
        Publisher::new(&stage.hubs.url(), still, &stage.oracle, 300)?.another(&format!("probe-{still}"));
    publisher.open().await?;
    publisher.probe(20).await?;
    let setup = stage.setup();
    let (mut lanes, mut clients) = (Vec::new(), Vec::new());
    for kind in ["socket", "poll", "stream", "websocket", "polling"] {
        let name = format!("{kind} of {still}");
        let lane = Lane::open(&stage.run, &name, &stage.hubs.targets()).await?;
        clients.push(match kind {
            "poll" => client::poll::start(&setup, &name, &lane, still, Habits::STEADY)?,
            "stream" => client::stream::start(&setup, &name, &lane, still, Habits::STEADY)?,
            "websocket" => client::real::start(&setup, &name, &lane, still, TransportChoice::Websocket)?,
            "polling" => client::real::start(&setup, &name, &lane, still, TransportChoice::Polling)?,
            _ => {
                let (address, options) = (lane.address(), client::socket::Options::default());
                client::socket::start(&setup, &name, address, Some(&lane), still, options)
            }
        });
        lanes.push(lane);
    }
    let deadline = Instant::now() + FORGOTTEN_WITHIN;
    let head = stage.oracle.acknowledged(still);
    while clients.iter().any(|client| client.view.at().is_none_or(|at| at.seq < head)) {
        if Instant::now() > deadline {
            return Err("a watcher was not given what was published".into());
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok((lanes, clients))
}

/// Waits until neither a hub nor a subscriber has it; gives how many subscribers kept it.
async fn forgotten(stage: &Stage, still: &PipelineId, clients: &[Client]) -> usize {
    let deadline = Instant::now() + FORGOTTEN_WITHIN;
    for hub in stage.hubs.each() {
        while Log::shown(&stage.http, &hub.url(), still).await.is_ok() {
            if Instant::now() > deadline {
                let journal = hub.journal();
                stage.fail(format!("{} shows {still}, which is gone from Redis", journal.name()));
                break;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
    while clients.iter().any(|client| client.view.at().is_some()) && Instant::now() < deadline {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let kept = clients.iter().filter(|client| client.view.at().is_some());
    let mut count = 0;
    for client in kept {
        let at = client.view.at();
        client.witness.lock().fail(format!("still at {at:?} of {still}, which is gone from Redis"));
        count += 1;
    }
    count
}
