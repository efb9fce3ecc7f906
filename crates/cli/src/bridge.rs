//! `ragpulse bridge`: polls a legacy status server and publishes what changed as events, so that both run side by side.
//!
//! The [differ](bridge::differ) decides; this looks at the server, hands the events to a reporter, and watches over both
//! connections. While the server does not answer, nothing here vouches for it: heartbeats stop, and the hub shows the
//! pipeline as late and then as lost.
//!
//! *What it never does:* change anything at the legacy server, or end because one of the two is away.

mod dict;
mod differ;
mod ids;
mod keys;
mod known;
mod legacy;
mod options;
mod others;
mod reports;
mod time;
mod told;
mod warn;

use std::time::{Duration, Instant, SystemTime};

use ragpulse_client::Reporter;
use ragpulse_client::reporter::ReporterConnection;
use ragpulse_protocol::http::EventsAnswer;
use ragpulse_protocol::parts::OfflineReason;
use ragpulse_protocol::{Epoch, PipelineId, PipelineStatus, PipelineType, ReportedEvent, Timestamp};

pub(crate) use self::options::Options;

use self::dict::Dict;
use self::differ::Differ;
use self::ids::short;
use self::legacy::Legacy;
use self::others::Others;
use self::told::{Shown, tell};
use crate::failure::Failure;
use crate::hub_client::HubClient;
use crate::line::say;
use crate::signals;

/// After how many looks in a row that failed the server counts as away.
const MISSED: u32 = 3;
/// How long the hub may take to tell what it knows.
const LEARN: Duration = Duration::from_secs(15);
/// The longest pause between two tries to reach what is needed at the start.
const START_PAUSE: Duration = Duration::from_secs(10);
/// How long the last events may take at the end.
const FLUSH: Duration = Duration::from_secs(10);

pub(crate) async fn run(options: Options) -> Result<(), Failure> {
    let legacy = Legacy::new(&options.status_url, options.timezone.clone())?;
    let hub = HubClient::new(&options.hub)?;
    let mut bridge = None;
    let stopped = tokio::select! {
        result = work(&options, &legacy, &hub, &mut bridge) => result,
        () = signals::stop() => Ok(()),
    };
    let ended = match bridge {
        Some(bridge) => bridge.end().await,
        None => Ok(()),
    };
    stopped.and(ended)
}

/// Looks for ever, or once.
async fn work<'a>(
    options: &'a Options,
    legacy: &'a Legacy,
    hub: &'a HubClient,
    place: &mut Option<Bridge<'a>>,
) -> Result<(), Failure> {
    let dict = first_look(options, legacy).await?;
    let (id, kind) = options.identity(&dict)?;
    let known = first_word(options, hub, &id).await?;
    let kind = agree(options, &id, kind, known.as_ref())?;
    let bridge = place.insert(Bridge::new(options, legacy, hub, &id, &kind)?);
    if options.shown() != Shown::Json {
        say!("bridging {} to pipeline {id} ({kind}) at {}", legacy.name, hub.address());
    }
    bridge.differ.learn(known.as_ref());
    bridge.others.begin_at(known.as_ref());
    bridge.new_to_hub = known.is_none();
    if known.as_ref().is_some_and(PipelineStatus::is_online) {
        bridge.reporter.take_over();
    }
    bridge.seen(&dict).await?;
    if options.once {
        return Ok(());
    }
    loop {
        tokio::time::sleep(options.interval).await;
        match legacy.look().await {
            Ok(dict) => bridge.seen(&dict).await?,
            Err(why) => bridge.missed(&why).await?,
        }
    }
}

/// Waits for the status server; asked for one look it has to be there.
async fn first_look(options: &Options, legacy: &Legacy) -> Result<Dict, Failure> {
    let mut said = String::new();
    loop {
        match legacy.look().await {
            Ok(dict) => return Ok(dict),
            Err(why) if options.once => return Err(Failure::new(why)),
            Err(why) if why != said => {
                say!("{why}; waiting for it");
                said = why;
            }
            Err(_) => {}
        }
        tokio::time::sleep(options.interval.max(Duration::from_secs(1)).min(START_PAUSE)).await;
    }
}

