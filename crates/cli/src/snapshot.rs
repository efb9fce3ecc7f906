//! `ragpulse snapshot`: the present state, as JSON.

use std::io::Write;

use clap::Args;
use ragpulse_protocol::PipelineId;
use ragpulse_protocol::http::EventsAnswer;

use crate::HubOptions;
use crate::failure::Failure;
use crate::hub_client::HubClient;
use crate::line;

#[derive(Args)]
pub(crate) struct Options {
    /// The pipeline; without it all pipelines in the reference's shape.
    #[arg(long)]
    pipeline: Option<PipelineId>,
    #[command(flatten)]
    hub: HubOptions,
}

pub(crate) async fn run(options: Options) -> Result<(), Failure> {
    let hub = HubClient::new(&options.hub)?;
    let text = match &options.pipeline {
        None => serde_json::to_string_pretty(&hub.status().await?),
        Some(pipeline) => {
            let path = ["api", "pipelines", pipeline.as_str(), "events"];
            match hub.get(&path, &[]).await? {
                EventsAnswer::Snapshot(answer) => serde_json::to_string_pretty(&answer.snapshot),
                EventsAnswer::Events(_) => {
                    let line =
                        format!("the hub does not know pipeline '{pipeline}'; `ragpulse snapshot` lists all");
                    return Err(Failure::new(line));
                }
            }
        }
    };
    let text = text.map_err(|error| Failure::new(format!("the state cannot be written as JSON: {error}")))?;
    Ok(writeln!(std::io::stdout(), "{}", line::json(&text))?)
}
