//! TLS at the hub's own port: HTTP, polling and WebSocket through it, certificates that change, and files that are wrong.
#![allow(clippy::unwrap_used)]

mod support;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use ragpulse_server::service::{Server, Tls};
use ragpulse_server::{Config, Hub};
use rcgen::{CertificateParams, KeyPair};
use reqwest::Client;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::{CertificateDer, ServerName, pem::PemObject};
use rustls::{ClientConfig, RootCertStore};
use serde_json::{Value, json};
use support::{TestHub, online};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_tungstenite::client_async;
use tokio_tungstenite::tungstenite::Message;

/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// A certificate for localhost and its key, as files.
struct Files {
    certificate: PathBuf,
    key: PathBuf,
    folder: tempfile::TempDir,
}

impl Files {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (certificate, key) = (folder.path().join("cert.pem"), folder.path().join("key.pem"));
        let files = Self { certificate, key, folder };
        files.renew();
        files
    }

    /// Another certificate with another key in the same files.
    fn renew(&self) {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        std::fs::write(&self.certificate, params.self_signed(&key).unwrap().pem()).unwrap();
        std::fs::write(&self.key, key.serialize_pem()).unwrap();
    }

    fn tls(&self) -> Tls {
        Tls::from_files(&self.certificate, &self.key).unwrap()
    }

    /// What a client trusts that has seen the certificate as it is now.
    fn trust(&self) -> RootCertStore {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(&self.certificate).unwrap()).unwrap();
        roots
    }

    fn client(&self) -> ClientConfig {
        ClientConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(self.trust())
            .with_no_client_auth()
    }

    async fn connect(&self, address: SocketAddr, alpn: &[&str]) -> std::io::Result<TlsStream<TcpStream>> {
        let mut config = self.client();
        config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
        let tcp = TcpStream::connect(address).await.unwrap();
        TlsConnector::from(Arc::new(config)).connect(ServerName::try_from("localhost").unwrap(), tcp).await
    }

    fn http(&self, address: SocketAddr) -> Client {
        let pem = std::fs::read(&self.certificate).unwrap();
        Client::builder()
            .no_proxy()
            .tls_certs_only([reqwest::Certificate::from_pem(&pem).unwrap()])
            .resolve("localhost", address)
            .build()
            .unwrap()
    }
}

async fn hub(files: &Files) -> (TestHub, Tls) {
    let tls = files.tls();
    let mut config = Config::default();
    config.metrics = true;
    let server = Server::default().tls(tls.clone()).request(Duration::from_secs(5));
    (TestHub::served(Hub::builder().config(config), server).await, tls)
}

fn url(hub: &TestHub, path: &str) -> String {
    format!("https://localhost:{}{path}", hub.address.port())
}

#[tokio::test]
async fn http_polling_and_websocket_go_through_tls() {
    let files = Files::new();
    let (hub, _) = hub(&files).await;
    let http = files.http(hub.address);
    let publish = async |event: Value| {
        let request =
            http.post(url(&hub, "/api/pipelines/p/events")).header("content-type", "application/json");
        support::answer(request.body(event.to_string()).send().await.unwrap()).await
    };
    assert_eq!(publish(online()).await.0, 200);
    let (_, state) =
        support::answer(http.get(url(&hub, "/api/pipelines/p/events")).send().await.unwrap()).await;
    assert_eq!(state["snapshot"]["seq"], 1);

    // A poll that is held, and answered by what happens.
    let epoch = state["epoch"].as_str().unwrap();
    let poll = http.get(url(&hub, &format!("/api/pipelines/p/events?epoch={epoch}&seq=1&wait=20"))).send();
    let poll = tokio::spawn(poll);

    // A client that would rather speak HTTP/2 is brought to what WebSockets need.
    let stream = files.connect(hub.address, &["h2", "http/1.1"]).await.unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"http/1.1"[..]));
    let address = url(&hub, "/socket.io/?EIO=4&transport=websocket").replace("https", "wss");
    let (mut socket, _) = client_async(address, stream).await.unwrap();
    socket.send(Message::text("40")).await.unwrap();
    let mut next = async |begins: &str| loop {
        let message = tokio::time::timeout(PATIENCE, socket.next()).await.unwrap().unwrap().unwrap();
        let text = message.to_text().unwrap().to_owned();
        if text == "2" {
            socket.send(Message::text("3")).await.unwrap();
        }
        if text.starts_with("40") {
            socket.send(Message::text("421[\"subscribe\",{\"pipeline_id\":\"p\"}]")).await.unwrap();
        }
        if text.starts_with(begins) {
            return text;
        }
    };
    assert!(next("42[\"pipeline:status\"").await.contains("\"seq\":1"));
    // More than TLS or the connection takes at once.
    let large = json!({ "event": "x:large", "data": { "text": "x".repeat(60_000) } });
    for _ in 0..20 {
        assert_eq!(publish(large.clone()).await.0, 200);
    }
    for seq in 2..=21 {
        let event = next("42[\"x:large\"").await;
        assert!(event.contains(&format!("\"seq\":{seq},")), "{}", &event[..200]);
    }
    let (_, polled) = support::answer(poll.await.unwrap().unwrap()).await;
    assert_eq!(polled["events"][0]["data"]["seq"], 2);
    hub.stop().await;
}

