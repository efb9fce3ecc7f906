//! One room: joining, pausing, continuing, forgetting.

use std::sync::Arc;

use ragpulse_protocol::status::ResetReason;
use ragpulse_protocol::{Cursor, Epoch};
use serde_json::json;

use super::*;
use crate::hub::writer::removed;
use crate::log::{Extent, Page};

fn cursor(epoch: &str, seq: u64) -> Option<Cursor> {
    Some(Cursor { epoch: Epoch::new(epoch).unwrap(), seq })
}

/// What a join of a room with events 1 to 10, of which the ring holds 5 to 10, answers and brings.
fn joined(cursor: Option<Cursor>) -> (bool, u64, Option<ResetReason>, Vec<String>) {
    let room = room(6, 4);
    append(&room, "a", 10);
    let outlet = Fake::new(1, 100);
    let join = room.join(outlet.clone(), true, cursor.as_ref(), now());
    settle(&room, 1);
    append(&room, "a", 11);
    (join.answer.recovered, join.answer.replayed, join.answer.reason, outlet.heard())
}

#[test]
fn a_join_brings_what_the_cursor_asks_for() {
    let words = |words: &[&str]| words.iter().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(joined(None), (false, 0, None, words(&["@10", "11"])));
    assert_eq!(joined(cursor("a", 10)), (true, 0, None, words(&["11"])));
    assert_eq!(joined(cursor("a", 7)), (true, 3, None, words(&["8", "9", "10", "11"])));
    let changed = (false, 0, Some(ResetReason::EpochChanged), words(&["@10 epoch_changed", "11"]));
    assert_eq!(joined(cursor("b", 7)), changed);
    assert_eq!(joined(cursor("a", 11)), (false, 0, Some(ResetReason::Ahead), words(&["@10 ahead", "11"])));
    // More than may be replayed, though the ring holds it.
    let lagged = (false, 0, Some(ResetReason::Lagged), words(&["@10 lagged", "11"]));
    assert_eq!(joined(cursor("a", 5)), lagged);
    let room = room(2, 100);
    append(&room, "a", 10);
    let outlet = Fake::new(1, 100);
    let join = room.join(outlet.clone(), true, cursor("a", 3).as_ref(), now());
    let question = join.question.unwrap();
    assert_eq!(room.settle(1, &question, &Ok(Extent::Trimmed)).reason, Some(ResetReason::Trimmed));
    settle(&room, 1);
    assert_eq!(outlet.heard(), ["@10 trimmed"]);
}

#[test]
fn what_the_ring_has_lost_comes_from_the_log() {
    let room = room(2, 100);
    append(&room, "a", 10);
    let outlet = Fake::new(1, 4);
    let question = room.join(outlet.clone(), true, cursor("a", 3).as_ref(), now()).question.unwrap();
    assert_eq!(room.advance(1, now()).to, Advance::Asking, "nothing before the answer");
    append(&room, "a", 11);
    assert!(outlet.heard().is_empty());
    let answer = room.settle(1, &question, &Ok(Extent::Held { bytes: 700 }));
    assert_eq!((answer.recovered, answer.replayed, answer.reason), (true, 7, None));
    let read = |after: u64, count: u64| {
        Page::Records((after + 1..=after + count).map(|seq| event("a", seq)).collect())
    };
    assert_eq!(room.advance(1, now()).to, Advance::BehindRing);
    let at = room.wants(1).unwrap();
    room.stock(1, &at, read(3, 5));
    room.stock(1, &at, read(3, 5));
    assert_eq!(settle(&room, 1), Advance::Behind, "its buffer is full");
    assert_eq!(outlet.heard(), ["4", "5", "6", "7"]);
    assert_eq!(settle(&room, 1), Advance::BehindRing);
    assert_eq!(outlet.heard(), ["8"]);
    // The log may be ahead of the room.
    room.stock(1, &room.wants(1).unwrap(), read(8, 5));
    assert_eq!(settle(&room, 1), Advance::Live);
    assert_eq!(outlet.heard(), ["9", "10", "11"]);
    append(&room, "a", 12);
    assert_eq!(outlet.heard(), ["12"]);
}

