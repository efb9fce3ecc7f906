//! Conflation with the time of the test: by example, and by what must hold of any storm.

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

#[test]
fn the_first_and_each_new_stage_go_at_once() {
    let mut conflator = Conflator::new(10, 200);
    assert_eq!(conflator.offer("a", Some("extraction"), 1, 0), Offer::Now(1));
    assert_eq!(conflator.offer("a", Some("extraction"), 2, 1), Offer::Held);
    assert_eq!(conflator.offer("a", Some("embedding"), 3, 2), Offer::Now(3));
    assert_eq!(conflator.due(1_000), Vec::<i32>::new(), "what was held is superseded");
}

#[test]
fn the_latest_wins_and_waits_no_longer_for_it() {
    let mut conflator = Conflator::new(10, 200);
    assert_eq!(conflator.offer("a", None, 0, 0), Offer::Now(0));
    for at in 1..100 {
        assert_eq!(conflator.offer("a", None, at, at), Offer::Held);
    }
    assert_eq!(conflator.next_due(), Some(100));
    assert_eq!(conflator.due(99), Vec::<i64>::new());
    assert_eq!(conflator.due(100), vec![99]);
    assert_eq!(conflator.next_due(), None);
}

#[test]
fn an_end_cancels_what_is_held() {
    let mut conflator = Conflator::new(10, 200);
    let _ = conflator.offer("a", None, 0, 0);
    assert_eq!(conflator.offer("a", None, 1, 1), Offer::Held);
    conflator.cancel("a");
    assert_eq!(conflator.due(10_000), Vec::<i32>::new());
    assert_eq!(conflator.offer("a", None, 2, 2), Offer::Now(2), "a new attempt begins anew");
}

#[test]
fn a_pipeline_has_a_rate_and_nobody_starves() {
    let mut conflator = Conflator::new(10, 200);
    let mut sent = 0_u32;
    for now in 0..5_000_i64 {
        for file in 0..100 {
            if let Offer::Now(_) = conflator.offer(&format!("f{file}"), None, (file, now), now) {
                sent += 1;
            }
        }
        sent += u32::try_from(conflator.due(now).len()).unwrap();
    }
    assert!((1_000..=1_300).contains(&sent), "{sent} in 5 s at 200 a second");
    let rest = conflator.drain();
    assert_eq!(rest.len() + conflator.files.values().filter(|slot| slot.sent_at == 4_999).count(), 100);
    assert!(rest.iter().all(|(_, at)| *at == 4_999), "the last of each file is what is held");
}

const FILES: u8 = 4;

#[derive(Debug, Clone)]
enum Step {
    Offer(u8, Option<u8>),
    Wait(i64),
    Cancel(u8),
    /// A batch that was not taken: what was offered of it is put back.
    Refused(u8, Option<u8>),
    Drain,
}

fn step() -> impl Strategy<Value = Step> {
    let (file, stage) = (0..FILES, proptest::option::of(0..3_u8));
    prop_oneof![
        8 => (file.clone(), stage.clone()).prop_map(|(file, stage)| Step::Offer(file, stage)),
        4 => (0..150_i64).prop_map(Step::Wait),
        1 => file.clone().prop_map(Step::Cancel),
        1 => (file, stage).prop_map(|(file, stage)| Step::Refused(file, stage)),
        1 => Just(Step::Drain),
    ]
}

/// What must hold of one file, kept the simple way.
#[derive(Debug, Clone, Default)]
struct Known {
    stage: Option<u8>,
    /// When something of it last went, by its rate; a stage that was new does not count against it.
    sent: Option<i64>,
    held: Option<(u8, u64)>,
}

type Item = (u8, u64);

/// The files, and what went out when.
#[derive(Default)]
struct Model {
    files: std::collections::HashMap<u8, Known>,
    gone: Vec<(i64, bool)>,
    last: std::collections::HashMap<u8, u64>,
}

impl Model {
    fn goes(&mut self, item: Item, now: i64, fresh: bool) -> Result<(), TestCaseError> {
        let last = self.last.insert(item.0, item.1);
        prop_assert!(last.is_none_or(|last| last < item.1), "{:?} after {:?}", item, last);
        self.gone.push((now, fresh));
        Ok(())
    }
}

