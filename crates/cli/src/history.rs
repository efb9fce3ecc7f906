//! `ragpulse history`: what happened, from the hub's log, oldest first.

use std::collections::VecDeque;
use std::io::Write;
use std::str::FromStr;

use clap::Args;
use ragpulse_protocol::http::{HistoryPage, NamedEvent};
use ragpulse_protocol::{Event, PipelineId, Timestamp};

use crate::HubOptions;
use crate::failure::Failure;
use crate::hub_client::HubClient;
use crate::line;

/// How many events are asked for at once at most.
const PAGE: usize = 1_000;

#[derive(Args)]
pub(crate) struct Options {
    /// Only of this pipeline. May be given several times; default all, in the order in which they were received.
    #[arg(long = "pipeline", value_name = "ID")]
    pipelines: Vec<PipelineId>,
    /// Only about the file of this id, which is its name where the pipeline gives no other.
    #[arg(long, value_name = "ID")]
    file: Option<String>,
    /// Only events of this name, such as file:failed.
    #[arg(long, value_name = "NAME")]
    event: Option<String>,
    /// Only what was received since: 90s, 30m, 12h or 7d ago, or a time such as 2026-01-31T09:30:00Z.
    #[arg(long, value_name = "TIME")]
    since: Option<When>,
    /// Only what was received before: as --since.
    #[arg(long, value_name = "TIME")]
    until: Option<When>,
    /// No more than so many events.
    #[arg(long, value_name = "EVENTS")]
    limit: Option<usize>,
    /// One JSON object a line.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    hub: HubOptions,
}

/// A time, or how long ago.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum When {
    At(Timestamp),
    MillisAgo(i64),
}

impl FromStr for When {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        if let Ok(at) = text.parse() {
            return Ok(Self::At(at));
        }
        let wrong = || "give 90s, 30m, 12h, 7d, or a time such as 2026-01-31T09:30:00Z".to_owned();
        let unit = match text.chars().last() {
            Some('s') => 1_000,
            Some('m') => 60_000,
            Some('h') => 3_600_000,
            Some('d') => 86_400_000,
            _ => return Err(wrong()),
        };
        let count: u32 =
            text.get(..text.len() - 1).and_then(|digits| digits.parse().ok()).ok_or_else(wrong)?;
        Ok(Self::MillisAgo(i64::from(count) * unit))
    }
}

impl When {
    fn at(self, now: Timestamp) -> Timestamp {
        match self {
            Self::At(at) => at,
            Self::MillisAgo(millis) => Timestamp::from_millis(now.as_millis().saturating_sub(millis)),
        }
    }
}

/// The history of one pipeline, read a page at a time.
struct Source {
    pipeline: PipelineId,
    page: VecDeque<NamedEvent>,
    after: Option<u64>,
}

impl Source {
    /// Reads on until there is an event, or nothing more.
    async fn fill(&mut self, hub: &HubClient, query: &[(&str, String)]) -> Result<(), Failure> {
        while self.page.is_empty()
            && let Some(after) = self.after
        {
            let after = after.to_string();
            let mut asked: Vec<(&str, &str)> =
                query.iter().map(|(name, value)| (*name, value.as_str())).collect();
            asked.push(("after", &after));
            let path = ["api", "pipelines", self.pipeline.as_str(), "history"];
            let page: HistoryPage = hub.get(&path, &asked).await?;
            self.page = page.events.into();
            self.after = page.next_after;
        }
        Ok(())
    }

    fn next_received(&self) -> Option<&str> {
        Some(self.page.front()?.data["received_at"].as_str().unwrap_or_default())
    }
}

pub(crate) async fn run(options: Options) -> Result<(), Failure> {
    let hub = HubClient::new(&options.hub)?;
    // By the hub's clock: it stamped the events.
    let status = hub.status().await?;
    let now = status.server_time;
    let pipelines = if options.pipelines.is_empty() {
        status.pipelines.into_iter().map(|pipeline| pipeline.pipeline_id).collect()
    } else {
        options.pipelines
    };
    let mut query: Vec<(&str, String)> = Vec::new();
    query.push(("limit", options.limit.map_or(PAGE, |limit| limit.clamp(1, PAGE)).to_string()));
    query.extend(options.file.map(|file| ("file", file)));
    query.extend(options.event.map(|event| ("event", event)));
    query.extend(options.since.map(|since| ("since", since.at(now).to_string())));
    query.extend(options.until.map(|until| ("until", until.at(now).to_string())));
    let mut sources: Vec<Source> = pipelines
        .into_iter()
        .map(|pipeline| Source { pipeline, page: VecDeque::new(), after: Some(0) })
        .collect();
    let mut out = std::io::BufWriter::new(std::io::stdout().lock());
    let mut left = options.limit.unwrap_or(usize::MAX);
    while left > 0 {
        for source in &mut sources {
            source.fill(&hub, &query).await?;
        }
        // Times of the contract have one form, so their texts are in their order.
        let oldest = sources
            .iter_mut()
            .filter(|source| !source.page.is_empty())
            .min_by(|a, b| a.next_received().cmp(&b.next_received()));
        let Some(event) = oldest.and_then(|source| source.page.pop_front()) else { break };
        print(&mut out, event, options.json)?;
        left -= 1;
    }
    Ok(out.flush()?)
}

fn print(out: &mut impl Write, event: NamedEvent, json: bool) -> Result<(), Failure> {
    if json {
        let text = serde_json::to_string(&event)
            .map_err(|error| Failure::new(format!("an event cannot be written as JSON: {error}")))?;
        return Ok(writeln!(out, "{}", line::json(&text))?);
    }
    let event = Event::from_value(&event.event, event.data)
        .map_err(|error| Failure::new(format!("the hub's answer is not what this version knows: {error}")))?;
    Ok(writeln!(out, "{}", line::of_past_event(&event))?)
}

#[cfg(test)]
mod tests {
    use ragpulse_protocol::Timestamp;

    use super::When;

    #[test]
    fn times_are_read() {
        let now = Timestamp::from_millis(1_800_000_000_000);
        let at = |text: &str| text.parse::<When>().map(|when| when.at(now).to_string());
        assert_eq!(at("2026-01-31T09:30:00Z"), Ok("2026-01-31T09:30:00.000Z".to_owned()));
        assert_eq!(at("90s"), Ok("2027-01-15T07:58:30.000Z".to_owned()));
        assert_eq!(at("7d"), Ok("2027-01-08T08:00:00.000Z".to_owned()));
        for wrong in ["", "d", "1", "1w", "-1h", "1.5h", "ü", "2026-01-31"] {
            assert!(at(wrong).is_err(), "{wrong}");
        }
    }
}
