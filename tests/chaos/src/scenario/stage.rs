//! What most scenarios need: a hub in a folder of its own, an oracle, and at the end the wait for everybody and the
//! last judgement.

use std::sync::Arc;
use std::time::{Duration, Instant};

use ragpulse_protocol::{Cursor, PipelineId};
use tempfile::TempDir;
use tokio::sync::watch;

use super::Order;
use crate::client::{Client, Counts, Phase, Setup, http};
use crate::hub::Hub;
use crate::oracle::{Findings, Log, Oracle, difference};
use crate::report::{Reporting, Told};
use crate::run::{AnyError, Run};

/// How long everybody may take to be whole once it is quiet: the client library's own pauses are the longest part.
const WHOLE_WITHIN: Duration = Duration::from_secs(60);
/// How long reporters may take to get rid of what they hold.
const REPORTED_WITHIN: Duration = Duration::from_secs(40);

/// For how long nothing may come before it counts as the end: progress is held back for a tenth of a second at most.
const STILL: Duration = Duration::from_millis(500);

/// One hub and everything that is known of it.
pub(crate) struct Stage {
    pub(crate) run: Arc<Run>,
    pub(crate) hub: Hub,
    pub(crate) oracle: Arc<Oracle>,
    pub(crate) http: reqwest::Client,
    phase: watch::Sender<Phase>,
    /// Removed with everything in it when the scenario is over.
    _folder: TempDir,
}

impl Stage {
    pub(crate) async fn set(order: &Order, run: &Arc<Run>) -> Result<Self, AnyError> {
        let folder = tempfile::Builder::new().prefix("ragpulse-chaos-").tempdir()?;
        let store = order.store(folder.path());
        let oracle = Arc::new(Oracle::new(store.keeps()));
        let hub = Hub::start(run, &order.options.bin, store, folder.path()).await?;
        Ok(Self {
            run: run.clone(),
            hub,
            oracle,
            http: http(Duration::from_secs(10))?,
            phase: watch::Sender::new(Phase::Storm),
            _folder: folder,
        })
    }

    pub(crate) fn setup(&self) -> Setup {
        Setup {
            run: self.run.clone(),
            oracle: self.oracle.clone(),
            hub: self.hub.journal(),
            phase: self.phase.subscribe(),
        }
    }

    /// Nothing goes wrong any more, and nothing new is reported.
    pub(crate) fn quiet(&self) {
        self.phase.send_replace(Phase::Quiet);
    }

    /// Waits until every reporter has got rid of what it held.
    pub(crate) async fn reported(&self, reporters: Vec<Reporting>) -> Result<Vec<Told>, AnyError> {
        let mut told = Vec::new();
        for reporter in reporters {
            told.extend(reporter.finish(REPORTED_WITHIN).await?);
        }
        Ok(told)
    }

    /// What the hub has of each of these pipelines, once the progress that it held back has come too.
    pub(crate) async fn logs(&self, pipelines: &[PipelineId]) -> Result<Vec<Log>, AnyError> {
        let deadline = Instant::now() + WHOLE_WITHIN;
        let mut before = Vec::new();
        loop {
            let mut heads = Vec::new();
            for pipeline in pipelines {
                heads.push(Log::shown(&self.http, &self.hub.url(), pipeline).await?.cursor());
            }
            if heads == before {
                break;
            }
            if Instant::now() > deadline {
                return Err("events still come although nobody reports any more".into());
            }
            before = heads;
            tokio::time::sleep(STILL).await;
        }
        let mut logs = Vec::new();
        for pipeline in pipelines {
            logs.push(Log::read(&self.http, &self.hub.url(), pipeline).await?);
        }
        Ok(logs)
    }

    /// Waits until every client stands at the end of its pipeline; one that does not get there is stuck.
    ///
    /// Gives how many are stuck.
    pub(crate) async fn whole(&self, clients: &[Client], logs: &[Log]) -> usize {
        let deadline = Instant::now() + WHOLE_WITHIN;
        let head = |client: &Client| -> Option<Cursor> {
            logs.iter().find(|log| log.pipeline == client.pipeline).map(|log| log.head.clone())
        };
        let behind = |client: &&Client| client.view.at() != head(client);
        while clients.iter().any(|client| behind(&client)) && Instant::now() < deadline {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let stuck: Vec<&Client> = clients.iter().filter(behind).collect();
        for client in &stuck {
            let at = client.view.at().map_or_else(|| "nothing".to_owned(), |at| at.to_string());
            let head = head(client).map_or_else(|| "nothing".to_owned(), |at| at.to_string());
            let ended = if client.has_ended() { "; its task has ended" } else { "" };
            client.witness.lock().fail(format!(
                "stuck: at {at} and not at {head}, {WHOLE_WITHIN:?} after everything was calm{ended}"
            ));
        }
        stuck.len()
    }

    /// Holds logs, files and states against each other. Every finding is a failure.
    pub(crate) fn judge(&self, clients: &[Client], logs: &[Log], told: &[Told]) -> Findings {
        let mut findings = Findings::default();
        for log in logs {
            self.oracle.judge(log, &mut findings);
            // What was told to a hub that has forgotten it is not there.
            for told in told.iter().filter(|told| told.pipeline == log.pipeline && self.oracle.keeps()) {
                findings.files(log, &told.files);
            }
            for client in clients.iter().filter(|client| client.pipeline == log.pipeline) {
                let Some(state) = client.view.state() else { continue };
                if state.cursor() != log.head {
                    continue;
                }
                if let Some(difference) = difference(&log.folded, &state) {
                    let what = format!("its state is not what the log gives: {difference}");
                    client.witness.lock().fail(what);
                }
            }
        }
        let hub = self.hub.journal();
        for wrong in &findings.wrong {
            self.run.fail(wrong.clone(), &[&hub]);
        }
        findings
    }

    /// What all clients went through.
    pub(crate) fn counts(clients: &[Client]) -> Counts {
        let mut sum = Counts::default();
        clients.iter().for_each(|client| sum += client.view.counts());
        sum
    }

    /// Ends every client.
    pub(crate) fn end(&self) {
        self.phase.send_replace(Phase::End);
    }
}

/// Pipelines of these names.
pub(crate) fn pipelines(count: usize) -> Result<Vec<PipelineId>, AnyError> {
    (1..=count).map(|number| Ok(PipelineId::new(format!("pipeline-{number}"))?)).collect()
}
