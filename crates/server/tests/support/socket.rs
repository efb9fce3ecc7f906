//! A Socket.IO client of few lines over a bare WebSocket, so that the tests see each message in its order.
#![allow(dead_code, unreachable_pub)]

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use ragpulse_protocol::ServerMessage;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{WebSocketStream, client_async};

/// How long a message may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// One namespace over one WebSocket.
pub struct Socket {
    stream: WebSocketStream<TcpStream>,
    /// `/local_files,` or nothing.
    prefix: String,
    next_ack: u64,
    /// Events that came while an acknowledgement was waited for.
    waiting: VecDeque<(String, Value)>,
    acks: VecDeque<(u64, Value)>,
}

impl Socket {
    /// Connects; the message of `connect_error` where it is refused.
    pub async fn try_connect(address: SocketAddr, namespace: &str, auth: Value) -> Result<Self, String> {
        let tcp = TcpStream::connect(address).await.unwrap();
        Self::over(tcp, address, namespace, auth).await
    }

    pub async fn over(
        tcp: TcpStream,
        address: SocketAddr,
        namespace: &str,
        auth: Value,
    ) -> Result<Self, String> {
        let url = format!("ws://{address}/socket.io/?EIO=4&transport=websocket");
        let (stream, _) = client_async(url, tcp).await.unwrap();
        let prefix = if namespace == "/" { String::new() } else { format!("{namespace},") };
        let mut socket =
            Self { stream, prefix, next_ack: 0, waiting: VecDeque::new(), acks: VecDeque::new() };
        assert!(socket.frame().await.unwrap().starts_with('0'));
        socket.raw(format!("40{}{auth}", socket.prefix)).await;
        loop {
            let frame = socket.frame().await.unwrap();
            if let Some(error) = frame.strip_prefix("44") {
                return Err(error.to_owned());
            }
            if frame.starts_with("40") {
                return Ok(socket);
            }
            socket.take(&frame);
        }
    }

    pub async fn connect(address: SocketAddr, namespace: &str) -> Self {
        Self::try_connect(address, namespace, json!({})).await.unwrap()
    }

    pub async fn raw(&mut self, frame: impl Into<String>) {
        self.stream.send(Message::text(frame.into())).await.unwrap();
    }

    /// The next frame that is no ping; `None` when the connection has ended.
    async fn frame(&mut self) -> Option<String> {
        loop {
            match tokio::time::timeout(PATIENCE, self.stream.next()).await.expect("nothing came") {
                Some(Ok(Message::Text(text))) if text == "2" => self.raw("3").await,
                Some(Ok(Message::Text(text))) => return Some(text.to_string()),
                Some(Ok(Message::Close(_)) | Err(_)) | None => return None,
                Some(Ok(_)) => {}
            }
        }
    }

    fn take(&mut self, frame: &str) {
        let (kind, rest) = frame.split_at(2);
        let rest =
            rest.strip_prefix(&self.prefix).unwrap_or_else(|| panic!("not of this namespace: {frame}"));
        match kind {
            "42" => {
                let event: (String, Value) = serde_json::from_str(rest).unwrap();
                self.waiting.push_back(event);
            }
            "43" => {
                let digits = rest.find('[').unwrap();
                let [answer]: [Value; 1] = serde_json::from_str(&rest[digits..]).unwrap();
                self.acks.push_back((rest[..digits].parse().unwrap(), answer));
            }
            _ => panic!("unexpected: {frame}"),
        }
    }

    /// Sends a command and does not wait; gives the number of its acknowledgement.
    pub async fn send(&mut self, command: &str, argument: Value) -> u64 {
        self.next_ack += 1;
        let message = json!([command, argument]);
        self.raw(format!("42{}{}{message}", self.prefix, self.next_ack)).await;
        self.next_ack
    }

    pub async fn ack(&mut self, number: u64) -> Value {
        loop {
            if let Some(at) = self.acks.iter().position(|(of, _)| *of == number) {
                return self.acks.remove(at).unwrap().1;
            }
            let frame = self.frame().await.expect("the connection ended");
            self.take(&frame);
        }
    }

    /// Sends a command and waits for its acknowledgement.
    pub async fn ask(&mut self, command: &str, argument: Value) -> Value {
        let number = self.send(command, argument).await;
        self.ack(number).await
    }

    /// The next event; `None` when the connection has ended.
    pub async fn try_next(&mut self) -> Option<(String, Value)> {
        loop {
            if let Some(event) = self.waiting.pop_front() {
                return Some(event);
            }
            let frame = self.frame().await?;
            if frame.starts_with("41") || frame == "1" {
                return None;
            }
            self.take(&frame);
        }
    }

    pub async fn next(&mut self) -> (String, Value) {
        self.try_next().await.expect("the connection ended")
    }

    /// The next event as the protocol reads it.
    pub async fn message(&mut self) -> ServerMessage {
        let (name, payload) = self.next().await;
        ServerMessage::from_value(&name, payload).unwrap()
    }

    /// Nothing but heartbeats comes for a while. An acknowledged command after it shows that nothing is under way.
    pub async fn nothing_more(&mut self) {
        self.ask("ping", json!(0)).await;
        tokio::time::sleep(Duration::from_millis(50)).await;
        self.ask("ping", json!(0)).await;
        self.waiting.retain(|(name, _)| name != "heartbeat");
        assert_eq!(self.waiting, [], "something came");
    }

    /// Whether nothing but heartbeats has come that was not looked at.
    pub fn is_silent(&self) -> bool {
        self.waiting.iter().all(|(name, _)| name == "heartbeat")
    }

    /// Leaves without a word.
    pub fn cut(self) {
        drop(self.stream);
    }
}
