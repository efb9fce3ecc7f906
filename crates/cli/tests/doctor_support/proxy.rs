//! A proxy that is broken in one way. Each request goes to the hub over a connection of its own, but for the fault as it came.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};

/// How it is broken.
#[derive(Clone, Debug)]
pub enum Broken {
    /// Not at all.
    Not,
    /// Upgrades are answered by this head.
    Upgrades(&'static str),
    /// What makes a request an upgrade is taken off.
    StripsUpgrades,
    /// Upgrades are granted, and nothing is passed on.
    SilentSockets,
    /// Sockets are cut after this time.
    CutsSockets(Duration),
    /// An answer is passed on when it is whole.
    Buffers,
    /// An answer that is not whole after this time is cut; with 504 where nothing came yet.
    Cuts(Duration, bool),
    /// An answer is kept, and given again to whoever asks for the same path.
    Caches,
    /// A header of answers is another: name and value; no value takes it off.
    Header(&'static str, Option<String>),
    /// The hub is called by this name.
    Host(&'static str),
    /// Requests without this header line are answered so, those for `/health` and the like excepted.
    Asks(&'static str, String),
    /// Everything is answered so.
    Answers(&'static str),
}

/// Starts one before a hub.
pub async fn start(hub: SocketAddr, broken: Broken) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let proxy = Arc::new(Proxy { hub, broken, kept: Mutex::default() });
    tokio::spawn(async move {
        loop {
            let (client, _) = listener.accept().await.unwrap();
            let proxy = Arc::clone(&proxy);
            // Whatever breaks here is seen by the client.
            tokio::spawn(async move { proxy.serve(client).await });
        }
    });
    url
}

struct Proxy {
    hub: SocketAddr,
    broken: Broken,
    kept: Mutex<HashMap<String, Vec<u8>>>,
}

/// Reads a head with its empty line; `None` when the peer is gone.
async fn head(stream: &mut TcpStream) -> Option<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.ok()?);
    }
    Some(String::from_utf8(head).unwrap())
}

/// The head without these headers, with these lines in their place.
fn with(head: &str, without: &[&str], lines: &[String]) -> String {
    let is_one = |line: &str| {
        let name = line.split(':').next().unwrap().to_ascii_lowercase();
        without.iter().any(|without| name.starts_with(&without.to_ascii_lowercase()))
    };
    let mut all: Vec<&str> = head.trim_end().split("\r\n").filter(|line| !is_one(line)).collect();
    all.extend(lines.iter().map(String::as_str));
    format!("{}\r\n\r\n", all.join("\r\n"))
}

/// An answer after which the connection ends, and says so: a client would ask again on it.
fn last(answer: &str) -> String {
    match answer.split_once("\r\n") {
        Some((status, rest)) if status.starts_with("HTTP/") => {
            format!("{status}\r\nconnection: close\r\n{rest}")
        }
        _ => answer.to_owned(),
    }
}

impl Proxy {
    /// One request a connection: the answer says that it closes.
    async fn serve(&self, mut client: TcpStream) -> Option<()> {
        let mut request = head(&mut client).await?;
        let upgrade = request.to_ascii_lowercase().contains("\r\nupgrade: websocket");
        let path = request.split(' ').nth(1)?.to_owned();
        match &self.broken {
            Broken::Answers(answer) => return client.write_all(last(answer).as_bytes()).await.ok(),
            Broken::Upgrades(answer) if upgrade => {
                return client.write_all(last(answer).as_bytes()).await.ok();
            }
            Broken::StripsUpgrades if upgrade => {
                request = with(&request, &["upgrade", "sec-websocket"], &[]);
            }
            Broken::Asks(line, answer)
                if path.starts_with("/api/")
                    && path != "/api/socket/info"
                    && !request.to_ascii_lowercase().contains(&line.to_ascii_lowercase()) =>
            {
                return client.write_all(last(answer).as_bytes()).await.ok();
            }
            Broken::Host(name) => request = with(&request, &["host"], &[format!("Host: {name}")]),
            Broken::Caches => {
                let kept = self.kept.lock().unwrap().get(&path).cloned();
                if let Some(kept) = kept {
                    return client.write_all(&kept).await.ok();
                }
            }
            _ => {}
        }
        let mut hub = TcpStream::connect(self.hub).await.ok()?;
        let stripped = matches!(self.broken, Broken::StripsUpgrades);
        if !upgrade || stripped {
            request = with(&request, &["connection"], &["Connection: close".to_owned()]);
        }
        hub.write_all(request.as_bytes()).await.ok()?;
        if upgrade && !stripped {
            self.socket(client, hub).await
        } else {
            self.answer(client, hub, path).await
        }
    }

    async fn socket(&self, mut client: TcpStream, mut hub: TcpStream) -> Option<()> {
        match self.broken {
            Broken::SilentSockets => {
                let head = head(&mut hub).await?;
                client.write_all(head.as_bytes()).await.ok()?;
                // Open until the client leaves.
                while client.read_u8().await.is_ok() {}
                None
            }
            Broken::CutsSockets(after) => {
                let _ = tokio::time::timeout(after, copy_bidirectional(&mut client, &mut hub)).await;
                None
            }
            _ => copy_bidirectional(&mut client, &mut hub).await.ok().map(drop),
        }
    }

    async fn answer(&self, mut client: TcpStream, mut hub: TcpStream, path: String) -> Option<()> {
        match &self.broken {
            Broken::Buffers | Broken::Caches => {
                let mut whole = Vec::new();
                hub.read_to_end(&mut whole).await.ok()?;
                if matches!(self.broken, Broken::Caches) {
                    self.kept.lock().unwrap().insert(path, whole.clone());
                }
                client.write_all(&whole).await.ok()
            }
            Broken::Cuts(after, told) => {
                let passed = async {
                    let mut bytes = [0; 4096];
                    let mut any = false;
                    let until = tokio::time::Instant::now() + *after;
                    loop {
                        match tokio::time::timeout_at(until, hub.read(&mut bytes)).await {
                            Ok(Ok(0) | Err(_)) => return Some(()),
                            Ok(Ok(count)) => {
                                any = true;
                                client.write_all(&bytes[..count]).await.ok()?;
                            }
                            Err(_) if *told && !any => {
                                let late = "HTTP/1.1 504 Gateway Timeout\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";
                                return client.write_all(late.as_bytes()).await.ok();
                            }
                            Err(_) => return None,
                        }
                    }
                };
                passed.await
            }
            Broken::Header(name, value) => {
                let head = head(&mut hub).await?;
                let line = value.as_ref().map(|value| format!("{name}: {value}"));
                let head = with(&head, &[name], line.as_slice());
                client.write_all(head.as_bytes()).await.ok()?;
                tokio::io::copy(&mut hub, &mut client).await.ok().map(drop)
            }
            _ => tokio::io::copy(&mut hub, &mut client).await.ok().map(drop),
        }
    }
}
