//! `/metrics`: what is exported is what the table says, promtool finds nothing to say of it, and what happens is counted.
#![allow(clippy::unwrap_used)]

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::process::{Command, Stdio};

use ragpulse_protocol::{Code, PipelineId, Problem};
use ragpulse_server::auth::BoxFuture;
use ragpulse_server::metrics::{FAMILIES, Family, Kind};
use ragpulse_server::{Act, Authoriser, Config, Hub, Principal};
use reqwest::Method;
use serde_json::{Value, json};
use support::socket::Socket;
use support::{TestHub, eventually, file, online};

const OPEN_METRICS: &str = "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.2";

async fn hub() -> TestHub {
    TestHub::configured(|config| config.metrics = true).await
}

async fn scrape_as(hub: &TestHub, accept: &str) -> (String, String) {
    let answer = hub.http.get(hub.url("/metrics")).header("accept", accept).send().await.unwrap();
    assert_eq!(answer.status(), 200);
    let kind = answer.headers()["content-type"].to_str().unwrap().to_owned();
    (kind, answer.text().await.unwrap())
}

async fn scrape(hub: &TestHub) -> String {
    let (kind, text) = scrape_as(hub, "*/*").await;
    assert_eq!(kind, "text/plain; version=0.0.4; charset=utf-8");
    text
}

/// Every series with its value.
fn series(text: &str) -> BTreeMap<&str, f64> {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines
        .map(|line| line.rsplit_once(' ').unwrap())
        .map(|(name, value)| (name, value.parse().unwrap()))
        .collect()
}

fn value(text: &str, name: &str) -> f64 {
    *series(text).get(name).unwrap_or_else(|| panic!("there is no {name} in\n{text}"))
}

/// The label sets of a family, as they stand in brackets.
fn label_sets(family: &Family) -> Vec<String> {
    family.labels.iter().fold(vec![String::new()], |sets, label| {
        let with = |set: &String| {
            let comma = if set.is_empty() { "" } else { "," };
            label.values.iter().map(move |value| format!("{set}{comma}{}=\"{value}\"", label.name)).collect()
        };
        sets.iter().flat_map(|set| -> Vec<String> { with(set) }).collect()
    })
}

/// Every series that the table says there is.
fn promised() -> BTreeSet<String> {
    let mut all = BTreeSet::new();
    for family in FAMILIES {
        for set in label_sets(family) {
            let (name, of) = (family.name, if set.is_empty() { String::new() } else { format!("{{{set}}}") });
            if family.kind != Kind::Histogram {
                all.insert(format!("{name}{of}"));
                continue;
            }
            let more = if set.is_empty() { String::new() } else { format!(",{set}") };
            all.extend([format!("{name}_sum{of}"), format!("{name}_count{of}")]);
            let bounds = family.buckets.iter().map(|bound| format!("{bound:?}")).chain(["+Inf".to_owned()]);
            all.extend(bounds.map(|bound| format!("{name}_bucket{{le=\"{bound}\"{more}}}")));
        }
    }
    all
}

#[tokio::test]
async fn the_table_and_the_export_are_the_same_from_the_start() {
    let hub = hub().await;
    for accept in ["*/*", OPEN_METRICS] {
        let (_, text) = scrape_as(&hub, accept).await;
        let exported: BTreeSet<String> = series(&text).keys().map(|name| (*name).to_owned()).collect();
        let promised = promised();
        let missing: Vec<_> = promised.difference(&exported).collect();
        let surplus: Vec<_> = exported.difference(&promised).collect();
        assert!(missing.is_empty() && surplus.is_empty(), "missing: {missing:#?}\nsurplus: {surplus:#?}");
    }
    let text = scrape(&hub).await;
    for family in FAMILIES {
        assert!(text.contains(&format!("# HELP {} {}\n", family.name, family.help)), "{}", family.name);
        let kind = format!("{:?}", family.kind).to_lowercase();
        assert!(text.contains(&format!("# TYPE {} {kind}\n", family.name)), "{}", family.name);
    }
    // Nothing has happened but that this was asked for.
    let moved: BTreeMap<_, _> = series(&text).into_iter().filter(|(_, value)| *value != 0.0).collect();
    let own =
        ["ragpulse_build_info", "ragpulse_start_time", "ragpulse_process_", "ragpulse_http_responses_total"];
    let own = |name: &str| {
        own.iter().any(|own| name.starts_with(own)) || name == "ragpulse_connection_uptime_ratio"
    };
    let others: Vec<_> =
        moved.keys().filter(|name| !own(name) && !name.starts_with("ragpulse_store_bytes")).collect();
    assert!(others.is_empty(), "{others:?}");
    assert_eq!(value(&text, "ragpulse_connection_uptime_ratio"), 1.0);
}

