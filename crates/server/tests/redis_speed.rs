//! How fast the log in Redis is, on this machine and now: printed, and nothing is asserted of it. Not run with the other tests:
//!
//! `cargo test --release -p ragpulse-server --features redis --test redis_speed -- --ignored --nocapture`
#![cfg(feature = "redis")]
#![allow(clippy::unwrap_used, clippy::print_stdout)]

#[path = "support/records.rs"]
mod records;
#[path = "support/redis.rs"]
mod server;

use std::sync::Arc;
use std::time::{Duration, Instant};

use ragpulse_server::clock::SystemClock;
use ragpulse_server::log::{EventLog, TailItem};

use self::records::{batch, id, record};

const FOR: Duration = Duration::from_secs(3);

/// Appends to so many pipelines, each batch after the answer to the one before; gives events a second.
async fn append_for(log: &Arc<dyn EventLog>, pipelines: usize, events: usize, with_ids: bool) -> f64 {
    let began = Instant::now();
    let appending = (0..pipelines).map(|number| {
        let log = log.clone();
        tokio::spawn(async move {
            let pipeline = id(&format!("p{number}-{events}-{with_ids}"));
            let mut count = 0_u64;
            while began.elapsed() < FOR {
                let records = (0..events as u64)
                    .map(|one| {
                        let (file, event_id) =
                            (format!("f{}", (count + one) / 3 % 500), format!("{number}-{}", count + one));
                        let name = ["file:queued", "file:processing", "file:completed"]
                            [((count + one) % 3) as usize];
                        record(name, &file, with_ids.then_some(&*event_id))
                    })
                    .collect();
                let appended = log.append(&pipeline, vec![batch(records, 1_000)]).await.unwrap();
                assert_eq!(appended[0].places.iter().flatten().count(), events);
                count += events as u64;
            }
            count
        })
    });
    let mut count = 0;
    for task in appending.collect::<Vec<_>>() {
        count += task.await.unwrap();
    }
    count as f64 / began.elapsed().as_secs_f64()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "it measures, and asserts nothing"]
async fn events_a_second() {
    let logs = server::shared_logs(2, SystemClock::default()).await;
    for log in &logs {
        log.load().await.unwrap();
        let mut tail = log.take_tail().unwrap();
        tokio::spawn(async move { while tail.recv().await.is_some() {} });
    }
    println!("events a second, acknowledged by one of two nodes, the other follows; with ids");
    for pipelines in [1, 16] {
        for events in [1, 10, 100] {
            let per_second = append_for(&logs[0], pipelines, events, true).await;
            println!("{pipelines:>3} pipelines, batches of {events:>3}: {per_second:>9.0}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "it measures, and asserts nothing"]
async fn from_one_node_to_the_other() {
    let logs = server::shared_logs(2, SystemClock::default()).await;
    for log in &logs {
        log.load().await.unwrap();
    }
    let (mut own, mut tail) = (logs[0].take_tail().unwrap(), logs[1].take_tail().unwrap());
    tokio::spawn(async move { while own.recv().await.is_some() {} });
    let mut took = Vec::new();
    for number in 0..5_000_u64 {
        let records = vec![record("file:queued", &format!("f{}", number % 500), Some(&number.to_string()))];
        let began = Instant::now();
        logs[0].append(&id("p"), vec![batch(records, 1_000)]).await.unwrap();
        let Some(TailItem::Records(_, records)) = tail.recv().await else { panic!("no event") };
        took.push(began.elapsed());
        assert_eq!(records[0].seq, number + 1);
    }
    took.sort_unstable();
    let at = |share: f64| took[(took.len() as f64 * share) as usize].as_micros();
    println!("from the append to the other node's tail: p50 {} µs, p99 {} µs", at(0.5), at(0.99));
}
