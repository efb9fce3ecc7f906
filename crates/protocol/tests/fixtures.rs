//! Invariant 7: every language's reducer gives the same state for every fixture. Here: this crate's.

// What is not as the test expects is to end it, in helpers too.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::path::Path;

use ragpulse_protocol::contract::EVENTS;
use ragpulse_protocol::{Anomaly, Cursor, PipelineStatus, ServerMessage, Session, Verdict};
use serde::Deserialize;
use serde_json::Value;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Fixture {
    name: String,
    description: String,
    covers: Vec<String>,
    initial: Option<Value>,
    steps: Vec<Step>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Step {
    #[serde(default)]
    message: Option<Message>,
    #[serde(default)]
    verdict: Option<Verdict>,
    #[serde(default)]
    anomalies: Vec<Anomaly>,
    #[serde(default)]
    op: Option<Operation>,
    // Absent: as before. Null: none.
    #[serde(default, deserialize_with = "present")]
    state: Option<Value>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Message {
    event: String,
    data: Value,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Operation {
    Resynced,
    Reset,
}

fn present<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(deserializer).map(Some)
}

fn fixtures() -> Vec<Fixture> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures");
    let mut paths: Vec<_> = std::fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "json"))
        .collect();
    paths.sort();
    paths
        .into_iter()
        .map(|path| {
            let text = std::fs::read_to_string(&path).unwrap();
            let fixture: Fixture =
                serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            assert_eq!(path.file_stem().unwrap(), fixture.name.as_str(), "a fixture is named after its file");
            assert!(!fixture.description.is_empty(), "{} says nothing", fixture.name);
            fixture
        })
        .collect()
}

/// JSON with every number as a float: `60` and `60.0` are one number.
fn normal(value: &Value) -> Value {
    match value {
        Value::Number(number) => number.as_f64().map_or(Value::Null, Value::from),
        Value::Array(items) => items.iter().map(normal).collect(),
        Value::Object(fields) => fields.iter().map(|(key, value)| (key.clone(), normal(value))).collect(),
        other => other.clone(),
    }
}

#[track_caller]
fn assert_same(found: &Value, expected: &Value, place: &str) {
    let (found, expected) = (normal(found), normal(expected));
    assert!(
        found == expected,
        "{place}\n   found {}\nexpected {}",
        serde_json::to_string_pretty(&found).unwrap(),
        serde_json::to_string_pretty(&expected).unwrap()
    );
}

fn status(value: &Value) -> Option<PipelineStatus> {
    serde_json::from_value(value.clone()).expect("a state is a pipeline:status or null")
}

/// What was decoded, as it stands on the wire.
fn encode(message: &ServerMessage) -> Value {
    match message {
        ServerMessage::Snapshot(snapshot) => serde_json::to_value(snapshot),
        ServerMessage::Heartbeat(heartbeat) => serde_json::to_value(heartbeat),
        ServerMessage::SubscriptionEnded(ended) => serde_json::to_value(ended),
        ServerMessage::HubClosing(closing) => serde_json::to_value(closing),
        ServerMessage::Event(event) => return event.payload(),
        other => panic!("{other:?} is not known here"),
    }
    .unwrap()
}

/// The cell of the rule's table that a message reaches, worked out from the message and the position alone.
fn cell(at: Option<&Cursor>, message: &Message) -> Option<String> {
    let epoch = message.data.get("epoch")?.as_str()?;
    let seq = message.data.get("seq")?.as_u64()?;
    let column = match at {
        None => "none",
        Some(at) if at.epoch.as_str() == epoch => "same",
        Some(_) => "other",
    };
    let last = at.map_or(0, |at| at.seq);
    let within = |newer, equal, older| match (column, seq.cmp(&last)) {
        ("same", std::cmp::Ordering::Greater) => newer,
        ("same", std::cmp::Ordering::Equal) => equal,
        ("same", std::cmp::Ordering::Less) => older,
        _ => column,
    };
    Some(match message.event.as_str() {
        "heartbeat" => format!("rule:heartbeat/{}", within("higher", "equal", "lower")),
        "pipeline:status" => {
            let reason = message.data.get("reason").and_then(|reason| reason.as_str());
            let kind = if reason.is_some() { "reason" } else { "plain" };
            let stale = if reason == Some("ahead") { "ahead" } else { "stale" };
            format!("rule:snapshot/{kind}/{}", within("newer", stale, stale))
        }
        _ if seq <= last => format!("rule:event/old/{column}"),
        _ if seq == last + 1 => format!("rule:event/next/{column}"),
        _ => format!("rule:event/gap/{column}"),
    })
}

