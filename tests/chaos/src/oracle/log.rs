//! What a hub says in the end: its log from the first event on, and its own state.

use ragpulse_protocol::http::EventsAnswer;
use ragpulse_protocol::status::Limits;
use ragpulse_protocol::{Cursor, Event, PipelineId, PipelineStatus, apply};
use serde_json::Value;

use crate::report::workload::MARK;
use crate::run::AnyError;

/// The log of one pipeline and the state the hub shows.
#[derive(Debug)]
pub(crate) struct Log {
    pub(crate) pipeline: PipelineId,
    /// The end of the sequence.
    pub(crate) head: Cursor,
    /// Every event from `seq` 1.
    pub(crate) events: Vec<Logged>,
    /// The state as the hub shows it.
    pub(crate) shown: PipelineStatus,
    /// The state as it follows from the events.
    pub(crate) folded: PipelineStatus,
    /// The same with every file listed.
    pub(crate) every_file: PipelineStatus,
}

/// One event of the log.
#[derive(Debug)]
pub(crate) struct Logged {
    pub(crate) seq: u64,
    pub(crate) name: String,
    pub(crate) mark: Option<String>,
}

impl Log {
    /// The state as the hub shows it now.
    pub(crate) async fn shown(
        http: &reqwest::Client,
        hub: &str,
        pipeline: &PipelineId,
    ) -> Result<PipelineStatus, AnyError> {
        let url = format!("{hub}/api/pipelines/{pipeline}/events");
        match http.get(&url).send().await?.json::<EventsAnswer>().await? {
            EventsAnswer::Snapshot(answer) => Ok(*answer.snapshot),
            EventsAnswer::Events(_) => Err(format!("the hub does not know {pipeline}").into()),
        }
    }

    /// Reads everything the hub has of a pipeline to which nothing more is reported.
    pub(crate) async fn read(
        http: &reqwest::Client,
        hub: &str,
        pipeline: &PipelineId,
    ) -> Result<Self, AnyError> {
        let url = format!("{hub}/api/pipelines/{pipeline}/events");
        let shown = Self::shown(http, hub, pipeline).await?;
        let head = shown.cursor();
        let opening = |limits| {
            let (kind, epoch) = (shown.pipeline_type.clone(), head.epoch.clone());
            PipelineStatus::opening(pipeline.clone(), kind, epoch, shown.timestamp, limits)
        };
        let mut folded = opening(Limits::default());
        let mut every_file = opening(Limits { open: u32::MAX, ended: u32::MAX });
        let mut events: Vec<Logged> = Vec::new();
        while (events.len() as u64) < head.seq {
            let after = events.len().to_string();
            let query = [("epoch", head.epoch.as_str()), ("seq", &after), ("limit", "1000")];
            let query: String = query.map(|(key, value)| format!("{key}={value}")).join("&");
            let page = match http.get(format!("{url}?{query}")).send().await?.json().await? {
                EventsAnswer::Events(page) if !page.events.is_empty() => page,
                EventsAnswer::Events(_) => {
                    return Err(format!("the log of {pipeline} ends at {after}, its state at {head}").into());
                }
                EventsAnswer::Snapshot(answer) => {
                    return Err(
                        format!("the log of {pipeline} is gone after {after}: {:?}", answer.reason).into()
                    );
                }
            };
            for named in page.events {
                let mark = named.data.get(MARK).and_then(Value::as_str).map(str::to_owned);
                let event = Event::from_value(&named.event, named.data)?;
                let at = event.shared().cursor();
                if at.epoch != head.epoch || at.seq != events.len() as u64 + 1 {
                    return Err(format!("the log of {pipeline} has {at} after {}", events.len()).into());
                }
                let _ = (apply(&mut folded, &event), apply(&mut every_file, &event));
                events.push(Logged { seq: at.seq, name: named.event, mark });
            }
        }
        Ok(Self { pipeline: pipeline.clone(), head, events, shown, folded, every_file })
    }
}
