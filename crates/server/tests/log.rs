//! One suite for every log: what a hub relies on, whatever keeps the events.
#![allow(clippy::unwrap_used)]

#[path = "support/records.rs"]
mod records;
#[cfg(feature = "redis")]
#[path = "support/redis.rs"]
mod server;

use std::sync::Arc;

use futures_util::future::BoxFuture;
use ragpulse_protocol::{Cursor, Epoch, FileState, Timestamp};
use ragpulse_server::clock::ManualClock;
use ragpulse_server::config::HubLimits;
use ragpulse_server::log::sqlite::SqliteOptions;
use ragpulse_server::log::{
    Appended, EventLog, Extent, FilesQuery, HistoryQuery, MemoryLog, Page, SqliteLog, TailItem,
};

use self::records::*;

/// A log, and what has to live as long.
struct Subject {
    log: Arc<dyn EventLog>,
    _directory: Option<tempfile::TempDir>,
}

fn memory(limits: HubLimits) -> BoxFuture<'static, Subject> {
    Box::pin(async move { Subject { log: Arc::new(MemoryLog::new(&limits)), _directory: None } })
}

#[cfg(feature = "redis")]
fn redis(limits: HubLimits) -> BoxFuture<'static, Subject> {
    let clock = ManualClock::new(Timestamp::from_millis(2_000));
    Box::pin(async move { Subject { log: server::log(&limits, clock).await, _directory: None } })
}

fn sqlite(limits: HubLimits) -> BoxFuture<'static, Subject> {
    Box::pin(async move { in_sqlite(limits) })
}

fn in_sqlite(limits: HubLimits) -> Subject {
    let directory = tempfile::tempdir().unwrap();
    let mut options = SqliteOptions::new(directory.path().join("store.db"));
    options.retention.events_per_pipeline = limits.log_events as u64;
    options.limits = limits;
    options.clock = Arc::new(ManualClock::new(Timestamp::from_millis(2_000)));
    Subject { log: Arc::new(SqliteLog::open(options).unwrap()), _directory: Some(directory) }
}

