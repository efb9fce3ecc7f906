//! A client that looks at each frame as it comes: whether it is well formed, and where it stands among the others. It reads as
//! little at a time as it is told.

use std::collections::VecDeque;
use std::io::Read;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use ragpulse_server::service::{Server, Tls};
use rcgen::{CertificateParams, KeyPair};
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::{CertificateDer, ServerName, pem::PemObject};
use rustls::{ClientConfig, RootCertStore};
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio_rustls::TlsConnector;

/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) const UPGRADE: &str = "GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: localhost\r\n\
    Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

/// How a hub is spoken to.
pub(crate) enum Over {
    Plain,
    Tls(Tls, Arc<ClientConfig>, #[allow(dead_code)] tempfile::TempDir),
}

impl Over {
    /// By TLS with a certificate of its own.
    pub(crate) fn tls() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (certificate, key) = (folder.path().join("cert.pem"), folder.path().join("key.pem"));
        let pair = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        std::fs::write(&certificate, params.self_signed(&pair).unwrap().pem()).unwrap();
        std::fs::write(&key, pair.serialize_pem()).unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(&certificate).unwrap()).unwrap();
        let client = ClientConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        Self::Tls(Tls::from_files(&certificate, &key).unwrap(), Arc::new(client), folder)
    }

    pub(crate) fn server(&self) -> Server {
        match self {
            Self::Plain => Server::default(),
            Self::Tls(tls, ..) => Server::default().tls(tls.clone()),
        }
    }

    /// A connection whose kernel takes next to nothing, so that it soon stalls. It is slow to read: a segment of the loopback is larger.
    pub(crate) async fn narrow(&self, address: SocketAddr) -> Client {
        self.with_buffer(address, 4_096).await
    }

    /// A connection whose kernel takes few of the large events.
    pub(crate) async fn rather_narrow(&self, address: SocketAddr) -> Client {
        self.with_buffer(address, 131_072).await
    }

    async fn with_buffer(&self, address: SocketAddr, size: u32) -> Client {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(size).unwrap();
        self.over(socket.connect(address).await.unwrap()).await
    }

    pub(crate) async fn wide(&self, address: SocketAddr) -> Client {
        self.over(TcpStream::connect(address).await.unwrap()).await
    }

    pub(crate) async fn over(&self, tcp: TcpStream) -> Client {
        tcp.set_nodelay(true).unwrap();
        match self {
            Self::Plain => Client::new(Box::new(tcp)),
            Self::Tls(_, config, _) => {
                let name = ServerName::try_from("localhost").unwrap();
                Client::new(Box::new(TlsConnector::from(config.clone()).connect(name, tcp).await.unwrap()))
            }
        }
    }
}

pub(crate) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// What a packet of the hub says, with the namespace that it is of.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Packet {
    Entered(String),
    Left(String),
    Refused(String),
    Event(String, String, Value),
    Ack(String, u64, Value),
    /// The frame that ends a WebSocket.
    Close,
    /// The connection has ended.
    End,
}

impl Packet {
    /// The namespace; none of the end.
    pub(crate) fn namespace(&self) -> &str {
        match self {
            Self::Entered(name) | Self::Left(name) | Self::Refused(name) => name,
            Self::Event(name, ..) | Self::Ack(name, ..) => name,
            Self::Close | Self::End => "",
        }
    }
}

pub(crate) struct Client {
    stream: Box<dyn Stream>,
    input: VecDeque<u8>,
    /// It reads at most so many bytes at a time.
    pub(crate) bits: usize,
    /// The payload of the last frame, in bytes.
    pub(crate) last: usize,
    /// How many pings of Engine.IO came.
    pub(crate) pings: usize,
    /// How many heartbeats of the hub came.
    pub(crate) heartbeats: u64,
    /// It may end within a frame, as it is cut.
    pub(crate) may_tear: bool,
    acks: u64,
}