#[tokio::test]
async fn each_scraper_gets_the_form_it_asks_for() {
    let hub = hub().await;
    let (kind, text) = scrape_as(&hub, OPEN_METRICS).await;
    assert_eq!(kind, "application/openmetrics-text; version=1.0.0; charset=utf-8");
    assert!(text.ends_with("# EOF\n") && text.contains("# UNIT ragpulse_fanout_seconds seconds\n"));
    assert!(text.contains("# TYPE ragpulse_events_in counter\n"), "the family has the name without the end");
    for accept in ["text/plain;version=0.0.4", "text/html, text/plain;q=0.5", "image/png", ""] {
        let (kind, text) = scrape_as(&hub, accept).await;
        assert!(kind.starts_with("text/plain"), "{accept:?} got {kind}");
        assert!(!text.contains("# EOF") && !text.contains("# UNIT"));
        assert!(text.contains("# TYPE ragpulse_events_in_total counter\n"));
    }
}

/// Has Debian's promtool look at it.
fn promtool(text: &str) {
    let mut promtool = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect(
            "there is no promtool; `cargo xtask test` installs it, or run: apt-get install -y prometheus",
        );
    promtool.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let said = promtool.wait_with_output().unwrap();
    let said_of_it = String::from_utf8_lossy(&said.stdout) + String::from_utf8_lossy(&said.stderr);
    assert!(said.status.success() && said_of_it.trim().is_empty(), "{said_of_it}");
}

#[tokio::test]
async fn promtool_has_nothing_to_say() {
    let hub = hub().await;
    promtool(&scrape(&hub).await);
    hub.publish("p", online()).await;
    let mut socket = Socket::connect(hub.address, "/").await;
    socket.ask("subscribe", json!({ "pipeline_id": "p" })).await;
    hub.publish("p", json!([file("file:queued", "a"), file("file:completed", "a")])).await;
    promtool(&scrape(&hub).await);
}

#[tokio::test]
async fn it_is_there_only_where_it_was_asked_for() {
    let hub = TestHub::start().await;
    assert_eq!(hub.get("/metrics").await.0, 404);
    assert!(!Config::default().metrics);
}

#[tokio::test]
async fn two_hubs_in_a_process_count_apart() {
    let (one, other) = (hub().await, hub().await);
    one.publish("p", online()).await;
    let name = "ragpulse_events_in_total{event=\"pipeline:online\"}";
    assert_eq!((value(&scrape(&one).await, name), value(&scrape(&other).await, name)), (1.0, 0.0));
}

