//! The store in a file: what it survives, what it refuses, what it lets go of, and what it does when there is no room.
#![allow(clippy::unwrap_used)]

#[path = "support/records.rs"]
mod records;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use ragpulse_protocol::{Cursor, FileState, PipelineStatus, Timestamp};
use ragpulse_server::clock::{Clock, ManualClock};
use ragpulse_server::log::sqlite::{Durability, SqliteOptions, StoreError};
use ragpulse_server::log::{EventLog, FilesQuery, HistoryQuery, LogErrorKind, Page, SqliteLog, Stored};
use tempfile::TempDir;

use self::records::*;

/// A directory with a store in it.
struct Place {
    directory: TempDir,
    clock: ManualClock,
}

impl Place {
    fn new() -> Self {
        let clock = ManualClock::new(Timestamp::from_millis(2_000));
        Self { directory: tempfile::tempdir().unwrap(), clock }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn options(&self, name: &str) -> SqliteOptions {
        let mut options = SqliteOptions::new(self.path(name));
        options.clock = Arc::new(self.clock.clone());
        options.boot = Some("this".to_owned());
        options
    }

    fn open(&self, name: &str) -> SqliteLog {
        SqliteLog::open(self.options(name)).unwrap()
    }

    /// The store as it would be found had the process, or the machine, died now.
    fn crash(&self, name: &str, copy: &str) {
        for end in ["", "-wal"] {
            std::fs::copy(self.path(&format!("{name}{end}")), self.path(&format!("{copy}{end}"))).unwrap();
        }
    }

    fn refusal(&self, name: &str) -> StoreError {
        SqliteLog::open(self.options(name)).unwrap_err()
    }
}

async fn append(log: &SqliteLog, pipeline: &str, names: &[(&str, &str)]) {
    let records = names.iter().map(|(name, file)| by("r", record(name, file, None))).collect();
    log.append(&id(pipeline), vec![batch(records, 2_000)]).await.unwrap();
}

async fn only(log: &SqliteLog) -> Stored {
    let mut stored = log.load().await.unwrap();
    assert_eq!(stored.len(), 1);
    stored.remove(0)
}

/// Waits until the writer has come to something by itself.
async fn eventually(what: &str, mut so: impl AsyncFnMut() -> bool) {
    for _ in 0..2_000 {
        if so().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("it did not come to that: {what}");
}

/// Some work: files of every kind, owned and not.
async fn some_work(log: &SqliteLog) {
    append(log, "p", &[("pipeline:online", ""), ("file:queued", "a"), ("file:processing", "a")]).await;
    append(log, "p", &[("file:queued", "b"), ("file:processing", "c"), ("file:completed", "c")]).await;
    let mut batch = batch(vec![record("file:queued", "d", Some("known"))], 2_500);
    batch.remember.push("held".to_owned());
    log.append(&id("p"), vec![batch]).await.unwrap();
}

#[tokio::test]
async fn what_was_appended_survives_the_death_of_the_process() {
    let place = Place::new();
    let log = place.open("a.db");
    some_work(&log).await;
    let before = only(&log).await;
    place.crash("a.db", "b.db");
    let again = place.open("b.db");
    let after = only(&again).await;
    assert_eq!(after.state, before.state, "the epoch too");
    assert_eq!((after.first, after.state.seq), (1, 7));
    let mut owned: Vec<_> =
        after.open.iter().filter(|file| file.owner.is_some()).map(|file| &*file.id).collect();
    owned.sort_unstable();
    assert_eq!((owned, after.open.len()), (vec!["a", "b"], 3), "by the reporters that named themselves");
    assert_eq!(again.seen(&id("p"), &["known", "held", "new"]).await.unwrap(), [true, true, false]);
    let cursor = Cursor { epoch: after.state.epoch.clone(), seq: 0 };
    let Page::Records(records) = again.read(&id("p"), &cursor, 100).await.unwrap() else {
        panic!("no records")
    };
    assert_eq!(records.len(), 7);
    append(&again, "p", &[("file:completed", "a")]).await;
    assert_eq!(only(&again).await.state.seq, 8);
}

#[tokio::test]
async fn a_start_does_not_need_the_whole_history() {
    let place = Place::new();
    let mut options = place.options("a.db");
    options.retention.events_per_pipeline = 50;
    options.retention.events_guaranteed = 50;
    let log = SqliteLog::open(options.clone()).unwrap();
    append(&log, "p", &[("pipeline:online", ""), ("file:queued", "first")]).await;
    for number in 0..300 {
        let file = format!("f{number}");
        append(&log, "p", &[("file:processing", &file), ("file:completed", &file)]).await;
    }
    let before = only(&log).await;
    eventually("it is trimmed", async || only(&log).await.first == 602 - 49).await;
    place.crash("a.db", "b.db");
    options.path = place.path("b.db");
    let again = SqliteLog::open(options.clone()).unwrap();
    let after = only(&again).await;
    assert_eq!(after.state, before.state, "counts and files are of all that ever was");
    assert_eq!(after.state.counts.completed, 300);
    assert_eq!(after.first, 553);
    again.close().await;
    drop(again);
    // Also of one that was closed in order.
    assert_eq!(only(&SqliteLog::open(options).unwrap()).await.state, before.state);
}

#[tokio::test]
async fn a_start_shows_what_those_who_stayed_have() {
    let place = Place::new();
    let log = place.open("a.db");
    let mut session = first_state(&log).await;
    let step = async |name: &str, file: &str| {
        append(&log, "p", &[(name, file)]).await;
    };
    // More files end than a state lists; some go, and one that is no longer listed comes back.
    for number in 0..260 {
        step("file:processing", &format!("f{number}")).await;
        step("file:completed", &format!("f{number}")).await;
    }
    for number in 230..260 {
        step("file:deleted", &format!("f{number}")).await;
    }
    step("file:queued", "f0").await;
    let cursor = Cursor { epoch: session.epoch.clone(), seq: session.seq };
    let Page::Records(records) = log.read(&id("p"), &cursor, 10_000).await.unwrap() else {
        panic!("no records")
    };
    for record in &records {
        ragpulse_protocol::apply(&mut session, &record.event);
    }
    assert_eq!(session.files.len(), 171);
    assert_eq!(only(&log).await.state, session);
    place.crash("a.db", "b.db");
    let again = place.open("b.db");
    assert_eq!(only(&again).await.state, session);
    let query = FilesQuery { limit: 1_000, ..FilesQuery::default() };
    assert_eq!(
        again.files(&id("p"), query).await.unwrap().unwrap().files.len(),
        230,
        "people find all of them"
    );
    again.close().await;
    drop(again);
    assert_eq!(only(&place.open("b.db")).await.state, session, "also where it was written down");
}

/// The state after the first event, as a subscriber has it.
async fn first_state(log: &SqliteLog) -> PipelineStatus {
    append(log, "p", &[("pipeline:online", "")]).await;
    only(log).await.state
}

#[tokio::test]
async fn only_a_lost_end_makes_a_new_epoch() {
    let place = Place::new();
    let full = |options: &mut SqliteOptions| options.durability = Durability::Full;
    // (the durability before, closed in order, another boot) → a new epoch
    for (case, (is_full, closed, another_boot, new)) in [
        (false, false, false, false),
        (false, true, true, false),
        (false, false, true, true),
        (true, false, true, false),
    ]
    .into_iter()
    .enumerate()
    {
        let name = format!("{case}.db");
        let mut options = place.options(&name);
        if is_full {
            full(&mut options);
        }
        let log = SqliteLog::open(options).unwrap();
        some_work(&log).await;
        let before = only(&log).await.state;
        let copy = format!("{case}-copy.db");
        if closed {
            log.close().await;
            std::fs::copy(place.path(&name), place.path(&copy)).unwrap();
        } else {
            place.crash(&name, &copy);
        }
        let mut options = place.options(&copy);
        if another_boot {
            options.boot = Some("another".to_owned());
        }
        let again = SqliteLog::open(options).unwrap();
        let after = only(&again).await;
        assert_eq!(after.state.epoch != before.epoch, new, "case {case}");
        assert_eq!(after.state.seq, before.seq, "the places go on");
        assert_eq!(after.state.files, before.files);
        let cursor = Cursor { epoch: before.epoch.clone(), seq: 3 };
        let page = again.read(&id("p"), &cursor, 9).await.unwrap();
        assert_eq!(matches!(page, Page::EpochChanged), new);
        if new {
            append(&again, "p", &[("file:completed", "a")]).await;
            let at = |seq| Cursor { epoch: after.state.epoch.clone(), seq };
            assert!(
                matches!(again.read(&id("p"), &at(6), 9).await.unwrap(), Page::Trimmed),
                "of another epoch"
            );
            assert!(
                matches!(again.read(&id("p"), &at(7), 9).await.unwrap(), Page::Records(one) if one.len() == 1)
            );
            let query = HistoryQuery { limit: 100, ..HistoryQuery::default() };
            let history = again.history(&id("p"), query).await.unwrap().unwrap();
            assert_eq!(history.records.len(), 8, "people may still look it up");
        }
    }
}

#[tokio::test]
async fn that_a_store_was_opened_is_on_the_disk_before_it_takes_anything() {
    let place = Place::new();
    let log = place.open("a.db");
    some_work(&log).await;
    let before = only(&log).await.state;
    log.close().await;
    let log = place.open("a.db");
    append(&log, "p", &[("file:completed", "a")]).await;
    // The power is lost, and with it all that the disk was not waited for: nothing of the write-ahead log is left.
    std::fs::copy(place.path("a.db"), place.path("b.db")).unwrap();
    let mut options = place.options("b.db");
    options.boot = Some("another".to_owned());
    let after = only(&SqliteLog::open(options).unwrap()).await.state;
    assert_eq!(after.seq, before.seq, "the last event is lost");
    assert_ne!(after.epoch, before.epoch, "so another may not have its place in the same epoch");
}

#[tokio::test]
async fn who_worked_on_a_file_last_answers_for_it_after_a_start() {
    let place = Place::new();
    let log = place.open("a.db");
    append(&log, "p", &[("pipeline:online", ""), ("file:processing", "a"), ("file:processing", "b")]).await;
    // Somebody without a name takes it over.
    log.append(&id("p"), vec![batch(vec![record("file:processing", "a", None)], 2_000)]).await.unwrap();
    place.crash("a.db", "b.db");
    let mut open = only(&place.open("b.db")).await.open;
    open.sort_unstable_by(|a, b| a.id.cmp(&b.id));
    let owners: Vec<_> = open.iter().map(|file| file.owner.is_some()).collect();
    assert_eq!(owners, [false, true]);
}

#[tokio::test]
async fn look_ups_and_trims_at_once_do_not_fail() {
    let place = Place::new();
    let mut options = place.options("a.db");
    options.retention.age = Duration::from_secs(1);
    let log = Arc::new(SqliteLog::open(options).unwrap());
    let appending = tokio::spawn({
        let (log, clock) = (log.clone(), place.clock.clone());
        async move {
            for _ in 0..300 {
                clock.advance_millis(100);
                let at = clock.now().as_millis();
                let records = (0..20).map(|_| record("file:queued", "a", None)).collect();
                log.append(&id("p"), vec![batch(records, at)]).await.unwrap();
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
    });
    while !appending.is_finished() {
        tokio::task::yield_now().await;
        let now = place.clock.now().as_millis();
        let since = Some(Timestamp::from_millis(now - 950));
        let query = HistoryQuery { since, limit: 10, ..HistoryQuery::default() };
        if let Some(page) = log.history(&id("p"), query).await.unwrap() {
            assert!(page.records.windows(2).all(|two| two[0].seq + 1 == two[1].seq));
        }
    }
    appending.await.unwrap();
}

#[tokio::test]
async fn a_place_beyond_all_places_is_after_them() {
    let place = Place::new();
    let log = place.open("a.db");
    some_work(&log).await;
    let epoch = only(&log).await.state.epoch;
    for beyond in [1 << 40, (1 << 40) + 3, u64::MAX] {
        let query = HistoryQuery { after: beyond, limit: 10, ..HistoryQuery::default() };
        let page = log.history(&id("p"), query).await.unwrap().unwrap();
        assert_eq!((page.records.len(), page.next_after), (0, None), "after {beyond}");
        let cursor = Cursor { epoch: epoch.clone(), seq: beyond };
        assert!(
            matches!(log.read(&id("p"), &cursor, 9).await.unwrap(), Page::Records(none) if none.is_empty())
        );
    }
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn who_asks_and_goes_away_again_and_again_takes_no_more_readers() {
    let place = Place::new();
    let log = Arc::new(place.open("a.db"));
    for _ in 0..20 {
        let records = (0..1_000).map(|_| record("file:queued", "a", None)).collect();
        log.append(&id("p"), vec![batch(records, 2_000)]).await.unwrap();
    }
    for _ in 0..100 {
        let log = log.clone();
        let asking = tokio::spawn(async move {
            let event = Some("file:failed".to_owned());
            let _ = log.history(&id("p"), HistoryQuery { event, limit: 10, ..HistoryQuery::default() }).await;
        });
        tokio::time::sleep(Duration::from_micros(200)).await;
        asking.abort();
    }
    let path = place.path("a.db");
    let open = std::fs::read_dir("/proc/self/fd").unwrap();
    let open = open.filter(|one| {
        one.as_ref().is_ok_and(|one| std::fs::read_link(one.path()).is_ok_and(|to| to == path))
    });
    assert!(open.count() <= 6, "the writer, the checkpointer, and four readers");
}

#[tokio::test]
async fn a_backup_begins_new_epochs_where_it_is_told_to() {
    let place = Place::new();
    let log = place.open("a.db");
    some_work(&log).await;
    log.close().await;
    let epoch = only(&place.open("a.db")).await.state.epoch;
    let mut options = place.options("b.db");
    std::fs::copy(place.path("a.db"), place.path("b.db")).unwrap();
    options.new_epochs = true;
    let stored = only(&SqliteLog::open(options).unwrap()).await;
    assert_ne!(stored.state.epoch, epoch);
    assert_eq!((stored.state.seq, stored.first), (7, 8));
}

#[tokio::test]
async fn history_goes_by_age_and_by_count() {
    let place = Place::new();
    let mut options = place.options("a.db");
    options.retention.age = Duration::from_secs(60);
    options.retention.events_per_pipeline = 40;
    options.retention.events = 60;
    options.retention.events_guaranteed = 10;
    let log = SqliteLog::open(options).unwrap();
    let first = async |pipeline: &str| {
        let stored = log.load().await.unwrap();
        stored.into_iter().find(|one| one.state.pipeline_id == id(pipeline)).unwrap().first
    };
    for _ in 0..50 {
        append(&log, "p", &[("file:queued", "a")]).await;
    }
    eventually("no more than 40 of a pipeline", async || first("p").await == 11).await;
    for _ in 0..30 {
        append(&log, "q", &[("file:queued", "a")]).await;
    }
    eventually("no more than 60 in all", async || first("p").await + first("q").await == 22).await;
    assert_eq!(first("q").await, 1, "the one with most gives");
    // All that is old goes, and the state stays.
    place.clock.advance_millis(30_000);
    log.append(&id("p"), vec![batch(vec![record("file:queued", "z", None)], 32_000)]).await.unwrap();
    place.clock.advance_millis(31_000);
    eventually("what is old goes", async || (first("p").await, first("q").await) == (51, 31)).await;
    place.crash("a.db", "b.db");
    let again = place.open("b.db");
    let stored = again.load().await.unwrap();
    let counts: Vec<_> = stored.iter().map(|one| (one.state.seq, one.state.counts.queued)).collect();
    assert!(counts.contains(&(51, 2)) && counts.contains(&(30, 1)), "{counts:?}");
    append(&again, "q", &[("file:queued", "b")]).await;
    assert!(again.load().await.unwrap().iter().any(|one| one.state.seq == 31 && one.first == 31));
}

#[tokio::test]
async fn ids_are_kept_for_their_time_and_number() {
    let place = Place::new();
    let mut options = place.options("a.db");
    options.retention.ids_per_pipeline = 10;
    options.retention.id_age = Duration::from_secs(60);
    let log = SqliteLog::open(options).unwrap();
    let take = async |name: String, at| {
        let record = record("file:queued", "a", Some(&name));
        log.append(&id("p"), vec![batch(vec![record], at)]).await.unwrap()[0].places[0].is_some()
    };
    for number in 0..30 {
        assert!(take(format!("id-{number}"), 2_000).await);
    }
    tokio::time::sleep(Duration::from_millis(600)).await;
    assert!(!take("id-0".to_owned(), 2_000).await, "too many, but young");
    place.clock.advance_millis(61_000);
    eventually("the surplus of the old goes", async || {
        log.seen(&id("p"), &["id-19", "id-20"]).await.unwrap() == [false, true]
    })
    .await;
    assert!(!take("id-29".to_owned(), 63_000).await, "old, but among the last");
}

#[tokio::test]
async fn what_is_forgotten_leaves_no_rows() {
    let place = Place::new();
    let log = place.open("a.db");
    for number in 0..200 {
        let file = format!("f{number}");
        let records =
            (0..50).map(|more| record("file:queued", &file, Some(&format!("{number}-{more}")))).collect();
        log.append(&id("p"), vec![batch(records, 2_000)]).await.unwrap();
    }
    log.forget(&id("p")).await.unwrap();
    append(&log, "p", &[("pipeline:online", "")]).await;
    let connection = rusqlite::Connection::open(place.path("a.db")).unwrap();
    let count = |table: &str| -> i64 {
        connection.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0)).unwrap()
    };
    eventually("only the new life is there", async || {
        (count("events"), count("ids"), count("forgotten"), count("pipelines")) == (1, 0, 0, 1)
    })
    .await;
    assert_eq!(only(&log).await.state.seq, 1);
}

#[tokio::test]
async fn files_of_a_pipeline_that_was_removed_do_not_come_back() {
    let place = Place::new();
    let log = place.open("a.db");
    some_work(&log).await;
    log.close().await;
    let log = place.open("a.db");
    // The hub dies, or the disk is full, before the pipeline is forgotten too.
    append(&log, "p", &[("pipeline:removed", "")]).await;
    log.close().await;
    let after = only(&place.open("a.db")).await;
    assert_eq!((after.state.status.as_str(), after.open.len()), ("removed", 0));
}

#[tokio::test]
async fn what_is_not_a_store_is_left_as_it_is() {
    let place = Place::new();
    let text = place.path("notes.txt");
    std::fs::write(&text, "my notes\n".repeat(100)).unwrap();
    let other = place.path("other.db");
    rusqlite::Connection::open(&other).unwrap().execute_batch("CREATE TABLE theirs (a)").unwrap();
    let cut = place.path("cut.db");
    std::fs::write(&cut, b"SQLite format 3\0").unwrap();
    for (name, words) in
        [("notes.txt", "not a SQLite database"), ("other.db", "of another program"), ("cut.db", "cut off")]
    {
        let before = std::fs::read(place.path(name)).unwrap();
        let refusal = place.refusal(name).to_string();
        assert!(refusal.contains(words) && refusal.contains("left as it is"), "{refusal}");
        assert_eq!(std::fs::read(place.path(name)).unwrap(), before, "{name}");
    }
    assert!(place.refusal(".").to_string().contains("directory"));
    assert!(matches!(place.refusal("nowhere/a.db"), StoreError::Unopened { .. }));
    // An empty file is what `touch` or a mount makes.
    std::fs::write(place.path("empty.db"), "").unwrap();
    append(&place.open("empty.db"), "p", &[("pipeline:online", "")]).await;
}

#[tokio::test]
async fn a_damaged_store_is_left_as_it_is() {
    let place = Place::new();
    let log = place.open("a.db");
    for _ in 0..40 {
        some_work(&log).await;
    }
    log.close().await;
    drop(log);
    let whole = std::fs::read(place.path("a.db")).unwrap();
    let spoil = |name: &str, change: &dyn Fn(&mut Vec<u8>)| {
        let mut bytes = whole.clone();
        change(&mut bytes);
        std::fs::write(place.path(name), &bytes).unwrap();
        bytes
    };
    let pages = whole.len() / 4_096;
    for page in 0..pages {
        let name = format!("{page}.db");
        // Not the header of the file, by which it is known.
        let from = page * 4_096 + if page == 0 { 100 } else { 0 };
        let before = spoil(&name, &|bytes| bytes[from..(page + 1) * 4_096].fill(0x5a));
        match SqliteLog::open(place.options(&name)) {
            Err(error @ StoreError::Damaged { .. }) => {
                assert!(error.to_string().contains("put a backup in its place"), "{error}");
                assert_eq!(std::fs::read(place.path(&name)).unwrap(), before, "page {page}");
            }
            Err(other) => panic!("page {page}: {other}"),
            // A page that nothing uses harms nobody.
            Ok(log) => assert_eq!(only(&log).await.state.seq, 280, "page {page}"),
        }
    }
    let half = spoil("half.db", &|bytes| bytes.truncate(bytes.len() / 2));
    assert!(matches!(place.refusal("half.db"), StoreError::Damaged { .. }));
    assert_eq!(std::fs::read(place.path("half.db")).unwrap(), half);
    // What is in it can be read, but is not what was written.
    let path = place.path("text.db");
    std::fs::write(&path, &whole).unwrap();
    rusqlite::Connection::open(&path).unwrap().execute("UPDATE pipelines SET state = '{}'", []).unwrap();
    assert!(matches!(place.refusal("text.db"), StoreError::Damaged { .. }));
}

#[tokio::test]
async fn a_store_belongs_to_one_hub_and_to_no_later_version() {
    let place = Place::new();
    let log = place.open("a.db");
    let refusal = place.refusal("a.db");
    assert!(matches!(refusal, StoreError::InUse { .. }));
    assert!(refusal.to_string().contains(&format!("process {}", std::process::id())), "{refusal}");
    #[cfg(unix)]
    {
        std::os::unix::fs::symlink(place.path("a.db"), place.path("link.db")).unwrap();
        assert!(matches!(place.refusal("link.db"), StoreError::InUse { .. }), "by whatever name");
    }
    log.close().await;
    assert!(log.append(&id("p"), vec![batch(vec![record("pipeline:online", "", None)], 1)]).await.is_err());
    // It is given back when it is closed, though the handle lives on.
    place.open("a.db").close().await;
    rusqlite::Connection::open(place.path("a.db"))
        .unwrap()
        .pragma_update(None, "user_version", 1_000)
        .unwrap();
    let StoreError::Newer { found, .. } = place.refusal("a.db") else { panic!("not refused") };
    assert_eq!(found, 1_000);
}

#[tokio::test]
async fn without_room_nothing_is_half_done_and_it_goes_on_by_itself() {
    let place = Place::new();
    let mut options = place.options("a.db");
    options.max_pages = Some(120);
    let log = SqliteLog::open(options).unwrap();
    append(&log, "large", &[("pipeline:online", "")]).await;
    append(&log, "p", &[("pipeline:online", ""), ("file:processing", "kept")]).await;
    let fill = async |pipeline: &str, count: u64| {
        let records = (0..count).map(|number| record("file:queued", &format!("f{number}"), None)).collect();
        log.append(&id(pipeline), vec![batch(records, 2_000)]).await
    };
    let mut taken = 0;
    let error = loop {
        match fill("large", 50).await {
            Ok(_) => taken += 50,
            Err(error) => break error,
        }
        assert!(taken < 10_000, "it never fills");
    };
    assert_eq!(error.kind, LogErrorKind::Full, "{error}");
    let record_with_id = || batch(vec![record("file:completed", "kept", Some("again"))], 2_000);
    while log.append(&id("p"), vec![record_with_id()]).await.is_ok_and(|places| places[0].places[0].is_none())
    {
    }
    let before = log.load().await.unwrap();
    let large = before.iter().find(|one| one.state.pipeline_id == id("large")).unwrap();
    assert_eq!(large.state.seq, taken + 1, "what was refused is not there");
    // What is there can be read, also now.
    let cursor = Cursor { epoch: large.state.epoch.clone(), seq: 0 };
    assert!(
        matches!(log.read(&id("large"), &cursor, 10).await.unwrap(), Page::Records(ten) if ten.len() == 10)
    );
    // Somebody makes room.
    log.forget(&id("large")).await.unwrap();
    eventually("it goes on", async || fill("p", 50).await.is_ok()).await;
    let after = only(&log).await;
    assert_eq!(after.state.counts.of(FileState::Queued), 50);
    log.close().await;
}

#[tokio::test]
async fn many_appends_at_once_are_each_whole() {
    let place = Place::new();
    let log = Arc::new(place.open("a.db"));
    let tasks: Vec<_> = (0..16)
        .map(|number| {
            let log = log.clone();
            tokio::spawn(async move {
                for more in 0..20 {
                    let pipeline = id(&format!("p{number}"));
                    let broken = more % 5 == 4;
                    let mut last = record("file:queued", "b", Some(&format!("{more}")));
                    if broken {
                        last.body = r#"{"file":7}"#.to_owned();
                    }
                    let records = vec![record("pipeline:online", "", None), last];
                    let appended = log.append(&pipeline, vec![batch(records, 2_000)]).await;
                    assert_eq!(appended.is_err(), broken, "one that fails takes no other with it");
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    place.crash("a.db", "b.db");
    let stored = place.open("b.db").load().await.unwrap();
    assert_eq!(stored.iter().map(|one| one.state.seq).collect::<Vec<_>>(), [32; 16]);
}

#[test]
fn a_store_can_be_opened_and_left_outside_of_a_runtime() {
    let place = Place::new();
    drop(place.open("a.db"));
    let path: &Path = &place.path("a.db");
    // The thread ends by itself and closes it in order.
    for _ in 0..2_000 {
        if SqliteLog::open(place.options("a.db")).is_ok() {
            assert!(path.exists());
            return;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    panic!("it is never given back");
}

#[cfg(unix)]
#[tokio::test]
async fn a_new_store_is_for_nobody_else_and_an_old_one_keeps_its_rights() {
    use std::os::unix::fs::PermissionsExt;
    let place = Place::new();
    let rights = |name: &str| std::fs::metadata(place.path(name)).unwrap().permissions().mode() & 0o777;
    let log = place.open("a.db");
    some_work(&log).await;
    for name in ["a.db", "a.db-wal", "a.db-shm", "a.db.lock"] {
        assert_eq!(rights(name), 0o600, "{name}");
    }
    log.close().await;
    // Who lets others read it, such as a backup, has said so.
    std::fs::set_permissions(place.path("a.db"), PermissionsExt::from_mode(0o640)).unwrap();
    let log = place.open("a.db");
    some_work(&log).await;
    assert_eq!((rights("a.db"), rights("a.db-wal")), (0o640, 0o640));
    log.close().await;
}