proptest! {
    #[test]
    fn whatever_comes_only_the_latest_goes_and_at_its_rate(
        steps in vec(step(), 1..200),
        per_file in 1..20_u32,
        per_pipeline in 1..20_u32,
    ) {
        let interval = i64::from(1_000 / per_file);
        let mut conflator: Conflator<Item> = Conflator::new(per_file, per_pipeline);
        let mut model = Model::default();
        let (mut now, mut number) = (0_i64, 0_u64);
        for step in steps {
            match step {
                Step::Offer(file, stage) => {
                    number += 1;
                    let name = stage.map(|stage| stage.to_string());
                    let known = model.files.get(&file).cloned();
                    let fresh = known.as_ref().is_none_or(|known| stage.is_some() && stage != known.stage);
                    let offer = conflator.offer(&file.to_string(), name.as_deref(), (file, number), now);
                    match offer {
                        Offer::Now(item) => {
                            prop_assert_eq!(item, (file, number));
                            let due = known.and_then(|known| known.sent).map(|sent| sent + interval);
                            prop_assert!(fresh || due.is_none_or(|due| due <= now), "too early");
                            model.goes(item, now, fresh)?;
                            let known = model.files.entry(file).or_default();
                            known.sent = Some(now);
                            known.held = None;
                            if stage.is_some() {
                                known.stage = stage;
                            }
                        }
                        Offer::Held => {
                            prop_assert!(!fresh, "the first, and a new stage, go at once");
                            model.files.entry(file).or_default().held = Some((file, number));
                        }
                    }
                }
                Step::Wait(by) => {
                    now += by;
                    let promised = conflator.next_due();
                    prop_assert_eq!(promised.is_some(), model.files.values().any(|known| known.held.is_some()));
                    let due = conflator.due(now);
                    // As it was promised: nothing before, and something when it has come.
                    prop_assert!(due.is_empty() || promised.is_some_and(|at| at <= now));
                    prop_assert!(!due.is_empty() || promised.is_none_or(|at| at > now), "{:?} at {}", promised, now);
                    for item in due {
                        let known = model.files.get_mut(&item.0).unwrap();
                        prop_assert_eq!(known.held.take(), Some(item), "the latest, and once");
                        prop_assert!(known.sent.is_none_or(|sent| sent + interval <= now), "too early");
                        known.sent = Some(now);
                        model.goes(item, now, false)?;
                    }
                }
                Step::Cancel(file) => {
                    conflator.cancel(&file.to_string());
                    model.files.remove(&file);
                }
                Step::Refused(file, stage) => {
                    let id = file.to_string();
                    let (slot, rate) = (conflator.slot(&id), conflator.rate());
                    let before = format!("{conflator:?}");
                    let stage = stage.map(|stage| stage.to_string());
                    let _ = conflator.offer(&id, stage.as_deref(), (file, u64::MAX), now);
                    conflator.put_back(id, slot);
                    conflator.put_rate_back(rate);
                    // Maps print in any order; what matters is that as much is known, held and due as before.
                    prop_assert_eq!(format!("{conflator:?}").len(), before.len());
                }
                Step::Drain => {
                    let mut drained = conflator.drain();
                    drained.sort_unstable();
                    let mut held: Vec<Item> = model.files.values_mut().filter_map(|known| known.held.take()).collect();
                    held.sort_unstable();
                    prop_assert_eq!(&drained, &held);
                    for item in drained {
                        model.goes(item, now, true)?;
                    }
                    prop_assert_eq!(conflator.next_due(), None);
                }
            }
        }
        // Of what has to keep to the rate of the pipeline no second has more than that, beside what had been saved up.
        for (at, _) in &model.gone {
            let within = model.gone.iter().filter(|(then, fresh)| !fresh && (*at..*at + 1_000).contains(then));
            prop_assert!(within.count() <= 2 * per_pipeline as usize + 1);
        }
        // Nothing waits for ever: after as many seconds as there are files all that was held has gone.
        for _ in 0..=FILES {
            now += 1_000;
            for item in conflator.due(now) {
                prop_assert_eq!(model.files.get_mut(&item.0).unwrap().held.take(), Some(item));
            }
        }
        prop_assert!(model.files.values().all(|known| known.held.is_none()));
        prop_assert_eq!(conflator.next_due(), None);
    }
}

#[test]
fn what_went_another_way_counts_as_sent() {
    let mut conflator: Conflator<u32> = Conflator::new(10, 200);
    assert_eq!(conflator.offer("a", Some("s"), 1, 0), Offer::Now(1));
    assert_eq!(conflator.offer("a", Some("s"), 2, 10), Offer::Held);
    conflator.sent_elsewhere("a", Some("s"), 50, |held| *held > 5);
    assert_eq!(conflator.next_due(), None, "what is older than that is superseded");
    assert_eq!(conflator.offer("a", Some("s"), 7, 60), Offer::Held);
    assert_eq!(conflator.next_due(), Some(150), "as if the other had been ours");
    conflator.sent_elsewhere("a", Some("s"), 100, |held| *held > 6);
    assert_eq!(conflator.next_due(), Some(200), "what is newer waits for its turn");
    assert!(conflator.due(199).is_empty());
    assert_eq!(conflator.due(200), [7]);
    // The first that is heard of a file may be elsewhere too.
    conflator.sent_elsewhere("b", Some("s"), 200, |_| true);
    assert_eq!(conflator.offer("b", Some("s"), 1, 210), Offer::Held);
    assert_eq!(conflator.offer("b", Some("t"), 2, 210), Offer::Now(2), "a change of stage goes at once");
}

#[test]
fn what_could_not_go_waits_again_unless_it_is_over() {
    let mut conflator: Conflator<u32> = Conflator::new(10, 200);
    let _ = conflator.offer("a", None, 1, 0);
    let _ = conflator.offer("a", None, 2, 10);
    assert_eq!(conflator.due(100), [2]);
    conflator.hold("a", 2, 100);
    assert_eq!(conflator.due(100), [2]);
    let _ = conflator.offer("a", None, 3, 110);
    conflator.hold("a", 2, 110);
    assert_eq!(conflator.due(200), [3], "the newer one was held");
    conflator.cancel("a");
    conflator.hold("a", 3, 210);
    assert_eq!((conflator.next_due(), conflator.due(1_000)), (None, vec![]), "the file has ended");
}
