//! Health, the files beyond a snapshot, and forgetting a pipeline.

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use ragpulse_protocol::{Code, FileState, Problem};

use super::events::{json, unwritable};
use super::extract::{Params, Pipeline, Refusal, Viewed, Who};
use crate::hub::{Hub, closing, store_problem, unknown_pipeline};
use crate::log::FilesQuery;

/// The process answers. In the reference's words.
pub(super) async fn health() -> &'static str {
    "OK"
}

/// The hub takes events and connections, and its store answers.
pub(super) async fn ready(State(hub): State<Hub>) -> Result<Response, Refusal> {
    if hub.is_closing() {
        return Err(closing().into());
    }
    if let Some(seconds) = hub.stale_seconds() {
        return Err(Problem::new(
            Code::StoreUnavailable,
            format!(
                "The hub's store has not answered for {seconds} s. The hub serves what it has and takes no events; it goes \
                 on by itself when the store is back."
            ),
        )
        .into());
    }
    Ok(json(&serde_json::json!({ "status": "ready" })))
}

pub(super) async fn files(
    State(hub): State<Hub>,
    Viewed(caller, pipeline): Viewed,
    params: Params,
) -> Result<Response, Refusal> {
    let state = match params.text("state") {
        None => None,
        Some(name) => {
            let known = FileState::ALL.iter().find(|state| state.as_str() == name).copied();
            let names: Vec<&str> = FileState::ALL.iter().map(|state| state.as_str()).collect();
            Some(known.ok_or_else(|| {
                let message = format!("`state` must be one of {}.", names.join(", "));
                Problem::new(Code::InvalidRequest, message).at_field("state")
            })?)
        }
    };
    // Also from the search: what one may not read one may not ask for letter by letter.
    let redaction = hub.audience(&caller.who, &pipeline).redaction();
    let limit: usize = params.get("limit", Code::InvalidRequest, "a whole number from 1")?.unwrap_or(100);
    let query = FilesQuery {
        state,
        contains: params.text("q").map(str::to_owned),
        after: params.get("after", Code::InvalidRequest, "a whole number from 0")?.unwrap_or(0),
        limit: limit.clamp(1, 1_000),
        hidden: redaction,
    };
    let page = hub.0.log.files(&pipeline, query).await.map_err(|error| store_problem(&error))?;
    match page {
        Some(page) if redaction.is_empty() => Ok(json(&page)),
        Some(page) => match redaction.apply(&page) {
            Some(page) => Ok(json(&page)),
            None => Err(unwritable().into()),
        },
        None => Err(unknown_pipeline(&pipeline).into()),
    }
}

/// Forgets a pipeline and its history.
pub(super) async fn forget(
    State(hub): State<Hub>,
    Who(caller): Who,
    Pipeline(pipeline): Pipeline,
) -> Result<Response, Refusal> {
    hub.forget(&caller, &pipeline).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}
