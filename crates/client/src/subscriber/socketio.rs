//! Sockets by rust_socketio, with what has to be done around it:
//!
//! | trap | what is done |
//! |---|---|
//! | `connect()` returns before the hub let the client in | `Opened` is told on `Event::Connect` |
//! | a lost connection is not always told | the session machine watches for silence |
//! | its own reconnecting stops pausing after 15 minutes | it is off |
//! | callbacks run inline; one that waits for an acknowledgement never gets it | they only push into a channel |
//! | two open acknowledgements may get the same id, and then panic | the session machine asks one question at a time |
//! | its polling breaks on large bodies | WebSocket only |
//! | dropping the client leaves its task running | `close` disconnects |
//! | a URL with a path is taken as it is | the path is complete: `…/socket.io/` |

use std::time::Duration;

use async_trait::async_trait;
use futures_util::FutureExt;
use ragpulse_protocol::Code;
use ragpulse_protocol::command::SubscribeRequest;
use rust_socketio::asynchronous::{Client, ClientBuilder};
use rust_socketio::{Event, Payload, TransportType};
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::socket::{SocketConnection, SocketConnector, SocketError, SocketEvent};
use crate::endpoint::{Endpoint, chain};

/// Longer than any question stays open, so that this is never what ends it.
const ACK_WITHIN: Duration = Duration::from_secs(60);

/// Opens sockets to a hub by rust_socketio.
pub(crate) struct Connector {
    pub(crate) endpoint: Endpoint,
}

struct Connection {
    client: Client,
    events: mpsc::Sender<SocketEvent>,
}

#[async_trait]
impl SocketConnector for Connector {
    async fn open(
        &self,
        events: mpsc::Sender<SocketEvent>,
    ) -> Result<Box<dyn SocketConnection>, SocketError> {
        let mut builder = ClientBuilder::new(self.endpoint.at("socket.io/"))
            .transport_type(TransportType::Websocket)
            .reconnect(false)
            .reconnect_on_disconnect(false);
        let token = self.endpoint.tokens.for_socket().await;
        if let Some(token) = token.map_err(|error| SocketError(format!("there is no token: {error}")))? {
            builder = builder.auth(json!({ "token": token }));
        }
        let (opened, closed, failed, any) = (events.clone(), events.clone(), events.clone(), events.clone());
        let client = builder
            .on(Event::Connect, move |_, _| tell(opened.clone(), Some(SocketEvent::Opened)).boxed())
            .on(Event::Close, move |_, _| {
                let event = SocketEvent::Lost("the hub ended the connection".to_owned());
                tell(closed.clone(), Some(event)).boxed()
            })
            .on(Event::Error, move |payload, _| tell(failed.clone(), Some(failure(&payload))).boxed())
            .on_any(move |event, payload, _| tell(any.clone(), message(event, payload)).boxed())
            .connect()
            .await
            .map_err(|error| SocketError(format!("the socket could not be opened: {}", chain(&error))))?;
        Ok(Box::new(Connection { client, events }))
    }
}

/// Waits while the channel is full, which holds up the reading of the socket: so a slow consumer slows the hub.
async fn tell(events: mpsc::Sender<SocketEvent>, event: Option<SocketEvent>) {
    if let Some(event) = event {
        // Nobody listens to a socket that is being closed.
        let _ = events.send(event).await;
    }
}

/// The library tells a refused connection and a broken one by the same event.
fn failure(payload: &Payload) -> SocketEvent {
    let text = match first(payload) {
        Some(Value::String(text)) => text,
        Some(other) => other.to_string(),
        None => "the connection broke".to_owned(),
    };
    match text.strip_prefix("Received an ConnectError frame: ") {
        Some(refusal) => {
            let refusal: Value = serde_json::from_str(refusal).unwrap_or_else(|_| refusal.into());
            let message = refusal.get("message").and_then(Value::as_str).map(str::to_owned);
            let message = message.unwrap_or_else(|| refusal.to_string());
            // A hub says `code: what happened`.
            let code = message.split_once(':').map(|(code, _)| code);
            let code = Code::ALL.iter().copied().find(|known| Some(known.as_str()) == code);
            SocketEvent::Refused { code, message }
        }
        None => SocketEvent::Lost(text),
    }
}

