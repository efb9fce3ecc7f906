//! The reporter over HTTP, against a hub that fails, delays and refuses as each test wants.
#![allow(clippy::unwrap_used)]

mod support;

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use ragpulse_client::protocol::parts::{FileReport, Results, SkipReason, Stage, Unit};
use ragpulse_client::protocol::report::PipelineOnlineReport;
use ragpulse_client::protocol::{Code, Object, Report};
use ragpulse_client::reporter::{ReporterBuilder, ReporterConnection};
use ragpulse_client::{EndpointError, ReportError, Reporter};
use support::{FakeHub, Reply, problem};

const SOON: Duration = Duration::from_secs(10);

fn builder(url: &str) -> ReporterBuilder {
    Reporter::builder(url)
        .pipeline("p", "local_files")
        .backoff(Duration::from_millis(10), Duration::from_millis(40))
}

fn numbered(number: u64) -> Report {
    Report::Custom { name: "x:n".into(), data: Object::from_iter([("n".to_owned(), number.into())]) }
}

fn numbers(hub: &FakeHub) -> Vec<u64> {
    let number = |event: &serde_json::Value| event["data"]["n"].as_u64();
    hub.look(|requests| {
        requests.iter().flat_map(|request| request.events.iter().filter_map(number)).collect()
    })
}

#[tokio::test]
async fn a_files_way_is_told_in_order_with_names_ids_and_token() {
    let hub = FakeHub::start([]).await;
    let reporter = builder(&hub.url).token("secret").reporter_id("worker-1").build().unwrap();
    reporter.online(PipelineOnlineReport::default()).await.unwrap();
    let mut file = reporter.file(FileReport::named("a.pdf"));
    file.queued().await.unwrap();
    file.processing(Stage::Extraction).await.unwrap();
    file.progress_of(Stage::Extraction, 1, 4, Unit::Pages).unwrap();
    file.completed(Results { chunks_created: Some(3), ..Results::default() }).await.unwrap();
    reporter.file(FileReport::named("b.bin")).skipped(SkipReason::Unsupported).await.unwrap();
    reporter.close(SOON).await.unwrap();

    let events: Vec<String> = hub.names().concat();
    let mut must = events.clone();
    must.retain(|name| !name.starts_with("file:progress"));
    assert_eq!(
        must,
        [
            "pipeline:online",
            "file:queued a.pdf",
            "file:processing a.pdf",
            "file:completed a.pdf",
            "file:skipped b.bin",
            "pipeline:offline"
        ]
    );
    hub.look(|requests| {
        let request = &requests[0];
        assert_eq!(request.pipeline, "p");
        assert_eq!(request.headers["authorization"], "Bearer secret");
        assert_eq!(request.headers["ragpulse-reporter"], "worker-1");
        assert_eq!(request.headers["content-type"], "application/json");
        assert_eq!(request.events[0]["data"]["pipeline_type"], "local_files");
        assert!(request.events[0]["timestamp"].as_str().unwrap().ends_with('Z'));
    });
    assert!(matches!(reporter.report(numbered(1)).await, Err(ReportError::Closed)));
}

#[tokio::test]
async fn a_batch_is_sent_again_as_it_was_until_it_is_taken() {
    let hub = FakeHub::start([
        Reply::Problem(problem(Code::Overloaded)),
        Reply::Strange(axum::http::StatusCode::BAD_GATEWAY, "<html>a proxy</html>"),
        Reply::Late(Duration::from_millis(600)),
        Reply::Strange(axum::http::StatusCode::OK, "a captive portal"),
    ])
    .await;
    let reporter = builder(&hub.url).request_timeout(Duration::from_millis(300)).build().unwrap();
    reporter.report(numbered(1)).await.unwrap();
    hub.until(|requests| requests.len() == 5).await;
    hub.look(|requests| {
        assert!(requests.iter().all(|request| request.events == requests[0].events));
        assert!(requests[0].events[0]["event_id"].as_str().unwrap().len() > 16);
    });
    let mut status = reporter.status();
    status.wait_for(|status| status.accepted == 1).await.unwrap();
    assert_eq!(reporter.status().borrow().connection, ReporterConnection::Connected);
}

