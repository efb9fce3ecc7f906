//! What clients read of a hub, beside events: pages, snapshots, acknowledgements, problems.

use std::fmt::Debug;

use ragpulse_protocol::command::{
    AuthRefreshReply, ClientStatusReply, PublishReceipt, PublishReply, SubscribeReply, UnsubscribeReply,
};
use ragpulse_protocol::http::{EventsAnswer, FilesPage, RagStatus, SocketInfo, SocketTest};
use ragpulse_protocol::problem::ErrorReply;
use ragpulse_protocol::{PipelineStatus, Problem, ServerMessage};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::split;

/// The kinds of answers, for the seeds too.
pub(crate) const KINDS: &[&str] = &[
    "events",
    "files",
    "status",
    "info",
    "test",
    "problem",
    "error",
    "receipt",
    "subscribe",
    "unsubscribe",
    "refresh",
    "client",
    "publish",
    "snapshot",
];

pub(crate) fn run(input: &[u8]) {
    let Some((kind, text)) = split(input) else { return };
    match kind {
        "events" => {
            if let Some(EventsAnswer::Events(page)) = read::<EventsAnswer>(text) {
                for event in page.events {
                    let _ = ServerMessage::from_value(&event.event, event.data);
                }
            }
        }
        "files" => drop(read::<FilesPage>(text)),
        "status" => drop(read::<RagStatus>(text)),
        "info" => drop(read::<SocketInfo>(text)),
        "test" => drop(read::<SocketTest>(text)),
        "problem" => {
            if let Some(problem) = read::<Problem>(text) {
                let _ = (problem.to_string(), problem.into_reply());
            }
        }
        "error" => drop(read::<ErrorReply>(text)),
        "receipt" => drop(read::<PublishReceipt>(text)),
        "subscribe" => drop(read::<SubscribeReply>(text)),
        "unsubscribe" => drop(read::<UnsubscribeReply>(text)),
        "refresh" => drop(read::<AuthRefreshReply>(text)),
        "client" => drop(read::<ClientStatusReply>(text)),
        "publish" => drop(read::<PublishReply>(text)),
        "snapshot" => drop(read::<PipelineStatus>(text)),
        _ => {}
    }
}

/// Reads an answer as a client does, and what it writes again.
fn read<T: Serialize + DeserializeOwned + PartialEq + Debug>(text: &str) -> Option<T> {
    let value: T = serde_json::from_str(text).ok()?;
    let written = serde_json::to_string(&value).unwrap();
    let again: T = serde_json::from_str(&written).unwrap_or_else(|error| panic!("{written}: {error}"));
    assert_eq!(again, value);
    Some(value)
}