#[test]
fn a_replay_from_the_log_has_its_bounds() {
    let outlet = Fake::new(1, 1_000);
    let limits = HubLimits { ring_events: 2, replay_events: 4, replay_bytes: 2_000, ..HubLimits::default() };
    let room = Arc::new(Room::new(id("p"), &limits, &Arc::new(crate::metrics::Metrics::new(1))));
    append(&room, "a", 10);
    let join = |seq| room.join(outlet.clone(), true, cursor("a", seq).as_ref(), now());
    assert_eq!(join(5).answer.reason, Some(ResetReason::Lagged), "too many events");
    let question = join(6).question.unwrap();
    let large = Ok(Extent::Held { bytes: 2_001 });
    assert_eq!(room.settle(1, &question, &large).reason, Some(ResetReason::Lagged), "too many bytes");
    let question = join(6).question.unwrap();
    assert!(room.settle(1, &question, &Ok(Extent::Held { bytes: 2_000 })).recovered);
    // Whoever reads more slowly than events come is given up at last.
    append(&room, "a", 14);
    assert_eq!(room.advance(1, now()).to, Advance::BehindRing);
    append(&room, "a", 15);
    assert!(room.advance(1, now()).lagged);
    // An answer to a join that is over changes nothing.
    let question = join(12).question.unwrap();
    join(15);
    room.settle(1, &question, &Ok(Extent::Trimmed));
    assert_eq!(room.advance(1, now()).to, Advance::Live);
}

#[test]
fn an_id_is_held_until_its_pipeline_exists() {
    let room = room(8, 8);
    let (fresh, back) = (Fake::new(1, 10), Fake::new(2, 10));
    let join = room.join(fresh.clone(), true, None, now());
    assert_eq!((join.answer.recovered, join.answer.reason, join.paused), (true, None, false));
    let join = room.join(back.clone(), true, cursor("a", 4).as_ref(), now());
    assert_eq!((join.answer.recovered, join.answer.reason), (false, Some(ResetReason::UnknownPipeline)));
    append(&room, "b", 2);
    assert_eq!(fresh.heard(), ["1", "2"]);
    assert_eq!(back.heard(), ["1", "2"]);
}

#[test]
fn who_joins_while_a_pipeline_goes_gets_nothing_of_it() {
    let room = room(8, 8);
    append(&room, "a", 3);
    room.apply(placed("a", 4, "pipeline:removed", &json!({})), now());
    let (fresh, back) = (Fake::new(1, 10), Fake::new(2, 10));
    assert!(!room.join(fresh.clone(), true, None, now()).paused);
    let join = room.join(back.clone(), true, cursor("a", 2).as_ref(), now());
    assert_eq!(join.answer.reason, Some(ResetReason::UnknownPipeline));
    room.forget();
    append(&room, "b", 2);
    assert_eq!(fresh.heard(), ["1", "2"]);
    assert_eq!(back.heard(), ["1", "2"]);
}

#[test]
fn a_full_buffer_pauses_and_the_ring_continues_it() {
    let room = room(64, 64);
    append(&room, "a", 1);
    let (slow, quick) = (Fake::new(1, 3), Fake::new(2, 1_000));
    room.join(slow.clone(), true, None, now());
    room.join(quick.clone(), true, None, now());
    append(&room, "a", 40);
    assert_eq!(quick.heard().len(), 40, "the slow one delays no other");
    let heard = read_all(&room, &slow);
    let all: Vec<String> =
        std::iter::once("@1".to_owned()).chain((2..=40).map(|seq| seq.to_string())).collect();
    assert_eq!(heard, all);
    append(&room, "a", 41);
    assert_eq!(slow.heard(), ["41"], "live again");
}

#[test]
fn one_snapshot_comes_only_when_the_ring_has_gone_on() {
    let room = room(8, 64);
    append(&room, "a", 1);
    let slow = Fake::new(1, 3);
    room.join(slow.clone(), true, None, now());
    append(&room, "a", 11);
    // It has @1, 2 and 3, and the ring holds 4 to 11.
    assert_eq!(slow.heard(), ["@1", "2", "3"]);
    assert!(!room.advance(1, now()).lagged);
    assert_eq!(slow.heard(), ["4", "5", "6"]);
    append(&room, "a", 15);
    // The ring begins at 8, and 7 is the next.
    let moved = room.advance(1, now());
    assert_eq!((moved.to, moved.lagged, moved.delivered), (Advance::Live, true, 1));
    assert_eq!(slow.heard(), ["@15 lagged"]);
    append(&room, "a", 16);
    assert_eq!(slow.heard(), ["16"]);
}

#[test]
fn a_snapshot_that_finds_no_room_comes_later_and_is_of_then() {
    let room = room(8, 64);
    append(&room, "a", 2);
    let full = Fake::new(1, 0);
    assert!(room.join(full.clone(), true, None, now()).paused);
    append(&room, "a", 5);
    assert_eq!(settle(&room, 1), Advance::Behind);
    assert_eq!(full.heard(), Vec::<String>::new());
    full.leave();
    assert_eq!(settle(&room, 1), Advance::Gone);
    assert_eq!(room.follower_count(), 0);
}

