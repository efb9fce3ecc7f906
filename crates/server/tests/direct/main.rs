//! Events on their direct way: as finished frames between those of the Socket.IO library, over real connections.
#![allow(clippy::unwrap_used)]

#[path = "../support/mod.rs"]
mod support;

mod client;
mod close;
mod crafted;
mod namespaces;
mod sizes;
mod slow;

use ragpulse_server::service::Server;
use ragpulse_server::{Config, Hub};
use serde_json::{Value, json};

use self::client::{Client, Over};
use self::support::{TestHub, online};

/// A hub that lets little wait for a connection, with the pipeline `p`, and its reporter.
async fn hub(over: &Over) -> (TestHub, Reporter) {
    hub_by(over, over.server()).await
}

async fn hub_by(over: &Over, server: Server) -> (TestHub, Reporter) {
    let mut config = Config::default();
    config.limits.socket_bytes = 64 * 1024;
    let hub = TestHub::served(Hub::builder().config(config), server).await;
    let mut reporter = Reporter(over.wide(hub.address).await);
    reporter.publish("p", json!([online()])).await;
    (hub, reporter)
}

/// A connection by which events are reported.
struct Reporter(Client);

impl Reporter {
    async fn publish(&mut self, pipeline: &str, events: Value) {
        let body = events.to_string();
        let head = format!(
            "POST /api/pipelines/{pipeline}/events HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\n\r\n",
            body.len()
        );
        self.0.write(head.as_bytes()).await;
        self.0.write(body.as_bytes()).await;
        let (head, body) = self.0.answer().await;
        assert!(head.starts_with("http/1.1 200 "), "{head}{}", String::from_utf8_lossy(&body));
    }

    /// Reports so many large events.
    async fn flood(&mut self, pipeline: &str, mut count: u64) {
        while count > 0 {
            let batch = count.min(40);
            self.publish(pipeline, json!(vec![blob(20_000); usize::try_from(batch).unwrap()])).await;
            count -= batch;
        }
    }
}

/// An event with so much text.
fn blob(length: usize) -> Value {
    json!({ "event": "x:blob", "data": { "text": "x".repeat(length) } })
}
