//! SIGKILL at random moments under load, while every connection misbehaves: nothing that was acknowledged may be lost or
//! doubled, and everybody must be whole in the end.

use std::sync::Arc;
use std::time::Duration;

use ragpulse_client::TransportChoice;
use ragpulse_protocol::PipelineId;

use super::Order;
use super::stage::{Stage, pipelines};
use crate::client::{self, Client, Habits, Setup};
use crate::proxy::{Act, Down, Faults, Lane};
use crate::report::workload::Workload;
use crate::report::{self, Pace, Reporting};
use crate::run::{AnyError, Run, millis};
use crate::table::{Table, percentile};

const LABEL: &str = "kills";
/// How long a hub lives, in milliseconds, and how long it is dead.
const LIVES: std::ops::RangeInclusive<u64> = 150..=2_200;
const DEAD: std::ops::RangeInclusive<u64> = 0..=400;

/// Who is on the stage.
struct Cast {
    lanes: Vec<Lane>,
    clients: Vec<Client>,
    reporters: Vec<Reporting>,
}

pub(crate) async fn run(order: &Order, run: &Arc<Run>, table: &mut Table) -> Result<(), AnyError> {
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    let kills = order.scaled(100.0, 4.0).ceil() as u32;
    let sockets = order.either(40, 10);
    let mut stage = Stage::set(order, run).await?;
    let pipelines = pipelines(3)?;
    let cast = enter(&stage, &pipelines, sockets).await?;
    let mut rng = run.rng(LABEL);
    let (mut stops, mut starts) = (0, Vec::new());
    tokio::time::sleep(Duration::from_millis(300)).await;
    while stage.hub.kills() < kills && !run.has_failed() {
        tokio::time::sleep(millis(&mut rng, LIVES)).await;
        match rng.u32(0..12) {
            0 => {
                // An orderly stop among the crashes.
                stage.hub.terminate(Duration::from_secs(15)).await?;
                stops += 1;
            }
            1 => {
                let how = if rng.bool() { Down::Refuse } else { Down::Swallow };
                cast.lanes.iter().for_each(|lane| lane.down(how));
                tokio::time::sleep(millis(&mut rng, 100..=1_500)).await;
                cast.lanes.iter().for_each(Lane::up);
                continue;
            }
            2 => {
                // Everybody at once comes back, to a hub that lives.
                cast.lanes.iter().for_each(Lane::cut);
                continue;
            }
            _ => stage.hub.kill().await?,
        }
        tokio::time::sleep(millis(&mut rng, DEAD)).await;
        if rng.u32(0..6) == 0 {
            stage.hub.die_starting(millis(&mut rng, 0..=60)).await?;
        }
        starts.push(stage.hub.restart().await?.as_secs_f64() * 1_000.0);
    }

    cast.lanes.iter().for_each(Lane::calm);
    stage.quiet();
    let told = stage.reported(cast.reporters).await?;
    let logs = stage.logs(&pipelines).await?;
    let stuck = stage.whole(&cast.clients, &logs).await;
    let findings = stage.judge(&cast.clients, &logs, &told);
    stage.end();

    let counts = Stage::counts(&cast.clients);
    let logged: u64 = logs.iter().map(|log| log.head.seq).sum();
    let reported: u64 = told.iter().map(|told| told.events).sum();
    let resent: u64 = told.iter().map(|told| told.resent).sum();
    let mut row = |what: &str, value: String| table.add(LABEL, what, value);
    row("store", stage.hub.store().to_string());
    row("SIGKILLs; orderly stops between", format!("{}; {stops}", stage.hub.kills()));
    let (median, most) = (percentile(&starts, 50.0), percentile(&starts, 100.0));
    row("hub serves again after, median; most", format!("{median:.0} ms; {most:.0} ms"));
    row("subscribers of all kinds; reporters", format!("{}; {}", cast.clients.len(), told.len()));
    row("acknowledged events that must arrive", findings.promised.to_string());
    row("… of these lost; doubled", format!("{}; {}", findings.lost, findings.doubled));
    row("events reported; logged; batches sent again", format!("{reported}; {logged}; {resent}"));
    row("deliveries, each once and in order", counts.events.to_string());
    row("resumed by replay; given a state instead", format!("{}; {}", counts.recovered, counts.reset));
    row("clients stuck", stuck.to_string());
    Ok(())
}

