//! The socket as the subscriber needs it, so that the library behind it can be replaced, and tests need none.
//!
//! *What an implementation must do:* tell everything through the bounded channel it was given, in the order it came, and
//! wait while that is full, so that a slow consumer slows the hub and not the memory. *What it must never do:* reconnect
//! by itself, or start a second question before the first was answered; the session machine sees to both.

use async_trait::async_trait;
use ragpulse_protocol::Code;
use ragpulse_protocol::command::{AuthRefreshReply, SubscribeReply, SubscribeRequest};
use serde_json::Value;
use tokio::sync::mpsc;

/// What comes from a socket.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum SocketEvent {
    /// The hub has let the client into the namespace: it may speak now.
    Opened,
    /// The hub does not let the client in.
    Refused {
        /// The hub's code, if it gave one.
        code: Option<Code>,
        /// What it says.
        message: String,
    },
    /// The connection is gone; nothing more comes.
    Lost(String),
    /// A message of the hub.
    Message {
        /// Its name.
        name: String,
        /// Its payload.
        payload: Value,
    },
    /// The answer to `subscribe`.
    Subscribed(SubscribeReply),
    /// The answer to `ping`.
    Pong,
    /// The answer to `auth:refresh`.
    Refreshed(AuthRefreshReply),
}

/// Why a socket could not be opened, or did not take what was sent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct SocketError(
    /// What happened.
    pub String,
);

/// Opens sockets to one hub.
#[async_trait]
pub trait SocketConnector: Send + Sync + 'static {
    /// Opens a socket. Whether it can be used is told later, by [`SocketEvent::Opened`].
    async fn open(&self, events: mpsc::Sender<SocketEvent>)
    -> Result<Box<dyn SocketConnection>, SocketError>;
}

/// One open socket. Dropping it after [`close`](Self::close) ends it.
#[async_trait]
pub trait SocketConnection: Send + Sync {
    /// Sends `subscribe`; the answer comes as [`SocketEvent::Subscribed`].
    async fn subscribe(&self, request: &SubscribeRequest) -> Result<(), SocketError>;
    /// Sends `ping` with the client's time in milliseconds since 1970; the answer comes as [`SocketEvent::Pong`].
    async fn ping(&self, now: f64) -> Result<(), SocketError>;
    /// Sends `auth:refresh` with another token; the answer comes as [`SocketEvent::Refreshed`]. Only asked of sockets that
    /// were opened by the client's own connector.
    async fn refresh(&self, _token: &str) -> Result<(), SocketError> {
        Err(SocketError("this socket takes no other token than its first".to_owned()))
    }
    /// Says goodbye and ends the connection.
    async fn close(&self);
}