/// Waits for the hub to tell what it knows of the pipeline: without that, ends would be reported twice.
async fn first_word(
    options: &Options,
    hub: &HubClient,
    id: &PipelineId,
) -> Result<Option<PipelineStatus>, Failure> {
    let mut said = false;
    loop {
        match ask_hub(hub, id).await {
            Ok(known) => return Ok(known),
            Err((failure, passes)) if options.once || !passes => return Err(failure),
            Err((failure, _)) if !said => {
                say!("{failure}; waiting for it");
                said = true;
            }
            Err(_) => {}
        }
        tokio::time::sleep(options.interval.max(Duration::from_secs(1)).min(START_PAUSE)).await;
    }
}

/// What the hub knows of the pipeline; `None` if nothing. An error says whether it may pass.
async fn ask_hub(hub: &HubClient, id: &PipelineId) -> Result<Option<PipelineStatus>, (Failure, bool)> {
    let path = ["api", "pipelines", id.as_str(), "events"];
    match tokio::time::timeout(LEARN, hub.try_get::<EventsAnswer>(&path, &[])).await {
        Ok(Ok(EventsAnswer::Snapshot(answer))) => Ok(Some(*answer.snapshot)),
        Ok(Ok(EventsAnswer::Events(_))) => Ok(None),
        Ok(Err(failed)) => Err(failed),
        Err(_) => Err((Failure::new(format!("the hub did not answer within {} s", LEARN.as_secs())), true)),
    }
}

/// The type that the pipeline has at the hub, unless another one was asked for.
fn agree(
    options: &Options,
    id: &PipelineId,
    kind: PipelineType,
    known: Option<&PipelineStatus>,
) -> Result<PipelineType, Failure> {
    match known {
        Some(known) if known.pipeline_type != kind && options.kind.is_some() => Err(Failure::usage(format!(
            "the hub has pipeline '{id}' as one of type '{}', not '{kind}'; leave --type out, or take another --pipeline",
            known.pipeline_type
        ))),
        Some(known) => Ok(known.pipeline_type.clone()),
        None => Ok(kind),
    }
}

struct Bridge<'a> {
    options: &'a Options,
    legacy: &'a Legacy,
    hub: &'a HubClient,
    id: PipelineId,
    reporter: Reporter,
    differ: Differ,
    /// How many looks in a row failed, and when the last one did not.
    misses: u32,
    last_look: Instant,
    /// Whether hub and bridge may have lost each other's trace since the differ last learned.
    unsure: bool,
    epoch: Option<Epoch>,
    hub_away: Option<Instant>,
    told_unreadable: bool,
    others: Others,
    others_asked: Instant,
    /// Whether the hub did not know the pipeline when the bridge began.
    new_to_hub: bool,
}

impl<'a> Bridge<'a> {
    fn new(
        options: &'a Options,
        legacy: &'a Legacy,
        hub: &'a HubClient,
        id: &PipelineId,
        kind: &PipelineType,
    ) -> Result<Self, Failure> {
        // The same after a restart: files begun by the bridge before are this one's to go on with.
        let own = short(&format!("bridge-{id}"), 100).replace('…', ".");
        let reporter_id = options.reporter.as_ref().map_or(own.as_str(), |given| given.as_str());
        let mut builder = Reporter::builder(&options.hub.url)
            .pipeline(id.as_str(), kind.as_str())
            .reporter_id(reporter_id)
            .lease_seconds(options.lease);
        builder = options.hub.token()?.for_reporter(builder);
        let reporter = builder.build().map_err(|error| Failure::usage(error.to_string()))?;
        Ok(Self {
            options,
            legacy,
            hub,
            id: id.clone(),
            reporter,
            differ: Differ::new(id.as_str()),
            misses: 0,
            last_look: Instant::now(),
            unsure: false,
            epoch: None,
            hub_away: None,
            told_unreadable: false,
            others: Others::default(),
            others_asked: Instant::now(),
            new_to_hub: false,
        })
    }

