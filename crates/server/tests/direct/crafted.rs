//! Clients that do it in another way than most, and those that are gone before they are there.

use serde_json::json;

use super::client::{Client, Over, Packet, UPGRADE, masked, seq};
use super::support::eventually;
use super::{blob, hub};

const ORDINARY: &str = "GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n";

/// What was upgraded gets its events, whatever was on the connection before.
async fn follows(client: &mut Client, reporter: &mut super::Reporter, before: u64) {
    client.upgraded().await;
    client.enter("/").await;
    let (state, _) = client.ask("/", "subscribe", json!({ "pipeline_id": "p" })).await;
    assert!(matches!(&state[..], [Packet::Event(_, _, data)] if seq(data) == before), "{state:?}");
    reporter.publish("p", json!([blob(70_000 - 10_000), blob(10), blob(200)])).await;
    for at in 1..=3 {
        let Packet::Event(_, _, data) = client.packet().await else { panic!("it has ended") };
        assert_eq!(seq(&data), before + at);
    }
}

async fn ordinary_first(over: &Over) {
    let (hub, mut reporter) = hub(over).await;
    // One after the other.
    let mut client = over.wide(hub.address).await;
    for _ in 0..2 {
        client.write(ORDINARY.as_bytes()).await;
        assert!(client.answer().await.0.starts_with("http/1.1 200 "));
    }
    client.write(UPGRADE.as_bytes()).await;
    follows(&mut client, &mut reporter, 1).await;
    // All at once, with the first packet.
    let mut client = over.wide(hub.address).await;
    client.write(&[ORDINARY.as_bytes(), ORDINARY.as_bytes(), UPGRADE.as_bytes()].concat()).await;
    for _ in 0..2 {
        assert!(client.answer().await.0.starts_with("http/1.1 200 "));
    }
    follows(&mut client, &mut reporter, 4).await;
    let mut client = over.wide(hub.address).await;
    client.write(&[UPGRADE.as_bytes(), &masked("40"), &masked("40/nowhere,")].concat()).await;
    client.upgraded().await;
    let mut first = [client.packet().await, client.packet().await];
    first.sort_by_key(|packet| packet.namespace().len());
    assert_eq!(first, [Packet::Entered("/".to_owned()), Packet::Refused("/nowhere".to_owned())]);
    // Entering where one is already is nothing.
    for _ in 0..50 {
        client.send("40").await;
    }
    let (before, _) = client.ask("/", "ping", json!(0)).await;
    assert_eq!(before, []);
    client.ask("/", "subscribe", json!({ "pipeline_id": "p" })).await;
    reporter.publish("p", json!([blob(10)])).await;
    assert!(matches!(client.packet().await, Packet::Event(_, _, data) if seq(&data) == 8));
    hub.stop().await;
}

#[tokio::test]
async fn a_connection_that_was_used_before_gets_its_events() {
    ordinary_first(&Over::Plain).await;
    ordinary_first(&Over::tls()).await;
}

#[tokio::test]
async fn nothing_stays_of_those_that_leave_while_they_come() {
    let over = Over::Plain;
    let (hub, _reporter) = hub(&over).await;
    for round in 0..60 {
        let mut client = over.wide(hub.address).await;
        let stages: [&[u8]; 3] =
            [UPGRADE.as_bytes(), &masked("40"), &masked("421[\"subscribe\",{\"all\":true}]")];
        let all: Vec<u8> = stages[..round % 4].concat();
        client.write(&all[..all.len() - (round * 7 % 40).min(all.len())]).await;
        if round % 8 > 3 {
            client.reset();
        }
    }
    eventually("nothing of them stays", async || {
        let stats = hub.hub.stats();
        (stats.connections, stats.subscriptions) == (0, 0)
    })
    .await;
    #[cfg(target_os = "linux")]
    eventually("their descriptors are closed", async || super::support::descriptors(hub.address.port()) == 2)
        .await;
    hub.stop().await;
}
