//! The doorstep: how many TCP connections may be open, in all and of one address, before anything of them is read. A client
//! that opens many and says nothing cannot take the places of all.
//!
//! *What may come in:* connections. *What it never does:* wait; keep one that has no place for longer than a moment.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use ragpulse_protocol::Problem;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;

use crate::address::{Neighbours, Proxies};
use crate::config::Config;
use crate::limits::tally::Tally;
use crate::limits::{exceeded, retry_after};
use crate::metrics::Metrics;

/// How many of those that are refused are told so at a time. More are closed without a word.
const TOLD_AT_ONCE: usize = 64;
/// How long one that is refused may take to hear it.
const HEAR: Duration = Duration::from_secs(1);

/// Who may come in.
pub(super) struct Doorstep {
    most: usize,
    per_address: usize,
    proxies: Proxies,
    metrics: Arc<Metrics>,
    inside: Arc<Mutex<Inside>>,
    telling: Arc<Semaphore>,
}

#[derive(Default)]
struct Inside {
    all: usize,
    by_address: Tally<Neighbours>,
}

/// A place for a connection, given back when it is dropped.
pub(super) struct Inlet {
    inside: Arc<Mutex<Inside>>,
    address: Option<Neighbours>,
}

impl Doorstep {
    pub(super) fn new(config: &Config, metrics: &Arc<Metrics>) -> Self {
        Self {
            most: config.limits.tcp_connections,
            per_address: config.limits.tcp_connections_per_address,
            proxies: Proxies::new(&config.trusted_proxies),
            metrics: metrics.clone(),
            inside: Arc::default(),
            telling: Arc::new(Semaphore::new(TOLD_AT_ONCE)),
        }
    }

    /// A place for a connection from an address.
    ///
    /// # Errors
    /// That there is none; it has been counted.
    pub(super) fn enter(&self, ip: IpAddr) -> Result<Inlet, Problem> {
        let address = (!self.proxies.trusts(ip)).then(|| Neighbours::of(ip));
        let mut inside = self.inside.lock();
        let refused = if inside.all >= self.most {
            let message =
                format!("This hub has {} connections open, as many as it may. Come back later.", self.most);
            Some(exceeded("tcp_connections", message))
        } else if address.is_some_and(|address| inside.by_address.of(&address) >= self.per_address) {
            let message = format!(
                "There are {} connections open from this address, as many as there may be. Close some. Where this is a \
                 proxy, the operator can name it: --trusted-proxy.",
                self.per_address
            );
            Some(exceeded("tcp_connections_per_address", message))
        } else {
            None
        };
        if let Some(problem) = refused {
            self.metrics.problem(&problem);
            return Err(problem);
        }
        inside.all += 1;
        address.into_iter().for_each(|address| inside.by_address.add(address));
        Ok(Inlet { inside: self.inside.clone(), address })
    }

    /// Tells somebody why they may not come in, where not too many are being told already.
    pub(super) fn refuse(&self, mut stream: TcpStream, problem: &Problem) {
        let Ok(turn) = self.telling.clone().try_acquire_owned() else { return };
        let body = serde_json::to_string(problem).unwrap_or_default();
        let (status, seconds) = (problem.status, retry_after(problem).unwrap_or(1));
        let answer = format!(
            "HTTP/1.1 {status} Too Many Requests\r\ncontent-type: application/problem+json\r\ncache-control: no-store\r\n\
             retry-after: {seconds}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
            body.len()
        );
        tokio::spawn(async move {
            let tell = async {
                stream.write_all(answer.as_bytes()).await?;
                stream.shutdown().await?;
                // What was sent and not read would have the answer thrown away at the other end.
                let mut unread = [0; 1_024];
                while stream.read(&mut unread).await? > 0 {}
                std::io::Result::Ok(())
            };
            let _ = tokio::time::timeout(HEAR, tell).await;
            drop(turn);
        });
    }
}

impl Drop for Inlet {
    fn drop(&mut self) {
        let mut inside = self.inside.lock();
        inside.all -= 1;
        self.address.into_iter().for_each(|address| inside.by_address.take(&address));
    }
}
