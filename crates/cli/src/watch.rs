//! `ragpulse watch`: what happens, as it happens — a view on a terminal, else a line each, or JSON for programs.
//!
//! | room | what it is for |
//! |---|---|
//! | `model` | what the view knows and shows; pure |
//! | `draw` | the model as cells; pure |
//! | `eta`, `rate` | how long it will take, how often it happens; pure |
//! | `terminal`, `screen` | the loop, and the terminal taken and given back |
//!
//! Every line is one step of a pipeline's sequence, without hole, repeat or swap, whatever the connection does. What the
//! connection does is told on standard error.

mod draw;
mod eta;
mod model;
mod rate;
mod screen;
mod terminal;

use std::io::{IsTerminal, Write};

use clap::Args;
use ragpulse_client::{Subscriber, Transport, Update, What};
use ragpulse_protocol::PipelineId;
use serde_json::json;
use tokio::sync::mpsc;

use crate::HubOptions;
use crate::failure::Failure;
use crate::hub_client::HubClient;
use crate::hub_options::Choice;
use crate::line::{self, say};
use crate::signals;

#[derive(Args)]
pub(crate) struct Options {
    /// The hub's address; the same as --url.
    #[arg(value_name = "URL")]
    address: Option<String>,
    /// The pipeline to follow. May be given several times; without it all, later ones too.
    #[arg(long = "pipeline", value_name = "ID")]
    pipelines: Vec<PipelineId>,
    /// One JSON object a line: `{"event": …, "data": …}`.
    #[arg(long)]
    json: bool,
    /// A line for each event, also on a terminal. So it is where standard output is none, and where TERM says `dumb`.
    #[arg(long)]
    plain: bool,
    /// By what to follow.
    #[arg(long, value_enum, default_value = "auto")]
    transport: Choice,
    #[command(flatten)]
    hub: HubOptions,
}

pub(crate) async fn run(mut options: Options) -> Result<(), Failure> {
    if let Some(address) = options.address.take() {
        options.hub.url = address;
    }
    if options.wants_view() {
        let hub = HubClient::new(&options.hub)?;
        // At the start a hub that is not there is a mistake, as below.
        let hub_now = match options.pipelines.as_slice() {
            [] => Some(hub.status().await?.server_time.as_millis()),
            _ => None,
        };
        return terminal::run(subscribe(&options)?, hub, hub_now).await;
    }
    let (updates, mut incoming) = mpsc::channel(256);
    let follow = follow(&options, updates);
    let print = async {
        while let Some(update) = incoming.recv().await {
            print(&update, options.json)?;
        }
        Ok::<(), Failure>(())
    };
    tokio::select! {
        result = follow => result,
        result = print => result,
        () = signals::stop() => Ok(()),
    }
}

impl Options {
    /// Whether there is a terminal to draw on, and nothing else was asked for.
    fn wants_view(&self) -> bool {
        let term = std::env::var("TERM").unwrap_or_default();
        let draws = cfg!(windows) || !matches!(term.as_str(), "" | "dumb");
        !self.json && !self.plain && draws && std::io::stdout().is_terminal()
    }
}

/// Sets up the subscription to the pipelines asked for, or to all.
fn subscribe(options: &Options) -> Result<Subscriber, Failure> {
    let choice = options.transport.into();
    let mut builder = Subscriber::builder(&options.hub.url).transport(choice);
    builder = match options.pipelines.as_slice() {
        [] => builder.all_pipelines(),
        pipelines => builder.pipelines(pipelines),
    };
    builder = options.hub.token()?.for_subscriber(builder);
    builder.connect().map_err(|error| Failure::new(error.to_string()))
}

/// Hands on what comes until nobody takes it.
async fn follow(options: &Options, updates: mpsc::Sender<Update>) -> Result<(), Failure> {
    // At the start a hub that is not there is a mistake; later it is an outage, which the subscriber tells of.
    if options.pipelines.is_empty() && HubClient::new(&options.hub)?.status().await?.pipelines.is_empty() {
        eprintln!("no pipeline has reported yet; waiting");
    }
    let mut subscriber = subscribe(options)?;
    while let Some(update) = subscriber.recv().await {
        if updates.send(update).await.is_err() {
            return Ok(());
        }
    }
    // Held open, so that the printer goes on until it is told to stop.
    updates.closed().await;
    Ok(())
}

fn print(update: &Update, json: bool) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    let id = update.pipeline_id.as_ref().map(PipelineId::as_str).unwrap_or_default();
    match &update.what {
        What::Connection(connection) => {
            let by = match connection.transport {
                Some(Transport::Websocket) => "connected by websocket",
                Some(Transport::Polling) => "connected by polling",
                _ => "not connected",
            };
            match &connection.cause {
                Some(cause) => say!("{by}: {cause}"),
                None => eprintln!("{by}"),
            }
        }
        What::Event(event) if json => {
            let text = json!({ "event": event.name(), "data": event.payload() }).to_string();
            writeln!(out, "{}", line::json(&text))?;
        }
        What::Event(event) => writeln!(out, "{}", line::of_event(event))?,
        What::Snapshot { state, reason } if json => {
            let mut data = json!(**state);
            if let Some(reason) = reason {
                data["reason"] = json!(reason);
            }
            let text = json!({ "event": "pipeline:status", "data": data }).to_string();
            writeln!(out, "{}", line::json(&text))?;
        }
        What::Snapshot { state, reason } => writeln!(out, "{}", line::of_state(state, reason.as_ref()))?,
        What::Liveness(liveness) if json => {
            writeln!(
                out,
                "{}",
                json!({ "event": "heartbeat", "data": { "pipeline_id": id, "liveness": liveness } })
            )?;
        }
        What::Liveness(liveness) => writeln!(out, "{id}  reporters: {liveness}")?,
        What::Reset | What::Removed if json => {
            writeln!(out, "{}", json!({ "event": "pipeline:removed", "data": { "pipeline_id": id } }))?;
        }
        What::Reset | What::Removed => writeln!(out, "{id}  the hub does not know this pipeline (any more)")?,
        What::Ended(code) => say!("{id}: the hub ended the subscription [{code}]"),
        _ => {}
    }
    Ok(out.flush()?)
}
