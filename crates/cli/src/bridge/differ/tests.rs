use ragpulse_protocol::{Liveness, PipelineStatus};
use serde_json::json;

use super::super::keys::{LeftOut, REPORTED};
use super::super::time::Zone;
use super::hub::Hub;
use super::*;

/// 2026-05-01T10:00:00Z, and so many seconds.
fn at(seconds: i64) -> Timestamp {
    Timestamp::from_millis(1_777_629_600_000 + seconds * 1_000)
}

/// As the legacy server writes it: without an offset.
fn naive(seconds: i64) -> String {
    at(seconds).to_string().trim_end_matches('Z').to_owned()
}

fn dict(value: &Value) -> Dict {
    Dict::read(value.to_string().as_bytes(), &Zone::utc()).unwrap()
}

fn open(name: &str, id: Option<&str>, started: i64) -> Value {
    json!({ "name": name, "id": id, "started_at": naive(started) })
}

fn ended(name: &str, id: Option<&str>, started: i64, completed: i64) -> Value {
    json!({ "name": name, "id": id, "started_at": naive(started), "completed_at": naive(completed) })
}

/// Bridge and hub, and a server whose dict the test writes.
struct World {
    hub: Hub,
    differ: Differ,
    dict: Value,
}

impl World {
    fn new() -> Self {
        let dict = json!({
            "status": "running", "pipeline_type": "local_files", "check_interval": 60, "is_checking": true,
            "started_at": naive(0), "files_processing": [], "files_completed": [], "files_failed": [],
            "total_processed": 0, "total_failed": 0,
        });
        Self { hub: Hub::new(), differ: Differ::new("p"), dict }
    }

    fn list(&mut self, list: &str, entries: &[Value]) -> &mut Self {
        self.dict[format!("files_{list}")] = json!(entries);
        self
    }

    fn set(&mut self, key: &str, value: Value) -> &mut Self {
        self.dict[key] = value;
        self
    }

    fn totals(&mut self, processed: u64, failed: u64) -> &mut Self {
        self.set("total_processed", json!(processed)).set("total_failed", json!(failed))
    }

    /// One look; what the hub took of it.
    fn look(&mut self, seconds: i64) -> Vec<String> {
        let events = self.differ.look(&dict(&self.dict), at(seconds));
        self.hub.take_all(events, at(seconds));
        self.hub.news()
    }

    /// Another life of the bridge.
    fn restart(&mut self) {
        self.differ = Differ::new("p");
        self.differ.learn(self.hub.state.as_ref());
    }

    fn state(&self) -> &PipelineStatus {
        self.hub.state.as_ref().unwrap()
    }
}

#[test]
fn a_file_is_followed_from_begin_to_end() {
    let mut w = World::new();
    w.list("processing", &[open("a.pdf", Some("A"), 1)]);
    assert_eq!(w.look(2), ["pipeline:online", "file:processing A"]);
    assert_eq!(w.look(4), Vec::<String>::new());
    let stats = json!({ "chunks": 12, "embeddings": 11, "duration": 2.5, "content_length": 900 });
    let mut end = ended("a.pdf", Some("A"), 1, 5);
    end["stats"] = stats;
    w.list("processing", &[]).list("completed", &[end]).totals(1, 0);
    assert_eq!(w.look(6), ["file:completed A"]);
    assert_eq!(w.look(8), Vec::<String>::new());
    let file = w.state().files.get("A").unwrap();
    let results = file.results.as_ref().unwrap();
    assert_eq!((results.chunks_created, results.processing_duration), (Some(12), Some(2.5)));
    assert_eq!((file.started_at, file.completed_at), (Some(at(1)), Some(at(5))));
    assert_eq!((w.state().started_at, w.state().check_interval), (Some(at(0)), Some(60.0)));
    assert_eq!(w.state().status, "running");
}

#[test]
fn an_end_without_id_and_start_is_that_of_the_file_that_is_gone() {
    let mut w = World::new();
    w.list("processing", &[open("a.pdf", Some("A"), 1), open("a.pdf", Some("B"), 2)]);
    w.look(3);
    w.list("processing", &[open("a.pdf", Some("A"), 1)]);
    w.list("failed", &[json!({ "name": "a.pdf", "completed_at": naive(4), "error": "bad page", "error_type": "ValueError" })]);
    // An entry without an id may be that of a file with one.
    assert_eq!(w.totals(0, 1).look(5), ["file:failed B ValueError"]);
    assert_eq!(w.state().files.get("B").unwrap().error.as_ref().unwrap().message, "bad page");
    assert_eq!(w.hub.processing(), 1);
}

