//! What is there in the end: the log from its first event on, as a hub and Redis have it, and the state of each hub.

use ragpulse_protocol::http::EventsAnswer;
use ragpulse_protocol::parts::INTERRUPTED;
use ragpulse_protocol::status::Limits;
use ragpulse_protocol::{Cursor, Epoch, Event, PipelineId, PipelineStatus, apply};
use serde_json::Value;

use crate::redis::Redis;
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
    /// The state as each hub shows it.
    pub(crate) shown: Vec<PipelineStatus>,
    /// The state as it follows from the events.
    pub(crate) folded: PipelineStatus,
    /// The same with every file listed.
    pub(crate) every_file: PipelineStatus,
}

/// One event of the log.
#[derive(Debug)]
pub(crate) struct Logged {
    pub(crate) epoch: Epoch,
    pub(crate) seq: u64,
    pub(crate) name: String,
    pub(crate) mark: Option<String>,
    /// The file that it is of.
    pub(crate) file: Option<String>,
    /// The hub itself has ended the file.
    pub(crate) interrupted: bool,
}

impl Logged {
    fn new(at: Cursor, name: &str, data: &Value) -> Self {
        let text = |pointer: &str| data.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
        Self {
            epoch: at.epoch,
            seq: at.seq,
            name: name.to_owned(),
            mark: data.get(MARK).and_then(Value::as_str).map(str::to_owned),
            file: text("/file/id"),
            interrupted: text("/error/type").as_deref() == Some(INTERRUPTED),
        }
    }
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

    /// Reads everything of a pipeline to which nothing more is reported: from Redis where the hubs share one, and what is of the
    /// epoch from a hub.
    pub(crate) async fn read(
        http: &reqwest::Client,
        hubs: &[String],
        redis: Option<&Redis>,
        pipeline: &PipelineId,
    ) -> Result<Self, AnyError> {
        let mut shown = Vec::new();
        for hub in hubs {
            shown.push(Self::shown(http, hub, pipeline).await?);
        }
        let first = shown.first().ok_or("there is no hub")?.clone();
        let head = first.cursor();
        // What came before the end was lost, which is of another epoch, only Redis itself tells.
        let mut named = match redis {
            Some(redis) => stored(redis, pipeline).await?,
            None => Vec::new(),
        };
        let of_epoch = |(_, data): &(String, Value)| data["epoch"].as_str() == Some(head.epoch.as_str());
        if let Some(last) = named.last()
            && last.1["seq"].as_u64() != Some(head.seq)
        {
            return Err(format!("the hub shows {pipeline} at {head}, and Redis has {}", last.1["seq"]).into());
        }
        let before = if redis.is_some() { named.iter().position(of_epoch).unwrap_or(named.len()) } else { 0 };
        let of_hub = page_through(http, &hubs[0], &head, before as u64, pipeline).await?;
        if redis.is_some() && named[before..] != of_hub[..] {
            return Err(format!("the events that the hub has of {pipeline} are not those of Redis").into());
        }
        named.truncate(before);
        named.extend(of_hub);
        Self::fold(pipeline, head, shown, named)
    }

    fn fold(
        pipeline: &PipelineId,
        head: Cursor,
        shown: Vec<PipelineStatus>,
        named: Vec<(String, Value)>,
    ) -> Result<Self, AnyError> {
        let first = shown.first().ok_or("there is no hub")?;
        let opening = |limits| {
            let (kind, epoch) = (first.pipeline_type.clone(), head.epoch.clone());
            PipelineStatus::opening(pipeline.clone(), kind, epoch, first.timestamp, limits)
        };
        let mut folded = opening(Limits::default());
        let mut every_file = opening(Limits { open: u32::MAX, ended: u32::MAX });
        let mut events: Vec<Logged> = Vec::new();
        for (name, data) in named {
            let event = Event::from_value(&name, data.clone())?;
            let at = event.shared().cursor();
            if at.seq != events.len() as u64 + 1 {
                return Err(format!("the log of {pipeline} has {at} after {}", events.len()).into());
            }
            let _ = (apply(&mut folded, &event), apply(&mut every_file, &event));
            events.push(Logged::new(at, &name, &data));
        }
        // Since the end was lost nothing may have been reported.
        (folded.epoch, every_file.epoch) = (head.epoch.clone(), head.epoch.clone());
        Ok(Self { pipeline: pipeline.clone(), head, events, shown, folded, every_file })
    }
}

/// What Redis has of a pipeline.
async fn stored(redis: &Redis, pipeline: &PipelineId) -> Result<Vec<(String, Value)>, AnyError> {
    let mut named = Vec::new();
    for (seq, name, text) in redis.events(pipeline).await? {
        let data: Value = serde_json::from_str(&text)?;
        if data["seq"].as_u64() != Some(seq) {
            return Err(format!("Redis has at {seq} of {pipeline} the event {}", data["seq"]).into());
        }
        named.push((name, data));
    }
    Ok(named)
}

/// Every event of an epoch that a hub has after `from`.
async fn page_through(
    http: &reqwest::Client,
    hub: &str,
    head: &Cursor,
    from: u64,
    pipeline: &PipelineId,
) -> Result<Vec<(String, Value)>, AnyError> {
    let url = format!("{hub}/api/pipelines/{pipeline}/events");
    let mut events = Vec::new();
    while from + (events.len() as u64) < head.seq {
        let after = (from + events.len() as u64).to_string();
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
            let expected = from + events.len() as u64 + 1;
            let (epoch, seq) = (named.data["epoch"].as_str(), named.data["seq"].as_u64());
            if epoch != Some(head.epoch.as_str()) || seq != Some(expected) {
                return Err(format!("the log of {pipeline} has {epoch:?}:{seq:?} at {expected}").into());
            }
            events.push((named.event, named.data));
        }
    }
    Ok(events)
}
