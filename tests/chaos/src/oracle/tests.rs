//! The oracle against lies that it must not believe.

use fastrand::Rng;

use super::*;
use crate::report::workload::Workload;

fn pipeline() -> PipelineId {
    PipelineId::new("p").unwrap()
}

fn at(epoch: &str, seq: u64) -> Cursor {
    Cursor { epoch: Epoch::new(epoch).unwrap(), seq }
}

fn event<'a>(mark: &'a str, text: &'a str) -> Delivered<'a> {
    Delivered { name: "x:a", mark: Some(mark), text: Some(text) }
}

#[test]
fn everybody_is_given_the_same_at_the_same_place() {
    let oracle = Oracle::new(true);
    oracle.saw(&pipeline(), &at("e", 2), event("b", "{}")).unwrap();
    oracle.saw(&pipeline(), &at("e", 2), event("b", "{}")).unwrap();
    assert!(oracle.saw(&pipeline(), &at("e", 2), event("c", "{}")).is_err());
    assert!(oracle.saw(&pipeline(), &at("e", 2), event("b", "{\"a\":1}")).is_err());
}

#[test]
fn a_store_that_keeps_has_one_epoch_and_one_in_memory_may_have_more() {
    for keeps in [true, false] {
        let oracle = Oracle::new(keeps);
        oracle.saw(&pipeline(), &at("e", 1), event("a", "{}")).unwrap();
        assert_eq!(oracle.saw(&pipeline(), &at("f", 1), event("a", "{}")).is_err(), keeps);
        let changed = Some(&ResetReason::EpochChanged);
        let reset = oracle.may_reset(&pipeline(), Via::Socket, &at("e", 1), changed, Some(&at("f", 3)));
        assert_eq!(reset.is_err(), keeps);
    }
}

#[test]
fn a_snapshot_where_a_replay_was_to_be_had_is_refused() {
    let oracle = Oracle::new(false);
    let reset = |via, reason: Option<ResetReason>, to| {
        oracle.may_reset(&pipeline(), via, &at("e", 10), reason.as_ref(), Some(&at("e", to)))
    };
    assert!(reset(Via::Socket, None, 20).is_err());
    assert!(reset(Via::Socket, Some(ResetReason::Lagged), 20).is_err());
    assert!(reset(Via::Socket, Some(ResetReason::Trimmed), 20).is_err());
    assert!(reset(Via::Socket, Some(ResetReason::Ahead), 20).is_err());
    assert!(reset(Via::Socket, Some(ResetReason::EpochChanged), 20).is_err());
    assert!(reset(Via::Socket, Some(ResetReason::Lagged), 20_000).is_ok());
    assert!(reset(Via::Http, Some(ResetReason::Lagged), 20_000).is_err());
    assert!(reset(Via::Http, Some(ResetReason::Trimmed), 200_000).is_ok());
}

fn log(marks: &[Option<&str>]) -> Log {
    let state = || {
        let kind = ragpulse_protocol::PipelineType::new("t").unwrap();
        let epoch = Epoch::new("e").unwrap();
        let now = ragpulse_protocol::Timestamp::from_millis(0);
        let limits = ragpulse_protocol::status::Limits::default();
        ragpulse_protocol::PipelineStatus::opening(pipeline(), kind, epoch, now, limits)
    };
    let events = marks.iter().zip(1..).map(|(mark, seq)| log::Logged {
        epoch: Epoch::new("e").unwrap(),
        seq,
        name: "x:note".into(),
        mark: mark.map(str::to_owned),
        file: None,
        interrupted: false,
    });
    Log {
        pipeline: pipeline(),
        head: at("e", marks.len() as u64),
        events: events.collect(),
        shown: vec![state(), state()],
        folded: state(),
        every_file: state(),
    }
}

