//! What holds of the reducer for any sequence of events, however little sense it makes.

// What is not as the test expects is to end it, in helpers too.
#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use ragpulse_protocol::reduce::AnomalyKind;
use ragpulse_protocol::status::{FileTable, Limits};
use ragpulse_protocol::{
    Event, FileState, FileStatus, PipelineStatus, ServerMessage, Session, Verdict, apply,
};
use serde_json::{Map, Value, json};

const ENDS: [&str; 4] = ["file:completed", "file:failed", "file:skipped", "file:cancelled"];

/// One event as a reporter means it, before a hub numbers it.
#[derive(Debug, Clone)]
enum Act {
    Online { check_interval: Option<u32> },
    Offline { timeout: bool },
    Open { event: &'static str, file: u8, attempt: Option<u32> },
    Progress { file: u8, progress: f64, stage: Option<&'static str> },
    End { event: &'static str, file: u8, interrupted: bool },
    Delete { file: u8 },
    Update { changes: Map<String, Value> },
    Custom,
}

fn act() -> impl Strategy<Value = Act> {
    let file = 0..8u8;
    prop_oneof![
        1 => prop::option::of(0..90u32).prop_map(|check_interval| Act::Online { check_interval }),
        1 => any::<bool>().prop_map(|timeout| Act::Offline { timeout }),
        8 => (
            prop::sample::select(vec!["file:queued", "file:processing", "file:retrying"]),
            file.clone(),
            prop::option::of(0..5u32),
        ).prop_map(|(event, file, attempt)| Act::Open { event, file, attempt }),
        4 => (file.clone(), 0.0..=1.0f64, prop::option::of(prop::sample::select(vec!["extraction", "ocr"])))
            .prop_map(|(file, progress, stage)| Act::Progress { file, progress, stage }),
        8 => (prop::sample::select(ENDS.to_vec()), file.clone(), any::<bool>())
            .prop_map(|(event, file, interrupted)| Act::End { event, file, interrupted }),
        2 => file.prop_map(|file| Act::Delete { file }),
        2 => changes().prop_map(|changes| Act::Update { changes }),
        1 => Just(Act::Custom),
    ]
}

fn changes() -> impl Strategy<Value = Map<String, Value>> {
    let key = prop::sample::select(vec![
        "status",
        "check_interval",
        "is_checking",
        "last_check_time",
        "files_processing",
        "total_failed",
        "limits",
        "folder_id",
        "reported",
        "__proto__",
        "",
    ]);
    let value = prop::sample::select(vec![
        Value::Null,
        json!(true),
        json!(-1),
        json!(60.5),
        json!("running"),
        json!("2026-03-01T10:00:00+02:00"),
        json!({ "files": [] }),
    ]);
    prop::collection::vec((key, value), 0..6)
        .prop_map(|pairs| pairs.into_iter().map(|(key, value)| (key.to_owned(), value)).collect())
}

/// What a hub knows of every file, without limits: the naive model.
#[derive(Default)]
struct Index {
    files: BTreeMap<String, &'static str>,
    processed: u64,
    failed: u64,
}

impl Index {
    /// Numbers an act, fills in what a hub fills in, and moves on.
    fn event(&mut self, act: &Act, seq: u64) -> Event {
        let time = format!("2026-03-01T08:{:02}:{:02}.000Z", seq / 60 % 60, seq % 60);
        let mut data = json!({
            "pipeline_id": "p", "pipeline_type": "t", "epoch": "e", "seq": seq, "timestamp": time, "received_at": time,
        });
        let file = |id: &u8| json!({ "id": format!("f{id}"), "name": "same.md" });
        let (name, own) = match act {
            Act::Online { check_interval } => (
                "pipeline:online",
                json!({ "status": "online", "started_at": time, "check_interval": check_interval }),
            ),
            Act::Offline { timeout } => {
                let reason = if *timeout { "timeout" } else { "normal_shutdown" };
                ("pipeline:offline", json!({ "status": "offline", "shutdown_at": time, "reason": reason }))
            }
            Act::Open { event, file: id, attempt } => {
                (*event, json!({ "file": file(id), "change": "created", "attempt": attempt }))
            }
            Act::Progress { file: id, progress, stage } => (
                "file:progress",
                json!({ "file": file(id), "progress": progress, "processing_stage": stage }),
            ),
            Act::End { event, file: id, interrupted } => {
                let kind = if *interrupted { "Interrupted" } else { "ValueError" };
                let own = match *event {
                    "file:completed" => json!({ "file": file(id), "success": true, "results": {} }),
                    "file:failed" => json!({
                        "file": file(id), "success": false,
                        "error": { "type": kind, "message": "m", "retryable": false },
                    }),
                    "file:skipped" => json!({ "file": file(id), "reason": "empty" }),
                    _ => json!({ "file": file(id) }),
                };
                (*event, own)
            }
            Act::Delete { file: id } => ("file:deleted", json!({ "file": file(id) })),
            Act::Update { changes } => ("status:update", json!({ "changes": changes })),
            Act::Custom => ("x:any", json!({ "anything": [1, null] })),
        };
        let data_fields = data.as_object_mut().unwrap();
        data_fields.extend(own.as_object().unwrap().clone());
        if let Some(id) = own.pointer("/file/id").and_then(Value::as_str)
            && name != "file:progress"
        {
            if let Some(previous) = self.files.get(id) {
                data_fields.insert("previous_state".to_owned(), json!(previous));
            }
            self.take(name, id, data_fields.get("error"));
        }
        Event::from_value(name, data).unwrap()
    }

    fn take(&mut self, event: &str, id: &str, error: Option<&Value>) {
        let before = self.files.get(id).copied();
        let interrupted = error.is_some_and(|error| error["type"] == "Interrupted");
        let next = match event {
            "file:queued" | "file:retrying" => "queued",
            "file:processing" => "processing",
            "file:deleted" => {
                self.files.remove(id);
                return;
            }
            end => {
                match before {
                    None | Some("queued" | "processing") => {}
                    Some("interrupted") if !interrupted => self.failed -= 1,
                    Some(_) => return,
                }
                match end {
                    "file:completed" => self.processed += 1,
                    "file:failed" => self.failed += 1,
                    _ => {}
                }
                match end {
                    "file:completed" => "completed",
                    "file:failed" if interrupted => "interrupted",
                    "file:failed" => "failed",
                    "file:skipped" => "skipped",
                    _ => "cancelled",
                }
            }
        };
        self.files.insert(id.to_owned(), next);
    }

    fn count(&self, state: FileState) -> u64 {
        let counts = |name: &&&str| {
            **name == state.as_str() || (**name == "interrupted" && state == FileState::Failed)
        };
        self.files.values().filter(counts).count() as u64
    }
}

fn opening(limits: Limits) -> PipelineStatus {
    PipelineStatus::opening(
        "p".parse().unwrap(),
        "t".parse().unwrap(),
        "e".parse().unwrap(),
        "2026-03-01T08:00:00Z".parse().unwrap(),
        limits,
    )
}

fn limits() -> impl Strategy<Value = Limits> {
    (0..5u32, 0..5u32).prop_map(|(open, ended)| Limits { open, ended })
}

fn listed(state: &PipelineStatus, wanted: impl Fn(FileState) -> bool) -> usize {
    state.files.iter().filter(|file| wanted(file.state)).count()
}

fn as_message(state: &PipelineStatus) -> ServerMessage {
    ServerMessage::from_value("pipeline:status", serde_json::to_value(state).unwrap()).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    /// Counts are those of a model that forgets nothing, whatever the limits; the limits hold after every event; a
    /// state reads back as it was written.
    #[test]
    fn counts_are_exact_within_any_limits(acts in prop::collection::vec(act(), 0..60), limits in limits()) {
        let mut index = Index::default();
        let mut state = opening(limits);
        for (seq, act) in (1..).zip(&acts) {
            apply(&mut state, &index.event(act, seq));
            prop_assert_eq!(state.seq, seq);
            for kind in FileState::ALL {
                prop_assert_eq!(state.counts.of(*kind), index.count(*kind), "{} after {:?}", kind, act);
            }
            prop_assert_eq!(state.counts.total(), index.files.len() as u64);
            prop_assert_eq!((state.total_processed, state.total_failed), (index.processed, index.failed));
            prop_assert!(listed(&state, |kind| kind == FileState::Queued) <= limits.open as usize);
            prop_assert!(listed(&state, |kind| kind == FileState::Processing) <= limits.open as usize);
            prop_assert!(listed(&state, |kind| !kind.is_open()) <= limits.ended as usize);
            for file in state.files.iter() {
                let kind = index.files.get(&file.id).copied();
                prop_assert_eq!(kind, Some(file.as_previous().as_str()), "{} is listed as it stands", file.id);
            }
            let text = serde_json::to_string(&state).unwrap();
            prop_assert_eq!(&serde_json::from_str::<PipelineStatus>(&text).unwrap(), &state);
        }
    }

    /// Every file is listed as long as the limits have room for all.
    #[test]
    fn nothing_is_evicted_while_there_is_room(acts in prop::collection::vec(act(), 0..60)) {
        let mut index = Index::default();
        let mut state = opening(Limits { open: 8, ended: 8 });
        for (seq, act) in (1..).zip(&acts) {
            apply(&mut state, &index.event(act, seq));
        }
        let listed: BTreeSet<&str> = state.files.iter().map(|file| file.id.as_str()).collect();
        prop_assert_eq!(listed, index.files.keys().map(String::as_str).collect::<BTreeSet<_>>());
    }

    /// Whoever joins with a snapshot has the state of whoever was there from the start.
    #[test]
    fn a_snapshot_and_the_rest_are_the_whole(
        acts in prop::collection::vec(act(), 1..60),
        cut in any::<prop::sample::Index>(),
        limits in limits(),
    ) {
        let cut = cut.index(acts.len());
        let mut index = Index::default();
        let events: Vec<Event> = (1..).zip(&acts).map(|(seq, act)| index.event(act, seq)).collect();
        let mut early = Session::new();
        early.handle(&as_message(&opening(limits)));
        for event in &events[..cut] {
            prop_assert_eq!(early.handle(&ServerMessage::Event(Box::new(event.clone()))).verdict, Verdict::Apply);
        }
        let mut late = Session::new();
        late.handle(&as_message(early.state().unwrap()));
        for event in &events[cut..] {
            let message = ServerMessage::Event(Box::new(event.clone()));
            let (first, second) = (early.handle(&message), late.handle(&message));
            prop_assert_eq!(&first, &second);
            prop_assert_eq!(first.verdict, Verdict::Apply);
        }
        prop_assert_eq!(early.state(), late.state());
    }

    /// Numbers repeated, swapped, lost and sent again: with replays from the cursor the state is that of the sequence.
    #[test]
    fn no_disorder_on_the_way_changes_the_state(
        acts in prop::collection::vec(act(), 1..40),
        way in prop::collection::vec(any::<prop::sample::Index>(), 0..80),
    ) {
        let mut index = Index::default();
        let messages: Vec<ServerMessage> = (1..)
            .zip(&acts)
            .map(|(seq, act)| ServerMessage::Event(Box::new(index.event(act, seq))))
            .collect();
        let mut straight = Session::new();
        for message in &messages {
            straight.handle(message);
        }
        let mut session = Session::new();
        for place in way.iter().map(|place| place.index(messages.len())).chain([messages.len() - 1]) {
            if session.handle(&messages[place]).verdict == Verdict::Resync {
                let from = session.cursor().map_or(0, |cursor| cursor.seq) as usize;
                session.resynced();
                for message in &messages[from..=place] {
                    prop_assert_eq!(session.handle(message).verdict, Verdict::Apply);
                }
            }
        }
        prop_assert_eq!(session.state(), straight.state());
    }

    /// Hints that do not fit, states that do not add up, a seq that jumps: there is always a state, never a panic, and
    /// the limits hold.
    #[test]
    fn it_is_total(
        acts in prop::collection::vec((act(), 0..u64::MAX, prop::option::of(0..7usize)), 0..40),
        limits in limits(),
        count in prop_oneof![Just(0u64), Just(u64::MAX)],
    ) {
        const WORDS: [&str; 7] =
            ["queued", "processing", "completed", "failed", "interrupted", "skipped", "cancelled"];
        let mut state = opening(limits);
        for kind in WORDS.iter().filter(|word| **word != "interrupted") {
            let mut raw = serde_json::to_value(&state).unwrap();
            raw["counts"][*kind] = json!(count);
            raw["total_failed"] = json!(count);
            state = serde_json::from_value(raw).unwrap();
        }
        for (act, seq, hint) in &acts {
            let event = Index::default().event(act, 1);
            let mut raw = event.payload();
            raw["seq"] = json!(seq);
            let hinted = matches!(act, Act::Open { .. } | Act::End { .. } | Act::Delete { .. });
            if let (true, Some(hint)) = (hinted, hint) {
                raw["previous_state"] = json!(WORDS[*hint]);
            }
            apply(&mut state, &Event::from_value(event.name(), raw).unwrap());
            prop_assert!(listed(&state, |kind| kind == FileState::Queued) <= limits.open as usize);
            prop_assert!(listed(&state, |kind| kind == FileState::Processing) <= limits.open as usize);
            prop_assert!(listed(&state, |kind| !kind.is_open()) <= limits.ended as usize);
        }
        let text = serde_json::to_string(&state).unwrap();
        prop_assert_eq!(serde_json::from_str::<PipelineStatus>(&text).unwrap(), state);
    }

    /// Every payload comes out of its decoding as it went in.
    #[test]
    fn payloads_survive_a_round_trip(act in act(), extra in "[a-z]{1,8}", seq in 1..1_000u64) {
        let event = Index::default().event(&act, seq);
        let mut raw = event.payload();
        raw[format!("own_{extra}")] = json!({ "deep": [1, null, 2.5] });
        let again = Event::from_value(event.name(), raw.clone()).unwrap();
        prop_assert_eq!(again.payload(), raw.clone());
        prop_assert_eq!(Event::decode(event.name(), &raw.to_string()).unwrap(), again);
    }
}

fn file(id: &str, state: FileState, seq: u64) -> FileStatus {
    FileStatus::new(id, id, state, seq)
}

fn ids<'a>(files: impl Iterator<Item = &'a FileStatus>) -> Vec<&'a str> {
    files.map(|file| file.id.as_str()).collect()
}

#[test]
fn a_table_lists_by_seq_whatever_the_order_in_which_files_came() {
    use FileState::{Completed, Failed, Processing, Queued, Skipped};
    let table: FileTable = [
        file("e2", Failed, 8),
        file("q1", Queued, 3),
        file("q2", Queued, 10),
        file("e1", Completed, 4),
        file("p1", Processing, 9),
        file("e3", Skipped, 11),
    ]
    .into_iter()
    .collect();
    assert_eq!(ids(table.iter()), ["q1", "e1", "e2", "p1", "q2", "e3"]);
    assert_eq!(ids(table.in_state(Queued)), ["q1", "q2"]);
    assert_eq!(ids(table.in_state(Failed)), ["e2"]);
    assert_eq!(ids(table.in_state(Skipped).rev()), ["e3"]);
    assert_eq!(ids(table.after(0, None)), ["q1", "e1", "e2", "p1", "q2", "e3"]);
    assert_eq!(ids(table.after(8, None)), ["p1", "q2", "e3"]);
    assert_eq!(ids(table.after(3, Some(Queued))), ["q2"]);
    assert_eq!(ids(table.after(u64::MAX, None)), [""; 0]);
    assert_eq!((table.len(), table.is_empty()), (6, false));

    let mut state = opening(Limits::default());
    state.files = table;
    let small = state.limited_to(Limits { open: 1, ended: 2 });
    assert_eq!(
        ids(small.files.iter()),
        ["q1", "e2", "p1", "e3"],
        "the newest open and the oldest ended are left out"
    );
    assert!(small.limited_to(Limits { open: 0, ended: 0 }).files.is_empty());
}

#[test]
fn of_two_entries_of_one_id_the_later_one_is_the_file() {
    let table: FileTable =
        [file("a", FileState::Queued, 2), file("a", FileState::Completed, 5)].into_iter().collect();
    assert_eq!((table.len(), ids(table.in_state(FileState::Queued)).len()), (1, 0));
    assert_eq!(table.get("a").map(|file| file.seq), Some(5));
}

#[test]
fn which_keys_find_room_does_not_depend_on_the_order_in_which_they_were_written() {
    let event = |keys: &[&str]| {
        let changes: Vec<String> = keys.iter().map(|key| format!("{key:?}:1")).collect();
        let text = format!(
            r#"{{"pipeline_id":"p","pipeline_type":"t","epoch":"e","seq":1,"timestamp":"2026-03-01T08:00:00Z",
                "received_at":"2026-03-01T08:00:00Z","changes":{{{}}}}}"#,
            changes.join(",")
        );
        Event::decode("status:update", &text).unwrap()
    };
    let names: Vec<String> = (0..66).map(|number| format!("k{number:02}")).collect();
    let forwards: Vec<&str> = names.iter().map(String::as_str).collect();
    let backwards: Vec<&str> = forwards.iter().rev().copied().collect();
    for keys in [forwards, backwards] {
        let mut state = opening(Limits::default());
        let anomalies = apply(&mut state, &event(&keys));
        let refused: Vec<_> =
            anomalies.iter().map(|anomaly| (anomaly.kind, anomaly.subject.as_str())).collect();
        assert_eq!(refused, [(AnomalyKind::TooManyKeys, "k64"), (AnomalyKind::TooManyKeys, "k65")]);
        assert_eq!(state.extra.len(), 64);
    }
}
