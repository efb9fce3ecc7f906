//! A reporter over bare HTTP: sends each batch again until it is acknowledged, and remembers what was.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;
use ragpulse_protocol::command::PublishReceipt;
use ragpulse_protocol::{Code, PipelineId, Problem};
use tokio::sync::watch;
use tokio::time::Instant;

use super::workload::{Item, Workload};
use super::{Pace, Reporting, Told};
use crate::client::{Backoff, Phase, Setup, http};
use crate::oracle::Oracle;
use crate::proxy::Lane;
use crate::run::{AnyError, Witness};

/// How many events wait while the hub is away; then nothing new is reported. As many as a slow machine gets rid of in time.
const QUEUE: usize = 250;
/// How long one request may take.
const REQUEST: Duration = Duration::from_secs(3);

struct Reporter {
    pipeline: PipelineId,
    url: String,
    http: reqwest::Client,
    workload: Workload,
    pace: Pace,
    queue: VecDeque<Item>,
    /// How many at the front of the queue are one batch that was sent and not answered: it goes again as it was.
    under_way: usize,
    oracle: Arc<Oracle>,
    witness: Witness,
    rng: Rng,
    events: u64,
    resent: u64,
}

/// Starts a reporter; `lane` is its way to the hub, if it has one of its own.
pub(crate) fn start(
    setup: &Setup,
    hub: &str,
    lane: Option<&Lane>,
    pipeline: &PipelineId,
    mut workload: Workload,
    pace: Pace,
) -> Result<Reporting, AnyError> {
    let name = format!("reporter {}", workload.reporter());
    let url = lane.map_or_else(|| hub.to_owned(), Lane::url);
    let first = workload.online();
    let witness = setup.witness(&name, lane);
    let reporter = Reporter {
        pipeline: pipeline.clone(),
        url: format!("{url}/api/pipelines/{pipeline}/events"),
        http: http(REQUEST)?,
        workload,
        pace,
        queue: [first].into(),
        under_way: 0,
        oracle: setup.oracle.clone(),
        witness: witness.clone(),
        rng: setup.run.rng(&name),
        events: 1,
        resent: 0,
    };
    Ok(Reporting::new(witness, tokio::spawn(reporter.report(setup.phase.clone()))))
}

impl Reporter {
    async fn report(mut self, mut phase: watch::Receiver<Phase>) -> Result<Told, AnyError> {
        let begun = Instant::now();
        let mut backoff = Backoff::IMPATIENT;
        let mut scheduled = 0;
        loop {
            let storm = *phase.borrow_and_update() == Phase::Storm;
            // As many as are due by now. What a dead hub kept from being reported is not made up for.
            #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
            let due = (begun.elapsed().as_secs_f64() * self.pace.rate) as u64;
            while storm && scheduled < due && self.queue.len() < QUEUE {
                let item = self.workload.next();
                self.queue.push_back(item);
                self.events += 1;
                scheduled += 1;
            }
            scheduled = due;
            if self.queue.is_empty() {
                if !storm {
                    return Ok(self.told());
                }
                let pause = Duration::from_secs_f64((1.0 / self.pace.rate).min(0.2));
                tokio::select! {
                    () = tokio::time::sleep(pause) => {}
                    _ = phase.changed() => {}
                }
                continue;
            }
            match self.send().await {
                Ok(()) => backoff.reset(),
                Err(why) => {
                    self.witness.journal().note(format!("not acknowledged: {why}"));
                    backoff.wait(&mut self.rng).await;
                }
            }
        }
    }

    fn told(self) -> Told {
        Told {
            pipeline: self.pipeline,
            files: self.workload.expected(),
            progress: self.workload.last_progress(),
            events: self.events,
            resent: self.resent,
        }
    }

    /// Sends one batch. An error means: the same again.
    async fn send(&mut self) -> Result<(), AnyError> {
        if self.under_way == 0 {
            self.under_way = self.rng.usize(1..=self.pace.batch).min(self.queue.len());
        } else {
            self.resent += 1;
        }
        let batch: Vec<&Item> = self.queue.iter().take(self.under_way).collect();
        let reporter = self.workload.reporter();
        batch.iter().for_each(|item| self.oracle.sending(&self.pipeline, reporter, item));
        let events: Vec<_> = batch.iter().map(|item| &item.event).collect();
        let request = self.http.post(&self.url).header("ragpulse-reporter", reporter).json(&events);
        let answer = request.send().await?;
        if !answer.status().is_success() {
            let problem: Problem = answer.json().await?;
            return self.refused(&problem);
        }
        let receipt: PublishReceipt = answer.json().await?;
        let sum = receipt.accepted + receipt.duplicates + receipt.conflated;
        if sum != self.under_way as u64 {
            self.witness.fail(format!("{} events were sent, and the receipt is {receipt:?}", self.under_way));
        }
        self.oracle.acked(&self.pipeline, batch.iter().map(|item| item.mark.as_str()), &receipt);
        self.queue.drain(..self.under_way);
        let (count, waiting) = (self.under_way, self.queue.len());
        self.witness.journal().note(format!("{count} acknowledged up to {}, {waiting} wait", receipt.seq));
        self.under_way = 0;
        Ok(())
    }

    fn refused(&mut self, problem: &Problem) -> Result<(), AnyError> {
        if problem.code == Code::UnknownPipeline {
            // Its first batch began with `pipeline:online`.
            if !self.oracle.forgets() {
                self.witness.fail("the hub has forgotten the pipeline, but its store does not");
            }
            // Online first, then what is under way, then the rest.
            let mut again = vec![self.workload.online()];
            again.extend(self.workload.open_files());
            self.under_way = again.len();
            again.into_iter().rev().for_each(|item| self.queue.push_front(item));
            return Ok(());
        }
        if !problem.retryable {
            self.witness.fail(format!("the hub refuses what is in order: {problem}"));
        }
        Err(problem.clone().into())
    }
}
