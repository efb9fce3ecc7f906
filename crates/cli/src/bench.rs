//! `ragpulse bench`: what a hub that runs somewhere does under load, seen from here by the clients that applications use.
//!
//! *What it is for:* people who run a hub, with their proxies, certificates and networks in between. *What may come in:* an
//! address and a load. *What it never does:* touch a pipeline that is not its own, leave that behind, or load a hub that is not
//! on this machine without being told to.

mod told;
mod viewers;

use std::io::{BufRead, IsTerminal};
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::Args;
use ragpulse_client::Reporter;
use ragpulse_protocol::command::PublishReceipt;
use ragpulse_protocol::{PipelineId, Report};
use serde_json::json;

use self::told::Told;
use self::viewers::{Tally, Viewers};
use crate::HubOptions;
use crate::failure::Failure;
use crate::hub_client::HubClient;
use crate::hub_options::Choice;
use crate::signals;

/// What all viewers together may be sent: each of them keeps a bit of each event.
const MOST: u64 = 1_000_000_000;
/// How long nothing may arrive before the rest is taken for lost.
const QUIET: Duration = Duration::from_secs(10);
/// How long leaving may take.
const LEAVE: Duration = Duration::from_secs(10);
/// With the other fields about 270 bytes, as an event of a pipeline has.
const TEXT: &str = "Chunked page 118 of the annual report by headings, 412 tokens with 48 of overlap; the table on it was read \
                    as text since its borders are not drawn. Embedding waits for the batch to be full. Nothing is wrong \
                    with this document.";

#[derive(Args)]
pub(crate) struct Options {
    /// The hub's address; the same as --url.
    #[arg(value_name = "URL")]
    address: Option<String>,
    /// How many subscribers.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    subscribers: u32,
    /// Events a second.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    rate: u32,
    /// For how many seconds.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=3_600))]
    seconds: u32,
    /// By what the subscribers follow.
    #[arg(long, value_enum, default_value = "auto")]
    transport: Choice,
    /// Load a hub that is not on this machine, without asking.
    #[arg(long)]
    yes: bool,
    /// One JSON object, for programs.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    hub: HubOptions,
}

pub(crate) async fn run(mut options: Options) -> Result<(), Failure> {
    if let Some(address) = options.address.take() {
        options.hub.url = address;
    }
    let events = u64::from(options.rate) * u64::from(options.seconds);
    if events * u64::from(options.subscribers) > MOST {
        return Err(Failure::usage(format!(
            "{events} events to {} subscribers are more than {MOST} deliveries; take less of one of them",
            options.subscribers
        )));
    }
    let hub = HubClient::new(&options.hub)?;
    if !hub.is_on_loopback() && !options.yes {
        permit(&options, &hub)?;
    }
    let pipeline = own_name()?;
    let builder = Reporter::builder(&options.hub.url).pipeline(&pipeline, "bench");
    let reporter = options.hub.token()?.for_reporter(builder).build();
    let reporter = reporter.map_err(|error| Failure::new(error.to_string()))?;
    let tally = Arc::new(Tally::new(events));
    let result = tokio::select! {
        result = load(&options, &hub, &pipeline, &reporter, &tally) => result.map(|()| false),
        () = signals::stop() => Ok(true),
    };
    // Whatever came of it, also when it was stopped: nothing is left behind.
    let forgotten = if tally.is_known() { forget(&hub, &pipeline, &reporter).await } else { Ok(()) };
    if let Err(why) = &forgotten {
        eprintln!(
            "{pipeline} is still there ({why}); forget it by DELETE /api/pipelines/{pipeline} with a token that may"
        );
    }
    let stopped = result?;
    let told = Told::new(&options, &hub, &pipeline, &tally, stopped, forgotten.is_ok());
    told.print(options.json)?;
    told.verdict()
}

/// Asks whoever sits there; where nobody does, it has to be said beforehand.
fn permit(options: &Options, hub: &HubClient) -> Result<(), Failure> {
    let warning = format!(
        "{} is not on this machine: {} subscribers and {} events/s for {} s would load it, and all that lies in between",
        hub.address(),
        options.subscribers,
        options.rate,
        options.seconds
    );
    if !std::io::stdin().is_terminal() {
        return Err(Failure::usage(format!("{warning}; say --yes if that is meant")));
    }
    eprint!("{warning}. Go on? [y/N] ");
    let mut answer = String::new();
    std::io::stdin().lock().read_line(&mut answer)?;
    if matches!(answer.trim(), "y" | "Y" | "yes") {
        return Ok(());
    }
    Err(Failure::new("nothing was done"))
}

/// A name that no other pipeline has.
fn own_name() -> Result<PipelineId, Failure> {
    use std::hash::{BuildHasher, RandomState};
    let number = RandomState::new().hash_one(std::time::SystemTime::now());
    PipelineId::new(format!("bench-{number:016x}")).map_err(|error| Failure::new(error.to_string()))
}

/// Publishes to subscribers, and waits until they have all of it.
async fn load(
    options: &Options,
    hub: &HubClient,
    pipeline: &PipelineId,
    reporter: &Reporter,
    tally: &Arc<Tally>,
) -> Result<(), Failure> {
    // By a plain request, which tells at once what is wrong with an address or a token.
    let online = json!({ "event": "pipeline:online", "data": { "pipeline_type": "bench" } }).to_string();
    let path = ["api", "pipelines", pipeline.as_str(), "events"];
    let reporter_id = Some(reporter.reporter_id().as_str());
    tally.set_known(true);
    let taken = hub.post_lines::<PublishReceipt>(&path, reporter_id, online).await;
    taken.map_err(|(failure, _)| {
        tally.set_known(false);
        failure
    })?;
    let choice = options.transport.into();
    let viewers = Viewers::connect(&options.hub, pipeline, options.subscribers, choice, tally).await?;
    if !options.json {
        let Options { subscribers, rate, seconds, .. } = options;
        eprintln!("{subscribers} subscribers follow {pipeline}; {rate} events/s for {seconds} s …");
    }
    let mut tick = tokio::time::interval(Duration::from_secs(1) / options.rate);
    for number in 0..tally.events() {
        tick.tick().await;
        let data = json!({ "number": number, "text": TEXT });
        let data = data.as_object().cloned().unwrap_or_default();
        tally.sending(number);
        let sent = reporter.report(Report::Custom { name: "x:bench".to_owned(), data }).await;
        sent.map_err(|error| Failure::new(format!("event {} was not taken: {error}", number + 1)))?;
        let rejected = reporter.status().borrow().rejected;
        if rejected > 0 {
            return Err(Failure::new(format!(
                "the hub refused {rejected} events; `ragpulse doctor` tells more"
            )));
        }
    }
    tally.published_all();
    viewers.have_all(tally, QUIET).await;
    Ok(())
}

/// Leaves the hub as it was found; says what is left where that fails.
async fn forget(hub: &HubClient, pipeline: &PipelineId, reporter: &Reporter) -> Result<(), String> {
    let started = Instant::now();
    // First, since what it still sent would make the pipeline known again.
    let closed = reporter.close(LEAVE / 2).await;
    let path = ["api", "pipelines", pipeline.as_str()];
    let left = LEAVE.saturating_sub(started.elapsed());
    match tokio::time::timeout(left, hub.delete(&path)).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(failure)) => Err(failure.to_string()),
        Err(_) => Err(match closed {
            Ok(()) => "the hub did not answer in time".to_owned(),
            Err(error) => error.to_string(),
        }),
    }
}
