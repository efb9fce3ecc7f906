//! A reporter with a spool against a real hub: outages longer than its memory, and processes that are killed.
#![allow(clippy::unwrap_used)]

#[path = "support/hub.rs"]
mod hub;

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use hub::TestHub;
use ragpulse_client::protocol::parts::{FileReport, Results};
use ragpulse_client::protocol::report::PipelineOnlineReport;
use ragpulse_client::protocol::{Object, PipelineId, Report};
use ragpulse_client::reporter::{ReporterBuilder, SpoolError};
use ragpulse_client::{ReportError, Reporter};
use ragpulse_server::Hub;
use serde_json::Value;
use tempfile::TempDir;

const SOON: Duration = Duration::from_secs(30);

fn builder(url: &str, spool: &Path) -> ReporterBuilder {
    Reporter::builder(url)
        .pipeline("p", "local_files")
        .backoff(Duration::from_millis(10), Duration::from_millis(50))
        .queue_capacity(16)
        .spool(spool)
}

fn numbered(life: u64, number: u64) -> Report {
    let data = [("life".to_owned(), life.into()), ("n".to_owned(), number.into())];
    Report::Custom { name: "x:n".into(), data: Object::from_iter(data) }
}

/// The hub's log of the pipeline, from its beginning.
async fn log(hub: &TestHub) -> Vec<Value> {
    let head = hub.hub.state(&PipelineId::new("p").unwrap()).unwrap();
    let (client, mut seq, mut events) = (reqwest::Client::new(), 0, Vec::new());
    loop {
        let url = format!("{}/api/pipelines/p/events?epoch={}&seq={seq}&limit=1000", hub.url(), head.epoch);
        let text = client.get(url).send().await.unwrap().text().await.unwrap();
        let mut page: Value = serde_json::from_str(&text).unwrap();
        let Value::Array(found) = page["events"].take() else { panic!("no page: {page}") };
        events.extend(found);
        seq = page["seq"].as_u64().unwrap();
        if page["up_to_date"] == true {
            return events;
        }
    }
}

fn numbers(log: &[Value], life: u64) -> Vec<u64> {
    let of_life = log.iter().filter(|event| event["data"]["life"].as_u64() == Some(life));
    of_life.map(|event| event["data"]["n"].as_u64().unwrap()).collect()
}

