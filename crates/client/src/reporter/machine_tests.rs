use super::super::encode::item_of;
use super::*;
use proptest::prelude::*;
use ragpulse_protocol::{Code, Epoch, PipelineType, ReportedEvent};
use serde_json::{Value, json};

fn time() -> Timestamp {
    Timestamp::from_millis(0)
}

fn at(seconds: f64) -> Duration {
    Duration::from_secs_f64(seconds)
}

fn machine() -> Machine {
    let encoder = Encoder::new("id".into(), PipelineType::new("local_files").unwrap(), 30);
    let backoff = Backoff::new(at(1.0), at(8.0), Box::new(|| 1.0));
    Machine::new(Queue::new(1000, 10_000_000), encoder, backoff, at(10.0))
}

fn report(machine: &mut Machine, name: &str, data: Value) {
    let Value::Object(data) = data else { panic!("{data}") };
    let event = ReportedEvent { event: name.into(), event_id: None, timestamp: None, data };
    let item = machine.encoder.encode(event, time()).unwrap();
    assert_ne!(machine.push(item, false), Pushed::Dropped);
}

fn close(machine: &mut Machine, offline: Item, by: f64) {
    if machine.owes_offline() {
        machine.push(offline, true);
    }
    machine.close(at(by));
}

fn file(name: &str) -> Value {
    json!({"file": {"name": name}})
}

fn sent(machine: &mut Machine, now: f64) -> Vec<Value> {
    match machine.next(at(now)) {
        Action::Send(body) => serde_json::from_str(&body).unwrap(),
        other => panic!("{other:?}"),
    }
}

fn names(events: &[Value]) -> Vec<String> {
    events
        .iter()
        .map(|event| {
            let name = event["event"].as_str().unwrap();
            match event["data"]["file"]["name"].as_str() {
                Some(file) => format!("{name} {file}"),
                None => name.to_owned(),
            }
        })
        .collect()
}

fn good(accepted: u64) -> Answer {
    let epoch = Epoch::new("e").unwrap();
    Ok(PublishReceipt { accepted, duplicates: 0, conflated: 0, epoch, seq: accepted })
}

fn problem(code: Code) -> Problem {
    Problem::new(code, "why")
}

fn bad(problem: Problem) -> Answer {
    Err(BadAnswer::Problem { problem: Box::new(problem), retry_after: None })
}

fn away() -> Answer {
    Err(BadAnswer::Unreachable("away".into()))
}

#[test]
fn sends_what_waits_one_batch_at_a_time() {
    let mut m = machine();
    assert_eq!(m.next(at(0.0)), Action::Wait(None));
    report(&mut m, "pipeline:online", json!({}));
    let first = sent(&mut m, 0.0);
    assert_eq!(first[0]["data"], json!({"pipeline_type": "local_files", "lease_seconds": 30}));
    report(&mut m, "file:queued", file("a"));
    assert_eq!(m.next(at(0.1)), Action::Wait(None), "one is under way");
    assert_eq!(m.answered(good(1), at(0.2), time()), None);
    assert_eq!(names(&sent(&mut m, 0.2)), ["file:queued a"]);
}

#[test]
fn a_resend_is_the_same_to_the_byte_and_waits_longer_each_time() {
    let mut m = machine();
    report(&mut m, "x:a", json!({}));
    report(&mut m, "x:b", json!({}));
    let first = sent(&mut m, 0.0);
    let mut now = 0.0;
    for wait in [1.0, 2.0, 4.0, 8.0, 8.0] {
        m.answered(away(), at(now), time());
        assert_eq!(m.next(at(now)), Action::Wait(Some(at(now + wait))));
        now += wait;
        assert_eq!(sent(&mut m, now), first);
    }
    let Standing::Retrying { since, failures, .. } = m.standing() else { panic!("{:?}", m.standing()) };
    assert_eq!((*since, *failures), (at(0.0), 5));
    m.answered(good(2), at(now), time());
    assert_eq!(m.standing(), &Standing::Connected);
    assert_eq!(m.totals.accepted, 2);
}

#[test]
fn a_wait_the_hub_asks_for_is_kept() {
    let mut m = machine();
    report(&mut m, "x:a", json!({}));
    sent(&mut m, 0.0);
    let answer = BadAnswer::Problem {
        problem: Box::new(problem(Code::Overloaded)),
        retry_after: Some(Duration::from_secs(20)),
    };
    m.answered(Err(answer), at(0.0), time());
    assert_eq!(m.next(at(0.0)), Action::Wait(Some(at(30.0))));
}