async fn enter(stage: &Stage, pipelines: &[PipelineId], sockets: usize) -> Result<Cast, AnyError> {
    let setup = stage.setup();
    let mut rng = stage.run.rng("cast");
    let mut cast = Cast { lanes: Vec::new(), clients: Vec::new(), reporters: Vec::new() };
    for (index, pipeline) in pipelines.iter().enumerate() {
        for number in 1..=2 {
            let name = format!("r{}{}", index + 1, ["a", "b"][number - 1]);
            let workload = Workload::new(&name, stage.run.rng(&format!("workload {name}")));
            let lane = misbehaving(stage, &name, 2_000..=9_000).await?;
            let pace = Pace { rate: rng.u32(8..30).into(), batch: 20 };
            let hub = stage.hub.url();
            cast.reporters.push(report::light::start(&setup, &hub, Some(&lane), pipeline, workload, pace)?);
            cast.lanes.push(lane);
        }
    }
    let name = "lib";
    let workload = Workload::new(name, stage.run.rng("workload lib"));
    let lane = misbehaving(stage, name, 2_000..=9_000).await?;
    let pace = Pace { rate: 15.0, batch: 0 };
    cast.reporters.push(report::library::start(&setup, &lane, &pipelines[0], workload, pace)?);
    cast.lanes.push(lane);

    for number in 0..sockets {
        let pipeline = &pipelines[number % pipelines.len()];
        let lane = misbehaving(stage, &format!("socket {number}"), 500..=6_000).await?;
        let habits = if number % 3 == 0 { Habits::STEADY } else { Habits::RESTLESS };
        let options = client::socket::Options { habits, ..Default::default() };
        let name = format!("socket {number}");
        let client = client::socket::start(&setup, &name, lane.address(), Some(&lane), pipeline, options);
        cast.clients.push(client);
        cast.lanes.push(lane);
    }
    for (number, pipeline) in pipelines.iter().enumerate() {
        others(stage, &setup, &mut cast, number, pipeline).await?;
    }
    Ok(cast)
}

/// One of each kind beside the sockets.
async fn others(
    stage: &Stage,
    setup: &Setup,
    cast: &mut Cast,
    number: usize,
    pipeline: &PipelineId,
) -> Result<(), AnyError> {
    for (kind, habits) in
        [("poll", Habits::RESTLESS), ("stream", Habits::RESTLESS), ("poller", Habits::STEADY)]
    {
        let name = format!("{kind} {number}");
        let lane = misbehaving(stage, &name, 1_000..=8_000).await?;
        cast.clients.push(match kind {
            "stream" => client::stream::start(setup, &name, &lane, pipeline, habits)?,
            _ => client::poll::start(setup, &name, &lane, pipeline, habits)?,
        });
        cast.lanes.push(lane);
    }
    let choices = [
        ("auto", TransportChoice::Auto),
        ("websocket", TransportChoice::Websocket),
        ("polling", TransportChoice::Polling),
    ];
    for (kind, choice) in choices {
        let name = format!("library {kind} {number}");
        let lane = misbehaving(stage, &name, 1_000..=8_000).await?;
        cast.clients.push(client::real::start(setup, &name, &lane, pipeline, choice)?);
        cast.lanes.push(lane);
    }
    Ok(())
}

async fn misbehaving(
    stage: &Stage,
    name: &str,
    every: std::ops::RangeInclusive<u64>,
) -> Result<Lane, AnyError> {
    let lane = Lane::open(&stage.run, name, stage.hub.address()).await?;
    lane.misbehave(Faults { every, acts: Act::ALL, latency: 0..=8 });
    Ok(lane)
}