#[tokio::test]
async fn a_certificate_is_read_again_and_one_that_is_wrong_changes_nothing() {
    let files = Files::new();
    let (hub, tls) = hub(&files).await;
    let before = files.http(hub.address);
    let open = before.get(url(&hub, "/api/pipelines/p/stream")).send().await.unwrap();
    files.renew();
    let after = files.http(hub.address);
    assert!(after.get(url(&hub, "/health")).send().await.is_err(), "it still shows the one before");
    tls.reload().unwrap();
    assert_eq!(after.get(url(&hub, "/health")).send().await.unwrap().status(), 200);
    assert!(files.connect(hub.address, &[]).await.is_ok());
    assert_eq!(open.status(), 200, "what was open goes on");

    let other = Files::new();
    for (path, text, says) in [
        (&files.key, std::fs::read(&other.key).unwrap(), "this key is not that of the certificate in"),
        (&files.key, b"nothing".to_vec(), "there is no private key in it"),
        (&files.certificate, b"nothing".to_vec(), "there is no certificate in it"),
        (
            &files.certificate,
            b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n".to_vec(),
            "cannot be used",
        ),
        (
            &files.certificate,
            b"-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n".to_vec(),
            "it is no PEM file",
        ),
    ] {
        let kept = std::fs::read(path).unwrap();
        std::fs::write(path, text).unwrap();
        let error = tls.reload().unwrap_err();
        assert!(error.to_string().contains(says), "{error}");
        assert_eq!(error.path, *path, "{error}");
        std::fs::write(path, kept).unwrap();
        assert!(files.connect(hub.address, &[]).await.is_ok(), "the one that was good is still there");
    }
    let missing = files.folder.path().join("none.pem");
    let error = Tls::from_files(&missing, &files.key).unwrap_err();
    assert!(error.to_string().contains("none.pem: it cannot be read"), "{error}");
    let error = Tls::from_files(&files.certificate, Path::new("/")).unwrap_err();
    assert!(error.to_string().starts_with("/: it cannot be read"), "{error}");
}

#[tokio::test]
async fn who_speaks_plain_or_nothing_at_a_tls_port_is_let_go() {
    let files = Files::new();
    let mut config = Config::default();
    config.metrics = true;
    let server = Server::default().tls(files.tls()).request(Duration::from_millis(300));
    let hub = TestHub::served(Hub::builder().config(config), server).await;
    for begins in [&b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n"[..], b"", b"\x16\x03\x01"] {
        let mut stream = TcpStream::connect(hub.address).await.unwrap();
        stream.write_all(begins).await.unwrap();
        let mut answer = Vec::new();
        let _ = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut answer)).await.expect("it is closed");
        assert!(!answer.starts_with(b"HTTP/1.1 200"), "{begins:?}");
    }
    let text = files.http(hub.address).get(url(&hub, "/metrics")).send().await.unwrap().text().await.unwrap();
    assert!(text.contains("ragpulse_limited_total{limit=\"request_seconds\"} 2\n"), "{text}");
    // With everything under way, it closes in its time.
    let _silent = TcpStream::connect(hub.address).await.unwrap();
    hub.stop().await;
}