impl Client {
    fn new(stream: Box<dyn Stream>) -> Self {
        Self {
            stream,
            input: VecDeque::new(),
            bits: 65_536,
            last: 0,
            pings: 0,
            heartbeats: 0,
            may_tear: false,
            acks: 0,
        }
    }

    /// Is gone without a word. What it has not read has the kernel reset the connection.
    pub(crate) fn reset(self) {
        drop(self.stream);
    }

    pub(crate) async fn write(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.unwrap();
        self.stream.flush().await.unwrap();
    }

    /// Whether there is something more.
    async fn more(&mut self) -> bool {
        let mut bytes = vec![0; self.bits];
        let read = tokio::time::timeout(PATIENCE, self.stream.read(&mut bytes)).await;
        // Without the word that ends TLS, or after the end of a process, it is an error.
        let count = read.expect("nothing came").unwrap_or_default();
        self.input.extend(&bytes[..count]);
        count > 0
    }

    /// So many bytes; `None` where it has ended before the first.
    async fn exactly(&mut self, count: usize) -> Option<Vec<u8>> {
        while self.input.len() < count {
            if !self.more().await {
                assert!(self.input.is_empty() || self.may_tear, "it has ended within a frame");
                return None;
            }
        }
        let mut bytes = vec![0; count];
        self.input.read_exact(&mut bytes).unwrap();
        Some(bytes)
    }

    /// So many bytes of a frame that has begun.
    async fn rest(&mut self, count: usize) -> Option<Vec<u8>> {
        let bytes = self.exactly(count).await;
        assert!(bytes.is_some() || self.may_tear, "it has ended within a frame");
        bytes
    }

    /// The head of an answer of HTTP.
    pub(crate) async fn head(&mut self) -> String {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.extend(self.exactly(1).await.expect("it has ended"));
        }
        String::from_utf8(head).unwrap()
    }

    /// An answer of HTTP whose length is told: its head and its body.
    pub(crate) async fn answer(&mut self) -> (String, Vec<u8>) {
        let head = self.head().await.to_ascii_lowercase();
        let length = head.split("content-length: ").nth(1).and_then(|rest| rest.split("\r\n").next());
        let length = length.unwrap_or_else(|| panic!("no length in {head}")).parse().unwrap();
        (head, self.exactly(length).await.unwrap_or_default())
    }

    /// Goes over to a WebSocket.
    pub(crate) async fn upgrade(&mut self) {
        self.write(UPGRADE.as_bytes()).await;
        self.upgraded().await;
    }

    /// Reads the answer to that, and the first word of Engine.IO.
    pub(crate) async fn upgraded(&mut self) {
        let head = self.head().await;
        assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
        let (opcode, text) = self.frame().await.unwrap();
        assert!(opcode == 1 && text.starts_with("0{"), "{text}");
    }

    pub(crate) async fn send(&mut self, text: &str) {
        self.write(&masked(text)).await;
    }

    /// The next frame, which is whole and written as it has to be; `None` at the end.
    async fn frame(&mut self) -> Option<(u8, String)> {
        let head = self.exactly(2).await?;
        let opcode = head[0] & 0x0f;
        assert_eq!(head[0] & 0xf0, 0x80, "a whole message, and nothing reserved");
        assert!(matches!(opcode, 1 | 8), "opcode {opcode}");
        assert_eq!(head[1] & 0x80, 0, "a server does not mask");
        let mut length = u64::from(head[1]);
        if length == 126 {
            let bytes = self.rest(2).await?;
            length = u64::from(u16::from_be_bytes([bytes[0], bytes[1]]));
            assert!(length >= 126, "{length} in 16 bits");
        } else if length == 127 {
            let bytes = self.rest(8).await?;
            length = u64::from_be_bytes(bytes.try_into().unwrap());
            assert!((65_536..10_000_000).contains(&length), "{length} in 64 bits");
        }
        self.last = usize::try_from(length).unwrap();
        let payload = self.rest(self.last).await?;
        if opcode == 8 {
            return Some((opcode, String::new()));
        }
        Some((opcode, String::from_utf8(payload).expect("text")))
    }

    /// The next packet of Socket.IO. A ping is answered and the hub's heartbeats are left out.
    pub(crate) async fn packet(&mut self) -> Packet {
        loop {
            let Some((opcode, text)) = self.frame().await else { return Packet::End };
            if opcode == 8 {
                return Packet::Close;
            }
            if text == "2" {
                self.pings += 1;
                self.send("3").await;
                continue;
            }
            if text == "1" {
                // Engine.IO ends; the frame that closes follows.
                continue;
            }
            let packet = read(&text);
            if !matches!(&packet, Packet::Event(_, name, _) if name == "heartbeat") {
                return packet;
            }
            self.heartbeats += 1;
        }
    }

    /// Enters a namespace, and drops what comes of others meanwhile.
    pub(crate) async fn enter(&mut self, namespace: &str) {
        self.send(&format!("40{}", prefix(namespace))).await;
        loop {
            let packet = self.packet().await;
            if packet.namespace() == namespace {
                assert_eq!(packet, Packet::Entered(namespace.to_owned()));
                return;
            }
            assert_ne!(packet, Packet::End);
        }
    }

    /// Sends a command; gives the number of its acknowledgement.
    pub(crate) async fn command(&mut self, namespace: &str, name: &str, argument: Value) -> u64 {
        self.acks += 1;
        let text = format!("42{}{}{}", prefix(namespace), self.acks, json!([name, argument]));
        self.send(&text).await;
        self.acks
    }

    /// Sends a command and waits for its acknowledgement; what came before it, and the answer.
    pub(crate) async fn ask(&mut self, namespace: &str, name: &str, argument: Value) -> (Vec<Packet>, Value) {
        let number = self.command(namespace, name, argument).await;
        let mut before = Vec::new();
        loop {
            match self.packet().await {
                Packet::Ack(of, acked, answer) if acked == number => {
                    assert_eq!(of, namespace);
                    return (before, answer);
                }
                Packet::End => panic!("it has ended"),
                packet => before.push(packet),
            }
        }
    }
}

