//! `ragpulse publish`: events from a file or standard input, one JSON object a line.
//!
//! Events without an `event_id` get one, so that a batch that has to be sent again is not taken twice.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use ragpulse_protocol::command::PublishReceipt;
use ragpulse_protocol::{PipelineId, ReporterId};
use serde_json::Value;
use tokio::io::{AsyncBufRead, AsyncBufReadExt, BufReader};

use crate::HubOptions;
use crate::failure::Failure;
use crate::hub_client::HubClient;

/// The most events and bytes of a request.
const BATCH: usize = 500;
const BYTES: usize = 512_000;
/// How often a request is sent before it is given up.
const TRIES: u32 = 5;

#[derive(Args)]
pub(crate) struct Options {
    /// The file; `-` is standard input.
    #[arg(default_value = "-")]
    file: PathBuf,
    /// The pipeline to report for.
    #[arg(long)]
    pipeline: PipelineId,
    /// Who reports, where a pipeline has several reporters.
    #[arg(long)]
    reporter: Option<ReporterId>,
    #[command(flatten)]
    hub: HubOptions,
}

pub(crate) async fn run(options: Options) -> Result<(), Failure> {
    let hub = HubClient::new(&options.hub)?;
    let mut totals = Totals::default();
    if options.file.as_os_str() == "-" {
        publish(&hub, &options, BufReader::new(tokio::io::stdin()), &mut totals).await?;
    } else {
        let file = tokio::fs::File::open(&options.file)
            .await
            .map_err(|error| Failure::new(format!("cannot read {}: {error}", options.file.display())))?;
        publish(&hub, &options, BufReader::new(file), &mut totals).await?;
    }
    let Totals { accepted, duplicates, conflated } = totals;
    println!("{accepted} accepted, {duplicates} duplicates, {conflated} conflated");
    Ok(())
}

#[derive(Default)]
struct Totals {
    accepted: u64,
    duplicates: u64,
    conflated: u64,
}

async fn publish(
    hub: &HubClient,
    options: &Options,
    input: impl AsyncBufRead + Unpin,
    totals: &mut Totals,
) -> Result<(), Failure> {
    let mut lines = input.lines();
    let mut ids = Ids::new();
    let (mut body, mut count, mut first, mut number) = (String::new(), 0, 1, 0);
    loop {
        let line = lines
            .next_line()
            .await
            .map_err(|error| Failure::new(format!("cannot read line {}: {error}", number + 1)))?;
        number += 1;
        if let Some(line) = line.as_deref().filter(|line| !line.trim().is_empty()) {
            let event = ids.give(line).map_err(|error| Failure::new(format!("line {number}: {error}")))?;
            if count == 0 {
                first = number;
            }
            body.push_str(&event);
            body.push('\n');
            count += 1;
        }
        let over = line.is_none();
        if count >= BATCH || body.len() >= BYTES || (over && count > 0) {
            send(hub, options, std::mem::take(&mut body), first, totals).await?;
            count = 0;
        }
        if over {
            return Ok(());
        }
    }
}

/// Gives an id to events that have none.
struct Ids {
    prefix: String,
    next: u64,
}

impl Ids {
    fn new() -> Self {
        use std::hash::{BuildHasher, RandomState};
        let now = std::time::SystemTime::now();
        Self { prefix: format!("cli-{:016x}", RandomState::new().hash_one(now)), next: 0 }
    }

    fn give(&mut self, line: &str) -> Result<String, String> {
        let mut event: Value =
            serde_json::from_str(line).map_err(|error| format!("it is not JSON ({error})"))?;
        let Some(fields) = event.as_object_mut() else {
            return Err("an event is a JSON object with `event` and `data`".to_owned());
        };
        self.next += 1;
        fields.entry("event_id").or_insert_with(|| format!("{}-{}", self.prefix, self.next).into());
        Ok(event.to_string())
    }
}

async fn send(
    hub: &HubClient,
    options: &Options,
    body: String,
    first: usize,
    totals: &mut Totals,
) -> Result<(), Failure> {
    let path = ["api", "pipelines", options.pipeline.as_str(), "events"];
    let reporter = options.reporter.as_ref().map(ReporterId::as_str);
    let mut wait = Duration::from_millis(250);
    for attempt in 1.. {
        match hub.post_lines::<PublishReceipt>(&path, reporter, body.clone()).await {
            Ok(receipt) => {
                totals.accepted += receipt.accepted;
                totals.duplicates += receipt.duplicates;
                totals.conflated += receipt.conflated;
                return Ok(());
            }
            Err((_, true)) if attempt < TRIES => {
                tokio::time::sleep(wait).await;
                wait *= 2;
            }
            Err((failure, _)) => {
                let taken = totals.accepted + totals.duplicates + totals.conflated;
                return Err(Failure::new(format!(
                    "in the batch that begins on line {first}: {failure}; {taken} events before it were taken"
                )));
            }
        }
    }
    Ok(())
}
