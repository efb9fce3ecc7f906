use super::*;
use proptest::prelude::*;

fn item(name: &str, effect: Effect) -> Item {
    Item { json: format!("{name:08}"), effect, reopening: false, spooled: None }
}

fn progress(name: &str, file: &str, stage: &str) -> Item {
    item(name, Effect::Progress { file: file.to_owned(), stage: Some(stage.to_owned()) })
}

fn end(name: &str, file: &str) -> Item {
    item(name, Effect::End { file: file.to_owned() })
}

fn other(name: &str) -> Item {
    item(name, Effect::Other)
}

fn drain(queue: &mut Queue) -> Vec<String> {
    let mut names = Vec::new();
    while queue.len() > 0 {
        names.extend(queue.take(3, 1_000_000).map(|item| item.json.trim().to_owned()).collect::<Vec<_>>());
        queue.settle();
    }
    names
}

#[test]
fn newer_progress_of_a_stage_takes_the_place_of_the_older_but_a_new_stage_does_not() {
    let mut queue = Queue::new(10, 1000);
    for (name, stage) in [("a", "extract"), ("b", "extract"), ("c", "embed"), ("d", "extract")] {
        assert_eq!(queue.push(progress(name, "f", stage), false), Pushed::Queued);
    }
    assert_eq!(drain(&mut queue), ["b", "c", "d"]);
    assert_eq!(queue.given_up(), 1);
}

#[test]
fn without_room_only_the_latest_progress_of_a_file_stays_and_other_progress_is_dropped() {
    let mut queue = Queue::new(3, 1000);
    queue.push(progress("a", "f", "extract"), false);
    queue.push(progress("b", "f", "embed"), false);
    queue.push(other("c"), false);
    assert_eq!(queue.push(progress("d", "f", "store"), false), Pushed::Queued);
    assert_eq!(queue.push(other("e"), false), Pushed::Queued);
    assert_eq!(queue.push(progress("x", "g", "store"), false), Pushed::Dropped);
    assert_eq!(drain(&mut queue), ["c", "d", "e"]);
}

#[test]
fn what_must_arrive_takes_the_room_of_progress_and_is_refused_only_without_any() {
    let mut queue = Queue::new(2, 1000);
    queue.push(progress("a", "f", "extract"), false);
    queue.push(other("b"), false);
    assert_eq!(queue.push(other("c"), false), Pushed::Queued);
    assert_eq!(queue.push(other("d"), false), Pushed::Full(other("d")));
    assert_eq!(queue.push(end("e", "f"), true), Pushed::Queued);
    assert_eq!(drain(&mut queue), ["b", "c", "e"]);
}

#[test]
fn the_end_of_a_file_cancels_its_waiting_progress() {
    let mut queue = Queue::new(10, 1000);
    queue.push(progress("a", "f", "extract"), false);
    queue.push(progress("b", "g", "extract"), false);
    queue.push(progress("c", "f", "embed"), false);
    queue.push(end("d", "f"), false);
    assert_eq!(drain(&mut queue), ["b", "d"]);
}

#[test]
fn a_refused_end_leaves_the_progress_of_its_file() {
    let mut queue = Queue::new(2, 16);
    queue.push(progress("a", "f", "extract"), false);
    queue.push(other("b"), false);
    let big = Item {
        json: "x".repeat(17),
        effect: Effect::End { file: "f".into() },
        reopening: false,
        spooled: None,
    };
    assert!(matches!(queue.push(big, false), Pushed::Full(_)));
    assert_eq!(drain(&mut queue), ["a", "b"]);
}

#[test]
fn a_batch_keeps_its_bounds_but_an_event_larger_than_them_still_goes_alone() {
    let mut queue = Queue::new(10, 1000);
    for name in ["a", "b", "c"] {
        queue.push(other(name), false);
    }
    assert_eq!(queue.take(2, 1000).count(), 2);
    assert_eq!(queue.take(3, 1000).count(), 2, "one batch at a time");
    queue.give_back();
    assert_eq!(queue.take(3, 2 + 9 + 9).count(), 2);
    queue.give_back();
    assert_eq!(queue.take(3, 1).count(), 1);
}

