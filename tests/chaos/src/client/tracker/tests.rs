//! The tracker against hubs that break their promises.

use serde_json::json;

use super::*;
use crate::run::Run;

struct Bench {
    run: Arc<Run>,
    tracker: Tracker,
}

fn bench(keeps: bool) -> Bench {
    let run = Run::new(1);
    let witness = Witness::new(&run, run.journal("client"), Vec::new());
    let pipeline = PipelineId::new("p").unwrap();
    let tracker = Tracker::new(pipeline, Arc::new(Oracle::new(keeps)), witness, true);
    Bench { run, tracker }
}

impl Bench {
    fn event(&mut self, epoch: &str, seq: u64) -> &mut Self {
        let payload = json!({
            "pipeline_id": "p", "pipeline_type": "t", "epoch": epoch, "seq": seq,
            "timestamp": "2026-01-01T00:00:00Z", "received_at": "2026-01-01T00:00:00Z", MARK: format!("m{seq}"),
        });
        self.tracker.message("x:note", &payload.to_string(), Via::Socket);
        self
    }

    fn answer(&mut self, recovered: bool, reason: Option<ResetReason>) -> &mut Self {
        let pipeline_id = PipelineId::new("p").unwrap();
        self.tracker.answered(&SubscribedPipeline { pipeline_id, recovered, replayed: 0, reason });
        self
    }

    fn failure(&self) -> String {
        self.run.failures().first().map(|failure| failure.what.clone()).unwrap_or_default()
    }
}

#[test]
fn a_sequence_that_goes_on_across_a_cut_is_good() {
    let mut bench = bench(true);
    assert_eq!(bench.tracker.asks(), None);
    bench.answer(true, None).event("e", 1).event("e", 2);
    assert_eq!(bench.tracker.asks().map(|cursor| cursor.seq), Some(2));
    bench.answer(true, None).event("e", 3);
    assert_eq!(bench.failure(), "");
    assert_eq!(bench.tracker.state().map(|state| state.seq), Some(3));
    assert_eq!((bench.tracker.counts().events, bench.tracker.counts().recovered), (3, 1));
}

#[test]
fn holes_repeats_and_snapshots_without_need_are_failures() {
    let mut hole = bench(true);
    hole.tracker.asks();
    hole.event("e", 1).event("e", 3);
    assert!(hole.failure().starts_with("a hole"), "{}", hole.failure());

    let mut repeat = bench(true);
    repeat.tracker.asks();
    repeat.event("e", 1).event("e", 1);
    assert!(repeat.failure().starts_with("a repeat"), "{}", repeat.failure());

    let mut reset = bench(true);
    reset.tracker.asks();
    reset.event("e", 1);
    reset.tracker.asks();
    reset.answer(false, Some(ResetReason::EpochChanged));
    assert!(reset.failure().contains("where a replay was to be had"), "{}", reset.failure());
}

#[test]
fn without_a_store_a_new_life_is_no_failure_in_whichever_order_it_is_told() {
    let mut told_first = bench(false);
    told_first.tracker.asks();
    told_first.event("e", 1);
    told_first.tracker.asks();
    told_first.answer(false, Some(ResetReason::UnknownPipeline)).event("f", 1);
    assert_eq!(told_first.failure(), "");
    assert_eq!(told_first.tracker.at().map(|at| at.epoch.as_str()), Some("f"));

    let mut told_late = bench(false);
    told_late.tracker.asks();
    told_late.event("e", 1);
    told_late.tracker.asks();
    told_late.event("f", 1);
    assert_eq!(told_late.failure(), "");
    assert!(told_late.tracker.wants_resync());
}
