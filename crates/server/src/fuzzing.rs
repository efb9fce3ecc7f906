//! What fuzz targets need of the inside: the decoders that face the network, as functions of bytes. Not for hosts; only
//! with the feature `fuzzing`, which no release uses.

use std::sync::Arc;

use ragpulse_protocol::command::{AuthRefresh, ClientStatus, SubscribeRequest, UnsubscribeRequest};
use ragpulse_protocol::{Code, Epoch, PipelineId, PipelineType, Problem, Timestamp};
use serde_json::value::RawValue;

use crate::config::HubLimits;
use crate::ingest::{admit_all, parse_batch};
use crate::log::{NewRecord, Record};
use crate::transport::fuzzing as socket;

/// Takes the body of an ingest request as a hub does, and gives each event its place from `seq` 1.
///
/// # Errors
/// What the reporter would be told.
///
/// # Panics
/// When something is admitted that cannot be placed.
pub fn report(body: &[u8], lines: bool) -> Result<Vec<Record>, Problem> {
    let limits = HubLimits::default();
    let now = Timestamp::from_millis(1_800_000_000_000);
    let name = |text: &str| PipelineId::new(text).map_err(|error| invalid(&error));
    let (pipeline, kind) = (name("p")?, PipelineType::new("t").map_err(|error| invalid(&error))?);
    let epoch = Epoch::new("e").map_err(|error| invalid(&error))?;
    let admitted = admit_all(parse_batch(body, lines, &limits)?, &pipeline, now, &limits)?;
    let events = admitted.into_iter().filter(|event| !event.body.is_empty());
    let placed = events.zip(1..).map(|(event, seq)| {
        let record = NewRecord {
            name: Arc::clone(&event.name),
            event_id: event.event_id,
            reporter: None,
            timestamp: event.timestamp,
            received_at: now,
            file_id: None,
            body: event.body,
            request_id: None,
        };
        match record.place(&pipeline, &kind, &epoch, seq, None) {
            Ok(record) => record,
            Err(error) => panic!("'{}' was admitted and cannot be placed: {error}", event.name),
        }
    });
    Ok(placed.collect())
}

fn invalid(error: &impl std::fmt::Display) -> Problem {
    Problem::new(Code::InvalidName, error.to_string())
}

/// Reads the packet of a command as a hub does: `["subscribe", {…}]`, the whole of it.
///
/// # Errors
/// What the client would be told.
pub fn command(name: &str, packet: &RawValue) -> Result<(), Problem> {
    let limits = &HubLimits::default();
    match name {
        "subscribe" => socket::command::<SubscribeRequest>(packet, limits).map(drop),
        "unsubscribe" => socket::command::<UnsubscribeRequest>(packet, limits).map(drop),
        "client:status" => socket::command::<ClientStatus>(packet, limits).map(drop),
        "auth:refresh" => socket::command::<AuthRefresh>(packet, limits).map(drop),
        _ => socket::publish(packet, limits),
    }
}