#[tokio::test]
async fn what_happens_is_counted_once() {
    // Time stands, so that progress that is held back stays so.
    let (hub, _) = TestHub::timed(|config| config.metrics = true).await;
    hub.publish("p", online()).await;
    let mut socket = Socket::connect(hub.address, "/").await;
    socket.ask("subscribe", json!({ "pipeline_id": "p" })).await;
    let mut event = file("file:queued", "a");
    event["event_id"] = json!("one");
    let custom = json!({ "event": "x:mine", "data": {} });
    hub.publish("p", json!([event, file("file:processing", "a"), custom])).await;
    hub.publish("p", event).await;
    hub.publish("p", json!([file("file:progress", "a"), file("file:progress", "a")])).await;
    hub.publish("p", json!([file("file:completed", "a"), file("file:completed", "a")])).await;
    assert_eq!(hub.try_publish("p", json!({ "event": "nonsense" })).await.0, 422);
    assert_eq!(hub.try_publish("q", file("file:queued", "a")).await.0, 404);
    let (epoch, seq) = hub.cursor("p").await;
    hub.events("p", &epoch, 0).await;
    hub.events("p", &epoch, seq).await;
    hub.events("p", "another", 1).await;
    let cursor = json!({ "p": { "epoch": epoch, "seq": seq } });
    socket.ask("subscribe", json!({ "pipeline_id": "p", "cursors": cursor })).await;
    let answer = socket.ask("subscribe", json!({})).await;
    assert_eq!(answer["error"]["code"], "invalid_request");
    let refused =
        json!({ "client_id": "c", "status": "active", "fallback_cause": "refused", "latency_ms": 12 });
    socket.ask("client:status", refused).await;
    // The last is on its way when it is acknowledged.
    eventually("it has come", async || {
        let text = scrape(&hub).await;
        value(&text, "ragpulse_events_out_total{event=\"file:completed\"}") >= 4.0
    })
    .await;

    let text = scrape(&hub).await;
    let is =
        |name: &str, expected: f64| assert_eq!(value(&text, &format!("ragpulse_{name}")), expected, "{name}");
    is("events_in_total{event=\"pipeline:online\"}", 1.0);
    is("events_in_total{event=\"file:queued\"}", 3.0);
    is("events_in_total{event=\"custom\"}", 1.0);
    is("ingest_events_total{result=\"accepted\"}", 7.0);
    is("ingest_events_total{result=\"duplicate\"}", 1.0);
    is("ingest_events_total{result=\"conflated\"}", 1.0);
    is("ingest_batches_total{outcome=\"taken\"}", 5.0);
    is("ingest_batches_total{outcome=\"invalid\"}", 1.0);
    is("ingest_batches_total{outcome=\"refused\"}", 1.0);
    is("problems_total{code=\"unknown_event\"}", 1.0);
    is("problems_total{code=\"unknown_pipeline\"}", 1.0);
    is("problems_total{code=\"invalid_request\"}", 1.0);
    is("anomalies_total{kind=\"second_end\"}", 1.0);
    // By socket once, by a poll of all once more.
    is("events_out_total{event=\"custom\"}", 2.0);
    is("events_out_total{event=\"pipeline:status\"}", 1.0);
    // All but the progress, which was held back on purpose.
    is("delivery_seconds_count{transport=\"socket\"}", 5.0);
    is("delivery_seconds_count{transport=\"poll\"}", 0.0);
    is("polls_total{result=\"snapshot\"}", 1.0);
    is("polls_total{result=\"events\"}", 1.0);
    is("polls_total{result=\"empty\"}", 1.0);
    is("polls_total{result=\"reset\"}", 1.0);
    is("resumes_total{outcome=\"fresh\"}", 1.0);
    is("resumes_total{outcome=\"recovered\"}", 1.0);
    is("resyncs_total", 1.0);
    is("connections{transport=\"websocket\"}", 1.0);
    is("connection_attempts_total{transport=\"websocket\",outcome=\"accepted\"}", 1.0);
    is("connection_attempts_total{transport=\"poll\",outcome=\"accepted\"}", 4.0);
    is("fallbacks_total{cause=\"refused\"}", 1.0);
    is("client_latency_seconds_sum", 0.012);
    is("client_latency_seconds_bucket{le=\"0.025\"}", 1.0);
    is("client_latency_seconds_bucket{le=\"0.01\"}", 0.0);
    is("fanout_seconds_count", 7.0);
    is("pipelines{liveness=\"live\"}", 1.0);
    is("subscriptions", 1.0);
    assert!(value(&text, "ragpulse_log_append_seconds_count") >= 4.0);
    assert!(value(&text, "ragpulse_ingest_bytes_total") > 100.0);
    assert!(value(&text, "ragpulse_delivered_bytes_total{transport=\"socket\"}") > 1_000.0);
    assert!(value(&text, "ragpulse_store_bytes") > 500.0);
    #[cfg(target_os = "linux")]
    for name in ["process_resident_memory_bytes", "process_open_fds"] {
        assert!(value(&text, &format!("ragpulse_{name}")) > 0.0, "{name}");
    }

    // The same numbers as the host has.
    let stats = hub.hub.stats();
    assert_eq!((stats.accepted, stats.duplicates, stats.conflated, stats.refused), (7, 1, 1, 1));
    let delivered: f64 =
        series(&text).iter().filter(|(name, _)| name.starts_with("ragpulse_events_out")).map(|of| of.1).sum();
    #[allow(clippy::cast_precision_loss)]
    let told = stats.delivered as f64;
    assert_eq!((told, stats.anomalies, stats.connections), (delivered, 1, 1));

    socket.raw("41").await;
    eventually("it is gone", async || hub.hub.stats().connections == 0).await;
    let text = scrape(&hub).await;
    assert_eq!(value(&text, "ragpulse_disconnects_total{reason=\"client\"}"), 1.0);
    assert_eq!(value(&text, "ragpulse_subscriptions"), 0.0);
}