/// The table of the apply rule, as docs and README print it.
const TABLE: &[(&str, Verdict)] = &[
    ("rule:event/next/none", Verdict::Apply),
    ("rule:event/next/same", Verdict::Apply),
    ("rule:event/next/other", Verdict::Resync),
    ("rule:event/old/same", Verdict::Ignore),
    ("rule:event/old/other", Verdict::Resync),
    ("rule:event/gap/none", Verdict::Resync),
    ("rule:event/gap/same", Verdict::Resync),
    ("rule:event/gap/other", Verdict::Resync),
    ("rule:snapshot/reason/none", Verdict::Replace),
    ("rule:snapshot/reason/newer", Verdict::Replace),
    ("rule:snapshot/reason/ahead", Verdict::Replace),
    ("rule:snapshot/reason/stale", Verdict::Ignore),
    ("rule:snapshot/reason/other", Verdict::Replace),
    ("rule:snapshot/plain/none", Verdict::Replace),
    ("rule:snapshot/plain/newer", Verdict::Replace),
    ("rule:snapshot/plain/stale", Verdict::Ignore),
    ("rule:snapshot/plain/other", Verdict::Replace),
    ("rule:heartbeat/none", Verdict::Resync),
    ("rule:heartbeat/higher", Verdict::Resync),
    ("rule:heartbeat/equal", Verdict::Ignore),
    ("rule:heartbeat/lower", Verdict::Ignore),
    ("rule:heartbeat/other", Verdict::Ignore),
];

/// Runs one fixture and gives what it really covers.
fn run(fixture: &Fixture) -> BTreeSet<String> {
    let mut covered = BTreeSet::new();
    let mut session = Session::new();
    let mut expected = Value::Null;
    if let Some(initial) = &fixture.initial {
        let snapshot = ServerMessage::from_value("pipeline:status", initial.clone()).unwrap();
        assert_eq!(session.handle(&snapshot).verdict, Verdict::Replace, "{}: initial", fixture.name);
        expected = initial.clone();
    }
    for (index, step) in fixture.steps.iter().enumerate() {
        let place = format!("{} step {index}", fixture.name);
        if let Some(state) = &step.state {
            expected = state.clone();
        }
        match (&step.message, &step.op) {
            (Some(message), None) => {
                let decoded = ServerMessage::from_value(&message.event, message.data.clone())
                    .unwrap_or_else(|error| panic!("{place}: {error}"));
                let text = serde_json::to_string(&message.data).unwrap();
                assert_eq!(ServerMessage::decode(&message.event, &text).unwrap(), decoded, "{place}");
                let mut sent = message.data.clone();
                if let (ServerMessage::Snapshot(_), Some(Value::Array(files))) =
                    (&decoded, sent.get_mut("files"))
                {
                    // The one thing that is put in order when it is read.
                    files.sort_by_key(|file| file["seq"].as_u64());
                }
                assert_same(&encode(&decoded), &sent, &format!("{place}: the payload changed on its way"));
                if let ServerMessage::Event(event) = &decoded {
                    assert_eq!(event.name(), message.event, "{place}");
                }

                let cell = cell(session.cursor().as_ref(), message);
                let resyncing = session.is_resyncing();
                let outcome = session.handle(&decoded);
                assert_eq!(Some(outcome.verdict), step.verdict, "{place}: verdict");
                assert_eq!(outcome.anomalies, step.anomalies, "{place}: anomalies");
                covered.insert(format!("event:{}", message.event));
                covered.insert(format!("message:{}", message.event));
                if message.event.starts_with("x:") {
                    covered.insert("event:x:".to_owned());
                }
                for anomaly in &outcome.anomalies {
                    covered.insert(format!("anomaly:{}", anomaly.kind));
                }
                if let Some(cell) = cell {
                    let said =
                        TABLE.iter().find(|(name, _)| *name == cell).unwrap_or_else(|| panic!("{cell}?")).1;
                    if said == Verdict::Resync && resyncing {
                        assert_eq!(outcome.verdict, Verdict::Ignore, "{place}: one resync at a time");
                        covered.insert("rule:in-flight".to_owned());
                    } else {
                        assert_eq!(outcome.verdict, said, "{place}: {cell}");
                    }
                    covered.insert(cell);
                }
            }
            (None, Some(Operation::Resynced)) => session.resynced(),
            (None, Some(Operation::Reset)) => session.reset(),
            _ => panic!("{place}: a step is a message or an operation"),
        }
        assert_eq!(session.state().cloned(), status(&expected), "{place}: state");
        assert_same(
            &serde_json::to_value(session.state()).unwrap(),
            &expected,
            &format!("{place}: the state as it stands on the wire"),
        );
    }
    covered
}

#[test]
fn invariant_7_every_fixture_gives_its_states() {
    let fixtures = fixtures();
    assert!(fixtures.len() >= 40, "only {} fixtures", fixtures.len());
    for fixture in &fixtures {
        let covered = run(fixture);
        for tag in &fixture.covers {
            let checked =
                ["event:", "rule:", "message:", "anomaly:"].iter().any(|kind| tag.starts_with(kind));
            let known = tag == "event:unknown" || covered.contains(tag);
            assert!(!checked || known, "{} says that it covers {tag}, but does not", fixture.name);
        }
    }
}

#[test]
fn invariant_7_the_fixtures_cover_the_contract() {
    let covered: BTreeSet<String> = fixtures().iter().flat_map(run).collect();
    let events = EVENTS.iter().map(|event| format!("event:{}", event.name));
    let cells = TABLE.iter().map(|(cell, _)| (*cell).to_owned());
    let anomalies = ragpulse_protocol::reduce::AnomalyKind::ALL.iter().map(|kind| format!("anomaly:{kind}"));
    let others = ["rule:in-flight", "event:x:"].map(str::to_owned);
    let missing: Vec<String> =
        events.chain(cells).chain(anomalies).chain(others).filter(|tag| !covered.contains(tag)).collect();
    assert!(missing.is_empty(), "no fixture covers {missing:?}");
}
