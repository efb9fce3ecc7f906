//! Socket.IO of few lines over a WebSocket: just enough to come in, to ping, and to hear how the connection ends.
//!
//! *What may come in:* frames of the hub or of whatever answered. *What it never does:* subscribe, publish, or wait for ever.

use std::time::{Duration, Instant, SystemTime};

use futures_util::{SinkExt, StreamExt};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

use super::upgrade::WebSocket;

/// Why there is no answer on a socket.
#[derive(Debug)]
pub(super) enum SocketTrouble {
    /// None in time.
    Silent,
    /// The connection ended.
    Closed(String),
    /// The hub does not let the client in: its words.
    Refused(String),
    /// What came is no Socket.IO.
    Strange(String),
}

impl std::fmt::Display for SocketTrouble {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Silent => f.write_str("nothing came in time"),
            Self::Closed(why) => write!(f, "the connection ended: {why}"),
            Self::Refused(why) => write!(f, "the hub refuses: {why}"),
            Self::Strange(what) => write!(f, "what came is no Socket.IO: {what}"),
        }
    }
}

/// One round trip.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pong {
    pub(super) took: Duration,
    /// When the ping was sent, by this machine's clock.
    pub(super) sent_at: SystemTime,
    /// The hub's time in milliseconds since 1970, where it told it.
    pub(super) hub_ms: Option<u64>,
}

/// A connection to the namespace `/`.
pub(super) struct Socket {
    stream: WebSocket,
    asked: u64,
    /// How often Engine.IO looked whether somebody is there.
    pub(super) heartbeats: u32,
    /// How often it does, as it said at the beginning.
    pub(super) ping_interval: Duration,
}

/// What Engine.IO says first.
#[derive(Deserialize)]
struct Open {
    #[serde(rename = "pingInterval")]
    ping_interval: u64,
}

impl Socket {
    /// Waits for Engine.IO's greeting, and connects to `/`.
    pub(super) async fn open(
        stream: WebSocket,
        token: Option<&str>,
        within: Duration,
    ) -> Result<Self, SocketTrouble> {
        let mut socket = Self { stream, asked: 0, heartbeats: 0, ping_interval: Duration::from_secs(25) };
        let greeting = socket.frame(within).await?;
        let open = greeting.strip_prefix('0').and_then(|open| serde_json::from_str::<Open>(open).ok());
        let open = open.ok_or_else(|| SocketTrouble::Strange(shortened(&greeting)))?;
        socket.ping_interval = Duration::from_millis(open.ping_interval);
        socket.connect("/", token, within).await?;
        Ok(socket)
    }

    /// Connects to a namespace.
    pub(super) async fn connect(
        &mut self,
        namespace: &str,
        token: Option<&str>,
        within: Duration,
    ) -> Result<(), SocketTrouble> {
        let prefix = if namespace == "/" { String::new() } else { format!("{namespace},") };
        let auth = token.map_or_else(|| json!({}), |token| json!({ "token": token }));
        self.send(format!("40{prefix}{auth}")).await?;
        let until = Instant::now() + within;
        loop {
            let frame = self.frame(until.saturating_duration_since(Instant::now())).await?;
            let of_it =
                |kind: &str| frame.strip_prefix(kind)?.strip_prefix(prefix.as_str()).map(str::to_owned);
            if of_it("40").is_some() {
                return Ok(());
            }
            if let Some(refusal) = of_it("44") {
                let refusal: Value = serde_json::from_str(&refusal).unwrap_or(Value::String(refusal));
                let words = refusal.get("message").and_then(Value::as_str).map(str::to_owned);
                return Err(SocketTrouble::Refused(words.unwrap_or_else(|| refusal.to_string())));
            }
        }
    }

    /// Leaves a namespace.
    pub(super) async fn leave(&mut self, namespace: &str) -> Result<(), SocketTrouble> {
        self.send(format!("41{namespace},")).await
    }

    /// The hub's `ping`, which answers its time.
    pub(super) async fn ping(&mut self, within: Duration) -> Result<Pong, SocketTrouble> {
        self.asked += 1;
        let (sent_at, start) = (SystemTime::now(), Instant::now());
        let now = sent_at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_millis();
        let message = json!(["ping", u64::try_from(now).unwrap_or(u64::MAX)]);
        self.send(format!("42{}{message}", self.asked)).await?;
        let answer = format!("43{}[", self.asked);
        let until = start + within;
        loop {
            let frame = self.frame(until.saturating_duration_since(Instant::now())).await?;
            if let Some(rest) = frame.strip_prefix(&answer) {
                let hub_ms = rest.trim_end_matches(']').parse().ok();
                return Ok(Pong { took: start.elapsed(), sent_at, hub_ms });
            }
        }
    }

    /// Listens for a time without saying anything but that it is there.
    pub(super) async fn listen(&mut self, time: Duration) -> Result<(), SocketTrouble> {
        let until = Instant::now() + time;
        loop {
            match self.frame(until.saturating_duration_since(Instant::now())).await {
                Ok(frame) if frame.starts_with("42[\"hub:closing\"") => {
                    return Err(SocketTrouble::Closed("the hub says that it is closing".to_owned()));
                }
                Ok(_) => {}
                Err(SocketTrouble::Silent) => return Ok(()),
                Err(trouble) => return Err(trouble),
            }
        }
    }

    async fn send(&mut self, frame: String) -> Result<(), SocketTrouble> {
        let sent = self.stream.send(Message::text(frame)).await;
        sent.map_err(|error| SocketTrouble::Closed(error.to_string()))
    }

    /// The next message; Engine.IO's heartbeats are answered on the way.
    async fn frame(&mut self, within: Duration) -> Result<String, SocketTrouble> {
        let until = Instant::now() + within;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            let next = tokio::time::timeout(left, self.stream.next()).await;
            match next.map_err(|_| SocketTrouble::Silent)? {
                Some(Ok(Message::Text(text))) if text == "2" => {
                    self.heartbeats += 1;
                    self.send("3".to_owned()).await?;
                }
                Some(Ok(Message::Text(text))) if text == "1" || text == "41" => {
                    return Err(SocketTrouble::Closed("the hub ended it".to_owned()));
                }
                Some(Ok(Message::Text(text))) => return Ok(text.to_string()),
                Some(Ok(Message::Close(why))) => {
                    let why = why.map(|why| why.to_string()).unwrap_or_else(|| "without a reason".to_owned());
                    return Err(SocketTrouble::Closed(why));
                }
                Some(Ok(_)) => {}
                Some(Err(error)) => return Err(SocketTrouble::Closed(error.to_string())),
                None => return Err(SocketTrouble::Closed("without a word".to_owned())),
            }
        }
    }
}

fn shortened(text: &str) -> String {
    text.chars().take(80).collect()
}
