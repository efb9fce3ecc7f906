//! A real hub on a port of this machine.
#![allow(dead_code, unreachable_pub)]

use std::net::SocketAddr;
use std::time::Duration;

use ragpulse_server::{Hub, HubBuilder};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

const CLOSE_WITHIN: Duration = Duration::from_secs(10);

/// An address at which nobody listens yet.
pub async fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap()
}

pub struct TestHub {
    pub address: SocketAddr,
    pub hub: Hub,
    stop: oneshot::Sender<()>,
    served: JoinHandle<std::io::Result<()>>,
}

impl TestHub {
    pub async fn start() -> Self {
        Self::at("127.0.0.1:0", Hub::builder()).await
    }

    pub async fn at(address: impl tokio::net::ToSocketAddrs, builder: HubBuilder) -> Self {
        let parts = builder.build().unwrap();
        let listener = TcpListener::bind(address).await.unwrap();
        let (address, hub) = (listener.local_addr().unwrap(), parts.hub.clone());
        let (stop, stopped) = oneshot::channel();
        let shutdown = async move { _ = stopped.await };
        let served = tokio::spawn(ragpulse_server::service::serve(listener, parts, shutdown, CLOSE_WITHIN));
        Self { address, hub, stop, served }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub async fn stop(self) {
        self.stop.send(()).unwrap();
        self.served.await.unwrap().unwrap();
    }
}
