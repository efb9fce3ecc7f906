//! Redis stands still for longer than anybody waits, and goes on: hubs stay up, say that what they show may be old, take nothing,
//! and resume by themselves without loss.

use std::sync::Arc;
use std::time::Duration;

use ragpulse_protocol::{Code, PipelineId};
use reqwest::StatusCode;

use super::Order;
use super::outage::Outage;
use super::probe::Probe;
use super::stage::Stage;
use crate::run::{AnyError, Run, millis};
use crate::table::Table;

const LABEL: &str = "frozen";
/// Longer than a hub waits for an answer of Redis.
const NOTICED_AFTER: Duration = Duration::from_secs(7);

pub(crate) async fn run(order: &Order, run: &Arc<Run>, table: &mut Table) -> Result<(), AnyError> {
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    let times = order.scaled(4.0, 1.0).ceil() as u32;
    let mut outage = Outage::set(order, run, LABEL).await?;
    let mut held = 0.0;
    for _ in 0..times {
        tokio::time::sleep(millis(&mut outage.rng, 300..=2_000)).await;
        Probe::all_take(&outage.probes).await?;
        outage.stage.hubs.redis()?.freeze()?;
        let begun = tokio::time::Instant::now();
        tokio::time::sleep(NOTICED_AFTER).await;
        for probe in &outage.probes {
            check(&outage.stage, probe, &outage.pipelines[0]).await?;
        }
        tokio::time::sleep(millis(&mut outage.rng, 0..=order.either(20_000, 500))).await;
        outage.stage.hubs.redis()?.thaw()?;
        held += begun.elapsed().as_secs_f64();
        outage.over().await?;
        outage.stage.follows_the_log(&outage.pipelines).await?;
        for probe in &outage.probes {
            let answer = probe.get(&format!("/api/pipelines/{}/events", outage.pipelines[0])).await?;
            if answer.stale.is_some() {
                outage.stage.fail(format!("{} says that it is stale although Redis answers", probe.name));
            }
        }
        if run.has_failed() {
            break;
        }
    }

    let done = ("times Redis stood still; seconds in all", format!("{}; {held:.0}", outage.times()));
    outage.finish(table, done, " goes on", None).await
}

/// What a hub does without Redis.
async fn check(stage: &Stage, probe: &Probe, pipeline: &PipelineId) -> Result<(), AnyError> {
    let name = &probe.name;
    let health = probe.get("/health").await?;
    if health.status != StatusCode::OK {
        stage.fail(format!("/health of {name} says {}: {}", health.status, health.text));
    }
    let ready = probe.get("/ready").await?;
    if ready.status != StatusCode::SERVICE_UNAVAILABLE {
        stage.fail(format!("/ready of {name} says {}: {}", ready.status, ready.text));
    }
    let paths = ["events", "files"].map(|what| format!("/api/pipelines/{pipeline}/{what}"));
    for path in paths.into_iter().chain(["/api/rag-status".to_owned()]) {
        let state = probe.get(&path).await?;
        if state.status != StatusCode::OK || state.stale.is_none() {
            let (status, stale) = (state.status, state.stale);
            stage.fail(format!("{path} of {name} says {status}, and RagPulse-Stale {stale:?}"));
        }
    }
    let refused = probe.report().await?;
    let problem = refused.problem();
    let good =
        problem.as_ref().is_some_and(|problem| problem.code == Code::StoreUnavailable && problem.retryable);
    if refused.status != StatusCode::SERVICE_UNAVAILABLE || !good {
        stage.fail(format!("{name} answers what is reported with {}: {}", refused.status, refused.text));
    }
    Ok(())
}
