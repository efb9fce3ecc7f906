//! The client library's own `Reporter`, as a pipeline uses it.

use std::time::Duration;

use ragpulse_client::Reporter;
use ragpulse_protocol::PipelineId;

use super::workload::Workload;
use super::{Pace, Reporting, Told};
use crate::client::{Phase, Setup, at_least};
use crate::proxy::Lane;
use crate::run::AnyError;

/// How long it may take to get rid of what it holds once everything is calm.
const CLOSE_WITHIN: Duration = Duration::from_secs(30);

/// Starts a reporter through a lane.
pub(crate) fn start(
    setup: &Setup,
    lane: &Lane,
    pipeline: &PipelineId,
    mut workload: Workload,
    pace: Pace,
) -> Result<Reporting, AnyError> {
    let name = format!("library {}", workload.reporter());
    let mut witness = setup.witness(&name, Some(lane));
    let mut refused = witness.clone();
    let reporter = Reporter::builder(lane.url())
        .pipeline(pipeline, "local_files")
        .reporter_id(workload.reporter())
        .request_timeout(Duration::from_secs(3))
        .backoff(Duration::from_millis(100), Duration::from_secs(1))
        .on_rejected({
            let refused = parking_lot::Mutex::new(refused.clone());
            move |rejected| refused.lock().fail(format!("the hub refuses what is in order: {rejected:?}"))
        })
        .build()?;
    let (oracle, pipeline) = (setup.oracle.clone(), pipeline.clone());
    oracle.restates(&pipeline, workload.reporter());
    let (mut phase, own) = (setup.phase.clone(), witness.clone());
    let task = async move {
        let mut tick = tokio::time::interval(Duration::from_secs_f64(1.0 / pace.rate));
        let mut item = workload.online();
        let mut events = 0;
        loop {
            oracle.sending(&pipeline, workload.reporter(), &item);
            reporter.report_event(item.event).await?;
            events += 1;
            tokio::select! {
                _ = tick.tick() => {}
                () = at_least(&mut phase, Phase::Quiet) => break,
            }
            item = workload.next();
        }
        witness.journal().note("closes");
        let status = reporter.status();
        if let Err(error) = reporter.close(CLOSE_WITHIN).await {
            witness.fail(format!("the reporter cannot close: {error}; {:?}", *status.borrow()));
        } else {
            oracle.acked_all(&pipeline, workload.reporter());
        }
        let status = status.borrow().clone();
        if status.rejected > 0 {
            refused.fail(format!("{} events were refused", status.rejected));
        }
        // It went offline in the end, so what it had open is interrupted: not what it said last.
        let files = workload.expected().into_iter().filter(|(_, state)| !state.is_open()).collect();
        Ok(Told { pipeline, files, progress: Default::default(), events, resent: status.duplicates })
    };
    Ok(Reporting::new(own, tokio::spawn(task)))
}