    /// The server answered.
    async fn seen(&mut self, dict: &Dict) -> Result<(), Failure> {
        if self.misses >= MISSED {
            say!("{} answers again", self.legacy.name);
            self.reporter.set_heartbeats(true);
            // Meanwhile the hub may have counted the pipeline as lost, and ended its files.
            self.unsure = true;
        }
        (self.misses, self.last_look) = (0, Instant::now());
        if dict.unreadable > 0 && !std::mem::replace(&mut self.told_unreadable, true) {
            tracing::warn!(
                "{} lists {} things that are no files; they are left out",
                self.legacy.name,
                dict.unreadable
            );
        }
        self.watch_hub();
        if self.unsure {
            self.learn().await;
        }
        for event in self.differ.look(dict, now()) {
            self.publish(event).await?;
        }
        self.tell_left_out();
        self.watch_others().await;
        Ok(())
    }

    /// The server did not answer, or not as it should.
    async fn missed(&mut self, why: &str) -> Result<(), Failure> {
        self.misses = self.misses.saturating_add(1);
        if self.misses == MISSED {
            say!("{why}; {MISSED} looks failed, so nothing vouches for the pipeline until it answers");
            self.reporter.set_heartbeats(false);
        }
        if self.misses >= MISSED
            && self.last_look.elapsed() >= self.options.offline_after
            && let Some(event) = self.differ.lost(OfflineReason::Timeout, now())
        {
            self.publish(event).await?;
        }
        self.watch_hub();
        Ok(())
    }

    async fn publish(&mut self, event: ReportedEvent) -> Result<(), Failure> {
        tell(&event, self.options.shown())?;
        self.others.reported(&event);
        let name = event.event.clone();
        if let Err(error) = self.reporter.report_event(event).await {
            // The next looks go on without it; there is nothing that would make this one fit.
            tracing::warn!("a {name} was not reported: {error}");
        }
        Ok(())
    }

    /// Tells when the hub goes and comes, and finds out whether it may have forgotten or ended something.
    fn watch_hub(&mut self) {
        let status = self.reporter.status();
        let status = status.borrow();
        match &status.connection {
            ReporterConnection::Retrying { failures, cause, .. }
                if *failures >= MISSED && self.hub_away.is_none() =>
            {
                say!("the hub takes nothing: {cause}; events are kept until it does");
                self.hub_away = Some(Instant::now());
            }
            ReporterConnection::Refused { problem, .. } if self.hub_away.is_none() => {
                say!("the hub refuses: {} [{}]", problem.detail, problem.code);
                self.hub_away = Some(Instant::now());
            }
            ReporterConnection::Connected if self.hub_away.take().is_some() => {
                say!("the hub takes events again");
                self.unsure = true;
            }
            _ => {}
        }
        if status.epoch != self.epoch {
            self.unsure |= self.epoch.is_some();
            self.epoch.clone_from(&status.epoch);
        }
    }

    /// Learns from the hub, once everything that was reported has arrived; until then the differ goes by what it knows.
    async fn learn(&mut self) {
        if self.reporter.status().borrow().queued > 0 {
            return;
        }
        match ask_hub(self.hub, &self.id).await {
            Ok(known) => {
                self.differ.learn(known.as_ref());
                self.others.begin_at(known.as_ref());
                self.unsure = false;
            }
            Err((failure, _)) => tracing::debug!("the hub was not asked what it knows: {failure}"),
        }
    }

    /// Sends what is left. The pipeline itself lives on, so nothing is said of it unless asked for.
    async fn end(mut self) -> Result<(), Failure> {
        if self.options.offline_on_exit
            && let Some(event) = self.differ.lost(OfflineReason::NormalShutdown, now())
        {
            tell(&event, self.options.shown())?;
            if let Err(error) = self.reporter.try_report_event(event) {
                say!("pipeline:offline was not reported: {error}");
            }
        }
        self.reporter.detach(FLUSH).await.map_err(|error| Failure::new(error.to_string()))?;
        let rejected = self.reporter.status().borrow().rejected;
        if self.options.once && rejected > 0 {
            return Err(Failure::new(format!("the hub refused {rejected} events; see the lines before")));
        }
        Ok(())
    }
}

fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_millis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}