fn message(event: Event, payload: Payload) -> Option<SocketEvent> {
    let name = match event {
        Event::Custom(name) => name,
        // The contract has no event of these names.
        Event::Message | Event::Error | Event::Connect | Event::Close => return None,
    };
    Some(SocketEvent::Message { name, payload: first(&payload)? })
}

fn first(payload: &Payload) -> Option<Value> {
    match payload {
        Payload::Text(values) => values.first().cloned(),
        // The contract has no binary payloads, and the other variant is only for sending.
        _ => None,
    }
}

/// An acknowledgement's arguments come as one array inside of the payload.
fn acknowledged(payload: &Payload) -> Option<Value> {
    match first(payload)? {
        Value::Array(arguments) => arguments.into_iter().next(),
        other => Some(other),
    }
}

#[async_trait]
impl SocketConnection for Connection {
    async fn subscribe(&self, request: &SubscribeRequest) -> Result<(), SocketError> {
        let data = serde_json::to_value(request).map_err(|error| SocketError(error.to_string()))?;
        let events = self.events.clone();
        let reply = move |payload: Payload, _: Client| {
            let reply = acknowledged(&payload).and_then(|value| serde_json::from_value(value).ok());
            let event = match reply {
                Some(reply) => SocketEvent::Subscribed(reply),
                None => SocketEvent::Lost("the hub's answer to subscribe cannot be read".to_owned()),
            };
            tell(events.clone(), Some(event)).boxed()
        };
        let sent = self.client.emit_with_ack("subscribe", data, ACK_WITHIN, reply).await;
        sent.map_err(|error| SocketError(chain(&error)))
    }

    async fn ping(&self, now: f64) -> Result<(), SocketError> {
        let events = self.events.clone();
        let pong = move |_: Payload, _: Client| tell(events.clone(), Some(SocketEvent::Pong)).boxed();
        let sent = self.client.emit_with_ack("ping", json!(now), ACK_WITHIN, pong).await;
        sent.map_err(|error| SocketError(chain(&error)))
    }

    async fn refresh(&self, token: &str) -> Result<(), SocketError> {
        let events = self.events.clone();
        let reply = move |payload: Payload, _: Client| {
            let reply = acknowledged(&payload).and_then(|value| serde_json::from_value(value).ok());
            let event = match reply {
                Some(reply) => SocketEvent::Refreshed(reply),
                None => SocketEvent::Lost("the hub's answer to auth:refresh cannot be read".to_owned()),
            };
            tell(events.clone(), Some(event)).boxed()
        };
        let data = json!({ "token": token });
        let sent = self.client.emit_with_ack("auth:refresh", data, ACK_WITHIN, reply).await;
        sent.map_err(|error| SocketError(chain(&error)))
    }

    async fn close(&self) {
        // A connection that is gone cannot be told goodbye.
        let _ = self.client.disconnect().await;
    }
}

#[cfg(test)]
mod tests {
    use ragpulse_protocol::command::SubscribeReply;

    use super::*;

    #[test]
    fn a_refusal_is_told_apart_from_a_loss() {
        let refused = r#"Received an ConnectError frame: {"message":"no token"}"#;
        let expected = SocketEvent::Refused { code: None, message: "no token".into() };
        assert_eq!(failure(&Payload::from(refused)), expected);
        let coded = r#"Received an ConnectError frame: {"message":"unauthorized: no token"}"#;
        let code = Some(Code::Unauthorized);
        assert!(matches!(failure(&Payload::from(coded)), SocketEvent::Refused { code: c, .. } if c == code));
        assert_eq!(failure(&Payload::from("reset by peer")), SocketEvent::Lost("reset by peer".into()));
        let bare = r#"Received an ConnectError frame: "No error message provided""#;
        assert!(matches!(failure(&Payload::from(bare)), SocketEvent::Refused { .. }));
    }

    #[test]
    fn acknowledgements_are_taken_out_of_their_array() {
        let payload = Payload::from(r#"[{"pipelines":[]}]"#.to_owned());
        let reply: SubscribeReply = serde_json::from_value(acknowledged(&payload).unwrap()).unwrap();
        assert!(reply.into_result().is_ok());
        assert_eq!(acknowledged(&Payload::from("[]")), None);
    }
}