#[test]
fn two_files_of_a_name_without_ids_stay_two() {
    let mut w = World::new();
    w.list("processing", &[open("a.pdf", None, 1), open("a.pdf", None, 2)]);
    let second = format!("a.pdf#{}", naive(2));
    assert_eq!(
        w.look(3),
        ["pipeline:online".to_owned(), "file:processing a.pdf".into(), format!("file:processing {second}")]
    );
    w.list("processing", &[open("a.pdf", None, 2)])
        .list("completed", &[ended("a.pdf", None, 1, 4)])
        .totals(1, 0);
    assert_eq!(w.look(5), ["file:completed a.pdf"]);
    w.restart();
    assert_eq!(w.look(6), Vec::<String>::new(), "the second one is still known as such");
    w.list("processing", &[])
        .list("completed", &[ended("a.pdf", None, 1, 4), ended("a.pdf", None, 2, 6)])
        .totals(2, 0);
    assert_eq!(w.look(7), [format!("file:completed {second}")]);
    assert_eq!((w.hub.totals(), w.hub.anomalies), ((2, 0), 0));
}

#[test]
fn a_file_processed_again_is_a_new_attempt() {
    let mut w = World::new();
    w.list("processing", &[open("a", Some("A"), 1)]).look(2);
    w.list("processing", &[]).list("completed", &[ended("a", Some("A"), 1, 3)]).totals(1, 0).look(4);
    w.list("processing", &[open("a", Some("A"), 10)]);
    assert_eq!(w.look(11), ["file:processing A"]);
    let ends = [ended("a", Some("A"), 1, 3), ended("a", Some("A"), 10, 12), ended("a", Some("A"), 13, 14)];
    w.list("processing", &[]).list("completed", &ends).totals(3, 0);
    assert_eq!(w.look(15), ["file:completed A", "file:processing A", "file:completed A"]);
    assert_eq!((w.hub.totals(), w.hub.anomalies), ((3, 0), 0));
    assert_eq!(w.state().files.get("A").unwrap().attempt, 3);
}

#[test]
fn what_the_totals_prove_is_reported_and_what_they_do_not_is_interrupted() {
    let begin = |w: &mut World, from: i64, n: i64| {
        let files: Vec<Value> =
            (0..n).map(|i| open(&format!("f{i}"), Some(&format!("f{i}")), from + i)).collect();
        w.list("processing", &files).look(from + n);
        w.hub.news();
    };
    let newest = |from: i64, n: i64| -> Vec<Value> {
        (0..n).map(|i| ended(&format!("n{i}"), Some(&format!("n{i}")), from, from + i)).collect()
    };
    // 12 completed, of which the ten newest are listed: the two that vanished completed.
    let mut w = World::new();
    begin(&mut w, 1, 2);
    let news = w.list("processing", &[]).list("completed", &newest(20, 10)).totals(12, 0).look(40);
    assert_eq!(news.iter().filter(|line| line.contains("the results are not known")).count(), 2);
    assert_eq!((w.hub.totals(), w.hub.interrupted(), w.hub.anomalies), ((12, 0), 0, 0));
    // 6 failed.
    let mut w = World::new();
    begin(&mut w, 1, 1);
    w.list("processing", &[]).list("failed", &newest(20, 5)).totals(0, 6).look(40);
    assert_eq!((w.hub.totals(), w.hub.interrupted()), ((0, 6), 0));
    // One of each, and nobody knows which.
    let mut w = World::new();
    begin(&mut w, 1, 2);
    w.list("processing", &[]).list("failed", &newest(20, 5)).list("completed", &newest(30, 10)).totals(11, 6);
    let news = w.look(60);
    assert_eq!((w.hub.totals(), w.hub.interrupted(), w.hub.processing()), ((10, 7), 2, 0));
    assert_eq!(news.last().unwrap(), "x:bridge:unseen");
    // Nothing was counted, so nothing ended.
    let mut w = World::new();
    begin(&mut w, 1, 1);
    assert_eq!(w.list("processing", &[]).look(3), ["file:failed f0 Interrupted"]);
    // More than ever were seen.
    let mut w = World::new();
    w.look(1);
    let news = w.list("completed", &newest(20, 10)).totals(15, 0).look(40);
    assert_eq!((news.last().unwrap().as_str(), w.hub.totals()), ("x:bridge:unseen", (10, 0)));
}

