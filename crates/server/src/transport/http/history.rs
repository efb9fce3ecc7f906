//! What happened in a pipeline, looked up by people and tools: by file, by event, by time. A cursor is not needed.

use axum::extract::State;
use axum::response::Response;
use ragpulse_protocol::{Code, Problem, Timestamp};
use serde::Serialize;

use super::events::{Line, json, line};
use super::extract::{Params, Recalled, Refusal};
use crate::hub::{Hub, store_problem, unknown_pipeline};
use crate::log::HistoryQuery;

/// The most events of a page, and how many without a `limit`.
const MOST: usize = 1_000;
const USUAL: usize = 100;

#[derive(Serialize)]
struct Answer<'a> {
    events: Vec<Line<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_after: Option<u64>,
}

pub(super) async fn history(
    State(hub): State<Hub>,
    Recalled(caller, pipeline): Recalled,
    params: Params,
) -> Result<Response, Refusal> {
    let time =
        |name| params.get::<Timestamp>(name, Code::InvalidRequest, "a time such as 2026-01-31T09:30:00Z");
    let limit: usize = params.get("limit", Code::InvalidRequest, "a whole number from 1")?.unwrap_or(USUAL);
    if limit == 0 {
        let problem = Problem::new(Code::InvalidRequest, "`limit` must be at least 1.");
        return Err(problem.at_field("limit").into());
    }
    let query = HistoryQuery {
        file: params.text("file").map(str::to_owned),
        event: params.text("event").map(str::to_owned),
        since: time("since")?,
        until: time("until")?,
        after: params.get("after", Code::InvalidRequest, "a whole number from 0")?.unwrap_or(0),
        limit: limit.min(MOST),
    };
    let page = hub.0.log.history(&pipeline, query).await.map_err(|error| store_problem(&error))?;
    let Some(page) = page else { return Err(unknown_pipeline(&pipeline).into()) };
    let audience = hub.audience(&caller.who, &pipeline);
    let events = page.records.iter().map(|record| line(record, audience)).collect();
    Ok(json(&Answer { events, next_after: page.next_after }))
}