fn prefix(namespace: &str) -> String {
    if namespace == "/" { String::new() } else { format!("{namespace},") }
}

/// A frame of text as a client writes it. The mask changes nothing.
pub(crate) fn masked(text: &str) -> Vec<u8> {
    let mut frame = vec![0x81];
    match u8::try_from(text.len()) {
        Ok(length @ ..126) => frame.push(0x80 | length),
        _ => {
            frame.push(0x80 | 126);
            frame.extend(u16::try_from(text.len()).unwrap().to_be_bytes());
        }
    }
    frame.extend([0; 4]);
    frame.extend(text.as_bytes());
    frame
}

fn read(text: &str) -> Packet {
    let (kind, rest) = text.split_at_checked(2).unwrap_or((text, ""));
    let (namespace, rest) = match rest.split_once(',') {
        Some((name, rest)) if name.starts_with('/') => (name.to_owned(), rest),
        _ if rest.starts_with('/') => (rest.to_owned(), ""),
        _ => ("/".to_owned(), rest),
    };
    match kind {
        "40" => Packet::Entered(namespace),
        "41" => Packet::Left(namespace),
        "44" => Packet::Refused(namespace),
        "42" => {
            let (name, data) = serde_json::from_str(rest).unwrap();
            Packet::Event(namespace, name, data)
        }
        "43" => {
            let digits = rest.find('[').unwrap();
            let [answer]: [Value; 1] = serde_json::from_str(&rest[digits..]).unwrap();
            Packet::Ack(namespace, rest[..digits].parse().unwrap(), answer)
        }
        _ => panic!("unexpected: {text}"),
    }
}

/// The `seq` of an event.
pub(crate) fn seq(data: &Value) -> u64 {
    data["seq"].as_u64().unwrap_or_else(|| panic!("no seq in {data}"))
}
