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
    m.close(Some(offline.clone()), at(5.0));
    assert_eq!(names(&sent(&mut m, 0.0)), ["x:a", "pipeline:offline"]);
    m.answered(away(), at(0.0), time());
    assert_eq!(m.next(at(0.0)), Action::Wait(Some(at(0.25))), "waits are short while closing");
    sent(&mut m, 0.25);
    m.answered(good(2), at(0.3), time());
    assert_eq!(m.next(at(0.3)), Action::Stop);

    let mut m = machine();
    report(&mut m, "x:a", json!({}));
    m.close(Some(offline.clone()), at(5.0));
    sent(&mut m, 0.0);
    assert_eq!(m.next(at(5.0)), Action::Stop);
    assert_eq!(m.queue.len(), 2);

    let mut m = machine();
    m.close(Some(offline), at(5.0));
    assert_eq!(m.next(at(0.0)), Action::Stop, "nothing was reported, so nobody has to be told");
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
