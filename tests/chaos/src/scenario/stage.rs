//! What most scenarios need: hubs in a folder of their own, an oracle, and at the end the wait for everybody and the
//! last judgement.

use std::sync::Arc;
use std::time::{Duration, Instant};

use ragpulse_protocol::{Cursor, PipelineId};
use tempfile::TempDir;
use tokio::sync::watch;

use super::Order;
use crate::client::official::Official;
use crate::client::{Client, Counts, Phase, Setup, http};
use crate::hub::Hub;
use crate::hubs::{Hubs, Plan};
use crate::options::Options;
use crate::oracle::{Findings, Log, Oracle, difference};
use crate::report::{Reporting, Told};
use crate::run::{AnyError, Run};

/// How long everybody may take to be whole once it is quiet: the client library's own pauses are the longest part.
const WHOLE_WITHIN: Duration = Duration::from_secs(60);
/// How long reporters may take to get rid of what they hold.
const REPORTED_WITHIN: Duration = Duration::from_secs(40);

/// How long a hub may take to notice that Redis has another life.
const FOLLOWED_WITHIN: Duration = Duration::from_secs(15);

/// For how long nothing may come before it counts as the end: progress is held back for a tenth of a second at most.
const STILL: Duration = Duration::from_millis(500);

/// The hubs and everything that is known of them.
pub(crate) struct Stage {
    pub(crate) run: Arc<Run>,
    pub(crate) hubs: Hubs,
    pub(crate) oracle: Arc<Oracle>,
    pub(crate) http: reqwest::Client,
    /// The programs of official clients, as far as they are there.
    pub(crate) official: Vec<Official>,
    phase: watch::Sender<Phase>,
    /// Removed with everything in it when the scenario is over.
    _folder: TempDir,
}

impl Stage {
    pub(crate) async fn set(order: &Order, run: &Arc<Run>) -> Result<Self, AnyError> {
        Self::by(order, run, &order.plan).await
    }

    /// Sets a stage by another plan than that of the order.
    pub(crate) async fn by(order: &Order, run: &Arc<Run>, plan: &Plan) -> Result<Self, AnyError> {
        let folder = tempfile::Builder::new().prefix("ragpulse-chaos-").tempdir()?;
        let oracle = Arc::new(Oracle::new(plan.keeps()));
        let Options { bin, redis_server, .. } = &order.options;
        let hubs = Hubs::start(run, bin, redis_server, plan, folder.path()).await?;
        Ok(Self {
            run: run.clone(),
            hubs,
            oracle,
            http: http(Duration::from_secs(10))?,
            official: Official::all(&order.options, folder.path())?,
            phase: watch::Sender::new(Phase::Storm),
            _folder: folder,
        })
    }

    pub(crate) fn setup(&self) -> Setup {
        Setup {
            run: self.run.clone(),
            oracle: self.oracle.clone(),
            hubs: self.hubs.journals(),
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

    /// What the hubs have of each of these pipelines, once all of them have the same and the progress that was held back has
    /// come too.
    pub(crate) async fn logs(&self, pipelines: &[PipelineId]) -> Result<Vec<Log>, AnyError> {
        let hubs: Vec<String> = self.hubs.each().iter().map(Hub::url).collect();
        let deadline = Instant::now() + WHOLE_WITHIN;
        let mut before = Vec::new();
        loop {
            let mut heads = Vec::new();
            for pipeline in pipelines {
                for hub in &hubs {
                    heads.push(Log::shown(&self.http, hub, pipeline).await?.cursor());
                }
            }
            let agree = heads.chunks(hubs.len()).all(|heads| heads.iter().all(|head| *head == heads[0]));
            if agree && heads == before {
                break;
            }
            if Instant::now() > deadline {
                let why =
                    if agree { "events still come although nobody reports" } else { "hubs do not agree" };
                let heads: Vec<String> = heads.iter().map(ToString::to_string).collect();
                return Err(format!("{why}: {}", heads.join(", ")).into());
            }
            before = heads;
            tokio::time::sleep(STILL).await;
        }
        let mut logs = Vec::new();
        for pipeline in pipelines {
            logs.push(Log::read(&self.http, &hubs, self.hubs.shared(), pipeline).await?);
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
        findings.wrong.iter().for_each(|wrong| self.fail(wrong.clone()));
        findings
    }

    /// Waits until each hub shows these pipelines in the epoch that Redis has, and holds its place against the log: no hub shows what
    /// the log does not have.
    pub(crate) async fn follows_the_log(&self, pipelines: &[PipelineId]) -> Result<(), AnyError> {
        let redis = self.hubs.shared().ok_or("there is no Redis in this run")?;
        let deadline = Instant::now() + FOLLOWED_WITHIN;
        for pipeline in pipelines {
            for hub in self.hubs.each() {
                loop {
                    let shown =
                        Log::shown(&self.http, &hub.url(), pipeline).await.map(|state| state.cursor());
                    // Asked after the hub: what it shows is in the log by now.
                    let head = redis.head(pipeline).await?;
                    match (&shown, &head) {
                        (Ok(at), Some((epoch, seq))) if at.epoch.as_str() == epoch && at.seq <= *seq => break,
                        _ if Instant::now() < deadline => tokio::time::sleep(Duration::from_millis(50)).await,
                        _ => {
                            let name = hub.journal();
                            self.fail(format!(
                                "{} shows {pipeline} at {shown:?}, and the log ends at {head:?}",
                                name.name()
                            ));
                            break;
                        }
                    }
                }
            }
        }
        Ok(())
    }

    /// Waits until something of each of these pipelines was acknowledged.
    pub(crate) async fn opened(&self, pipelines: &[PipelineId]) -> Result<(), AnyError> {
        let deadline = Instant::now() + WHOLE_WITHIN;
        while pipelines.iter().any(|pipeline| self.oracle.acknowledged(pipeline) == 0) {
            if Instant::now() > deadline {
                return Err("nothing was acknowledged".into());
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(())
    }

    /// Notes a failure that befell the hubs.
    pub(crate) fn fail(&self, what: impl Into<String>) {
        let journals = self.hubs.journals();
        self.run.fail(what, &journals.iter().collect::<Vec<_>>());
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
