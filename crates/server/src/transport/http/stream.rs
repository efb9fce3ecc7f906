//! `GET /api/pipelines/{id}/stream`: server-sent events, for curl and scripts. Each has the cursor as its id, so a
//! client that comes back with `Last-Event-ID` goes on where it was.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::response::sse::{Event, KeepAlive, Sse};
use futures_util::stream::{Stream, unfold};
use http::HeaderMap;
use ragpulse_protocol::message::HubClosing;
use ragpulse_protocol::{Code, Cursor, Problem};
use tokio::sync::watch;

use super::events::unwritable;
use super::extract::{Params, Refusal, Viewed};
use crate::auth::{Act, Audience, Caller, Pass};
use crate::hub::{AGAIN, Found, Hub, Place, Room};
use crate::log::Record;
use crate::metrics::table::{DeliveredEvent, Transport, Way};

/// How many events are read at once.
const PAGE: usize = 256;

pub(super) async fn stream(
    State(hub): State<Hub>,
    Viewed(caller, pipeline): Viewed,
    params: Params,
    headers: HeaderMap,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, Refusal> {
    let last = headers.get("last-event-id").and_then(|value| value.to_str().ok()).or(params.text("cursor"));
    let cursor = last
        .filter(|last| !last.is_empty())
        .map(str::parse::<Cursor>)
        .transpose()
        .map_err(|error| Problem::new(Code::InvalidCursor, format!("Last-Event-ID: {error}.")))?;
    let place = hub.place(Transport::Stream, &caller)?;
    let room = hub.0.registry.get_or_hold(&pipeline)?;
    let reader = Reader {
        head: room.head(),
        closing: hub.closing_signal(),
        pass: hub.pass(&caller, Act::View, &pipeline),
        caller,
        hub,
        room,
        cursor,
        waiting: VecDeque::new(),
        over: false,
        live: false,
        _place: place,
    };
    let events = unfold(reader, |mut reader| async move { Some((Ok(reader.next().await?), reader)) });
    Ok(Sse::new(events).keep_alive(KeepAlive::new().interval(Duration::from_secs(15))))
}

struct Reader {
    hub: Hub,
    room: Arc<Room>,
    head: watch::Receiver<u64>,
    closing: watch::Receiver<bool>,
    pass: Pass,
    caller: Caller,
    cursor: Option<Cursor>,
    waiting: VecDeque<Event>,
    over: bool,
    /// It has waited for news: what comes now comes as it happens.
    live: bool,
    _place: Place,
}

impl Reader {
    async fn next(&mut self) -> Option<Event> {
        loop {
            // Also of what waits nothing is told to somebody whose right has ended.
            if !self.over
                && let Err(problem) = self.hub.standing(&self.caller.who)
            {
                return Some(self.end(&problem));
            }
            if let Some(event) = self.waiting.pop_front() {
                return Some(event);
            }
            if self.over {
                return None;
            }
            if *self.closing.borrow_and_update() {
                self.over = true;
                let closing = HubClosing { retry_after_ms: self.hub.0.config.retry_after_ms };
                let data = serde_json::to_string(&closing).unwrap_or_default();
                let retry = Duration::from_millis(closing.retry_after_ms);
                return Some(Event::default().event("hub:closing").retry(retry).data(data));
            }
            self.head.borrow_and_update();
            let found = match self.hub.read(&self.room, self.cursor.as_ref(), PAGE).await {
                Ok(found) => found,
                Err(problem) => return Some(self.end(&problem)),
            };
            let again = matches!(found, Found::Behind);
            if !self.take(found) {
                self.live = true;
                tokio::select! {
                    _ = self.head.changed() => {}
                    () = tokio::time::sleep(AGAIN), if again => {}
                    _ = self.closing.changed() => {}
                    problem = self.pass.over() => return Some(self.end(&problem)),
                }
            }
        }
    }

    /// The last that is said.
    fn end(&mut self, problem: &Problem) -> Event {
        self.over = true;
        self.waiting.clear();
        let data = serde_json::to_string(problem).unwrap_or_default();
        Event::default().event("problem").data(data)
    }

    /// Queues what was found; false when it was nothing.
    fn take(&mut self, found: Found) -> bool {
        let audience = self.hub.audience(&self.caller.who, &self.room.id);
        match found {
            Found::Behind => false,
            Found::Unknown => {
                // Forgotten, or not there yet. Who has heard the end of one life has no cursor in the next; who has not
                // keeps theirs, so that the next life begins for them with its state and the reason.
                let follows =
                    |last: &Arc<Record>| self.cursor.as_ref().is_some_and(|cursor| last.follows(cursor));
                let Some(last) = self.room.farewell().filter(follows) else { return false };
                self.cursor = None;
                let name = DeliveredEvent::of(&last.name);
                self.hub.0.metrics.delivered(name, Way::Stream, 1, last.size());
                self.waiting.push_back(event(&last, audience));
                true
            }
            Found::Events { records, .. } => {
                let (metrics, now) = (&self.hub.0.metrics, self.hub.0.clock.now());
                for record in &records {
                    metrics.delivered(DeliveredEvent::of(&record.name), Way::Stream, 1, record.size());
                    if self.live {
                        metrics.took(Way::Stream, record, now, 1);
                    }
                    let request_id = record.request_id.as_deref();
                    let (pipeline, name) = (&self.room.id, &*record.name);
                    tracing::debug!(request_id, %pipeline, seq = record.seq, event = name, "streamed");
                    self.waiting.push_back(event(record, audience));
                    self.cursor = Some(record.cursor());
                }
                !records.is_empty()
            }
            Found::State(state, reason) => {
                let cursor = state.cursor();
                let Some(mut state) = audience.of_state(*state) else {
                    let problem = unwritable();
                    let end = self.end(&problem);
                    self.waiting.push_back(end);
                    return true;
                };
                state.reason = reason;
                let data = serde_json::to_string(&state).unwrap_or_default();
                let name = DeliveredEvent::of("pipeline:status");
                self.hub.0.metrics.delivered(name, Way::Stream, 1, data.len());
                self.waiting
                    .push_back(Event::default().id(cursor.to_string()).event("pipeline:status").data(data));
                self.cursor = Some(cursor);
                true
            }
        }
    }
}

fn event(record: &Record, audience: Audience) -> Event {
    let payload = audience.of(&record.payload);
    Event::default().id(record.cursor().to_string()).event(&*record.name).data(payload.get())
}