#[test]
fn a_total_counted_twice_counts_once() {
    let mut w = World::new();
    w.look(1);
    w.list("completed", &[ended("a", None, 2, 3)]).totals(2, 0);
    assert_eq!(w.look(4), ["file:processing a", "file:completed a"]);
    assert_eq!(w.hub.totals(), (1, 0));
    // The same attempt, ended again.
    w.list("completed", &[ended("a", None, 2, 3), ended("a", None, 2, 4)]).totals(3, 0);
    assert_eq!(w.look(5), Vec::<String>::new());
}

#[test]
fn what_a_check_left_open_is_ended_once_and_a_late_end_stands() {
    let mut w = World::new();
    w.list("processing", &[open("stuck", Some("S"), 1)]).look(2);
    w.set("is_checking", json!(false));
    assert_eq!(w.look(4), ["file:failed S Interrupted"]);
    for (seconds, checking) in [(6, true), (8, false), (10, true)] {
        assert_eq!(w.set("is_checking", json!(checking)).look(seconds), Vec::<String>::new(), "still listed");
    }
    w.restart();
    assert_eq!(w.look(11), Vec::<String>::new(), "and known after a restart");
    // It was being processed after all.
    w.list("processing", &[]).list("completed", &[ended("stuck", Some("S"), 1, 12)]).totals(1, 0);
    assert_eq!(w.look(13), ["file:completed S"]);
    assert_eq!((w.hub.totals(), w.hub.interrupted(), w.hub.anomalies), ((1, 0), 0, 0));
}

#[test]
fn a_check_too_short_to_be_seen_leaves_nothing_open_either() {
    let mut w = World::new();
    w.set("last_check_time", json!(naive(0))).look(1);
    w.set("is_checking", json!(false)).look(2);
    w.list("processing", &[open("a", Some("A"), 3)]);
    assert_eq!(w.look(4), ["file:processing A"], "nothing says that it is not being processed");
    w.set("last_check_time", json!(naive(3)));
    assert_eq!(w.look(6), ["file:failed A Interrupted"]);
    // A pipeline that never says that it checks.
    let mut w = World::new();
    w.set("is_checking", json!(false)).set("last_check_time", json!(naive(0))).look(1);
    w.list("processing", &[open("a", Some("A"), 2)]).look(3);
    assert_eq!(w.set("last_check_time", json!(naive(4))).look(5), Vec::<String>::new());
}

#[test]
fn a_restart_of_the_server_ends_what_it_worked_on() {
    let mut w = World::new();
    w.list("processing", &[open("a", Some("A"), 1)]);
    w.list("completed", &[ended("b", Some("B"), 1, 2)]).totals(1, 0).look(3);
    w.set("started_at", json!(naive(10)))
        .list("processing", &[open("a", Some("A"), 11)])
        .list("completed", &[])
        .totals(0, 0);
    assert_eq!(w.look(12), ["file:failed A Interrupted", "pipeline:online", "file:processing A"]);
    w.list("processing", &[]).list("completed", &[ended("a", Some("A"), 11, 13)]).totals(1, 0);
    assert_eq!(w.look(14), ["file:completed A"]);
    assert_eq!((w.state().started_at, w.hub.totals()), (Some(at(10)), (2, 1)));
    // Only the totals tell.
    w.set("started_at", json!(null)).look(15);
    w.list("processing", &[open("c", Some("C"), 16)]).look(17);
    w.totals(0, 0).list("completed", &[]).list("processing", &[]);
    assert_eq!(w.look(18), ["file:failed C Interrupted", "pipeline:online"]);
    // While the bridge was away.
    w.set("started_at", json!(naive(20))).list("processing", &[open("d", Some("D"), 21)]).look(22);
    w.set("started_at", json!(naive(30))).list("processing", &[]).restart();
    assert_eq!(w.look(31), ["file:failed D Interrupted", "pipeline:online"]);
}

