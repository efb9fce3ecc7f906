//! Peers that read slowly, and peers that do not read at all.

use std::time::Duration;

use ragpulse_server::Hub;
use serde_json::json;

use super::client::{Client, Over, Packet, seq};
use super::support::{eventually, online};
use super::{Reporter, hub, hub_by};

/// How many large events there are: more bytes than any kernel keeps for a connection.
const EVENTS: u64 = 360;

/// Reads by small bits, and asks for something after every few events.
struct Slow {
    client: Client,
    hub: Hub,
    /// Of how many messages it knows that they were given to it.
    received: u64,
    /// The last event of `p`.
    seq: u64,
    /// The commands that were not answered yet, each with how many messages were given to the client before it was sent.
    asked: Vec<(u64, u64)>,
    answered: usize,
}

impl Slow {
    async fn ask(&mut self, round: usize) {
        let given = self.hub.stats().delivered;
        let number = match round % 3 {
            0 => self.client.command("/", "ping", json!(0)).await,
            1 => self.client.command("/", "subscribe", json!({ "pipeline_id": "q", "cursors": {} })).await,
            _ => self.client.command("/", "unsubscribe", json!({ "pipeline_id": "q" })).await,
        };
        self.asked.push((number, given));
    }

    async fn step(&mut self) {
        match self.client.packet().await {
            Packet::Event(_, name, data) => {
                self.received += 1;
                if data["pipeline_id"] == "p" {
                    assert_eq!((name.as_str(), seq(&data)), ("x:blob", self.seq + 1));
                    assert_eq!(data["text"].as_str().unwrap().len(), 20_000);
                    self.seq += 1;
                } else {
                    assert_eq!((name.as_str(), seq(&data)), ("pipeline:status", 1));
                }
            }
            Packet::Ack(_, number, answer) => {
                let (asked, given) = self.asked.remove(0);
                assert_eq!(number, asked, "answers come in the order of their commands");
                // On a machine that has no time for this the hub gives heartbeats too.
                let received = self.received + self.client.heartbeats;
                assert!(received >= given, "an answer went before {} events", given - received);
                assert_eq!(answer.get("error"), None, "{answer}");
                self.answered += 1;
            }
            packet => panic!("{packet:?}"),
        }
    }
}

async fn slowly(over: &Over, with_pings: bool) {
    // The time that passes for Engine.IO passes for the clock too.
    let (hub, mut reporter) = hub_by(over, over.server().stalled(Duration::from_secs(3_600))).await;
    reporter.publish("q", json!([online()])).await;
    let mut client = over.rather_narrow(hub.address).await;
    client.upgrade().await;
    client.enter("/").await;
    let (before, _) = client.ask("/", "subscribe", json!({ "pipeline_id": "p" })).await;
    assert_eq!(before.len(), 1, "the state goes before the answer");
    let mut slow = Slow { client, hub: hub.hub.clone(), received: 1, seq: 1, asked: Vec::new(), answered: 0 };
    let reported = tokio::spawn(async move {
        reporter.flood("p", EVENTS).await;
        reporter
    });
    eventually("it is paused", async || hub.hub.stats().paused > 0).await;
    let (mut rounds, mut at, mut advances) = (0_usize, slow.seq, 0);
    while slow.seq < 1 + EVENTS || !slow.asked.is_empty() {
        slow.client.bits = 1 + (rounds * 257) % 1_400;
        if slow.seq >= at && slow.seq < EVENTS {
            at = slow.seq + 3;
            for _ in 0..1 + rounds % 3 {
                slow.ask(rounds).await;
                rounds += 1;
            }
            if with_pings && rounds > 20 * advances && slow.client.pings == advances {
                // Engine.IO asks whether the client is there.
                advances += 1;
                tokio::time::pause();
                tokio::time::advance(Duration::from_secs(26)).await;
                tokio::time::resume();
            }
        }
        slow.step().await;
    }
    assert_eq!(slow.answered, rounds);
    assert!(slow.client.pings > 0 || !with_pings, "no ping came among {rounds} commands");
    // Once it is told that it no longer follows, nothing more comes.
    let mut reporter = reported.await.unwrap();
    slow.client.bits = 65_536;
    slow.client.ask("/", "unsubscribe", json!({ "pipeline_ids": ["p", "q"] })).await;
    reporter.flood("p", 1).await;
    let (before, _) = slow.client.ask("/", "ping", json!(0)).await;
    assert_eq!(before, []);
    assert_eq!(hub.hub.stats().lagged, 0);
    drop(reporter);
    hub.stop().await;
}

