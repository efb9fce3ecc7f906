//! `GET /api/pipelines/{id}/events`: what came after a cursor, held until there is news.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use ragpulse_protocol::command::Activity;
use ragpulse_protocol::http::{EventsPage, SnapshotAnswer};
use ragpulse_protocol::limits::{MAX_PAGE, MAX_WAIT_SECONDS};
use ragpulse_protocol::status::ResetReason;
use ragpulse_protocol::{Code, Cursor, Epoch, PipelineId, Problem};
use serde::Serialize;
use serde_json::value::RawValue;

use super::extract::{Params, Refusal, Told, Viewed};
use crate::auth::{Act, Audience, Caller, Pass};
use crate::hub::{AGAIN, Found, Hub, Way, behind};
use crate::log::Record;
use crate::metrics::table::{self, DeliveredEvent, Poll, Transport};

pub(super) async fn poll(
    State(hub): State<Hub>,
    Viewed(caller, pipeline): Viewed,
    Told(told): Told,
    params: Params,
) -> Result<Response, Refusal> {
    if let Some(status) = told {
        hub.hear_client(&status, Way::Poll);
        hub.0.metrics.polled(&status.client_id, status.status == Activity::Background, hub.0.clock.now());
    }
    let answer = held(&hub, &caller, &pipeline, &params).await;
    if answer.is_err() {
        hub.0.metrics.polls.add(Poll::Refused, 1);
    }
    answer
}

async fn held(
    hub: &Hub,
    caller: &Caller,
    pipeline: &PipelineId,
    params: &Params,
) -> Result<Response, Refusal> {
    let cursor = cursor(params)?;
    let wait: f64 = params.get("wait", Code::InvalidRequest, "a number of seconds, 0 to 30")?.unwrap_or(0.0);
    #[allow(clippy::cast_precision_loss)]
    let most = MAX_WAIT_SECONDS as f64;
    if !(0.0..=most).contains(&wait) {
        return Err(Problem::new(Code::InvalidRequest, "`wait` must lie between 0 and 30 seconds.")
            .at_field("wait")
            .into());
    }
    let limit: u32 = params.get("limit", Code::InvalidRequest, "a whole number from 1")?.unwrap_or(MAX_PAGE);
    if limit == 0 {
        return Err(Problem::new(Code::InvalidRequest, "`limit` must be at least 1.")
            .at_field("limit")
            .into());
    }
    let limit = limit.min(MAX_PAGE) as usize;
    let place = hub.place(Transport::Poll, caller)?;
    let answer = answer(hub, caller, pipeline, cursor, limit, Duration::from_secs_f64(wait)).await;
    drop(place);
    answer
}

/// The cursor of the query. No epoch is no cursor.
fn cursor(params: &Params) -> Result<Option<Cursor>, Refusal> {
    let epoch: Option<Epoch> =
        params.get("epoch", Code::InvalidCursor, "an epoch as this hub gave it, or left out")?;
    let seq: Option<u64> = params.get("seq", Code::InvalidCursor, "a whole number from 0")?;
    Ok(epoch.map(|epoch| Cursor { epoch, seq: seq.unwrap_or(0) }))
}

async fn answer(
    hub: &Hub,
    caller: &Caller,
    pipeline: &PipelineId,
    cursor: Option<Cursor>,
    limit: usize,
    wait: Duration,
) -> Result<Response, Refusal> {
    let room = hub.0.registry.get_or_hold(pipeline)?;
    let mut head = room.head();
    let mut closing = hub.closing_signal();
    let deadline = tokio::time::Instant::now() + wait;
    let mut was_held = false;
    let mut pass = (!wait.is_zero()).then(|| hub.pass(caller, Act::View, pipeline));
    loop {
        head.borrow_and_update();
        let found = hub.read(&room, cursor.as_ref(), limit).await?;
        let empty = match &found {
            Found::Unknown | Found::Behind => true,
            Found::Events { records, .. } => records.is_empty(),
            Found::State(..) => false,
        };
        // A cursor of a pipeline that is gone is news; that one without a cursor is not there yet is not.
        let news = !empty || (matches!(found, Found::Unknown) && cursor.is_some());
        if news || tokio::time::Instant::now() >= deadline || *closing.borrow_and_update() {
            if pass.is_some() {
                // While it was held the right may have ended, a moment before the news.
                hub.may(caller, Act::View, Some(pipeline))?;
            }
            count(hub, pipeline, &found, cursor.is_some(), was_held);
            return render(found, cursor, hub.audience(&caller.who, pipeline));
        }
        was_held = true;
        let again = matches!(found, Found::Behind);
        tokio::select! {
            _ = head.changed() => {}
            () = tokio::time::sleep(AGAIN), if again => {}
            _ = closing.changed() => {}
            problem = over(&mut pass) => return Err(problem.into()),
            () = tokio::time::sleep_until(deadline) => {}
        }
    }
}

