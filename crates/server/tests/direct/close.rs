//! The hub closes while lines are full.

use std::time::{Duration, Instant};

use serde_json::json;

use super::client::{Over, Packet, seq};
use super::hub;
use super::support::eventually;

async fn full(over: &Over) {
    let (hub, mut reporter) = hub(over).await;
    let mut clients = Vec::new();
    for _ in 0..6 {
        let mut client = over.rather_narrow(hub.address).await;
        client.upgrade().await;
        client.enter("/").await;
        client.ask("/", "subscribe", json!({ "pipeline_id": "p" })).await;
        clients.push(client);
    }
    reporter.flood("p", 360).await;
    eventually("they are full", async || hub.hub.stats().paused >= 6).await;
    // One resets the connection in the middle, two never read, and the others read on.
    clients.pop().unwrap().reset();
    let (silent, reading) = clients.split_at_mut(2);
    let (handle, address) = (hub.hub.clone(), hub.address);
    let begun = Instant::now();
    let readers = async {
        for client in reading {
            let (mut last, mut told) = (1, false);
            loop {
                match client.packet().await {
                    Packet::Event(_, name, _) if name == "hub:closing" => told = true,
                    Packet::Event(_, _, data) => {
                        // What there is room for still comes, until the connection is closed.
                        last += 1;
                        assert_eq!(seq(&data), last);
                    }
                    Packet::Left(_) => {}
                    Packet::Close => break,
                    packet => panic!("{packet:?}, told: {told}"),
                }
            }
            assert!(told, "it was told that the hub closes, after {last}");
            assert_eq!(client.packet().await, Packet::End);
        }
    };
    tokio::join!(hub.stop(), readers);
    assert!(begun.elapsed() < Duration::from_secs(8), "{:?} at a deadline of 5 s", begun.elapsed());
    assert_eq!((handle.stats().connections, handle.stats().subscriptions), (0, 0));
    #[cfg(target_os = "linux")]
    assert_eq!(super::support::descriptors(address.port()), 0);
    assert_eq!(silent.len(), 2, "they are still there");
}

#[tokio::test]
async fn who_reads_has_the_last_word_though_its_line_was_full() {
    full(&Over::Plain).await;
}

#[tokio::test]
async fn who_reads_tls_has_the_last_word_though_its_line_was_full() {
    full(&Over::tls()).await;
}