#[test]
fn what_was_behind_hears_the_end_of_a_forgotten_life_and_all_of_the_next() {
    let room = room(8, 64);
    append(&room, "a", 1);
    let (slow, quick) = (Fake::new(1, 2), Fake::new(2, 100));
    room.join(slow.clone(), true, None, now());
    room.join(quick.clone(), true, None, now());
    append(&room, "a", 4);
    room.apply(placed("a", 5, "pipeline:removed", &json!({})), now());
    room.forget();
    append(&room, "b", 3);
    assert_eq!(quick.heard(), ["@1", "2", "3", "4", "5", "1", "2", "3"]);
    let mut heard = slow.heard();
    heard.extend(read_all(&room, &slow));
    // Between 2 and 5 there is a hole, by which the subscriber knows that its state is over.
    assert_eq!(heard, ["@1", "2", "5", "1", "2", "3"]);
}

#[test]
fn a_life_that_ends_untold_is_given_its_end() {
    let room = room(8, 64);
    let end = || room.untold_end(|| removed(None, now()));
    assert!(end().is_none(), "nothing lives");
    append(&room, "a", 1);
    let (slow, quick) = (Fake::new(1, 2), Fake::new(2, 100));
    room.join(slow.clone(), true, None, now());
    room.join(quick.clone(), true, None, now());
    append(&room, "a", 4);
    let last = end().unwrap();
    assert_eq!((&*last.name, Some(last.cursor())), ("pipeline:removed", cursor("a", 5)));
    room.apply(last, now());
    assert!(end().is_none(), "it has been told");
    room.forget();
    assert_eq!(room.farewell().map(|last| last.cursor()), cursor("a", 5), "for streams, which look");
    append(&room, "b", 2);
    assert_eq!(quick.heard(), ["@1", "2", "3", "4", "5", "1", "2"]);
    let mut heard = slow.heard();
    heard.extend(read_all(&room, &slow));
    assert_eq!(heard, ["@1", "2", "5", "1", "2"], "a hole, by which it knows that its state is over");
}

#[test]
fn a_slice_under_way_does_not_carry_a_position_into_the_next_life() {
    let room = room(64, 64);
    append(&room, "a", 1);
    let slow = Fake::new(1, 2);
    room.join(slow.clone(), true, None, now());
    append(&room, "a", 9);
    assert_eq!(slow.heard(), ["@1", "2"]);
    let during = room.clone();
    slow.during_next_emit(move || {
        during.apply(placed("a", 10, "pipeline:removed", &json!({})), now());
        during.forget();
        append(&during, "b", 2);
    });
    let mut heard = read_all(&room, &slow);
    append(&room, "b", 3);
    heard.extend(slow.heard());
    assert_eq!(heard[heard.len() - 4..], ["10", "1", "2", "3"], "{heard:?}");
}

#[test]
fn a_join_during_a_slice_is_not_overwritten_by_it() {
    let room = room(64, 64);
    append(&room, "a", 1);
    let slow = Fake::new(1, 3);
    room.join(slow.clone(), true, None, now());
    append(&room, "a", 9);
    slow.heard();
    let (during, again) = (room.clone(), slow.clone());
    slow.during_next_emit(move || {
        // It comes back from before, so 2 is next whatever the slice sends.
        during.join(again, true, cursor("a", 1).as_ref(), now());
    });
    let heard = read_all(&room, &slow);
    let tail: Vec<String> = (2..=9).map(|seq| seq.to_string()).collect();
    assert_eq!(heard[heard.len() - 8..], tail, "{heard:?}");
}

#[test]
fn a_follower_of_a_type_goes_when_the_pipeline_comes_back_as_another() {
    let room = room(8, 8);
    append(&room, "a", 2);
    let (by_type, asked, behind) = (Fake::new(1, 9), Fake::new(2, 9), Fake::new(3, 1));
    room.join(by_type.clone(), false, None, now());
    room.join(asked.clone(), true, None, now());
    room.join(behind.clone(), false, None, now());
    room.apply(placed("a", 3, "pipeline:removed", &json!({})), now());
    room.forget();
    room.keep(&std::collections::HashSet::new());
    append(&room, "b", 1);
    assert_eq!(by_type.heard(), ["@2", "3"]);
    assert_eq!(asked.heard(), ["@2", "3", "1"]);
    assert_eq!(behind.heard(), ["@2"]);
    assert_eq!(settle(&room, 3), Advance::Gone);
    assert_eq!(behind.heard(), ["3"], "the end of what it saw, and nothing of the other");
    assert_eq!(room.follower_count(), 1);
}

#[test]
fn heartbeats_come_in_order_and_only_at_the_head() {
    let room = room(8, 8);
    append(&room, "a", 1);
    let (slow, quick) = (Fake::new(1, 1), Fake::new(2, 9));
    room.join(slow.clone(), true, None, now());
    room.join(quick.clone(), true, None, now());
    append(&room, "a", 2);
    room.heartbeat(now(), 1.0, None);
    append(&room, "a", 3);
    assert_eq!(quick.heard(), ["@1", "2", "~2", "3"]);
    assert_eq!(slow.heard(), ["@1"]);
}