#[test]
fn a_bad_event_is_set_aside_and_the_rest_is_sent_at_once() {
    let mut m = machine();
    for name in ["a", "b", "c"] {
        report(&mut m, "file:queued", file(name));
    }
    sent(&mut m, 0.0);
    let aside = m.answered(bad(problem(Code::InvalidEvent).at_index(1)), at(0.0), time()).unwrap();
    assert!(aside.item.json.contains(r#""b""#));
    assert_eq!(names(&sent(&mut m, 0.0)), ["file:queued a", "file:queued c"]);
    assert_eq!(m.totals.rejected, 1);
}

#[test]
fn a_bad_event_the_hub_does_not_point_at_is_found_by_halving() {
    let mut m = machine();
    for name in ["a", "b", "c", "bad", "d"] {
        report(&mut m, "file:queued", file(name));
    }
    let (mut arrived, mut tries) = (Vec::new(), 0);
    while m.queue.len() > 0 {
        let batch = names(&sent(&mut m, 0.0));
        tries += 1;
        let is_bad = batch.iter().any(|name| name.ends_with("bad"));
        if !is_bad {
            arrived.extend(batch.clone());
        }
        let answer = if is_bad { bad(problem(Code::InvalidRequest)) } else { good(batch.len() as u64) };
        m.answered(answer, at(0.0), time());
    }
    assert_eq!(arrived, ["file:queued a", "file:queued b", "file:queued c", "file:queued d"]);
    assert!(tries < 12, "{tries}");
    assert_eq!(m.totals.rejected, 1);
}

#[test]
fn a_hub_that_forgot_is_told_online_and_the_open_files_before_the_rest() {
    let mut m = machine();
    report(&mut m, "pipeline:online", json!({"watch_location": "/docs"}));
    for name in ["a", "b"] {
        report(&mut m, "file:processing", file(name));
    }
    report(&mut m, "file:completed", file("a"));
    sent(&mut m, 0.0);
    m.answered(good(4), at(0.0), time());

    report(&mut m, "file:processing", file("c"));
    let refused = sent(&mut m, 1.0);
    m.answered(bad(problem(Code::UnknownPipeline)), at(1.0), time());
    let again = sent(&mut m, 1.0);
    assert_eq!(names(&again), ["pipeline:online", "file:processing b", "file:processing c"]);
    assert_eq!(again[0]["data"]["watch_location"], "/docs");
    assert_eq!(again[2], refused[0]);

    // It forgets again before it answers: the re-opening is made anew, not doubled, and not without a pause.
    m.answered(bad(problem(Code::UnknownPipeline)), at(1.0), time());
    assert_eq!(m.next(at(1.0)), Action::Wait(Some(at(2.0))));
    assert_eq!(names(&sent(&mut m, 2.0)), names(&again));
}

#[test]
fn a_hub_that_never_knew_is_told_the_builders_type() {
    let mut m = machine();
    report(&mut m, "file:queued", file("a"));
    sent(&mut m, 0.0);
    m.answered(bad(problem(Code::UnknownPipeline)), at(0.0), time());
    let again = sent(&mut m, 0.0);
    assert_eq!(names(&again), ["pipeline:online", "file:queued a"]);
    assert_eq!(again[0]["data"]["pipeline_type"], "local_files");
}

#[test]
fn a_heartbeat_goes_out_after_a_third_of_the_lease_and_only_while_online() {
    let mut m = machine();
    report(&mut m, "pipeline:online", json!({}));
    sent(&mut m, 0.0);
    m.answered(good(1), at(1.0), time());
    assert_eq!(m.next(at(5.0)), Action::Wait(Some(at(11.0))));
    assert_eq!(names(&sent(&mut m, 11.0)), ["heartbeat"]);
    m.answered(bad(problem(Code::UnknownPipeline)), at(11.0), time());
    assert_eq!(names(&sent(&mut m, 11.0)), ["pipeline:online"], "the hub forgot");
    m.answered(good(1), at(12.0), time());
    report(&mut m, "pipeline:offline", json!({}));
    sent(&mut m, 13.0);
    m.answered(good(1), at(13.0), time());
    assert_eq!(m.next(at(100.0)), Action::Wait(None));
}

#[test]
fn a_token_the_hub_does_not_take_is_told_and_nothing_is_thrown_away() {
    let mut m = machine();
    report(&mut m, "x:a", json!({}));
    sent(&mut m, 0.0);
    m.answered(bad(problem(Code::Unauthorized)), at(0.0), time());
    assert_eq!(m.refusal().map(|problem| problem.code), Some(Code::Unauthorized));
    assert_eq!(names(&sent(&mut m, 1.0)), ["x:a"]);
    m.answered(good(1), at(1.0), time());
    assert_eq!(m.refusal(), None);
}

#[test]
fn closing_sends_everything_then_offline_and_stops_at_its_deadline() {
    let mut m = machine();
    report(&mut m, "x:a", json!({}));
    let offline = ReportedEvent { event: "pipeline:offline".into(), ..ReportedEvent::heartbeat() };
    let offline = m.encoder.encode(offline, time()).unwrap();
    close(&mut m, offline.clone(), 5.0);
    assert_eq!(names(&sent(&mut m, 0.0)), ["x:a", "pipeline:offline"]);
    m.answered(away(), at(0.0), time());
    assert_eq!(m.next(at(0.0)), Action::Wait(Some(at(0.25))), "waits are short while closing");
    sent(&mut m, 0.25);
    m.answered(good(2), at(0.3), time());
    assert_eq!(m.next(at(0.3)), Action::Stop);

    let mut m = machine();
    report(&mut m, "x:a", json!({}));
    close(&mut m, offline.clone(), 5.0);
    sent(&mut m, 0.0);
    assert_eq!(m.next(at(5.0)), Action::Stop);
    assert_eq!(m.queue.len(), 2);

    let mut m = machine();
    close(&mut m, offline, 5.0);
    assert_eq!(m.next(at(0.0)), Action::Stop, "nothing was reported, so nobody has to be told");
}

fn good_in(epoch: &str, accepted: u64) -> Answer {
    let epoch = Epoch::new(epoch).unwrap();
    Ok(PublishReceipt { accepted, duplicates: 0, conflated: 0, epoch, seq: accepted })
}

/// A machine whose hub, in epoch `e`, knows it online, with `a` and `b` open.
fn with_open_files() -> Machine {
    let mut m = machine();
    report(&mut m, "pipeline:online", json!({"watch_location": "/docs"}));
    for name in ["a", "b"] {
        report(&mut m, "file:processing", file(name));
    }
    sent(&mut m, 0.0);
    m.answered(good(3), at(0.0), time());
    m
}

#[test]
fn a_hub_that_counts_anew_is_told_the_open_files_although_another_re_opened_the_pipeline() {
    let mut m = with_open_files();
    for name in ["c", "d"] {
        report(&mut m, "file:processing", file(name));
    }
    report(&mut m, "file:completed", file("a"));
    sent(&mut m, 1.0);
    report(&mut m, "file:completed", file("b"));
    m.answered(good_in("f", 3), at(1.0), time());
    // `a` has ended and `c` and `d` were begun in the new epoch: only `b` is not known there.
    let again = sent(&mut m, 1.0);
    assert_eq!(names(&again), ["pipeline:online", "file:processing b", "file:completed b"]);
    assert_eq!(again[0]["data"]["watch_location"], "/docs");
    m.answered(good_in("f", 3), at(1.0), time());
    assert!(matches!(m.next(at(1.0)), Action::Wait(Some(_))), "told once");
}

#[test]
fn a_heartbeat_finds_the_new_epoch_of_a_quiet_reporter() {
    let mut m = with_open_files();
    assert_eq!(names(&sent(&mut m, 10.0)), ["heartbeat"]);
    m.answered(good_in("f", 0), at(10.0), time());
    let again = ["pipeline:online", "file:processing a", "file:processing b"];
    assert_eq!(names(&sent(&mut m, 10.0)), again);
}

#[test]
fn who_re_opened_a_pipeline_himself_tells_nothing_twice() {
    let mut m = with_open_files();
    report(&mut m, "x:a", json!({}));
    sent(&mut m, 1.0);
    m.answered(bad(problem(Code::UnknownPipeline)), at(1.0), time());
    assert_eq!(sent(&mut m, 1.0).len(), 4);
    m.answered(good_in("f", 4), at(1.0), time());
    assert!(matches!(m.next(at(1.0)), Action::Wait(Some(_))));
}

#[test]
fn a_reopening_of_many_batches_is_told_once_and_without_a_file_too_few() {
    let mut m = machine();
    let all: Vec<String> = (0..1_200).map(|number| format!("f{number}")).collect();
    report(&mut m, "pipeline:online", json!({}));
    // The queue of these tests holds 1,000.
    for names in all.chunks(600) {
        names.iter().for_each(|name| report(&mut m, "file:processing", file(name)));
        while m.queue.len() > 0 {
            let count = sent(&mut m, 0.0).len() as u64;
            m.answered(good(count), at(0.0), time());
        }
    }
    report(&mut m, "x:a", json!({}));
    sent(&mut m, 1.0);
    m.answered(bad(problem(Code::UnknownPipeline)), at(1.0), time());
    let mut told = Vec::new();
    while m.queue.len() > 0 {
        let batch = names(&sent(&mut m, 1.0));
        m.answered(good_in("f", batch.len() as u64), at(1.0), time());
        told.extend(batch);
    }
    let expected: Vec<String> = std::iter::once("pipeline:online".to_owned())
        .chain(all.iter().map(|name| format!("file:processing {name}")))
        .chain(["x:a".to_owned()])
        .collect();
    assert_eq!(told, expected);
}

#[test]
fn two_hubs_that_answer_in_turns_are_not_told_without_a_pause() {
    let mut m = with_open_files();
    report(&mut m, "x:a", json!({}));
    sent(&mut m, 1.0);
    m.answered(good_in("f", 1), at(1.0), time());
    sent(&mut m, 1.0);
    m.answered(good_in("e", 3), at(1.0), time());
    assert!(matches!(m.next(at(1.0)), Action::Wait(Some(until)) if until > at(1.0)));
}

fn spooled(machine: &mut Machine, name: &str, data: Value, number: u64) -> bool {
    let Value::Object(data) = data else { panic!("{data}") };
    let event = ReportedEvent { event: name.into(), event_id: None, timestamp: None, data };
    let item = machine.encoder.encode(event, time()).unwrap();
    machine.push_spooled(Item { spooled: Some(number), ..item })
}

fn small() -> Machine {
    Machine { queue: Queue::new(2, 1_000_000), ..machine() }
}

#[test]
fn what_has_no_room_waits_in_the_spool_and_comes_back_in_order() {
    let mut m = small();
    assert!(spooled(&mut m, "x:a", json!({}), 0));
    assert!(spooled(&mut m, "x:b", json!({}), 1));
    assert!(!spooled(&mut m, "x:c", json!({}), 2));
    m.queue.set_elsewhere(1);
    assert_eq!(names(&sent(&mut m, 0.0)), ["x:a", "x:b"]);
    // There is room again while the batch is under way, but what waits elsewhere comes first.
    m.answered(good(2), at(0.0), time());
    assert!(!spooled(&mut m, "x:d", json!({}), 3));
    m.queue.set_elsewhere(2);
    assert_eq!(m.take_settled(), [0, 1]);
    assert_eq!(m.unsent(), 2);
    assert!(matches!(m.next(at(0.0)), Action::Refill { events: 2, .. }));
    let item = |json: &str| item_of(json.as_bytes()).unwrap();
    let items = vec![item(r#"{"event":"x:c"}"#), item(r#"{"event":"x:d"}"#)];
    m.refilled(items, 0);
    assert_eq!(names(&sent(&mut m, 0.0)), ["x:c", "x:d"]);
}

#[test]
fn progress_does_not_overtake_what_waits_in_the_spool_and_an_end_there_cancels_it() {
    let mut m = small();
    report(&mut m, "file:progress", json!({"file": {"name": "a"}, "progress": 0.1}));
    spooled(&mut m, "x:a", json!({}), 0);
    m.queue.set_elsewhere(1);
    assert!(!spooled(&mut m, "file:completed", file("a"), 1));
    m.queue.set_elsewhere(2);
    let event = r#"{"event":"file:progress","data":{"file":{"name":"b"},"progress":0.1}}"#;
    assert_eq!(m.push(item_of(event.as_bytes()).unwrap(), false), Pushed::Dropped);
    assert_eq!(m.queue.given_up(), 2);
}

#[test]
fn a_spool_that_cannot_be_read_is_tried_again_and_closing_waits_for_it() {
    let mut m = small();
    m.queue.set_elsewhere(1);
    assert!(matches!(m.next(at(0.0)), Action::Refill { .. }));
    m.refill_failed("damaged".into(), at(0.0));
    assert_eq!(m.next(at(0.0)), Action::Wait(Some(at(1.0))));
    assert!(matches!(m.standing(), Standing::Retrying { cause, .. } if cause == "damaged"));
    m.close(at(5.0));
    assert!(matches!(m.next(at(1.0)), Action::Refill { .. }));
    assert_eq!(m.next(at(5.0)), Action::Stop);
    assert_eq!(m.unsent(), 1);
}

#[test]
fn what_is_in_memory_is_sent_although_the_spool_behind_it_cannot_be_read() {
    let mut m = machine();
    assert!(spooled(&mut m, "x:a", json!({}), 0));
    m.queue.set_elsewhere(1);
    assert!(matches!(m.next(at(0.0)), Action::Refill { .. }));
    m.refill_failed("damaged".into(), at(0.0));
    assert_eq!(names(&sent(&mut m, 0.0)), ["x:a"]);
    m.answered(good(1), at(0.0), time());
    assert!(matches!(m.next(at(0.0)), Action::Refill { .. }));
}

#[test]
fn a_refused_event_is_settled_too() {
    let mut m = machine();
    for number in 0..3 {
        spooled(&mut m, "x:a", json!({}), number);
    }
    sent(&mut m, 0.0);
    m.answered(bad(problem(Code::InvalidEvent).at_index(1)), at(0.0), time());
    assert_eq!(m.take_settled(), [1]);
    sent(&mut m, 0.0);
    m.answered(good(2), at(0.0), time());
    assert_eq!(m.take_settled(), [0, 2]);
}

#[test]
fn files_of_an_earlier_life_end_at_their_time_whether_or_not_something_was_sent() {
    for online in [false, true] {
        let mut m = machine();
        m.end_orphans_at(at(30.0));
        if online {
            report(&mut m, "x:a", json!({}));
            sent(&mut m, 25.0);
            m.answered(good(1), at(25.0), time());
        }
        assert_eq!(m.next(at(25.0)), Action::Wait(Some(at(30.0))));
        assert_eq!(m.next(at(30.0)), Action::EndOrphans);
        assert!(matches!(m.next(at(30.0)), Action::Wait(_)), "once");
    }
}

proptest! {
    /// Whatever a hub answers: it takes or refuses each event that must arrive exactly once, in order.
    #[test]
    fn each_event_is_taken_or_refused_once_whatever_the_hub_answers(
        script in prop::collection::vec((0..6u8, 0..8usize), 1..60),
        pushes in prop::collection::vec(0..3u8, 1..60),
    ) {
        let mut m = machine();
        let (mut now, mut done, mut pushed) = (0.0, Vec::new(), 0u64);
        let mut script = script.into_iter();
        for count in pushes {
            for _ in 0..count {
                pushed += 1;
                report(&mut m, "x:event", json!({"n": pushed}));
            }
            settle(&mut m, &mut now, &mut done, || script.next(), 1);
        }
        settle(&mut m, &mut now, &mut done, || None, 1_000);
        let mut order = done.iter().filter(|(_, refused)| !refused).map(|(n, _)| *n).collect::<Vec<_>>();
        prop_assert!(order.is_sorted(), "{order:?}");
        order.extend(done.iter().filter(|(_, refused)| *refused).map(|(n, _)| *n));
        order.sort_unstable();
        prop_assert_eq!(order, (1..=pushed).collect::<Vec<_>>());
    }
}

fn settle(
    m: &mut Machine,
    now: &mut f64,
    done: &mut Vec<(u64, bool)>,
    mut script: impl FnMut() -> Option<(u8, usize)>,
    steps: usize,
) {
    let n = |event: &Value| event["data"]["n"].as_u64();
    for _ in 0..steps {
        match m.next(at(*now)) {
            Action::Wait(Some(until)) if m.queue.len() > 0 => *now = until.as_secs_f64(),
            Action::Wait(_) | Action::Stop => return,
            action @ (Action::Refill { .. } | Action::EndOrphans) => panic!("there is no spool: {action:?}"),
            Action::Send(body) => {
                let batch: Vec<Value> = serde_json::from_str(&body).unwrap();
                let answer = match script() {
                    Some((0, _)) => away(),
                    Some((1, index)) => bad(problem(Code::InvalidEvent).at_index(index)),
                    Some((2, _)) => bad(problem(Code::BatchTooLarge)),
                    Some((3, _)) => bad(problem(Code::UnknownPipeline)),
                    Some((4, _)) => bad(problem(Code::Forbidden)),
                    Some(_) | None => good(batch.len() as u64),
                };
                if answer.is_ok() {
                    done.extend(batch.iter().filter_map(n).map(|n| (n, false)));
                }
                if let Some(aside) = m.answered(answer, at(*now), time()) {
                    let event: Value = serde_json::from_str(&aside.item.json).unwrap();
                    done.extend(n(&event).map(|n| (n, true)));
                }
            }
        }
    }
}

#[test]
fn without_heartbeats_nothing_is_said_while_nothing_happens() {
    let mut m = machine();
    report(&mut m, "pipeline:online", json!({}));
    sent(&mut m, 0.0);
    assert_eq!(m.answered(good(1), at(0.0), time()), None);
    m.set_heartbeats(false);
    assert_eq!(m.next(at(100.0)), Action::Wait(None));
    report(&mut m, "x:a", json!({}));
    assert_eq!(names(&sent(&mut m, 101.0)), ["x:a"], "events are sent as ever");
    assert_eq!(m.answered(good(1), at(101.0), time()), None);
    m.set_heartbeats(true);
    assert_eq!(names(&sent(&mut m, 120.0)), ["heartbeat"]);
}

#[test]
fn who_takes_over_vouches_at_once_and_tells_a_hub_that_forgot() {
    let mut m = machine();
    assert_eq!(m.next(at(0.0)), Action::Wait(None));
    m.take_over();
    assert_eq!(names(&sent(&mut m, 0.0)), ["heartbeat"]);
    assert_eq!(m.answered(bad(problem(Code::UnknownPipeline)), at(0.0), time()), None);
    let events = sent(&mut m, 0.0);
    assert_eq!(names(&events), ["pipeline:online"]);
    assert_eq!(events[0]["data"]["pipeline_type"], "local_files");
}

#[test]
fn a_reporter_that_leaves_its_pipeline_online_owes_no_goodbye() {
    let mut m = machine();
    report(&mut m, "pipeline:online", json!({}));
    m.keep_online();
    assert!(!m.owes_offline());
}

#[test]
fn a_token_that_is_refused_is_followed_by_another_at_once_and_then_by_waits() {
    let mut m = machine();
    m.set_renews(true);
    report(&mut m, "x:a", json!({}));
    let first = sent(&mut m, 0.0);
    m.answered(bad(problem(Code::Unauthorized)), at(0.0), time());
    assert_eq!(m.standing(), &Standing::Idle, "nobody needs to know of it");
    assert_eq!(sent(&mut m, 0.0), first);
    let mut now = 0.0;
    for wait in [1.0, 2.0, 4.0] {
        m.answered(bad(problem(Code::Unauthorized)), at(now), time());
        assert!(matches!(m.standing(), Standing::Refused { .. }));
        assert_eq!(m.refusal(), None, "it may pass by itself: whoever reports waits for room");
        assert_eq!(m.next(at(now)), Action::Wait(Some(at(now + wait))));
        now += wait;
        assert_eq!(sent(&mut m, now), first);
    }
    m.answered(good(1), at(now), time());
    assert_eq!((m.standing(), m.totals.accepted), (&Standing::Connected, 1));
    // The next token that ends has its own try at once, a heartbeat's too.
    now += 10.0;
    let heartbeat = sent(&mut m, now);
    m.answered(bad(problem(Code::Unauthorized)), at(now), time());
    assert_eq!(sent(&mut m, now), heartbeat);
    assert_eq!(m.totals.rejected, 0);
}

#[test]
fn a_fixed_token_that_is_refused_waits_as_ever() {
    let mut m = machine();
    report(&mut m, "x:a", json!({}));
    sent(&mut m, 0.0);
    m.answered(bad(problem(Code::Unauthorized)), at(0.0), time());
    assert_eq!(m.next(at(0.0)), Action::Wait(Some(at(1.0))));
    assert!(m.refusal().is_some());
}

#[test]
fn a_source_that_gives_no_token_is_as_a_hub_that_is_away() {
    let mut m = machine();
    m.set_renews(true);
    report(&mut m, "x:a", json!({}));
    let first = sent(&mut m, 0.0);
    m.answered(Err(BadAnswer::NoToken("no issuer".into())), at(0.0), time());
    let Standing::Retrying { cause, failures: 1, .. } = m.standing() else { panic!("{:?}", m.standing()) };
    assert!(cause.contains("no token") && cause.contains("no issuer"), "{cause}");
    assert_eq!(sent(&mut m, 1.0), first);
}
