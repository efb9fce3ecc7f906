//! Engine.IO 4 and Socket.IO 5 over a bare WebSocket, as far as a subscriber needs them: cheap enough for thousands.

use std::net::SocketAddr;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use ragpulse_protocol::command::SubscribeRequest;
use serde_json::json;
use tokio::net::{TcpSocket, TcpStream};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{WebSocketStream, client_async};

/// How long opening a socket may take.
const OPEN_WITHIN: Duration = Duration::from_secs(10);
/// The id of the acknowledgement of `subscribe`; `ping` has the next.
const SUBSCRIBE: &str = "0";

/// One frame of the hub.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Frame<'a> {
    /// The answer to `subscribe`: the text of its argument.
    Subscribed(&'a str),
    /// A message: its name and the text of its payload.
    Message(&'a str, &'a str),
    /// The hub has closed the connection.
    Closed,
    /// Anything else: a sign of life.
    Other,
}

/// Reads a frame after the handshake.
pub(crate) fn parse(text: &str) -> Frame<'_> {
    if let Some(message) = text.strip_prefix("42[\"") {
        let parts = message.split_once("\",").and_then(|(name, rest)| Some((name, rest.strip_suffix(']')?)));
        return parts.map_or(Frame::Other, |(name, payload)| Frame::Message(name, payload));
    }
    if let Some(answer) = text.strip_prefix("430[") {
        return answer.strip_suffix(']').map_or(Frame::Other, Frame::Subscribed);
    }
    match text {
        "1" | "41" => Frame::Closed,
        _ => Frame::Other,
    }
}

/// An open socket in the namespace `/`.
pub(crate) struct Socket {
    stream: WebSocketStream<TcpStream>,
}

impl Socket {
    /// Opens a socket. `receive_buffer` limits what the system reads ahead, for a peer that shall be slow.
    pub(crate) async fn open(address: SocketAddr, receive_buffer: Option<u32>) -> Result<Self, String> {
        let opening = async {
            let socket = TcpSocket::new_v4().map_err(|error| error.to_string())?;
            if let Some(bytes) = receive_buffer {
                socket.set_recv_buffer_size(bytes).map_err(|error| error.to_string())?;
            }
            let stream = socket.connect(address).await.map_err(|error| error.to_string())?;
            let _ = stream.set_nodelay(true);
            let url = format!("ws://{address}/socket.io/?EIO=4&transport=websocket");
            let (stream, _) = client_async(url, stream).await.map_err(|error| error.to_string())?;
            let mut socket = Self { stream };
            socket.expect("0").await?;
            socket.send("40").await?;
            socket.expect("40").await?;
            Ok(socket)
        };
        tokio::time::timeout(OPEN_WITHIN, opening)
            .await
            .unwrap_or_else(|_| Err("opening took too long".into()))
    }

    /// Asks for what the request names; the answer comes as [`Frame::Subscribed`].
    pub(crate) async fn subscribe(&mut self, request: &SubscribeRequest) -> Result<(), String> {
        self.send(&format!("42{SUBSCRIBE}{}", json!(["subscribe", request]))).await
    }

    /// Asks for a sign of life.
    pub(crate) async fn ping(&mut self) -> Result<(), String> {
        self.send("421[\"ping\",0]").await
    }

    /// Says goodbye.
    pub(crate) async fn close(mut self) {
        let goodbye = async {
            let _ = self.send("41").await;
            let _ = self.stream.close(None).await;
        };
        let _ = tokio::time::timeout(Duration::from_millis(200), goodbye).await;
    }

    /// The next frame as text; answers the hub's own pings. `None` once the connection is over.
    ///
    /// Cancelling the wait loses nothing.
    pub(crate) async fn next(&mut self) -> Option<Result<String, String>> {
        loop {
            match self.stream.next().await? {
                Ok(Message::Text(text)) if text.as_str() == "2" => {
                    if let Err(error) = self.send("3").await {
                        return Some(Err(error));
                    }
                }
                Ok(Message::Text(text)) => return Some(Ok(text.as_str().to_owned())),
                Ok(_) => {}
                Err(error) => return Some(Err(error.to_string())),
            }
        }
    }

    async fn send(&mut self, text: &str) -> Result<(), String> {
        let sent = tokio::time::timeout(OPEN_WITHIN, self.stream.send(Message::text(text))).await;
        sent.map_err(|_| "the socket takes nothing".to_owned())?.map_err(|error| error.to_string())
    }

    async fn expect(&mut self, prefix: &str) -> Result<(), String> {
        match self.next().await {
            Some(Ok(text)) if text.starts_with(prefix) => Ok(()),
            Some(Ok(text)) => Err(format!("expected {prefix}, got {text}")),
            Some(Err(error)) => Err(error),
            None => Err("the connection ended while it was opened".to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_told_apart() {
        assert_eq!(parse(r#"42["x:a",{"b":["c"]}]"#), Frame::Message("x:a", r#"{"b":["c"]}"#));
        assert_eq!(parse(r#"430[{"pipelines":[]}]"#), Frame::Subscribed(r#"{"pipelines":[]}"#));
        assert_eq!(parse("431[17]"), Frame::Other);
        assert_eq!(parse("41"), Frame::Closed);
        assert_eq!(parse(r#"40{"sid":"x"}"#), Frame::Other);
    }
}
