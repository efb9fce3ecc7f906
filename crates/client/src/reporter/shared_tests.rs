use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use ragpulse_protocol::PipelineType;
use tempfile::TempDir;

use super::super::encode::{Encoder, item_of};
use super::super::outcome::Action;
use super::super::queue::Queue;
use super::super::spool::Settings;
use super::*;
use crate::backoff::Backoff;

fn shared(path: &Path, disk: Option<&Arc<AtomicUsize>>) -> Shared {
    let settings = Settings { path: path.to_owned(), max_bytes: 1024 * 1024, sync: false };
    let mut spool = Spool::open(settings, "p", None, || "r".to_owned()).unwrap();
    spool.disk = disk.cloned();
    let machine = Machine::new(
        Queue::new(2, 1_000_000),
        Encoder::new("id".into(), PipelineType::new("t").unwrap(), 30),
        Backoff::new(Duration::from_secs(1), Duration::from_secs(8), Box::new(|| 1.0)),
        Duration::from_secs(10),
    );
    Shared::new(machine, Some(spool), tokio::runtime::Handle::current(), None)
}

fn item(json: &str) -> Item {
    item_of(json.as_bytes()).unwrap()
}

fn named(name: &str) -> Item {
    item(&format!(r#"{{"event":"x:{name}"}}"#))
}

/// What is sent from now on, when a hub takes everything.
fn sent(shared: &Shared) -> Vec<String> {
    let mut names = Vec::new();
    loop {
        let action = shared.machine.lock().next(Duration::ZERO);
        match action {
            Action::Send(body) => {
                let batch: Vec<ReportedEvent> = serde_json::from_str(&body).unwrap();
                let receipt = format!(
                    r#"{{"accepted":{},"duplicates":0,"conflated":0,"epoch":"e","seq":9}}"#,
                    batch.len()
                );
                let answer = Ok(serde_json::from_str(&receipt).unwrap());
                shared.machine.lock().answered(answer, Duration::ZERO, timestamp());
                shared.settle_spool();
                names.extend(batch.into_iter().map(|event| event.event));
            }
            Action::Refill { events, bytes } => shared.refill(events, bytes),
            Action::EndOrphans => shared.end_orphans(),
            Action::Wait(_) | Action::Stop => return names,
        }
    }
}

fn take(shared: &Shared, name: &str) {
    assert_eq!(shared.take(named(name), false).unwrap(), None);
}

#[tokio::test]
async fn more_than_the_memory_holds_comes_out_in_order_and_the_goodbye_last() {
    let dir = TempDir::new().unwrap();
    let shared = shared(dir.path(), None);
    for name in ["a", "b", "c", "d", "e"] {
        take(&shared, name);
    }
    let counts = |machine: &Machine| (machine.queue.len(), machine.unsent());
    assert_eq!(counts(&shared.machine.lock()), (2, 5));
    shared.close(Duration::from_secs(60));
    assert!(matches!(shared.take(named("f"), false), Err(ReportError::Closed)));
    assert_eq!(sent(&shared), ["x:a", "x:b", "x:c", "x:d", "x:e", "pipeline:offline"]);
    shared.let_go_of_spool();
    let next = super::tests::shared(dir.path(), None);
    assert_eq!(sent(&next), Vec::<String>::new());
}

#[tokio::test]
async fn what_one_life_did_not_send_the_next_one_sends_first() {
    let dir = TempDir::new().unwrap();
    let first = shared(dir.path(), None);
    for name in ["a", "b", "c"] {
        take(&first, name);
    }
    drop(first);
    let second = shared(dir.path(), None);
    take(&second, "d");
    second.close(Duration::from_secs(60));
    assert_eq!(sent(&second), ["x:a", "x:b", "x:c", "x:d", "pipeline:offline"]);
}

#[tokio::test]
async fn a_full_disk_is_an_error_what_is_forced_keeps_its_place_and_room_is_all_it_needs() {
    let dir = TempDir::new().unwrap();
    let disk = Arc::new(AtomicUsize::new(usize::MAX));
    let shared = shared(dir.path(), Some(&disk));
    take(&shared, "a");
    disk.store(5, Ordering::SeqCst);
    let error = shared.take(named("lost"), false).unwrap_err();
    assert!(matches!(&error, ReportError::Spool(SpoolError::Write { .. })), "{error}");
    assert_eq!(shared.machine.lock().unsent(), 1);
    assert_eq!(shared.take(named("forced"), true).unwrap(), None, "in memory, as without a spool");
    disk.store(usize::MAX, Ordering::SeqCst);
    for name in ["b", "c"] {
        take(&shared, name);
    }
    disk.store(5, Ordering::SeqCst);
    assert_eq!(shared.take(named("forced-again"), true).unwrap(), None);
    assert!(shared.take(named("lost"), false).is_err(), "nothing gets before it");
    disk.store(usize::MAX, Ordering::SeqCst);
    take(&shared, "d");
    assert_eq!(sent(&shared), ["x:a", "x:forced", "x:b", "x:c", "x:forced-again", "x:d"]);
}

#[tokio::test]
async fn files_nobody_went_on_with_end_once_and_after_what_was_reported() {
    let dir = TempDir::new().unwrap();
    let begin = |file: &str| {
        item(&format!(
            r#"{{"event":"file:processing","data":{{"file":{{"name":"{file}","id":"{file}-id"}}}}}}"#
        ))
    };
    let first = shared(dir.path(), None);
    for file in ["gone", "again"] {
        first.take(begin(file), false).unwrap();
    }
    assert_eq!(sent(&first).len(), 2);
    drop(first);
    let second = shared(dir.path(), None);
    second.take(begin("again"), false).unwrap();
    second.end_orphans();
    second.end_orphans();
    let body = match second.machine.lock().next(Duration::ZERO) {
        Action::Send(body) => body,
        other => panic!("{other:?}"),
    };
    let events: Vec<ReportedEvent> = serde_json::from_str(&body).unwrap();
    assert_eq!(events.len(), 2);
    let end = &events[1];
    assert_eq!((end.event.as_str(), &end.data["file"]["id"]), ("file:failed", &"gone-id".into()));
    assert_eq!(end.data["error"]["type"], "Interrupted");
    assert_eq!(end.data["error"]["retryable"], true);
    assert!(end.event_id.is_some() && end.timestamp.is_some());
    drop(second);
    // The third life has that end in its spool, and one file more that nobody went on with.
    let third = shared(dir.path(), None);
    third.end_orphans();
    assert_eq!(sent(&third), ["file:processing", "file:failed", "file:failed"]);
}
