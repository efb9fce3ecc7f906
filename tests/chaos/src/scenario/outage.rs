//! What the scenarios that break Redis have in common: a stage with its cast, a probe for each hub, and how soon after it the hubs take
//! events again.

use std::sync::Arc;

use fastrand::Rng;
use ragpulse_protocol::PipelineId;

use super::cast::{self, Cast};
use super::probe::Probe;
use super::stage::{Stage, pipelines};
use super::{Order, Run};
use crate::run::AnyError;
use crate::table::{Table, percentile};

/// A stage on which Redis is about to break.
pub(crate) struct Outage {
    pub(crate) stage: Stage,
    pub(crate) pipelines: Vec<PipelineId>,
    pub(crate) probes: Vec<Probe>,
    pub(crate) rng: Rng,
    label: &'static str,
    cast: Cast,
    /// How long it took each time, in milliseconds.
    resumed: Vec<f64>,
}

impl Outage {
    /// Everybody is on, and every pipeline open.
    pub(crate) async fn set(order: &Order, run: &Arc<Run>, label: &'static str) -> Result<Self, AnyError> {
        let stage = Stage::set(order, run).await?;
        let pipelines = pipelines(3)?;
        let probes = Probe::each(&stage)?;
        let cast = cast::enter(&stage, &pipelines, order.either(30, 6)).await?;
        stage.opened(&pipelines).await?;
        Ok(Self { stage, pipelines, probes, rng: run.rng(label), label, cast, resumed: Vec::new() })
    }

    /// It is over: waits until every hub takes events.
    pub(crate) async fn over(&mut self) -> Result<(), AnyError> {
        self.resumed.push(Probe::all_take(&self.probes).await?.as_secs_f64() * 1_000.0);
        self.stage.hubs.live()
    }

    /// How often it was over.
    pub(crate) fn times(&self) -> usize {
        self.resumed.len()
    }

    /// Waits for the quiet, judges, and tells: what was done and how often, from when on hubs were to take events, and more.
    pub(crate) async fn finish(
        self,
        table: &mut Table,
        done: (&str, String),
        since: &str,
        more: Option<(&str, String)>,
    ) -> Result<(), AnyError> {
        let outcome = self.cast.finish(&self.stage, &self.pipelines).await?;
        let (median, most) = (percentile(&self.resumed, 50.0), percentile(&self.resumed, 100.0));
        table.add(self.label, done.0, done.1);
        let what = format!("hubs take events after it{since}, median; most");
        table.add(self.label, &what, format!("{median:.0} ms; {most:.0} ms"));
        if let Some((what, value)) = more {
            table.add(self.label, what, value);
        }
        outcome.tell(table, self.label);
        Ok(())
    }
}