#[test]
fn a_bridge_that_comes_back_reports_only_what_it_missed() {
    let mut w = World::new();
    w.list("processing", &[open("a", Some("A"), 1), open("b", Some("B"), 2), open("c", None, 2)]);
    w.list("completed", &[ended("o", None, 0, 1)]).totals(1, 0).look(3);
    w.hub.news();
    w.list("processing", &[open("b", Some("B"), 2), open("e", None, 6)]);
    w.list(
        "completed",
        &[
            ended("o", None, 0, 1),
            ended("a", Some("A"), 1, 4),
            ended("d", None, 4, 5),
            ended("o", None, 4, 6),
        ],
    );
    w.list("failed", &[ended("c", None, 2, 5)]).totals(4, 1).restart();
    assert_eq!(
        w.look(7),
        [
            "file:completed A",
            "file:processing d",
            "file:completed d",
            "file:failed c Error",
            "file:processing o",
            "file:completed o",
            "file:processing e"
        ]
    );
    w.restart();
    assert_eq!(w.look(8), Vec::<String>::new());
    assert_eq!((w.hub.totals(), w.hub.processing(), w.hub.anomalies), ((4, 1), 2, 0));
    // Also by a hub that forgot the ids.
    let state = w.hub.state.take();
    w.hub = Hub::new();
    w.hub.state = state;
    w.restart();
    assert_eq!(w.look(9), Vec::<String>::new());
}

#[test]
fn two_bridges_report_each_thing_once() {
    let mut w = World::new();
    let mut second = Differ::new("p");
    w.list("processing", &[open("a", Some("A"), 1), open("b", None, 1)]).look(2);
    let both = |w: &mut World, second: &mut Differ, seconds| {
        w.look(seconds);
        let events = second.look(&dict(&w.dict), at(seconds));
        w.hub.take_all(events, at(seconds));
        w.hub.news()
    };
    second.learn(None);
    assert_eq!(both(&mut w, &mut second, 3), Vec::<String>::new());
    w.list("processing", &[])
        .list("completed", &[ended("a", Some("A"), 1, 4)])
        .list("failed", &[ended("b", None, 1, 4)]);
    w.totals(1, 1).look(5);
    assert_eq!(both(&mut w, &mut second, 6), Vec::<String>::new());
    assert_eq!((w.hub.totals(), w.hub.anomalies), ((1, 1), 0));
}

#[test]
fn a_server_that_was_away_is_offline_and_then_online_anew() {
    let mut w = World::new();
    w.list("processing", &[open("a", Some("A"), 1), open("b", Some("B"), 1)]).look(2);
    w.hub.news();
    let lost = w.differ.lost(OfflineReason::Timeout, at(120)).unwrap();
    w.hub.take(lost, at(120));
    assert!(w.differ.lost(OfflineReason::Timeout, at(121)).is_none(), "said once");
    assert_eq!((w.state().liveness, w.hub.processing()), (Liveness::Lost, 0));
    w.hub.news();
    w.list("processing", &[open("a", Some("A"), 1)])
        .list("completed", &[ended("b", Some("B"), 1, 100)])
        .totals(1, 0);
    assert_eq!(w.look(200), ["pipeline:online", "file:completed B", "file:processing A"]);
    // That a was interrupted did happen; that b was did not.
    assert_eq!((w.hub.totals(), w.hub.anomalies, w.state().status.as_str()), ((1, 1), 0, "running"));
    // The hub lost it by itself, and the bridge learned of that.
    w.hub.lapse(at(300));
    w.hub.news();
    w.differ.learn(w.hub.state.clone().as_ref());
    assert_eq!(w.look(301), ["pipeline:online", "file:processing A"]);
    w.list("processing", &[])
        .list("completed", &[ended("b", Some("B"), 1, 100), ended("a", Some("A"), 1, 302)])
        .totals(2, 0);
    assert_eq!(w.look(303), ["file:completed A"]);
    assert_eq!((w.hub.processing(), w.hub.interrupted()), (0, 0));
}