/// Counts what a poll is answered with. What was there before it was asked for came as late as the client asked; only
/// what came while the poll was held came as it happened.
fn count(hub: &Hub, pipeline: &PipelineId, found: &Found, had_cursor: bool, was_held: bool) {
    let (metrics, way) = (&hub.0.metrics, table::Way::Poll);
    let result = match found {
        Found::Behind => return,
        Found::Unknown => Poll::Unknown,
        Found::Events { records, .. } if records.is_empty() => Poll::Empty,
        Found::Events { records, .. } => {
            let now = hub.0.clock.now();
            for record in records {
                metrics.delivered(DeliveredEvent::of(&record.name), way, 1, record.size());
                if was_held {
                    metrics.took(way, record, now, 1);
                }
                let request_id = record.request_id.as_deref();
                tracing::debug!(request_id, %pipeline, seq = record.seq, event = &*record.name, "polled");
            }
            Poll::Events
        }
        Found::State(..) if had_cursor => Poll::Reset,
        Found::State(..) => Poll::Snapshot,
    };
    metrics.polls.add(result, 1);
}

/// Waits until the right of who waits has ended.
async fn over(pass: &mut Option<Pass>) -> Problem {
    match pass {
        Some(pass) => pass.over().await,
        None => std::future::pending().await,
    }
}

/// An event of a page, its payload as it stands in the ring.
#[derive(Serialize)]
pub(super) struct Line<'a> {
    event: &'a str,
    data: Cow<'a, RawValue>,
}

#[derive(Serialize)]
struct Lines<'a> {
    epoch: &'a Epoch,
    seq: u64,
    up_to_date: bool,
    events: Vec<Line<'a>>,
}

fn render(found: Found, cursor: Option<Cursor>, audience: Audience) -> Result<Response, Refusal> {
    Ok(match found {
        Found::Behind => return Err(behind().into()),
        Found::Unknown => json(&EventsPage {
            epoch: None,
            seq: 0,
            up_to_date: true,
            events: Vec::new(),
            reason: cursor.is_some().then_some(ResetReason::UnknownPipeline),
        }),
        Found::Events { epoch, records, up_to_date } => json(&Lines {
            epoch: &epoch,
            seq: records.last().map_or(cursor.map_or(0, |cursor| cursor.seq), |record| record.seq),
            up_to_date,
            events: records.iter().map(|record| line(record, audience)).collect(),
        }),
        Found::State(snapshot, reason) => {
            let snapshot = Box::new(audience.of_state(*snapshot).ok_or_else(unwritable)?);
            json(&SnapshotAnswer { epoch: snapshot.epoch.clone(), seq: snapshot.seq, snapshot, reason })
        }
    })
}

pub(super) fn line(record: &Arc<Record>, audience: Audience) -> Line<'_> {
    Line { event: &record.name, data: audience.of(&record.payload) }
}

/// What is left where something cannot be shown without what is hidden.
pub(super) fn unwritable() -> Problem {
    Problem::new(Code::Internal, "The answer could not be written.")
}

/// An answer that no cache may keep.
pub(super) fn json(value: &impl Serialize) -> Response {
    match serde_json::to_string(value) {
        Ok(text) => ([(CONTENT_TYPE, "application/json"), (CACHE_CONTROL, "no-store")], text).into_response(),
        Err(error) => {
            tracing::error!(%error, "an answer could not be written");
            Refusal(unwritable()).into_response()
        }
    }
}