#[test]
fn a_countdown_in_a_snapshot_is_not_kept_for_ever() {
    let room = room(8, 8);
    append(&room, "a", 1);
    let changes = json!({ "changes": { "next_check_time": Timestamp::from_millis(NOW + 60_000) } });
    room.apply(placed("a", 2, "status:update", &changes), now());
    let seconds = |outlet: &Arc<Fake>, at: i64| {
        room.join(outlet.clone(), true, None, Timestamp::from_millis(NOW + at));
        let (_, text) = outlet.buffer.lock().pop_back().unwrap();
        serde_json::from_str::<serde_json::Value>(&text).unwrap()["seconds_until_next_check"].clone()
    };
    let outlet = Fake::speaking(1, 9, Dialect::Reference);
    assert_eq!(seconds(&outlet, 0), 60);
    assert_eq!(seconds(&outlet, 30_000), 30);
}

#[test]
fn a_snapshot_stays_under_its_size() {
    let room = room(4_000, 8);
    append(&room, "a", 1);
    for seq in 2..1_500 {
        let file = format!("{seq}-{}", "x".repeat(1_000));
        let fields = json!({ "file": { "id": file, "name": file }, "change": "created" });
        room.apply(placed("a", seq, "file:queued", &fields), now());
    }
    for dialect in [Dialect::Native, Dialect::Reference] {
        let outlet = Fake::speaking(1, 9, dialect);
        room.join(outlet.clone(), true, None, now());
        let (_, text) = outlet.buffer.lock().pop_back().unwrap();
        assert!(text.len() <= ragpulse_protocol::limits::MAX_SNAPSHOT_BYTES, "{}", text.len());
        assert!(text.contains("\"queued\":1498"), "counted all the same");
    }
}

#[test]
fn a_state_in_place_of_events_reaches_everybody_with_its_reason() {
    let before = room(6, 100);
    append(&before, "a", 10);
    let (live, full, asking) = (Fake::new(1, 100), Fake::new(2, 1), Fake::new(3, 100));
    before.join(live.clone(), true, cursor("a", 10).as_ref(), now());
    before.join(full.clone(), true, cursor("a", 6).as_ref(), now());
    assert_eq!(settle(&before, 2), Advance::Behind, "its buffer has room for one");
    let question = before.join(asking.clone(), true, cursor("a", 1).as_ref(), now()).question.unwrap();

    // Another hub's part of the story, of which this one missed 11 to 20.
    let after = room(6, 100);
    append(&after, "a", 22);
    let records = vec![event("a", 21), event("a", 22)];
    let mut behind = before.reset(after.state().unwrap(), records, &ResetReason::Trimmed);
    behind.sort_unstable();
    assert_eq!(behind, [1, 2, 3]);
    assert_eq!(*before.head().borrow(), 22);
    before.settle(3, &question, &Ok(Extent::Held { bytes: 1 }));
    append(&before, "a", 23);
    assert_eq!(read_all(&before, &live), ["@23 trimmed"]);
    assert_eq!(read_all(&before, &full), ["7", "@23 trimmed"], "no hole is left without being told");
    assert_eq!(read_all(&before, &asking), ["@23 trimmed"], "the answer is of what was before");
    append(&before, "a", 24);
    assert_eq!(live.heard(), ["24"]);
    // Who comes now with a cursor within what is at hand gets the rest.
    let late = Fake::new(4, 100);
    assert_eq!(before.join(late.clone(), true, cursor("a", 21).as_ref(), now()).answer.replayed, 3);
    assert_eq!(read_all(&before, &late), ["22", "23", "24"]);
}

#[test]
fn a_new_epoch_of_the_log_reaches_who_waited_and_who_followed() {
    let waiting = room(6, 100);
    let outlet = Fake::new(1, 100);
    waiting.join(outlet.clone(), true, None, now());
    let there = room(6, 100);
    append(&there, "b", 3);
    assert_eq!(waiting.reset(there.state().unwrap(), Vec::new(), &ResetReason::EpochChanged), [1]);
    assert_eq!(read_all(&waiting, &outlet), ["@3 epoch_changed"]);
    append(&waiting, "b", 4);
    assert_eq!(outlet.heard(), ["4"]);
    // Forgotten in between: the end of that life comes first.
    waiting.apply(placed("b", 5, "pipeline:removed", &json!({})), now());
    let slow = Fake::new(2, 0);
    waiting.forget();
    waiting.join(slow, true, None, now());
    assert_eq!(outlet.heard(), ["5"]);
    waiting.reset(there.state().unwrap(), Vec::new(), &ResetReason::EpochChanged);
    assert_eq!(read_all(&waiting, &outlet), ["@3 epoch_changed"]);
}