#[tokio::test]
async fn a_hub_that_comes_later_gets_everything() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let reporter = builder(&format!("http://{address}")).build().unwrap();
    for number in 0..20 {
        reporter.report(numbered(number)).await.unwrap();
    }
    let mut status = reporter.status();
    let retrying = |status: &ragpulse_client::ReporterStatus| matches!(&status.connection, ReporterConnection::Retrying { failures, .. } if *failures > 2);
    status.wait_for(retrying).await.unwrap();
    assert_eq!(reporter.status().borrow().queued, 20);
    let error = reporter.close(Duration::from_millis(50)).await.unwrap_err();
    assert!(matches!(error, ReportError::CloseTimeout { unsent: 21 }), "{error}");
}

#[tokio::test]
async fn a_bad_event_is_set_aside_told_and_counted_and_the_rest_arrives() {
    let hub = FakeHub::start([
        // The first request holds one event up while the others queue behind it.
        Reply::Late(Duration::from_millis(100)),
        Reply::Problem(problem(Code::InvalidEvent).at_index(1).at_field("data.n")),
    ])
    .await;
    let told = Arc::new(Mutex::new(Vec::new()));
    let tell = Arc::clone(&told);
    let reporter = builder(&hub.url).on_rejected(move |rejected| tell.lock().push(rejected)).build().unwrap();
    reporter.report(numbered(0)).await.unwrap();
    hub.until(|requests| requests.len() == 1).await;
    for number in 1..4 {
        reporter.report(numbered(number)).await.unwrap();
    }
    reporter.status().wait_for(|status| status.accepted == 3).await.unwrap();
    reporter.close(SOON).await.unwrap();
    assert_eq!(
        hub.names()[1..],
        [vec!["x:n 1", "x:n 2", "x:n 3"], vec!["x:n 1", "x:n 3"], vec!["pipeline:offline"]]
            .map(|names| names.into_iter().map(str::to_owned).collect::<Vec<_>>())
            .to_vec()
    );
    let told = told.lock();
    assert_eq!((told.len(), &told[0].event.data["n"]), (1, &2.into()));
    assert_eq!(told[0].problem.field.as_deref(), Some("data.n"));
    assert_eq!(reporter.status().borrow().rejected, 1);
}

#[tokio::test]
async fn a_hub_that_forgot_the_pipeline_is_told_again() {
    let hub = FakeHub::start([]).await;
    let reporter = builder(&hub.url).build().unwrap();
    let online = PipelineOnlineReport { watch_location: Some("/docs".into()), ..Default::default() };
    reporter.online(online).await.unwrap();
    let mut open = reporter.file(FileReport::named("open"));
    open.processing("extraction").await.unwrap();
    reporter.status().wait_for(|status| status.accepted == 2).await.unwrap();

    hub.otherwise(Some(problem(Code::UnknownPipeline)));
    reporter.report(numbered(1)).await.unwrap();
    let asked = hub.look(<[_]>::len);
    hub.until(|requests| requests.len() > asked).await;
    hub.otherwise(None);
    open.completed(Results::default()).await.unwrap();
    reporter.close(SOON).await.unwrap();
    let last: Vec<String> =
        hub.names().into_iter().rev().take_while(|batch| batch[0] != "x:n 1").flatten().collect();
    for name in ["pipeline:online", "file:processing open", "x:n 1", "file:completed open"] {
        assert!(last.iter().any(|seen| seen == name), "{name} in {:?}", hub.names());
    }
    hub.look(|requests| {
        let again = requests.iter().rev().flat_map(|r| &r.events).find(|e| e["event"] == "pipeline:online");
        assert_eq!(again.unwrap()["data"]["watch_location"], "/docs");
    });
}