#[tokio::test]
async fn who_reads_by_small_bits_gets_whole_frames_in_their_order() {
    slowly(&Over::Plain, true).await;
}

#[tokio::test]
async fn who_reads_tls_by_small_bits_gets_whole_frames_in_their_order() {
    slowly(&Over::tls(), true).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn the_order_is_the_same_where_tasks_run_beside_each_other() {
    slowly(&Over::Plain, false).await;
    slowly(&Over::tls(), false).await;
}

/// One that does not read is cut once the clock has run out, and not before; another on the same hub gets all that comes meanwhile.
async fn stalls(over: &Over) {
    let (hub, mut reporter) = hub(over).await;
    let mut stalled = over.narrow(hub.address).await;
    let mut other = over.wide(hub.address).await;
    for client in [&mut stalled, &mut other] {
        client.upgrade().await;
        client.enter("/").await;
        client.ask("/", "subscribe", json!({ "pipeline_id": "p" })).await;
    }
    let (_, at) = tokio::join!(reporter.flood("p", EVENTS), async {
        let mut at = 1;
        while at < 1 + EVENTS {
            let Packet::Event(_, _, data) = other.packet().await else { panic!("it has ended") };
            assert_eq!(seq(&data), at + 1);
            at += 1;
        }
        at
    });
    assert_eq!(at, 1 + EVENTS);
    let stats = hub.hub.stats();
    assert_eq!((stats.connections, stats.subscriptions), (2, 2), "the clock has not run out yet");
    assert!(stats.paused > 0);
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(31)).await;
    tokio::time::resume();
    eventually("it is cut", async || {
        let stats = hub.hub.stats();
        (stats.connections, stats.subscriptions) == (1, 1)
    })
    .await;
    #[cfg(target_os = "linux")]
    eventually("its descriptor is closed", async || super::support::descriptors(hub.address.port()) <= 3)
        .await;
    // The other is none the worse for it. The reporter was idle for too long.
    let mut reporter = Reporter(over.wide(hub.address).await);
    reporter.flood("p", 1).await;
    let (before, _) = other.ask("/", "ping", json!(0)).await;
    assert!(matches!(&before[..], [Packet::Event(_, _, data)] if seq(data) == 2 + EVENTS), "{before:?}");
    // What the kernel had of it is the beginning of all there was.
    stalled.bits = 65_536;
    stalled.may_tear = true;
    let mut last = 1;
    while let Packet::Event(_, _, data) = stalled.packet().await {
        assert_eq!(seq(&data), last + 1);
        last += 1;
    }
    assert!(last < EVENTS);
    hub.stop().await;
}

#[tokio::test]
async fn who_takes_nothing_is_cut_by_the_clock_and_holds_up_nobody() {
    stalls(&Over::Plain).await;
}

#[tokio::test]
async fn who_takes_nothing_by_tls_is_cut_by_the_clock_and_holds_up_nobody() {
    stalls(&Over::tls()).await;
}

/// One that was slow and has taken everything since.
async fn silent(over: &Over) {
    let (hub, mut reporter) = hub_by(over, over.server().stalled(Duration::from_secs(10))).await;
    let mut client = over.rather_narrow(hub.address).await;
    client.upgrade().await;
    client.enter("/").await;
    client.ask("/", "subscribe", json!({ "pipeline_id": "p" })).await;
    for round in 1..=5 {
        reporter.flood("p", 40).await;
        for at in 1..=40 {
            let Packet::Event(_, _, data) = client.packet().await else { panic!("it has ended") };
            assert_eq!(seq(&data), (round - 1) * 40 + at + 1);
        }
        tokio::time::pause();
        tokio::time::advance(Duration::from_secs(12)).await;
        tokio::time::resume();
        reporter = Reporter(over.wide(hub.address).await);
    }
    let (before, _) = client.ask("/", "ping", json!(0)).await;
    assert_eq!(before, []);
    hub.stop().await;
}

#[tokio::test]
async fn who_has_taken_everything_may_be_silent_for_longer_than_the_clock() {
    silent(&Over::Plain).await;
    silent(&Over::tls()).await;
}
