//! What `ragpulse bridge` may be told, and the names that follow from it.

use std::time::Duration;

use clap::Args;
use ragpulse_protocol::limits::{DEFAULT_LEASE_SECONDS, MAX_LEASE_SECONDS};
use ragpulse_protocol::{PipelineId, PipelineType, ReporterId};
use serde_json::Value;

use super::dict::Dict;
use super::time::Zone;
use super::told::Shown;
use crate::HubOptions;
use crate::failure::Failure;

#[derive(Args)]
pub(crate) struct Options {
    /// The legacy server's status, such as http://127.0.0.1:8003/status; without a path /status is taken.
    #[arg(long, value_name = "URL")]
    pub(super) status_url: String,
    /// The pipeline to report for. Default: after its type, as google-drive-pipeline for google_drive.
    #[arg(long, env = "RAG_PIPELINE_ID", value_name = "ID")]
    pub(super) pipeline: Option<PipelineId>,
    /// Its kind. Default: what the hub has, or what the server says as pipeline_type.
    #[arg(long = "type", env = "RAG_SERVICE", value_name = "TYPE")]
    pub(super) kind: Option<PipelineType>,
    /// How often to look, such as 500ms, 2s or 1m.
    #[arg(long, default_value = "2s", value_parser = interval)]
    pub(super) interval: Duration,
    /// After how long without an answer of the legacy server the pipeline is reported offline.
    #[arg(long, default_value = "120s", value_name = "TIME", value_parser = duration)]
    pub(super) offline_after: Duration,
    /// After how many seconds of silence of this bridge the hub counts the pipeline as lost.
    #[arg(long, default_value_t = DEFAULT_LEASE_SECONDS, value_name = "SECONDS")]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=i64::from(MAX_LEASE_SECONDS)))]
    pub(super) lease: u32,
    /// In which time zone the server writes times without an offset: local, utc, or a name such as Europe/Oslo.
    #[arg(long, default_value = "local", value_name = "ZONE")]
    pub(super) timezone: Zone,
    /// The name of this bridge among the pipeline's reporters. Default: after the pipeline, so that it is the same after a
    /// restart.
    #[arg(long, value_name = "ID")]
    pub(super) reporter: Option<ReporterId>,
    /// Look once and end.
    #[arg(long)]
    pub(super) once: bool,
    /// Report the pipeline offline when this bridge is stopped. Without it the pipeline lives on, and the hub counts it as
    /// lost if no other bridge comes.
    #[arg(long)]
    pub(super) offline_on_exit: bool,
    /// Print a line for each event that is published.
    #[arg(long, short)]
    pub(super) verbose: bool,
    /// Print each event that is published as one JSON object a line.
    #[arg(long)]
    pub(super) json: bool,
    #[command(flatten)]
    pub(super) hub: HubOptions,
}

impl Options {
    pub(super) fn shown(&self) -> Shown {
        match (self.json, self.verbose) {
            (true, _) => Shown::Json,
            (false, true) => Shown::Lines,
            (false, false) => Shown::No,
        }
    }

    /// The pipeline and its kind, by what was asked for and what the server says.
    pub(super) fn identity(&self, dict: &Dict) -> Result<(PipelineId, PipelineType), Failure> {
        let told = dict.keys.get("pipeline_type").and_then(Value::as_str);
        let kind = self.kind.clone().or_else(|| told.and_then(|told| PipelineType::new(told).ok()));
        let Some(kind) = kind else {
            return Err(Failure::usage(
                "the status server names no pipeline_type, so this pipeline's kind is not known; give --type, such as \
                 local_files",
            ));
        };
        let id = match &self.pipeline {
            Some(id) => id.clone(),
            None => PipelineId::new(format!("{}-pipeline", kind.as_str().replace('_', "-")))
                .map_err(|error| Failure::usage(format!("give --pipeline: {error}")))?,
        };
        Ok((id, kind))
    }
}

fn interval(text: &str) -> Result<Duration, String> {
    let interval = duration(text)?;
    if (Duration::from_millis(100)..=Duration::from_secs(3_600)).contains(&interval) {
        Ok(interval)
    } else {
        Err("it must be 100ms to 60m".to_owned())
    }
}

fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || "give a time such as 500ms, 2s or 5m".to_owned();
    let unit = text.trim_start_matches(|c: char| c.is_ascii_digit());
    let count: u32 = text[..text.len() - unit.len()].parse().map_err(|_| wrong())?;
    let millis = match unit {
        "ms" => 1,
        "s" | "" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => return Err(wrong()),
    };
    Ok(Duration::from_millis(u64::from(count) * millis))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read() {
        for (text, millis) in
            [("500ms", 500), ("2s", 2_000), ("2", 2_000), ("5m", 300_000), ("1h", 3_600_000)]
        {
            assert_eq!(duration(text), Ok(Duration::from_millis(millis)));
        }
        for wrong in ["", "s", "-1s", "1.5s", "2d", "99999999999s", "ü"] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
        assert!(interval("99ms").is_err() && interval("2h").is_err());
    }
}