#[tokio::test]
async fn heartbeats_go_out_while_there_is_nothing_to_say_and_end_with_the_reporter() {
    let hub = FakeHub::start([]).await;
    let reporter = builder(&hub.url).lease_seconds(1).build().unwrap();
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(hub.look(<[_]>::len), 0, "nothing was reported yet");
    reporter.online(PipelineOnlineReport::default()).await.unwrap();
    hub.until(|requests| requests.len() >= 4).await;
    assert_eq!(hub.names()[1..4], [["heartbeat"], ["heartbeat"], ["heartbeat"]]);
    reporter.close(SOON).await.unwrap();
    let sent = hub.look(<[_]>::len);
    assert_eq!(hub.names()[sent - 1], ["pipeline:offline"]);
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(hub.look(<[_]>::len), sent);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn threads_and_tasks_wait_for_room_and_lose_nothing() {
    let hub = FakeHub::start((0..6).map(|_| Reply::Problem(problem(Code::Overloaded)))).await;
    let reporter = builder(&hub.url).queue_capacity(4).build().unwrap();
    let threads: Vec<_> = (0..3u64)
        .map(|thread| {
            let blocking = reporter.blocking();
            std::thread::spawn(move || {
                for number in 0..50 {
                    blocking.report(numbered(thread * 1_000 + number)).unwrap();
                }
            })
        })
        .collect();
    let task = {
        let reporter = reporter.clone();
        tokio::spawn(async move {
            for number in 0..50 {
                reporter.report(numbered(3_000 + number)).await.unwrap();
            }
        })
    };
    task.await.unwrap();
    tokio::task::spawn_blocking(move || threads.into_iter().for_each(|thread| thread.join().unwrap()))
        .await
        .unwrap();
    reporter.close(SOON).await.unwrap();
    // Refused batches are seen again: the last sight of each number is what was taken.
    let mut seen = numbers(&hub);
    for source in 0..4 {
        let own: Vec<u64> = seen.iter().copied().filter(|number| number / 1_000 == source).collect();
        let mut once = own.clone();
        once.dedup();
        once.sort_unstable();
        once.dedup();
        assert_eq!(once, (source * 1_000..source * 1_000 + 50).collect::<Vec<_>>());
        let tail = &own[own.len() - 30..];
        assert!(tail.is_sorted(), "{tail:?}");
    }
    seen.sort_unstable();
    seen.dedup();
    assert_eq!(seen.len(), 200);
    assert_eq!(reporter.status().borrow().accepted, 201);
}

#[tokio::test]
async fn without_room_what_must_arrive_is_not_taken_and_progress_never_waits() {
    let hub = FakeHub::start([]).await;
    hub.otherwise(Some(problem(Code::Overloaded)));
    let reporter = builder(&hub.url).queue_capacity(2).build().unwrap();
    let mut file = reporter.file(FileReport::named("f"));
    file.processing("extraction").await.unwrap();
    reporter.try_report(numbered(1)).unwrap();
    assert!(matches!(reporter.try_report(numbered(2)), Err(ReportError::Full)));
    for step in 0..100 {
        file.progress("extraction", f64::from(step) / 100.0).unwrap();
    }
    assert!(matches!(file.progress("extraction", f64::NAN), Err(ReportError::NotANumber)));
    assert!(tokio::time::timeout(Duration::from_millis(50), reporter.report(numbered(3))).await.is_err());
    hub.otherwise(None);
    file.completed(Results::default()).await.unwrap();
    reporter.close(SOON).await.unwrap();
    let sent = hub.names().concat();
    assert!(sent.iter().any(|name| name == "file:completed f"), "{sent:?}");
    assert!(!sent.iter().any(|name| name == "x:n 2" || name == "x:n 3"), "{sent:?}");
}

#[tokio::test]
async fn a_wrong_token_is_told_and_does_not_hold_up_the_caller_for_ever() {
    let hub = FakeHub::start([]).await;
    hub.otherwise(Some(problem(Code::Unauthorized)));
    let reporter = builder(&hub.url).queue_capacity(2).build().unwrap();
    reporter.report(numbered(1)).await.unwrap();
    let refused = |status: &ragpulse_client::ReporterStatus| matches!(&status.connection, ReporterConnection::Refused { problem, .. } if problem.code == Code::Unauthorized);
    reporter.status().wait_for(refused).await.unwrap();
    reporter.report(numbered(2)).await.unwrap();
    let error = reporter.report(numbered(3)).await.unwrap_err();
    assert!(matches!(&error, ReportError::Refused(problem) if problem.code == Code::Unauthorized), "{error}");
    hub.otherwise(None);
    reporter.status().wait_for(|status| status.accepted == 2).await.unwrap();
}

#[tokio::test]
async fn a_file_left_without_an_end_is_reported_as_interrupted_even_without_room() {
    let hub = FakeHub::start([]).await;
    hub.otherwise(Some(problem(Code::Overloaded)));
    let reporter = builder(&hub.url).queue_capacity(1).build().unwrap();
    let mut file = reporter.file(FileReport::named("f"));
    file.processing("embedding").await.unwrap();
    drop(file);
    drop(reporter.file(FileReport::named("never begun")));
    hub.otherwise(None);
    let mut waiting = reporter.file(FileReport::named("for another guard"));
    waiting.queued().await.unwrap();
    waiting.leave();
    hub.otherwise(None);
    reporter.close(SOON).await.unwrap();
    hub.look(|requests| {
        let failed =
            requests.iter().flat_map(|r| &r.events).rfind(|event| event["event"] == "file:failed").unwrap();
        let error = &failed["data"]["error"];
        assert_eq!((&error["type"], &error["retryable"]), (&"Interrupted".into(), &true.into()));
        assert_eq!(error["stage"], "embedding");
    });
    let names = hub.names().concat();
    assert!(!names.iter().any(|name| name.contains("never begun")), "{names:?}");
    assert!(!names.iter().any(|name| name == "file:failed for another guard"), "{names:?}");
}

#[tokio::test]
async fn the_last_handle_dropped_says_goodbye() {
    let hub = FakeHub::start([]).await;
    let reporter = builder(&hub.url).build().unwrap();
    let clone = reporter.clone();
    reporter.report(numbered(1)).await.unwrap();
    drop(reporter);
    clone.report(numbered(2)).await.unwrap();
    drop(clone);
    hub.until(|requests| requests.iter().any(|r| r.events.iter().any(|e| e["event"] == "pipeline:offline")))
        .await;
    assert_eq!(numbers(&hub), [1, 2]);
}

#[tokio::test]
async fn closing_ends_within_its_deadline_whatever_the_hub_does() {
    let hub = FakeHub::start([Reply::Late(Duration::from_secs(60))]).await;
    let reporter = builder(&hub.url).build().unwrap();
    reporter.report(numbered(1)).await.unwrap();
    hub.until(|requests| requests.len() == 1).await;
    let begun = Instant::now();
    let error = reporter.close(Duration::from_millis(200)).await.unwrap_err();
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
    assert!(matches!(error, ReportError::CloseTimeout { unsent: 2 }), "{error}");
    assert_eq!(reporter.status().borrow().connection, ReporterConnection::Closed);
}

#[test]
fn what_waits_is_freed_when_the_runtime_ends() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let reporter =
        runtime.block_on(async { builder("http://127.0.0.1:9").queue_capacity(1).build().unwrap() });
    let blocking = reporter.blocking();
    blocking.report(numbered(1)).unwrap();
    let waiting = std::thread::spawn(move || blocking.report(numbered(2)));
    std::thread::sleep(Duration::from_millis(50));
    runtime.shutdown_timeout(Duration::from_secs(1));
    assert!(matches!(waiting.join().unwrap(), Err(ReportError::Closed)));
}

#[test]
fn what_cannot_work_is_refused_with_a_word_on_what_to_do() {
    let refused = |builder: ReporterBuilder| builder.build().unwrap_err();
    assert!(matches!(refused(builder("http://127.0.0.1:9")), ReportError::NoRuntime));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let _entered = runtime.enter();
    assert!(matches!(refused(Reporter::builder("http://h")), ReportError::NoPipeline));
    assert!(matches!(refused(builder("nowhere")), ReportError::Endpoint(EndpointError::Url { .. })));
    assert!(matches!(refused(builder("http://h").pipeline("a b", "t")), ReportError::Name(_)));
    assert!(matches!(refused(builder("http://h").reporter_id("")), ReportError::Name(_)));
    for bad in [
        builder("http://h").queue_capacity(0),
        builder("http://h").queue_bytes(10),
        builder("http://h").lease_seconds(0),
        builder("http://h").backoff(Duration::ZERO, Duration::ZERO),
    ] {
        let error = refused(bad);
        assert!(error.to_string().contains("but it must be"), "{error}");
    }
}