async fn settled(reporter: &Reporter) {
    let all_sent = |status: &ragpulse_client::ReporterStatus| status.queued == 0;
    tokio::time::timeout(SOON, reporter.status().wait_for(all_sent)).await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_outage_of_any_length_loses_nothing_and_swaps_nothing() {
    let dir = TempDir::new().unwrap();
    let address = hub::free_address().await;
    let reporter = builder(&format!("http://{address}"), dir.path()).build().unwrap();
    reporter.online(PipelineOnlineReport::default()).await.unwrap();
    let mut open = reporter.file(FileReport::named("a.pdf"));
    open.processing("extraction").await.unwrap();
    // Far beyond what its queue holds: nobody waits.
    for number in 0..2_000 {
        reporter.report(numbered(0, number)).await.unwrap();
        open.progress("extraction", number as f64 / 2_000.0).unwrap();
    }
    open.completed(Results::default()).await.unwrap();
    let spooled = |status: &ragpulse_client::ReporterStatus| status.queued == 2_003 && status.spooled > 1_900;
    tokio::time::timeout(SOON, reporter.status().wait_for(spooled)).await.unwrap().unwrap();

    let hub = TestHub::at(address, Hub::builder()).await;
    settled(&reporter).await;
    // And again while it is there.
    for number in 2_000..2_100 {
        reporter.report(numbered(0, number)).await.unwrap();
    }
    reporter.close(SOON).await.unwrap();
    let log = log(&hub).await;
    assert_eq!(numbers(&log, 0), (0..2_100).collect::<Vec<_>>());
    let names: Vec<&str> = log.iter().map(|event| event["event"].as_str().unwrap()).collect();
    assert_eq!(names[..2], ["pipeline:online", "file:processing"]);
    assert_eq!(names.iter().filter(|name| **name == "file:completed").count(), 1);
    assert_eq!(names.last(), Some(&"pipeline:offline"));
    hub.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_closed_reporter_leaves_what_it_could_not_send_to_the_next_one() {
    let dir = TempDir::new().unwrap();
    let address = hub::free_address().await;
    let url = format!("http://{address}");
    let first = builder(&url, dir.path()).build().unwrap();
    for number in 0..100 {
        first.report(numbered(1, number)).await.unwrap();
    }
    let second = builder(&url, dir.path()).build().unwrap_err();
    assert!(matches!(second, ReportError::Spool(SpoolError::Locked { .. })), "{second}");
    let unsent = first.close(Duration::from_millis(50)).await.unwrap_err();
    assert!(matches!(unsent, ReportError::CloseTimeout { unsent: 101 }), "{unsent}");

    // The handle of the first is still there.
    let second = builder(&url, dir.path()).build().unwrap();
    assert_eq!((second.reporter_id(), second.status().borrow().queued), (first.reporter_id(), 101));
    let hub = TestHub::at(address, Hub::builder()).await;
    second.report(numbered(2, 0)).await.unwrap();
    second.close(SOON).await.unwrap();
    let log = log(&hub).await;
    assert_eq!((numbers(&log, 1), numbers(&log, 2)), ((0..100).collect(), vec![0]));
    hub.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_spool_is_free_as_soon_as_its_reporter_is_closed() {
    let dir = TempDir::new().unwrap();
    let hub = TestHub::start().await;
    for life in 0..50 {
        let reporter = builder(&hub.url(), dir.path()).build().unwrap();
        reporter.report(numbered(life, 0)).await.unwrap();
        reporter.close(SOON).await.unwrap();
    }
    let log = log(&hub).await;
    assert!((0..50).all(|life| numbers(&log, life) == [0]));
    hub.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_spool_is_a_full_queue() {
    let dir = TempDir::new().unwrap();
    let address = hub::free_address().await;
    let reporter =
        builder(&format!("http://{address}"), dir.path()).spool_bytes(1024 * 1024).build().unwrap();
    let big = |number: u64| {
        let data = [("n".to_owned(), number.into()), ("pad".to_owned(), "x".repeat(60_000).into())];
        Report::Custom { name: "x:big".into(), data: Object::from_iter(data) }
    };
    let mut taken = 0;
    let error = loop {
        match reporter.try_report(big(taken)) {
            Ok(()) => taken += 1,
            Err(error) => break error,
        }
    };
    assert!(matches!(error, ReportError::Full), "{error}");
    assert!(taken > 15, "{taken}");
    let (waiting, blocking) = (reporter.clone(), reporter.blocking());
    let task = tokio::spawn(async move { waiting.report(big(taken)).await });
    let thread = std::thread::spawn(move || blocking.report(big(taken)));
    let hub = TestHub::at(address, Hub::builder()).await;
    task.await.unwrap().unwrap();
    tokio::task::spawn_blocking(move || thread.join().unwrap()).await.unwrap().unwrap();
    settled(&reporter).await;
    reporter.close(SOON).await.unwrap();
    let seen = log(&hub).await.iter().filter(|event| event["event"] == "x:big").count() as u64;
    assert_eq!(seen, taken + 2);
    hub.stop().await;
}

/// On a real small disk: `mount -t tmpfs -o size=1500k tmpfs DIRECTORY`, and that directory in the variable.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a small file system, named by RAGPULSE_TEST_SMALL_DISK"]
async fn on_a_disk_that_is_really_full_what_was_taken_arrives_and_it_goes_on_when_there_is_room() {
    let disk = PathBuf::from(std::env::var("RAGPULSE_TEST_SMALL_DISK").unwrap());
    let ballast = disk.join("ballast");
    std::fs::write(&ballast, vec![1; 500 * 1024]).unwrap();
    let address = hub::free_address().await;
    let reporter = builder(&format!("http://{address}"), &disk.join("spool")).build().unwrap();
    let (mut next, mut refused) = (0, 0);
    while refused < 100 {
        match reporter.report(numbered(0, next)).await {
            Ok(()) => next += 1,
            Err(ReportError::Spool(SpoolError::Write { .. })) => refused += 1,
            Err(error) => panic!("{error}"),
        }
    }
    std::fs::remove_file(&ballast).unwrap();
    for _ in 0..500 {
        reporter.report(numbered(0, next)).await.unwrap();
        next += 1;
    }
    let hub = TestHub::at(address, Hub::builder()).await;
    reporter.close(SOON).await.unwrap();
    assert_eq!(numbers(&log(&hub).await, 0), (0..next).collect::<Vec<_>>());
    hub.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_sync_tasks_and_threads_wait_for_the_disk_and_keep_their_order() {
    let dir = TempDir::new().unwrap();
    let hub = TestHub::start().await;
    let reporter = builder(&hub.url(), dir.path()).spool_sync(true).build().unwrap();
    reporter.online(PipelineOnlineReport::default()).await.unwrap();
    let blocking = reporter.blocking();
    let thread = tokio::task::spawn_blocking(move || {
        (0..20).for_each(|number| blocking.report(numbered(0, number)).unwrap());
    });
    let task = |life| {
        let reporter = reporter.clone();
        tokio::spawn(async move {
            for number in 0..20 {
                reporter.report(numbered(life, number)).await.unwrap();
            }
        })
    };
    let tasks = [task(1), task(2)];
    thread.await.unwrap();
    for task in tasks {
        task.await.unwrap();
    }
    reporter.try_report(numbered(0, 20)).unwrap();
    reporter.close(SOON).await.unwrap();
    let log = log(&hub).await;
    assert_eq!([0, 1, 2].map(|life| numbers(&log, life).len()), [21, 20, 20]);
    for life in 0..3 {
        assert!(numbers(&log, life).is_sorted());
    }
    hub.stop().await;
}

#[test]
fn a_runtime_that_ends_before_anything_was_sent_leaves_the_spool_to_the_next() {
    let dir = TempDir::new().unwrap();
    for life in 0..20 {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let reporter = {
            let _entered = runtime.enter();
            builder("http://127.0.0.1:9", dir.path()).build().unwrap()
        };
        let blocking = reporter.blocking();
        blocking.report(numbered(life, 0)).unwrap();
        drop(runtime);
        assert!(matches!(blocking.report(numbered(life, 1)), Err(ReportError::Closed)));
        assert_eq!(reporter.status().borrow().queued, life as usize + 1);
    }
}

#[test]
fn files_that_a_killed_process_worked_on_end_unless_the_next_one_goes_on_with_them() {
    let dir = TempDir::new().unwrap();
    let runtime =
        || tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let hubs = runtime();
    let hub = hubs.block_on(TestHub::start());
    // A runtime that ends takes the task that sends with it, without a goodbye: as if the process were killed.
    let first = runtime();
    first.block_on(async {
        let reporter = builder(&hub.url(), dir.path()).build().unwrap();
        reporter.online(PipelineOnlineReport::default()).await.unwrap();
        for name in ["gone", "goes-on", "ends"] {
            let mut file = reporter.file(FileReport::named(name));
            file.processing("extraction").await.unwrap();
            file.leave();
        }
        let sent = |status: &ragpulse_client::ReporterStatus| status.accepted == 4;
        tokio::time::timeout(SOON, reporter.status().wait_for(sent)).await.unwrap().unwrap();
        std::mem::forget(reporter);
    });
    first.shutdown_timeout(SOON);
    hubs.block_on(async {
        let reporter = builder(&hub.url(), dir.path()).lease_seconds(2).build().unwrap();
        reporter.online(PipelineOnlineReport::default()).await.unwrap();
        let mut goes_on = reporter.file(FileReport::named("goes-on"));
        goes_on.processing("extraction").await.unwrap();
        let done = Results::default();
        let mut ends = reporter.file(FileReport::named("ends"));
        ends.progress("extraction", 0.9).unwrap();
        ends.completed(done.clone()).await.unwrap();
        let p = PipelineId::new("p").unwrap();
        let failed = async {
            while hub.hub.state(&p).unwrap().counts.failed == 0 {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(SOON, failed).await.unwrap();
        goes_on.completed(done).await.unwrap();
        reporter.close(SOON).await.unwrap();
        let log = log(&hub).await;
        let ends: Vec<(&str, &str)> = log
            .iter()
            .filter_map(|event| {
                let file = event["data"]["file"]["name"].as_str()?;
                let name = event["event"].as_str()?;
                (name == "file:completed" || name == "file:failed").then_some((name, file))
            })
            .collect();
        let expected = [("file:completed", "ends"), ("file:failed", "gone"), ("file:completed", "goes-on")];
        assert_eq!(ends, expected);
        let failed = log.iter().find(|event| event["event"] == "file:failed").unwrap();
        assert_eq!(failed["data"]["error"]["type"], "Interrupted");
        hub.stop().await;
    });
}

const URL: &str = "RAGPULSE_TEST_SPOOL_URL";
const DIRECTORY: &str = "RAGPULSE_TEST_SPOOL_DIRECTORY";
const LIFE: &str = "RAGPULSE_TEST_SPOOL_LIFE";

/// Starts this very program again, to report until it is killed.
fn start(url: &str, directory: &Path, life: u64) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "reports_until_it_is_killed", "--ignored", "--nocapture"])
        .env(URL, url)
        .env(DIRECTORY, directory)
        .env(LIFE, life.to_string())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

#[test]
#[ignore = "is started by the test that kills it"]
fn reports_until_it_is_killed() {
    let Ok(url) = std::env::var(URL) else { return };
    let directory = PathBuf::from(std::env::var(DIRECTORY).unwrap());
    let life = std::env::var(LIFE).unwrap().parse().unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    runtime.block_on(async {
        let reporter = builder(&url, &directory).build().unwrap();
        for number in 0..1_000_000 {
            reporter.report(numbered(life, number)).await.unwrap();
            let mut out = std::io::stdout().lock();
            writeln!(out, "taken {number}").unwrap();
            out.flush().unwrap();
        }
    });
}

/// Lets a process report so many events, kills it (SIGKILL on Unix) in the midst of more, and gives how many it was told
/// are taken.
fn one_life(url: &str, directory: &Path, life: u64, events: u64) -> u64 {
    let mut child = start(url, directory, life);
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut taken = 0;
    let mut next = |taken: &mut u64| -> bool {
        let Some(Ok(line)) = lines.next() else { return false };
        // The last line may be cut, or stand behind a word of the test program.
        if line.ends_with(&format!("taken {taken}")) {
            *taken += 1;
        }
        true
    };
    while taken < events {
        assert!(next(&mut taken), "the process ended by itself");
    }
    child.kill().unwrap();
    while next(&mut taken) {}
    child.wait().unwrap();
    taken
}

#[test]
fn a_process_that_is_killed_again_and_again_loses_and_doubles_nothing() {
    let dir = TempDir::new().unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let address = runtime.block_on(hub::free_address());
    let url = format!("http://{address}");
    let mut taken = Vec::new();
    // Two lives without a hub, then some with one.
    for life in 0..2 {
        taken.push(one_life(&url, dir.path(), life, 300));
    }
    let hub = runtime.block_on(TestHub::at(address, Hub::builder()));
    for life in 2..6 {
        taken.push(one_life(&url, dir.path(), life, 100 * life));
    }
    runtime.block_on(async {
        let last = builder(&url, dir.path()).build().unwrap();
        last.report(numbered(6, 0)).await.unwrap();
        last.close(SOON).await.unwrap();
        assert_eq!(last.status().borrow().rejected, 0);
        let log = log(&hub).await;
        for (life, taken) in (0..).zip(taken) {
            let seen = numbers(&log, life);
            // The event that was being taken at the end may have come through; nobody was told.
            let whole = seen.len() as u64 == taken || seen.len() as u64 == taken + 1;
            assert!(whole, "life {life}: {taken} were taken, {} arrived", seen.len());
            assert_eq!(seen, (0..seen.len() as u64).collect::<Vec<_>>(), "life {life}");
        }
        let lives: Vec<u64> = log.iter().filter_map(|event| event["data"]["life"].as_u64()).collect();
        assert!(lives.is_sorted());
        assert_eq!(lives.last(), Some(&6));
        let state = hub.hub.state(&PipelineId::new("p").unwrap()).unwrap();
        assert_eq!(state.status, "offline");
        hub.stop().await;
    });
}