#[test]
fn keys_that_find_no_room_are_named_once() {
    let mut w = World::new();
    for n in 0..70 {
        w.set(&format!("key{n:02}"), json!(n));
    }
    w.set("counts", json!(1)).look(1);
    let no_room: Vec<String> = (60..70).map(|n| format!("key{n}")).collect();
    let not_taken = vec!["counts".to_owned()];
    assert_eq!(w.differ.left_out(), LeftOut { no_room, not_taken });
    assert!(w.state().extra.contains_key("key59") && !w.state().extra.contains_key("key60"));
    w.set("key69", json!("other")).set("key70", json!(1)).look(2);
    let no_room = vec!["key70".to_owned()];
    assert_eq!(w.differ.left_out(), LeftOut { no_room, ..LeftOut::default() }, "only what is new");
    for n in 0..2_000 {
        w.set(&format!("more{n}"), json!(n));
    }
    w.look(3);
    assert!(w.differ.left_out().no_room.len() < 600, "what is remembered is bounded");
    w.look(4);
    assert_eq!(w.differ.left_out(), LeftOut::default());
}

#[test]
fn keys_that_changed_become_one_update() {
    let mut w = World::new();
    w.set("folder_id", json!("F1"))
        .set("next_check_time", json!(naive(60)))
        .set("last_activity", json!(naive(1)));
    w.set("seconds_until_next_check", json!(59))
        .set("huge", json!("x".repeat(5_000)))
        .set("last_check_time", json!("soon"));
    w.look(1);
    assert_eq!(w.state().extra["folder_id"], "F1");
    assert_eq!(w.state().watch_location.as_deref(), Some("F1"));
    assert_eq!(w.state().next_check_time, Some(at(60)));
    assert_eq!(w.differ.left_out(), LeftOut { not_taken: vec!["huge".to_owned()], ..LeftOut::default() });
    assert!(
        !w.state().extra.contains_key("huge") && !w.state().extra.contains_key("seconds_until_next_check")
    );
    let seq = w.state().seq;
    w.look(2);
    assert_eq!(w.state().seq, seq, "nothing changed");
    w.set("is_checking", json!(false))
        .set("folder_id", json!("F2"))
        .set("next_check_time", json!(null))
        .look(3);
    assert_eq!(
        (w.state().seq, w.state().is_checking, w.state().next_check_time),
        (seq + 1, Some(false), None)
    );
    w.dict.as_object_mut().unwrap().remove("folder_id");
    w.look(4);
    assert_eq!((w.state().seq, w.state().extra.get("folder_id")), (seq + 2, None));
    assert_eq!(
        w.state().extra[REPORTED],
        json!({ "total_processed": 0, "total_failed": 0, "started_at": naive(0) })
    );
    w.restart();
    w.look(5);
    assert_eq!((w.state().seq, w.hub.anomalies), (seq + 2, 0));
}

#[test]
fn progress_and_stages_are_passed_on() {
    let mut w = World::new();
    let file = |progress: f64| json!({ "name": "a", "started_at": naive(1), "processing_stage": "embedding", "progress": progress });
    w.list("processing", &[file(0.0)]).look(2);
    assert_eq!(w.list("processing", &[file(0.5)]).look(3), ["file:progress a"]);
    assert_eq!(w.look(4), Vec::<String>::new());
    let state = w.state().files.get("a").unwrap();
    assert_eq!(
        (state.progress, state.processing_stage.as_ref().map(|s| s.as_str())),
        (Some(0.5), Some("embedding"))
    );
    assert_eq!(w.list("processing", &[file(7.0)]).look(5), Vec::<String>::new());
}

#[test]
fn mixed_time_zones_do_not_turn_times_round() {
    let mut w = World::new();
    // The end in UTC, the start an hour ahead of it: one of the two lies.
    let mut end = ended("a", Some("A"), 0, 10);
    end["started_at"] = json!(naive(3_600));
    w.list("completed", &[end]).totals(1, 0);
    w.look(20);
    assert_eq!(w.state().files.get("A").unwrap().completed_at, Some(at(10)));
    w.restart();
    assert_eq!(w.look(21), Vec::<String>::new());
    // No times at all.
    w.list("processing", &[json!("bare")]).look(22);
    w.restart();
    assert_eq!(w.look(23), Vec::<String>::new());
    w.list("processing", &[]).list("failed", &[json!("bare")]).totals(1, 1);
    assert_eq!(w.look(24), ["file:failed bare Error"]);
    w.list("processing", &[json!("bare")]);
    assert_eq!(w.look(25), ["file:processing bare"], "again");
    w.list("processing", &[]).list("failed", &[json!("bare"), json!("bare")]).totals(1, 2);
    assert_eq!(w.look(26), ["file:failed bare Error"]);
    assert_eq!((w.hub.totals(), w.hub.anomalies), ((1, 2), 0));
}