/// Runs a test on every log.
macro_rules! on_every_log {
    ($($(#[$meta:meta])* $name:ident;)*) => { $(
        mod $name {
            #[tokio::test]
            async fn memory() {
                super::$name(super::memory).await;
            }
            #[tokio::test]
            async fn sqlite() {
                super::$name(super::sqlite).await;
            }
            #[cfg(feature = "redis")]
            #[tokio::test]
            async fn redis() {
                super::$name(super::redis).await;
            }
        }
    )* };
}

on_every_log! {
    places_count_without_holes;
    an_id_is_taken_once;
    what_was_taken_is_refused_whole;
    batches_are_appended_all_or_none;
    previous_states_are_filled_in;
    a_read_goes_on_where_it_was_left;
    what_is_trimmed_is_told;
    files_are_listed_and_found;
    history_is_looked_up;
    forgetting_begins_a_new_life;
    the_tail_has_everything_in_order;
    a_hub_that_starts_gets_everything;
}

type Make = fn(HubLimits) -> BoxFuture<'static, Subject>;

async fn append(log: &dyn EventLog, names: &[(&str, &str)]) -> Appended {
    let records = names.iter().map(|(name, file)| record(name, file, None)).collect();
    log.append(&id("p"), vec![batch(records, 1_000)]).await.unwrap().remove(0)
}

async fn places_count_without_holes(make: Make) {
    let subject = make(HubLimits::default()).await;
    let log = &*subject.log;
    let first = append(log, &[("pipeline:online", ""), ("file:queued", "a")]).await;
    assert_eq!((first.seq, &first.places), (2, &vec![Some(1), Some(2)]));
    let second = append(log, &[("file:processing", "a")]).await;
    assert_eq!((second.seq, second.places), (3, vec![Some(3)]));
    assert_eq!(first.epoch, second.epoch);
    let two = vec![
        batch(vec![record("file:completed", "a", None)], 1_000),
        batch(vec![record("file:queued", "b", None), record("file:processing", "b", None)], 1_001),
    ];
    let appended = log.append(&id("p"), two).await.unwrap();
    assert_eq!(appended.iter().map(|one| one.seq).collect::<Vec<_>>(), [4, 6], "each knows its own end");
    let other =
        log.append(&id("q"), vec![batch(vec![record("pipeline:online", "", None)], 1)]).await.unwrap();
    assert_eq!(other[0].seq, 1, "each pipeline counts for itself");
    assert_ne!(other[0].epoch, first.epoch);
}

async fn an_id_is_taken_once(make: Make) {
    let subject = make(HubLimits::default()).await;
    let log = &*subject.log;
    assert_eq!(log.seen(&id("p"), &["1"]).await.unwrap(), [false], "of a pipeline that is not there");
    let mut one = batch(
        vec![
            record("pipeline:online", "", Some("1")),
            record("file:queued", "a", Some("2")),
            record("file:queued", "a", Some("2")),
        ],
        1_000,
    );
    one.remember = vec!["held".to_owned()];
    let appended = log.append(&id("p"), vec![one]).await.unwrap().remove(0);
    assert_eq!(appended.places, [Some(1), Some(2), None], "twice in a batch");
    assert_eq!(log.seen(&id("p"), &["1", "2", "3", "held"]).await.unwrap(), [true, true, false, true]);
    let again =
        batch(vec![record("file:queued", "b", Some("held")), record("file:queued", "b", Some("4"))], 1_000);
    let appended = log.append(&id("p"), vec![again]).await.unwrap().remove(0);
    assert_eq!((appended.places, appended.seq), (vec![None, Some(3)], 3));
    assert_eq!(log.seen(&id("q"), &["1"]).await.unwrap(), [false], "each pipeline has its own");
}

/// Asked only of a log that says it does so.
async fn what_was_taken_is_refused_whole(make: Make) {
    let subject = make(HubLimits::default()).await;
    let log = &*subject.log;
    let online = vec![batch(vec![record("pipeline:online", "", Some("1"))], 1_000)];
    let first = log.append_fresh(&id("p"), None, online, &[]).await.unwrap().unwrap();
    assert_eq!(first[0].places, [Some(1)]);
    if !log.refuses_taken() {
        return;
    }
    let on = Cursor { epoch: first[0].epoch.clone(), seq: 1 };
    let two = || {
        let new = batch(vec![record("file:queued", "a", Some("2"))], 1_001);
        vec![new, batch(vec![record("file:queued", "b", Some("1"))], 1_002)]
    };
    assert_eq!(log.append_fresh(&id("p"), Some(&on), two(), &[]).await.unwrap(), None);
    let mut held = batch(vec![record("file:queued", "c", None)], 1_003);
    held.remember = vec!["1".to_owned()];
    assert_eq!(
        log.append_fresh(&id("p"), Some(&on), vec![held], &[]).await.unwrap(),
        None,
        "of a conflated one"
    );
    assert_eq!(log.seen(&id("p"), &["1", "2"]).await.unwrap(), [true, false], "nothing of it was taken");
    let Page::Records(records) = log.read(&id("p"), &on, 10).await.unwrap() else { panic!("no records") };
    assert!(records.is_empty(), "nothing of it was appended");
    let asked = log.append(&id("p"), two()).await.unwrap();
    assert_eq!((&asked[0].places, &asked[1].places), (&vec![Some(2)], &vec![None]));
}

async fn batches_are_appended_all_or_none(make: Make) {
    let subject = make(HubLimits::default()).await;
    let log = &*subject.log;
    append(log, &[("pipeline:online", "")]).await;
    let mut broken = record("file:queued", "b", Some("broken"));
    broken.body = r#"{"file":7}"#.to_owned();
    let good = batch(vec![record("file:queued", "a", Some("good"))], 1_000);
    let bad = batch(vec![record("file:queued", "c", Some("fine")), broken], 1_000);
    assert!(log.append(&id("p"), vec![good, bad]).await.is_err());
    assert_eq!(log.seen(&id("p"), &["good", "fine", "broken"]).await.unwrap(), [false; 3]);
    assert_eq!(append(log, &[("file:queued", "d")]).await.seq, 2);
    let files =
        log.files(&id("p"), FilesQuery { limit: 10, ..FilesQuery::default() }).await.unwrap().unwrap();
    assert_eq!(files.files.iter().map(|file| &*file.id).collect::<Vec<_>>(), ["d"]);
    // A pipeline that was not opened is not there.
    let mut broken = record("pipeline:online", "", None);
    broken.body = r#"{"started_at":7}"#.to_owned();
    assert!(log.append(&id("q"), vec![batch(vec![broken], 1)]).await.is_err());
    let cursor = Cursor { epoch: Epoch::new("e").unwrap(), seq: 0 };
    assert!(matches!(log.read(&id("q"), &cursor, 1).await.unwrap(), Page::Unknown));
}

async fn previous_states_are_filled_in(make: Make) {
    let subject = make(HubLimits::default()).await;
    let log = &*subject.log;
    let names = ["pipeline:online", "file:queued", "file:processing", "file:completed", "file:queued"];
    let appended = append(log, &names.map(|name| (name, "a"))).await;
    append(log, &[("file:processing", "a")]).await;
    let cursor = Cursor { epoch: appended.epoch, seq: 0 };
    let Page::Records(records) = log.read(&id("p"), &cursor, 10).await.unwrap() else { panic!("no records") };
    let previous: Vec<_> = records.iter().map(|record| field(record, "previous_state")).collect();
    assert_eq!(previous, ["", "", "queued", "processing", "completed", "queued"]);
}

async fn a_read_goes_on_where_it_was_left(make: Make) {
    let subject = make(HubLimits::default()).await;
    let log = &*subject.log;
    let names: Vec<(&str, &str)> = vec![("pipeline:online", ""); 25];
    let epoch = append(log, &names).await.epoch;
    let mut cursor = Cursor { epoch: epoch.clone(), seq: 0 };
    let mut seen = Vec::new();
    loop {
        let Page::Records(records) = log.read(&id("p"), &cursor, 10).await.unwrap() else {
            panic!("no records")
        };
        let Some(last) = records.last() else { break };
        assert!(records.len() <= 10);
        cursor = last.cursor();
        seen.extend(records.iter().map(|record| record.seq));
    }
    assert_eq!(seen, (1..=25).collect::<Vec<u64>>());
    let Extent::Held { bytes } =
        log.extent(&id("p"), &Cursor { epoch: epoch.clone(), seq: 20 }, 22).await.unwrap()
    else {
        panic!("not held")
    };
    let Page::Records(two) = log.read(&id("p"), &Cursor { epoch, seq: 20 }, 2).await.unwrap() else {
        panic!()
    };
    assert_eq!(bytes, two.iter().map(|record| record.size() as u64).sum::<u64>());
    let other = Cursor { epoch: Epoch::new("other").unwrap(), seq: 0 };
    assert!(matches!(log.read(&id("p"), &other, 10).await.unwrap(), Page::EpochChanged));
    assert_eq!(log.extent(&id("p"), &other, 9).await.unwrap(), Extent::EpochChanged);
    assert!(matches!(log.read(&id("q"), &other, 10).await.unwrap(), Page::Unknown));
    assert_eq!(log.extent(&id("q"), &other, 9).await.unwrap(), Extent::Unknown);
}

async fn what_is_trimmed_is_told(make: Make) {
    let mut limits = HubLimits::default();
    limits.log_events = 10;
    let subject = make(limits).await;
    let log = &*subject.log;
    let epoch = append(log, &[("pipeline:online", ""); 30]).await.epoch;
    let at = |seq| Cursor { epoch: epoch.clone(), seq };
    // A store may trim a little later than it appends.
    let mut left = 1_000;
    while !matches!(log.read(&id("p"), &at(19), 1).await.unwrap(), Page::Trimmed) && left > 0 {
        if matches!(log.read(&id("p"), &at(0), 1).await.unwrap(), Page::Trimmed) {
            break;
        }
        left -= 1;
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    assert!(matches!(log.read(&id("p"), &at(19), 1).await.unwrap(), Page::Trimmed));
    assert_eq!(log.extent(&id("p"), &at(19), 30).await.unwrap(), Extent::Trimmed);
    let Page::Records(records) = log.read(&id("p"), &at(20), 100).await.unwrap() else {
        panic!("no records")
    };
    assert_eq!(records.iter().map(|record| record.seq).collect::<Vec<_>>(), (21..=30).collect::<Vec<u64>>());
    assert!(matches!(log.read(&id("p"), &at(30), 9).await.unwrap(), Page::Records(none) if none.is_empty()));
    assert_eq!(append(log, &[("file:queued", "a")]).await.seq, 31, "the count goes on");
}

async fn files_are_listed_and_found(make: Make) {
    let subject = make(HubLimits::default()).await;
    let log = &*subject.log;
    append(log, &[("pipeline:online", "")]).await;
    for number in 0..30 {
        append(log, &[("file:queued", &format!("Doc-{number:02}"))]).await;
    }
    append(log, &[("file:processing", "Doc-07"), ("file:completed", "Doc-07")]).await;
    let ask = |query| async { log.files(&id("p"), query).await.unwrap().unwrap() };
    let queued = FilesQuery { state: Some(FileState::Queued), limit: 20, ..FilesQuery::default() };
    let page = ask(queued.clone()).await;
    assert_eq!((page.files.len(), page.files[0].id.as_str()), (20, "Doc-00"));
    let rest = ask(FilesQuery { after: page.next_after.unwrap(), ..queued }).await;
    assert_eq!((rest.files.len(), rest.next_after), (9, None), "one has been completed");
    let found =
        ask(FilesQuery { contains: Some("doc-1".to_owned()), limit: 100, ..FilesQuery::default() }).await;
    assert_eq!(found.files.len(), 10);
    assert!(log.files(&id("q"), FilesQuery::default()).await.unwrap().is_none());
}

async fn history_is_looked_up(make: Make) {
    let subject = make(HubLimits::default()).await;
    let log = &*subject.log;
    for number in 0..20 {
        let file = format!("f{}", number % 4);
        let records = vec![record("file:queued", &file, None), record("file:processing", &file, None)];
        log.append(&id("p"), vec![batch(records, 1_000 + number * 10)]).await.unwrap();
    }
    let ask = |query: HistoryQuery| async move {
        let mut seqs = Vec::new();
        let mut query = HistoryQuery { limit: 3, ..query };
        loop {
            let page = log.history(&id("p"), query.clone()).await.unwrap().unwrap();
            assert!(page.records.len() <= 3);
            seqs.extend(page.records.iter().map(|record| record.seq));
            match page.next_after {
                Some(after) => query.after = after,
                None => return seqs,
            }
        }
    };
    let all: Vec<u64> = (1..=40).collect();
    assert_eq!(ask(HistoryQuery::default()).await, all);
    let file = HistoryQuery { file: Some("f1".to_owned()), ..HistoryQuery::default() };
    assert_eq!(ask(file.clone()).await, [3, 4, 11, 12, 19, 20, 27, 28, 35, 36]);
    let queued = HistoryQuery { event: Some("file:queued".to_owned()), ..file };
    assert_eq!(ask(queued.clone()).await, [3, 11, 19, 27, 35]);
    let at = |millis| Some(Timestamp::from_millis(millis));
    assert_eq!(ask(HistoryQuery { since: at(1_050), until: at(1_100), ..queued }).await, [11, 19]);
    assert_eq!(ask(HistoryQuery { since: at(1_185), ..HistoryQuery::default() }).await, [39, 40]);
    assert_eq!(ask(HistoryQuery { until: at(1_010), ..HistoryQuery::default() }).await, [1, 2]);
    assert_eq!(ask(HistoryQuery { since: at(9_000), ..HistoryQuery::default() }).await, [0_u64; 0]);
    let none = HistoryQuery { event: Some("file:failed".to_owned()), ..HistoryQuery::default() };
    assert_eq!(ask(none).await, [0_u64; 0]);
    assert!(log.history(&id("q"), HistoryQuery::default()).await.unwrap().is_none());
}

async fn forgetting_begins_a_new_life(make: Make) {
    let subject = make(HubLimits::default()).await;
    let log = &*subject.log;
    let mut tail = log.take_tail().unwrap();
    let first = log
        .append(&id("p"), vec![batch(vec![record("pipeline:online", "", Some("1"))], 1_000)])
        .await
        .unwrap()
        .remove(0);
    log.forget(&id("p")).await.unwrap();
    let cursor = Cursor { epoch: first.epoch.clone(), seq: 0 };
    assert!(matches!(log.read(&id("p"), &cursor, 1).await.unwrap(), Page::Unknown));
    assert!(log.load().await.unwrap().is_empty());
    let second = log
        .append(&id("p"), vec![batch(vec![record("pipeline:online", "", Some("1"))], 1_000)])
        .await
        .unwrap()
        .remove(0);
    assert_eq!((second.seq, second.places), (1, vec![Some(1)]), "its ids are forgotten too");
    assert_ne!(second.epoch, first.epoch);
    assert!(matches!(log.read(&id("p"), &cursor, 1).await.unwrap(), Page::EpochChanged));
    let shown = |item| match item {
        TailItem::Records(_, records) => {
            records.iter().map(|record| record.seq.to_string()).collect::<String>()
        }
        TailItem::Forgotten(_) => "gone".to_owned(),
        TailItem::Reset { reason, .. } => panic!("nothing was lost: {reason}"),
    };
    let mut seen = Vec::new();
    while let Ok(item) = tail.try_recv() {
        seen.push(shown(item));
    }
    assert_eq!(seen, ["1", "gone", "1"]);
}

async fn the_tail_has_everything_in_order(make: Make) {
    let subject = make(HubLimits::default()).await;
    let log = subject.log.clone();
    let mut tail = log.take_tail().unwrap();
    assert!(log.take_tail().is_none(), "it can be taken once");
    let appending: Vec<_> = (0..4)
        .map(|number| {
            let log = log.clone();
            tokio::spawn(async move {
                for _ in 0..25 {
                    let records = vec![record("pipeline:online", "", None), record("file:queued", "a", None)];
                    log.append(&id(&format!("p{number}")), vec![batch(records, 1_000)]).await.unwrap();
                }
            })
        })
        .collect();
    for task in appending {
        task.await.unwrap();
    }
    let mut ends = std::collections::HashMap::new();
    while let Ok(TailItem::Records(pipeline, records)) = tail.try_recv() {
        for record in records {
            let end = ends.entry(pipeline.clone()).or_insert(0);
            assert_eq!(record.seq, *end + 1);
            *end = record.seq;
        }
    }
    assert_eq!(ends.values().copied().collect::<Vec<_>>(), [50; 4]);
}

async fn a_hub_that_starts_gets_everything(make: Make) {
    let subject = make(HubLimits::default()).await;
    let log = &*subject.log;
    append(log, &[("pipeline:online", ""), ("file:queued", "a"), ("file:processing", "b")]).await;
    let stored = log.load().await.unwrap();
    let [one] = stored.as_slice() else { panic!("one pipeline: {stored:?}") };
    assert_eq!((one.state.seq, one.first), (3, 1));
    assert_eq!((one.state.counts.queued, one.state.counts.processing), (1, 1));
    assert_eq!(one.state.files.len(), 2);
}