#[tokio::test]
async fn what_comes_while_a_poll_is_held_counts_as_delivered() {
    let hub = hub().await;
    hub.publish("p", online()).await;
    let (epoch, seq) = hub.cursor("p").await;
    let url = hub.url(&format!("/api/pipelines/p/events?epoch={epoch}&seq={seq}&wait=30"));
    let held = tokio::spawn(hub.http.get(url).send());
    eventually("it is held", async || {
        value(&scrape(&hub).await, "ragpulse_connections{transport=\"poll\"}") == 1.0
    })
    .await;
    hub.publish("p", file("file:queued", "a")).await;
    held.await.unwrap().unwrap();
    let text = scrape(&hub).await;
    assert_eq!(value(&text, "ragpulse_delivery_seconds_count{transport=\"poll\"}"), 1.0);
    assert!(value(&text, "ragpulse_delivered_bytes_total{transport=\"poll\"}") > 100.0);
}

/// Knows `viewer`, who may see all pipelines, and `scraper`, who may read metrics.
struct Two;

impl Authoriser for Two {
    fn authenticate<'a>(&'a self, token: Option<&'a str>) -> BoxFuture<'a, Result<Principal, Problem>> {
        Box::pin(async move {
            match token {
                Some(name @ ("viewer" | "scraper")) => Ok(Principal::named(name)),
                _ => Err(Problem::new(Code::Unauthorized, "Bring a token.")),
            }
        })
    }

    fn allows(&self, who: &Principal, act: Act, pipeline: Option<&PipelineId>) -> bool {
        match pipeline {
            Some(_) => who.name == "viewer" && act == Act::View,
            None => who.name == "scraper" && act == Act::Metrics,
        }
    }
}

#[tokio::test]
async fn the_authoriser_is_asked_and_denials_are_counted() {
    let mut config = Config::default();
    config.metrics = true;
    let hub = TestHub::with(Hub::builder().config(config).authoriser(Two)).await;
    let ask = async |token: &str| {
        let answer = hub.http.get(hub.url("/metrics")).bearer_auth(token).send().await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    };
    assert_eq!((ask("wrong").await.0, ask("viewer").await.0), (401, 403));
    let refused = Socket::try_connect(hub.address, "/", json!({ "token": "wrong" })).await;
    assert!(refused.is_err());
    let text = ask("scraper").await.1;
    assert_eq!(value(&text, "ragpulse_auth_denials_total{code=\"unauthorized\"}"), 2.0);
    assert_eq!(value(&text, "ragpulse_auth_denials_total{code=\"forbidden\"}"), 1.0);
    assert_eq!(value(&text, "ragpulse_handshake_failures_total{cause=\"auth\"}"), 1.0);
    assert_eq!(value(&text, "ragpulse_http_responses_total{status=\"4xx\"}"), 2.0);
}

#[tokio::test]
async fn failed_handshakes_are_counted_by_their_cause() {
    let hub = TestHub::configured(|config| {
        config.metrics = true;
        config.limits.connections = 1;
    })
    .await;
    let url = hub.url("/socket.io/?EIO=4&transport=websocket");
    let ask = async |name: &str, value: &str| {
        hub.http.get(&url).header(name, value).send().await.unwrap().status().as_u16()
    };
    assert_eq!(ask("origin", "https://evil.example").await, 403);
    assert_eq!(ask("host", "evil.example").await, 421);
    // A proxy that does not pass the upgrade on.
    assert!(ask("accept", "*/*").await >= 400);
    let first = Socket::connect(hub.address, "/").await;
    assert!(Socket::try_connect(hub.address, "/", json!({})).await.is_err());
    let text = scrape(&hub).await;
    for cause in ["origin", "host", "upgrade", "limit"] {
        let name = format!("ragpulse_handshake_failures_total{{cause=\"{cause}\"}}");
        assert_eq!(value(&text, &name), 1.0, "{cause}");
    }
    let attempts = |outcome| {
        value(
            &text,
            &format!("ragpulse_connection_attempts_total{{transport=\"websocket\",outcome=\"{outcome}\"}}"),
        )
    };
    assert_eq!((attempts("refused"), attempts("accepted")), (4.0, 1.0));
    first.cut();
}

/// What a client tells when it is there.
fn here(status: &str) -> Value {
    json!({ "client_id": "one", "status": status })
}

