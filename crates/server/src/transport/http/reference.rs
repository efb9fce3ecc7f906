//! The reference's routes: what its frontends poll, and how they learn of the socket.

use std::hash::{DefaultHasher, Hash, Hasher};

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, IF_NONE_MATCH};
use http::{HeaderMap, StatusCode};
use ragpulse_protocol::http::{
    Features, Health, Presence, RagPipeline, RagStatus, SocketInfo, SocketTest, TransportFlag,
};
use ragpulse_protocol::{PROTOCOL_VERSION, PipelineId, PipelineStatus, Timestamp, reference};

use super::events::json;
use super::extract::{Params, Refusal, Who};
use crate::auth::{Audience, Principal};
use crate::hub::{Hub, Room};

/// What identifies what is shown: position, liveness and role, but neither times nor countdowns.
fn tag(rooms: &[std::sync::Arc<Room>], who: &Principal, hub: &Hub) -> String {
    let mut hasher = DefaultHasher::new();
    (&who.name, &who.token_id, who.role).hash(&mut hasher);
    hub.advice().transport.as_str().hash(&mut hasher);
    for room in rooms {
        hub.audience(who, &room.id).hash(&mut hasher);
        room.with_state(|state| {
            (room.id.as_str(), state.epoch.as_str(), state.seq, state.liveness.as_str()).hash(&mut hasher);
        });
    }
    format!("W/\"{:016x}\"", hasher.finish())
}

pub(super) async fn rag_status(
    State(hub): State<Hub>,
    Who(caller): Who,
    params: Params,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let wanted = params.text("pipeline_id");
    let registry = &hub.0.registry;
    let mut rooms = match wanted {
        // One that is asked for by its name is no list.
        Some(wanted) => PipelineId::new(wanted).ok().and_then(|id| registry.get(&id)).into_iter().collect(),
        None => registry.listed(),
    };
    rooms.retain(|room| room.is_known() && hub.shows(&caller.who, &room.id));
    let tag = tag(&rooms, &caller.who, &hub);
    let caching = if hub.0.authoriser.has_keys() { "private, no-cache" } else { "no-cache" };
    let given = headers.get(IF_NONE_MATCH).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if given.split(',').any(|given| given.trim() == tag) {
        return Ok(
            (StatusCode::NOT_MODIFIED, [(ETAG, tag), (CACHE_CONTROL, caching.to_owned())]).into_response()
        );
    }
    let now = hub.0.clock.now();
    let pipelines: Vec<RagPipeline> =
        rooms.iter().filter_map(|room| shown(room, hub.audience(&caller.who, &room.id), now)).collect();
    let body = status(&hub, pipelines, wanted, now);
    let text = serde_json::to_string(&body).unwrap_or_default();
    Ok((
        [(CONTENT_TYPE, "application/json".to_owned()), (ETAG, tag), (CACHE_CONTROL, caching.to_owned())],
        text,
    )
        .into_response())
}

fn shown(room: &Room, audience: Audience, now: Timestamp) -> Option<RagPipeline> {
    let whole = room.with_state(|state| pipeline(room, state, now))?;
    match audience {
        Audience::Full => Some(whole),
        // What cannot be shown without what is hidden is not shown.
        Audience::Redacted(redaction) => redaction.apply(&whole),
    }
}

fn pipeline(room: &Room, state: &PipelineStatus, now: Timestamp) -> RagPipeline {
    let online = state.is_online();
    RagPipeline {
        pipeline_id: state.pipeline_id.clone(),
        pipeline_type: state.pipeline_type.clone(),
        server_status: if online { Presence::Online } else { Presence::Offline },
        last_heartbeat: room.last_heard().max(state.last_activity),
        status_details: reference::project(state, now),
        is_active: online,
    }
}

fn status(hub: &Hub, pipelines: Vec<RagPipeline>, wanted: Option<&str>, now: Timestamp) -> RagStatus {
    let first =
        pipelines.iter().find(|pipeline| pipeline.is_active).map(|first| first.status_details.clone());
    let message = pipelines.is_empty().then(|| match wanted.map(PipelineId::new) {
        None => "No pipeline has reported yet.".to_owned(),
        Some(Ok(id)) => format!("There is no pipeline '{id}'."),
        Some(Err(error)) => format!("There is no such pipeline: {error}."),
    });
    RagStatus {
        status: if first.is_some() { Presence::Online } else { Presence::Offline },
        pipelines,
        server_time: now,
        message,
        last_activity: first.as_ref().and_then(|first| first.last_activity),
        files_processing: first.as_ref().map(|first| first.files_processing.clone()),
        files_completed: first.as_ref().map(|first| first.files_completed.clone()),
        files_failed: first.as_ref().map(|first| first.files_failed.clone()),
        status_details: first,
        websocket_available: !hub.is_closing(),
        websocket_url: hub.0.config.public_url.clone(),
        websocket_namespaces: Some(namespaces(hub)),
        fallback_mode: hub.advice().transport == TransportFlag::Polling,
    }
}

fn namespaces(hub: &Hub) -> Vec<String> {
    let types = hub.0.config.reference_types.iter().map(|kind| format!("/{kind}"));
    std::iter::once("/".to_owned()).chain(types).collect()
}

pub(super) async fn socket_info(State(hub): State<Hub>) -> Response {
    let closing = hub.is_closing();
    let (config, advice) = (&hub.0.config, hub.advice());
    json(&SocketInfo {
        available: !closing,
        url: config.public_url.clone(),
        namespaces: namespaces(&hub),
        transports: vec!["websocket".to_owned(), "polling".to_owned()],
        version: env!("CARGO_PKG_VERSION").to_owned(),
        protocol: PROTOCOL_VERSION,
        health: if closing { Health::Unavailable } else { Health::Healthy },
        latency: None,
        features: Features {
            realtime_updates: true,
            file_progress: true,
            auto_reconnect: true,
            fallback_polling: true,
        },
        last_checked: hub.0.clock.now(),
        transport: advice.transport,
        rollout_percentage: advice.rollout_percentage,
        retry_after_ms: config.retry_after_ms,
    })
}

pub(super) async fn socket_test(State(hub): State<Hub>) -> Response {
    json(&SocketTest {
        success: !hub.is_closing(),
        connections: hub.stats().connections,
        timestamp: hub.0.clock.now(),
    })
}