#[test]
fn what_is_lost_doubled_swapped_or_made_up_is_found() {
    let oracle = Oracle::new(true);
    let mut workload = Workload::new("r", Rng::with_seed(1));
    let items: Vec<Item> = (0..3).map(|_| workload.online()).collect();
    let marks: Vec<&str> = items.iter().map(|item| item.mark.as_str()).collect();
    items.iter().for_each(|item| oracle.sending(&pipeline(), "r", item));
    let epoch = Epoch::new("e").unwrap();
    let receipt = PublishReceipt { accepted: 3, duplicates: 0, conflated: 0, epoch, seq: 4 };
    oracle.acked(&pipeline(), marks.iter().copied(), &receipt);

    let judged = |marks: &[Option<&str>]| {
        let mut findings = Findings::default();
        oracle.judge(&log(marks), &mut findings);
        findings
    };
    let [a, b, c] = [0, 1, 2].map(|index| Some(marks[index]));
    let good = judged(&[a, None, b, c]);
    assert_eq!((good.promised, good.lost, good.doubled, good.wrong.len()), (3, 0, 0, 0), "{good:?}");
    assert_eq!(judged(&[a, None, b, None]).lost, 1);
    assert_eq!(judged(&[a, b, c, b]).doubled, 1);
    assert!(judged(&[b, a, c, None]).wrong[0].contains("was sent before it"));
    assert!(judged(&[a, b, c, Some("made-up")]).wrong[0].contains("never sent"));
    oracle.saw(&pipeline(), &at("e", 2), event("other", "{}")).unwrap();
    assert!(judged(&[a, None, b, c]).wrong[0].contains("clients were given"));
}

#[test]
fn a_loss_of_the_end_takes_what_was_not_secure_and_a_flush_everything() {
    let oracle = Oracle::new(true);
    let mut workload = Workload::new("r", Rng::with_seed(1));
    let items: Vec<Item> = (0..2).map(|_| workload.online()).collect();
    items.iter().for_each(|item| oracle.sending(&pipeline(), "r", item));
    let acked = |item: &Item, seq| {
        let epoch = Epoch::new("d").unwrap();
        let receipt = PublishReceipt { accepted: 1, duplicates: 0, conflated: 0, epoch, seq };
        oracle.acked(&pipeline(), std::iter::once(item.mark.as_str()), &receipt);
    };
    acked(&items[0], 1);
    oracle.secure(&pipeline(), "d", oracle.acks());
    acked(&items[1], 2);
    // Of another life, though among the acknowledgements.
    oracle.secure(&pipeline(), "e", oracle.acks());
    let unknown = || {
        let reason = Some(&ResetReason::UnknownPipeline);
        oracle.may_reset(&pipeline(), Via::Http, &at("d", 1), reason, None)
    };
    let judged = || {
        let mut findings = Findings::default();
        oracle.judge(&log(&[]), &mut findings);
        (findings.promised, findings.lost)
    };
    assert!(oracle.saw(&pipeline(), &at("e", 2), event("x", "{}")).is_err());
    oracle.loses_end();
    oracle.saw(&pipeline(), &at("e", 2), event("x", "{}")).unwrap();
    assert!(oracle.saw(&pipeline(), &at("f", 2), event("x", "{}")).is_err());
    assert_eq!((judged(), unknown().is_err()), ((1, 1), true));
    oracle.is_emptied();
    assert_eq!((judged(), unknown().is_err()), ((0, 0), false));
}

#[test]
fn progress_after_an_end_is_found_unless_it_was_interrupted() {
    let oracle = Oracle::new(true);
    oracle.saw(&pipeline(), &at("e", 1), Delivered { name: "file:failed", mark: None, text: None }).unwrap();
    for interrupted in [true, false] {
        let mut log = log(&[None, None]);
        for (event, name) in log.events.iter_mut().zip(["file:failed", "file:progress"]) {
            (event.name, event.file, event.interrupted) = (name.into(), Some("a".into()), interrupted);
        }
        let mut findings = Findings::default();
        oracle.judge(&log, &mut findings);
        assert_eq!(findings.wrong.is_empty(), interrupted, "{findings:?}");
    }
}