#[test]
fn reopening_comes_first_and_replaces_an_earlier_reopening() {
    let mut queue = Queue::new(10, 1000);
    queue.push(other("a"), false);
    let reopen = |name: &str| Item { reopening: true, ..other(name) };
    queue.reopen(vec![reopen("old")]);
    queue.reopen(vec![reopen("x"), reopen("y")]);
    assert_eq!(drain(&mut queue), ["x", "y", "a"]);
}

#[derive(Debug, Clone)]
enum Op {
    Push(u8, u8, u8, usize),
    Take(usize, usize),
    Settle,
    GiveBack,
    SetAside(usize),
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        6 => (0..4u8, 0..3u8, 0..2u8, 1..40usize).prop_map(|(k, f, s, n)| Op::Push(k, f, s, n)),
        2 => (1..6usize, 1..120usize).prop_map(|(n, b)| Op::Take(n, b)),
        1 => Just(Op::Settle),
        1 => Just(Op::GiveBack),
        1 => (0..6usize).prop_map(Op::SetAside),
    ]
}

proptest! {
    /// Whatever is pushed, sent, refused and resent: what must arrive arrives once and in order, the bounds hold, and
    /// progress comes out in order too, never after an end that was queued later than it.
    #[test]
    fn what_must_arrive_is_never_lost_and_order_is_kept(ops in prop::collection::vec(op(), 1..200)) {
        let (max_events, max_bytes) = (8, 300);
        let mut queue = Queue::new(max_events, max_bytes);
        let mut expected = Vec::new();
        let mut arrived: Vec<(usize, bool)> = Vec::new();
        let mut aside = Vec::new();
        for (number, op) in ops.into_iter().enumerate() {
            match op {
                Op::Push(kind, file, stage, pad) => {
                    let file = file.to_string();
                    let effect = match kind {
                        0 | 1 => Effect::Progress { file, stage: Some(stage.to_string()) },
                        2 => Effect::End { file },
                        _ => Effect::Other,
                    };
                    let droppable = kind < 2;
                    let item = Item { json: format!("{number} {}", "x".repeat(pad)), effect, reopening: false, spooled: None };
                    let (len, given_up) = (queue.len(), queue.given_up());
                    match queue.push(item, false) {
                        Pushed::Queued if !droppable => expected.push(number),
                        Pushed::Queued => {}
                        Pushed::Dropped => prop_assert!(droppable),
                        Pushed::Full(_) => {
                            prop_assert!(!droppable);
                            prop_assert_eq!((len, given_up), (queue.len(), queue.given_up()));
                        }
                    }
                }
                Op::Take(events, bytes) => {
                    let before = queue.under_way();
                    let batch: Vec<usize> = queue.take(events, bytes).map(|item| item.json.len() + 1).collect();
                    prop_assert!(before > 0 || batch.len() <= events);
                    prop_assert!(before > 0 || batch.len() <= 1 || batch.iter().sum::<usize>() + 2 <= bytes);
                }
                Op::Settle => arrived.extend(queue.settle().iter().map(number_of)),
                Op::GiveBack => queue.give_back(),
                Op::SetAside(index) => aside.extend(queue.set_aside(index).iter().map(number_of)),
            }
            prop_assert!(queue.len() <= max_events);
            prop_assert!(queue.bytes <= max_bytes);
            let bytes = queue.waiting.values().chain(queue.under_way.iter().map(|(_, item)| item));
            prop_assert_eq!(bytes.map(|item| item.json.len()).sum::<usize>(), queue.bytes);
            let indexed: usize = queue.progress.values().map(VecDeque::len).sum();
            let waiting = queue.waiting.values().filter(|i| matches!(i.effect, Effect::Progress { .. })).count();
            prop_assert_eq!(indexed, waiting);
        }
        queue.give_back();
        while queue.take(3, 100).count() > 0 {
            arrived.extend(queue.settle().iter().map(number_of));
        }
        prop_assert!(arrived.is_sorted_by(|a, b| a.0 < b.0), "{arrived:?}");
        let set_aside: Vec<usize> = aside.iter().map(|(number, _)| *number).collect();
        let must: Vec<usize> = arrived.iter().filter(|(_, droppable)| !droppable).map(|(n, _)| *n).collect();
        expected.retain(|number| !set_aside.contains(number));
        prop_assert_eq!(must, expected);
    }
}

fn number_of(item: &Item) -> (usize, bool) {
    let number = item.json.split(' ').next().unwrap().parse().unwrap();
    (number, matches!(item.effect, Effect::Progress { .. }))
}
