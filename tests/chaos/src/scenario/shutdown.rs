//! Peers that do not read, and some that do not even ask, when the hub is told to stop: it ends in time nevertheless.

use std::sync::Arc;
use std::time::Duration;

use ragpulse_protocol::command::SubscribeRequest;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use super::Order;
use super::stage::{Stage, pipelines};
use crate::report::publisher::Publisher;
use crate::run::{AnyError, Run};
use crate::table::Table;
use crate::wire::Socket;

const LABEL: &str = "shutdown";
const PEERS: usize = 100;
/// Connections that stop in the middle of a request.
const SILENT: usize = 20;
/// The hub's own deadline is 5 s; the rest is for a machine that has much to do.
const WITHIN: Duration = Duration::from_secs(15);

pub(crate) async fn run(order: &Order, run: &Arc<Run>, table: &mut Table) -> Result<(), AnyError> {
    let mut stage = Stage::set(order, run).await?;
    let pipeline = pipelines(1)?.remove(0);
    let mut publisher = Publisher::new(&stage.hubs.url(), &pipeline, &stage.oracle, 1_500)?;
    publisher.open().await?;
    let mut peers = Vec::new();
    for _ in 0..PEERS {
        let mut peer = Socket::open(stage.hubs.address(), Some(4_096)).await?;
        let request = SubscribeRequest { pipeline_id: Some(pipeline.clone()), ..Default::default() };
        peer.subscribe(&request).await?;
        // From here on it reads nothing.
        peers.push(peer);
    }
    let mut silent = Vec::new();
    for _ in 0..SILENT {
        let mut stream = TcpStream::connect(stage.hubs.address()).await?;
        stream.write_all(b"POST /api/pipelines/p/events HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Le").await?;
        silent.push(stream);
    }
    // More than the buffers between hold, so that every peer is really in the way.
    for _ in 0..20 {
        publisher.probe(100).await?;
    }
    let result = stage.hubs.terminate(WITHIN).await;
    drop((peers, silent));
    match result {
        Ok((took, statuses)) => {
            for status in statuses.iter().filter(|status| !status.success()) {
                stage.fail(format!("the hub ended with {status}: {}", stage.hubs.said()));
            }
            table.add(LABEL, "stalled peers; half requests", format!("{PEERS}; {SILENT}"));
            table.add(LABEL, "ended after SIGTERM within", format!("{:.2} s", took.as_secs_f64()));
        }
        Err(error) => stage.fail(error.to_string()),
    }
    // What it had acknowledged is there when it comes back.
    stage.hubs.restart().await?;
    if stage.oracle.keeps() {
        let logs = stage.logs(std::slice::from_ref(&pipeline)).await?;
        let findings = stage.judge(&[], &logs, &[]);
        let value = format!("{} of {}", findings.promised - findings.lost, findings.promised);
        table.add(LABEL, "acknowledged events there afterwards", value);
    }
    stage.hubs.kill().await
}