#[tokio::test]
async fn uptime_falls_under_99_per_cent_by_an_interruption_and_by_nothing_else() {
    let (hub, clock) = TestHub::timed(|config| config.metrics = true).await;
    hub.publish("p", online()).await;
    let ratio = async || value(&scrape(&hub).await, "ragpulse_connection_uptime_ratio");
    let connect = async || {
        let mut socket = Socket::connect(hub.address, "/").await;
        assert_eq!(socket.ask("client:status", here("active")).await, json!({}));
        socket
    };
    let gone = async || eventually("it is gone", async || hub.hub.stats().connections == 0).await;

    // A page that is closed on purpose, and one that is hidden when it goes, want nothing.
    let mut socket = connect().await;
    clock.advance_millis(300_000);
    socket.raw("41").await;
    gone().await;
    clock.advance_millis(60_000);
    let mut socket = connect().await;
    clock.advance_millis(300_000);
    socket.ask("client:status", here("background")).await;
    clock.advance_millis(600_000);
    socket.cut();
    gone().await;
    clock.advance_millis(60_000);
    assert_eq!(ratio().await, 1.0);

    // 600 of 600 s; then 4 s away of 1,004: still above.
    let socket = connect().await;
    clock.advance_millis(100_000);
    socket.cut();
    gone().await;
    clock.advance_millis(4_000);
    let socket = connect().await;
    clock.advance_millis(300_000);
    let after_one = ratio().await;
    assert!((after_one - 1_000.0 / 1_004.0).abs() < 1e-5, "{after_one}");
    assert!(after_one > 0.99);
    // Another, of 20 s: below.
    socket.cut();
    gone().await;
    clock.advance_millis(20_000);
    let _socket = connect().await;
    let text = scrape(&hub).await;
    let wanted = value(&text, "ragpulse_session_wanted_seconds_total");
    let connected = value(&text, "ragpulse_session_connected_seconds_total{transport=\"socket\"}");
    assert_eq!((wanted, connected), (1_024.0, 1_000.0));
    let below = value(&text, "ragpulse_connection_uptime_ratio");
    assert!(below < 0.99 && (below - connected / wanted).abs() < 1e-5, "{below}");
    assert_eq!(value(&text, "ragpulse_session_interruptions_total{outcome=\"returned\"}"), 2.0);
}

#[tokio::test]
async fn a_client_that_polls_is_connected() {
    let (hub, clock) = TestHub::timed(|config| config.metrics = true).await;
    hub.publish("p", online()).await;
    for _ in 0..4 {
        let request = hub.http.get(hub.url("/api/pipelines/p/events"));
        let answer =
            request.header("RagPulse-Client-Status", here("active").to_string()).send().await.unwrap();
        assert_eq!(answer.status(), 200);
        clock.advance_millis(30_000);
    }
    let text = scrape(&hub).await;
    assert_eq!(value(&text, "ragpulse_session_connected_seconds_total{transport=\"polling\"}"), 90.0);
    assert_eq!(value(&text, "ragpulse_session_wanted_seconds_total"), 90.0);
}

#[tokio::test]
async fn a_store_tells_its_size_and_how_long_its_commits_take() {
    let directory = tempfile::tempdir().unwrap();
    let hub = TestHub::at(&directory.path().join("store.db"), |config| config.metrics = true).await;
    hub.publish("p", online()).await;
    let text = scrape(&hub).await;
    assert!(value(&text, "ragpulse_log_sync_seconds_count") >= 1.0);
    assert!(value(&text, "ragpulse_store_bytes") > 4_096.0);
}

#[tokio::test]
async fn a_request_has_an_id() {
    let hub = hub().await;
    let ask = async |id: Option<&str>, path: &str| {
        let mut request = hub.http.request(Method::GET, hub.url(path));
        if let Some(id) = id {
            request = request.header("x-request-id", id);
        }
        let answer = request.send().await.unwrap();
        let id = answer.headers()["x-request-id"].to_str().unwrap().to_owned();
        (id, answer.text().await.unwrap())
    };
    assert_eq!(ask(Some("mine-1"), "/health").await, ("mine-1".to_owned(), "OK".to_owned()));
    let (made, _) = ask(None, "/health").await;
    assert_eq!(made.len(), 32);
    assert_ne!(ask(Some("not sane"), "/health").await.0, "not sane");
    let (id, body) = ask(Some("mine-2"), "/api/pipelines/none/history").await;
    let problem: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(
        (id.as_str(), &problem["request_id"], &problem["code"]),
        ("mine-2", &json!("mine-2"), &json!("unknown_pipeline"))
    );
    // Also where the doors refuse.
    let request =
        hub.http.get(hub.url("/health")).header("host", "evil.example").header("x-request-id", "mine-3");
    let answer = request.send().await.unwrap();
    assert_eq!(
        (answer.status().as_u16(), &answer.headers()["x-request-id"]),
        (421, &"mine-3".parse().unwrap())
    );
}
