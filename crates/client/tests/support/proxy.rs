//! A small TCP proxy before a hub that can refuse WebSocket, refuse everything, and cut or stall what is open.
#![allow(dead_code, unreachable_pub)]

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

#[derive(Clone)]
pub struct Proxy {
    pub address: SocketAddr,
    no_sockets: Arc<AtomicBool>,
    no_one: Arc<AtomicBool>,
    cuts: watch::Sender<u64>,
    stalls: watch::Sender<u64>,
}

impl Proxy {
    pub async fn before(hub: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let proxy = Self {
            address: listener.local_addr().unwrap(),
            no_sockets: Arc::default(),
            no_one: Arc::default(),
            cuts: watch::Sender::new(0),
            stalls: watch::Sender::new(0),
        };
        let serving = proxy.clone();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(serving.clone().serve(client, hub));
            }
        });
        proxy
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Answers 403 to each request for a WebSocket.
    pub fn refuse_sockets(&self, refuse: bool) {
        self.no_sockets.store(refuse, Ordering::SeqCst);
    }

    /// Closes each new connection at once.
    pub fn refuse_everyone(&self, refuse: bool) {
        self.no_one.store(refuse, Ordering::SeqCst);
    }

    /// Ends every open connection.
    pub fn cut(&self) {
        self.cuts.send_modify(|cuts| *cuts += 1);
    }

    /// Passes nothing on any more on what is open, and ends nothing either.
    pub fn stall(&self) {
        self.stalls.send_modify(|stalls| *stalls += 1);
    }

    async fn serve(self, mut client: TcpStream, hub: SocketAddr) {
        if self.no_one.load(Ordering::SeqCst) {
            return;
        }
        let (mut cuts, mut stalls) = (self.cuts.subscribe(), self.stalls.subscribe());
        let mut head = vec![0; 8 * 1024];
        let Ok(read) = client.read(&mut head).await else { return };
        let asks = String::from_utf8_lossy(&head[..read]).to_lowercase();
        if self.no_sockets.load(Ordering::SeqCst) && asks.contains("upgrade: websocket") {
            let _ = client.write_all(b"HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n").await;
            return;
        }
        let Ok(mut hub) = TcpStream::connect(hub).await else { return };
        if hub.write_all(&head[..read]).await.is_err() {
            return;
        }
        tokio::select! {
            _ = tokio::io::copy_bidirectional(&mut client, &mut hub) => {}
            _ = cuts.changed() => {}
            // Both ends stay open until the test ends.
            _ = stalls.changed() => std::future::pending().await,
        }
    }
}
