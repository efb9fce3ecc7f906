//! Who is on the stage where everything may go wrong: reporters and subscribers of every kind, each on a lane that
//! misbehaves, and so with several hubs on another hub after each cut.

use ragpulse_client::TransportChoice;
use ragpulse_protocol::PipelineId;

use super::stage::Stage;
use crate::client::{self, Client, Counts, Habits, Setup};
use crate::oracle::Findings;
use crate::proxy::{Act, Faults, Lane};
use crate::report::workload::Workload;
use crate::report::{self, Pace, Reporting, Told};
use crate::run::AnyError;
use crate::table::Table;

/// Who is on the stage.
pub(crate) struct Cast {
    pub(crate) lanes: Vec<Lane>,
    pub(crate) clients: Vec<Client>,
    pub(crate) reporters: Vec<Reporting>,
}

/// What came of a cast once it was quiet.
pub(crate) struct Outcome {
    pub(crate) findings: Findings,
    logged: u64,
    told: Vec<Told>,
    subscribers: usize,
    counts: Counts,
    stuck: usize,
}

impl Cast {
    /// Waits until everybody is whole, and judges.
    pub(crate) async fn finish(self, stage: &Stage, pipelines: &[PipelineId]) -> Result<Outcome, AnyError> {
        self.lanes.iter().for_each(Lane::calm);
        stage.quiet();
        let told = stage.reported(self.reporters).await?;
        let logs = stage.logs(pipelines).await?;
        let stuck = stage.whole(&self.clients, &logs).await;
        let findings = stage.judge(&self.clients, &logs, &told);
        stage.end();
        let logged = logs.iter().map(|log| log.head.seq).sum();
        let counts = Stage::counts(&self.clients);
        Ok(Outcome { findings, logged, told, subscribers: self.clients.len(), counts, stuck })
    }
}

impl Outcome {
    /// What every scenario with a cast tells.
    pub(crate) fn tell(&self, table: &mut Table, label: &str) {
        let reported: u64 = self.told.iter().map(|told| told.events).sum();
        let resent: u64 = self.told.iter().map(|told| told.resent).sum();
        let Self { findings, logged, counts, .. } = self;
        let mut row = |what: &str, value: String| table.add(label, what, value);
        row("subscribers of all kinds; reporters", format!("{}; {}", self.subscribers, self.told.len()));
        row("acknowledged events that must arrive", findings.promised.to_string());
        row("… of these lost; doubled", format!("{}; {}", findings.lost, findings.doubled));
        row("events reported; logged; batches sent again", format!("{reported}; {logged}; {resent}"));
        row("deliveries, each once and in order", counts.events.to_string());
        row("resumed by replay; given a state instead", format!("{}; {}", counts.recovered, counts.reset));
        row("clients stuck", self.stuck.to_string());
    }
}

/// Lets all of them enter: reporters and one subscriber of each kind for each pipeline, and so many sockets in all.
pub(crate) async fn enter(stage: &Stage, pipelines: &[PipelineId], sockets: usize) -> Result<Cast, AnyError> {
    let setup = stage.setup();
    let mut rng = stage.run.rng("cast");
    let mut cast = Cast { lanes: Vec::new(), clients: Vec::new(), reporters: Vec::new() };
    for (index, pipeline) in pipelines.iter().enumerate() {
        for number in 1..=2 {
            let name = format!("r{}{}", index + 1, ["a", "b"][number - 1]);
            let workload = Workload::new(&name, stage.run.rng(&format!("workload {name}")));
            let lane = misbehaving(stage, &name, 2_000..=9_000).await?;
            let pace = Pace { rate: rng.u32(8..30).into(), batch: 20 };
            let hub = stage.hubs.url();
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
    for official in &stage.official {
        let name = format!("{} {number}", official.name);
        let lane = misbehaving(stage, &name, 1_000..=8_000).await?;
        cast.clients.push(client::official::start(setup, &name, &lane, pipeline, official)?);
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
    let lane = Lane::open(&stage.run, name, &stage.hubs.targets()).await?;
    lane.misbehave(Faults { every, acts: Act::ALL, latency: 0..=8 });
    Ok(lane)
}
