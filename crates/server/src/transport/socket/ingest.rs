//! Reporters over Socket.IO: `publish` in namespace `/ingest`, one at a time and in order for each socket.

use std::sync::Arc;
use std::time::Duration;

use ragpulse_protocol::command::PublishReply;
use ragpulse_protocol::{Code, PipelineId, Problem, ReporterId};
use serde_json::Value;
use serde_json::value::RawValue;
use socketioxide::ParserError;
use socketioxide::extract::{AckSender, Event, SocketRef, TryData};
use socketioxide::socket::Sid;
use tokio::sync::mpsc;

use super::commands::to_value;
use super::meter::Meter;
use super::pace::Pace;
use super::rights::GRACE_MILLIS;
use crate::auth::Caller;
use crate::config::HubLimits;
use crate::hub::{Hub, Place};
use crate::limits::AtLimit;
use crate::request_id::RequestId;

/// How often it is looked whether the connection is gone.
const LEFT_BEHIND: Duration = Duration::from_secs(5);

type Batch = (Result<Box<RawValue>, ParserError>, AckSender);

/// Registers `publish`.
pub(super) fn register(
    socket: &SocketRef,
    hub: &Hub,
    caller: Caller,
    place: Place,
    meter: Option<Arc<Meter>>,
) {
    let most = hub.0.config.limits.socket_batches;
    let (queue, batches) = mpsc::channel::<Batch>(most);
    let pace = Arc::new(Pace::new(hub));
    // The queue ends with the socket, which holds its only sender.
    tokio::spawn(work(hub.clone(), caller, batches, socket.id, place, meter));
    let of = hub.clone();
    socket.on("publish", move |TryData(data): TryData<Box<RawValue>>, ack: AckSender| {
        // In the order they came, and before the handler's future is spawned.
        if let Err(problem) = pace.check() {
            of.0.metrics.problem(&problem);
            let _ = ack.send(&PublishReply::from(Err(problem)));
        } else if let Err(error) = queue.try_send((data, ack)) {
            let (_, ack) = match error {
                mpsc::error::TrySendError::Full(batch) | mpsc::error::TrySendError::Closed(batch) => batch,
            };
            let problem = Problem::new(
                Code::Overloaded,
                format!("{most} batches of this socket wait already. Wait for their acknowledgements."),
            );
            let problem = problem.at_limit("socket_batches");
            of.0.metrics.problem(&problem);
            let _ = ack.send(&PublishReply::from(Err(problem)));
        }
        async {}
    });
    socket.on_fallback(move |Event(name): Event, ack: AckSender| {
        let shown: String = name.chars().take(60).collect();
        let message = format!("There is no command '{shown}' here. Reporters send 'publish'.");
        let _ = ack.send(&Problem::new(Code::InvalidRequest, message).into_reply());
        async {}
    });
}

async fn work(
    hub: Hub,
    caller: Caller,
    mut batches: mpsc::Receiver<Batch>,
    sid: Sid,
    place: Place,
    meter: Option<Arc<Meter>>,
) {
    // Each batch is asked for. Who brings none after their right has ended does not keep their place for ever.
    let mut pass = hub.pass_until(&caller, GRACE_MILLIS);
    loop {
        // The library keeps the sockets of a hub that has closed, and with them the sender of this queue.
        let batch = tokio::select! {
            batch = batches.recv() => batch,
            () = hub.0.end.cancelled() => None,
            // The library may have forgotten the socket, which holds the sender of this queue.
            () = tokio::time::sleep(LEFT_BEHIND) => {
                if !meter.as_ref().is_some_and(|meter| meter.is_over()) {
                    continue;
                }
                None
            }
            _ = pass.over() => {
                // By its name: to hold the socket would be to hold the queue's only sender.
                if let Some(socket) = hub.socket_end(|end| end.reporter(sid)).flatten() {
                    let _ = socket.disconnect();
                }
                None
            }
        };
        let Some((data, ack)) = batch else { break };
        hub.0.metrics.ingest_bytes.add((), data.as_ref().map_or(0, |data| data.get().len()) as u64);
        let request = RequestId::fresh();
        let reply = match read(data, &hub.0.config.limits) {
            Ok((pipeline, reporter, events)) => {
                hub.publish(&caller, &pipeline, reporter, events, &request).await
            }
            Err(problem) => Err(problem),
        };
        if let Err(problem) = &reply {
            hub.0.metrics.problem(problem);
        }
        let _ = ack.send(&PublishReply::from(reply));
    }
    drop(place);
}

type Request = (PipelineId, Option<ReporterId>, Vec<Value>);

/// Reads the envelope; the events are read one by one later, so that an error can name its place.
pub(super) fn read(data: Result<Box<RawValue>, ParserError>, limits: &HubLimits) -> Result<Request, Problem> {
    let Value::Object(mut request) = to_value(data, limits)? else {
        return Err(Problem::new(Code::InvalidRequest, "`publish` takes an object: {pipeline_id, events}."));
    };
    let name = |value: Option<Value>| match value {
        Some(Value::String(name)) => Ok(Some(name)),
        None | Some(Value::Null) => Ok(None),
        Some(_) => Err(Problem::new(Code::InvalidRequest, "Names are strings.")),
    };
    let invalid = |error: ragpulse_protocol::ids::InvalidName| {
        Problem::new(Code::InvalidName, format!("It cannot be reported: {error}."))
    };
    let pipeline = name(request.remove("pipeline_id"))?.ok_or_else(|| {
        Problem::new(Code::InvalidRequest, "`pipeline_id` is missing.").at_field("pipeline_id")
    })?;
    let pipeline = PipelineId::new(pipeline).map_err(|error| invalid(error).at_field("pipeline_id"))?;
    let reporter = name(request.remove("reporter_id"))?
        .map(ReporterId::new)
        .transpose()
        .map_err(|error| invalid(error).at_field("reporter_id"))?;
    let events = match request.remove("events") {
        Some(Value::Array(events)) => events,
        Some(event @ Value::Object(_)) => vec![event],
        _ => {
            let message = "`events` must be an array of events.";
            return Err(Problem::new(Code::InvalidRequest, message).at_field("events"));
        }
    };
    Ok((pipeline, reporter, events))
}
