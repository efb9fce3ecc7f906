use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use proptest::prelude::*;
use tempfile::TempDir;

use super::*;

const BYTES: u64 = 1024 * 1024;

fn settings(path: &Path) -> Settings {
    Settings { path: path.to_owned(), max_bytes: BYTES, sync: false }
}

fn open(path: &Path) -> Result<Spool, SpoolError> {
    Spool::open(settings(path), "p", None, || "r".to_owned())
}

fn event(json: String) -> Item {
    item_of(json.as_bytes()).unwrap()
}

fn numbered(number: u64, pad: usize) -> Item {
    let pad = "x".repeat(pad);
    event(format!(r#"{{"event":"x:n","event_id":"id-{number}","data":{{"n":{number},"pad":"{pad}"}}}}"#))
}

fn of_file(name: &str, file: &str) -> Item {
    event(format!(
        r#"{{"event":"{name}","data":{{"file":{{"name":"{file}","size":7}},"processing_stage":"chunking"}}}}"#
    ))
}

/// Appends, and says that it is in memory too.
fn keep(spool: &mut Spool, item: &Item) -> u64 {
    let number = spool.append(item, false).unwrap().unwrap();
    spool.passed();
    number
}

fn json(items: &[Item]) -> Vec<&str> {
    items.iter().map(|item| item.json.as_str()).collect()
}

/// Everything that is not settled, as the next life finds it.
fn left(path: &Path) -> Vec<Item> {
    let mut spool = open(path).unwrap();
    let unread = spool.unread();
    let items = spool.read(usize::MAX, usize::MAX).unwrap();
    assert_eq!(unread, items.len());
    assert_eq!(spool.unread(), 0);
    items
}

fn segments(path: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path());
    let mut segments: Vec<PathBuf> =
        entries.filter(|path| path.extension().is_some_and(|extension| extension == EXTENSION)).collect();
    segments.sort();
    segments
}

fn on_disk(path: &Path) -> u64 {
    segments(path).iter().map(|segment| segment.metadata().unwrap().len()).sum()
}

#[test]
fn what_was_taken_and_not_settled_is_there_in_the_next_life_to_the_byte_and_in_order() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("made/when/needed");
    let items: Vec<Item> = (0..10).map(|number| numbered(number, 3)).collect();
    let mut spool = open(&path).unwrap();
    assert_eq!(spool.unread(), 0);
    let numbers: Vec<u64> = items.iter().map(|item| keep(&mut spool, item)).collect();
    // The fifth was refused before the third and fourth had their answer.
    spool.settle(&[numbers[0], numbers[1], numbers[4]]);
    drop(spool);
    let found = left(&path);
    assert_eq!(json(&found), json(&items[2..]), "what lies behind an open one is sent again");
    assert_eq!(found[0].spooled, Some(2));
    let mut spool = open(&path).unwrap();
    spool.settle(&(0..10).collect::<Vec<_>>());
    drop(spool);
    assert_eq!(json(&left(&path)), Vec::<&str>::new());
    assert_eq!(keep(&mut open(&path).unwrap(), &items[0]), 10, "numbers go on");
}

#[test]
fn the_name_of_the_reporter_is_kept_and_a_choice_that_contradicts_it_is_refused() {
    let dir = TempDir::new().unwrap();
    assert_eq!(open(dir.path()).unwrap().identity().reporter_id, "r");
    let again =
        |pipeline: &str, chosen| Spool::open(settings(dir.path()), pipeline, chosen, || "other".into());
    assert_eq!(again("p", None).unwrap().identity().reporter_id, "r");
    assert_eq!(again("p", Some("r")).unwrap().identity().reporter_id, "r");
    for error in [again("p", Some("s")).unwrap_err(), again("q", None).unwrap_err()] {
        assert!(matches!(error, SpoolError::Foreign { .. }), "{error}");
        assert!(error.to_string().contains("reporter \"r\" of pipeline \"p\""), "{error}");
    }
}

#[test]
fn only_one_reporter_may_use_it() {
    let dir = TempDir::new().unwrap();
    let first = open(dir.path()).unwrap();
    assert!(matches!(open(dir.path()), Err(SpoolError::Locked { .. })));
    drop(first);
    open(dir.path()).unwrap();
}

#[test]
fn a_record_cut_short_anywhere_is_cut_off_and_nothing_else() {
    let dir = TempDir::new().unwrap();
    let mut spool = open(dir.path()).unwrap();
    let items: Vec<Item> = (0..3).map(|number| numbered(number, 20)).collect();
    keep(&mut spool, &items[0]);
    keep(&mut spool, &items[1]);
    let whole = spool.last_len() as usize;
    keep(&mut spool, &items[2]);
    drop(spool);
    let segment = segments(dir.path()).remove(0);
    let bytes = fs::read(&segment).unwrap();
    for cut in whole..bytes.len() {
        for zeros in [0, 1, 100, bytes.len() - cut] {
            // A file system may have made room for more than it then wrote.
            let torn = [&bytes[..cut], &vec![0; zeros]].concat();
            fs::write(&segment, &torn).unwrap();
            assert_eq!(json(&left(dir.path())), json(&items[..2]), "cut at {cut}, {zeros} zeros");
            assert_eq!(fs::read(&segment).unwrap(), bytes[..whole]);
        }
    }
    // It goes on where it was cut.
    keep(&mut open(dir.path()).unwrap(), &items[2]);
    assert_eq!(fs::read(&segment).unwrap(), bytes);
}

#[test]
fn a_flipped_bit_is_found_wherever_it_is_and_nothing_is_changed() {
    let dir = TempDir::new().unwrap();
    let mut spool = open(dir.path()).unwrap();
    for number in 0..3 {
        keep(&mut spool, &numbered(number, 5));
    }
    spool.settle(&[0]);
    keep(&mut spool, &numbered(3, 5));
    drop(spool);
    let segment = segments(dir.path()).remove(0);
    let bytes = fs::read(&segment).unwrap();
    for at in 0..bytes.len() {
        let mut flipped = bytes.clone();
        flipped[at] ^= 1 << (at % 8);
        fs::write(&segment, &flipped).unwrap();
        let error = open(dir.path()).expect_err(&format!("byte {at}"));
        let told = matches!(
            error,
            SpoolError::Damaged { .. } | SpoolError::NotASpool { .. } | SpoolError::Version { .. }
        );
        assert!(told, "{error}");
        assert_eq!(fs::read(&segment).unwrap(), flipped);
    }
    fs::write(&segment, &bytes).unwrap();
    assert_eq!(left(dir.path()).len(), 3);
}

#[test]
fn what_is_no_spool_is_left_alone() {
    let dir = TempDir::new().unwrap();
    let file = dir.path().join("notes.txt");
    fs::write(&file, "mine").unwrap();
    assert!(matches!(open(&file), Err(SpoolError::NotASpool { .. })));
    // What has other names is none of its business.
    drop(open(dir.path()).unwrap());
    for (name, contents) in [
        ("holiday.spool", "mine"),
        ("00000000000000000077.spool", "mine"),
        ("00000000000000000099.spool", "ragpulse-spool\x1a\n\x02\0\0\0"),
    ] {
        let foreign = dir.path().join(name);
        fs::write(&foreign, contents).unwrap();
        let error = open(dir.path()).unwrap_err().to_string();
        assert!(error.contains(name), "{error}");
        assert_eq!(fs::read_to_string(&foreign).unwrap(), contents);
        fs::remove_file(&foreign).unwrap();
    }
    assert_eq!(fs::read_to_string(&file).unwrap(), "mine");
}

#[test]
fn a_start_that_was_cut_short_leaves_nothing_in_the_way() {
    let dir = TempDir::new().unwrap();
    fs::write(dir.path().join("00000000000000000000.new"), "half a head").unwrap();
    fs::write(dir.path().join("00000000000000000000.spool"), [0; 40]).unwrap();
    let mut spool = open(dir.path()).unwrap();
    assert_eq!(keep(&mut spool, &numbered(0, 1)), 0);
    drop(spool);
    assert_eq!(left(dir.path()).len(), 1);
    assert_eq!(segments(dir.path()).len(), 1);
}

#[test]
fn segments_go_when_they_are_settled_and_a_missing_one_is_noticed() {
    let dir = TempDir::new().unwrap();
    let mut spool = open(dir.path()).unwrap();
    let numbers: Vec<u64> = (0..200).map(|number| keep(&mut spool, &numbered(number, 4_000))).collect();
    let all = segments(dir.path());
    assert!(all.len() > 4, "{all:?}");
    spool.settle(&numbers[..100]);
    let some = segments(dir.path());
    assert!(some.len() < all.len() && some.len() > 1, "{some:?}");
    drop(spool);
    assert_eq!(left(dir.path()).len(), 100);
    fs::remove_file(&some[1]).unwrap();
    let error = open(dir.path()).unwrap_err();
    assert!(matches!(error, SpoolError::Damaged { what: "the segment before it is missing", .. }), "{error}");
    assert!(error.to_string().contains("unsent") || error.to_string().contains("not have been sent"));
}

#[test]
fn a_spool_of_which_everything_is_settled_again_and_again_stays_small() {
    let dir = TempDir::new().unwrap();
    let mut spool = open(dir.path()).unwrap();
    for number in 0..3_000 {
        let number = keep(&mut spool, &numbered(number, 1_000));
        spool.settle(&[number]);
        assert!(spool.bytes() < 2 * WORTH_REPLACING);
        assert_eq!(spool.bytes(), on_disk(dir.path()));
    }
}

#[test]
fn at_its_bound_it_takes_only_what_is_forced_until_something_is_settled() {
    let dir = TempDir::new().unwrap();
    let mut spool = open(dir.path()).unwrap();
    let big = numbered(0, 100_000);
    let mut taken = 0;
    while spool.append(&big, false).unwrap().is_some() {
        taken += 1;
        assert!(spool.bytes() <= BYTES);
    }
    assert!(taken >= 9, "{taken}");
    assert!(spool.append(&big, true).unwrap().is_some());
    assert_eq!(spool.append(&big, false).unwrap(), None);
    assert_eq!(spool.unread(), taken + 1);
    assert_eq!(spool.read(2, usize::MAX).unwrap().len(), 2);
    assert_eq!(spool.read(usize::MAX, 10).unwrap().len(), 1, "at least one");
    spool.settle(&[0, 1, 2]);
    assert!(spool.append(&big, false).unwrap().is_some());
    assert_eq!(spool.read(usize::MAX, usize::MAX).unwrap().len(), taken - 1);
    spool.settle(&(3..100).collect::<Vec<_>>());
    assert!(spool.append(&big, false).unwrap().is_some(), "a segment of which all is settled gives its room");
    assert!(spool.bytes() < 2 * 100_200);
}

#[test]
fn a_segment_that_was_begun_and_never_written_is_read_from_its_start() {
    let dir = TempDir::new().unwrap();
    let mut spool = open(dir.path()).unwrap();
    for number in 0..2 {
        spool.append(&numbered(number, 70_000), false).unwrap();
    }
    spool.replace_segment();
    drop(spool);
    let mut spool = open(dir.path()).unwrap();
    assert_eq!(spool.read(usize::MAX, usize::MAX).unwrap().len(), 2);
    spool.append(&numbered(2, 1), false).unwrap();
    assert_eq!(json(&spool.read(usize::MAX, usize::MAX).unwrap()), json(&[numbered(2, 1)]));
}

#[test]
fn a_full_disk_is_told_nothing_is_half_done_and_it_goes_on_by_itself() {
    let dir = TempDir::new().unwrap();
    let mut spool = open(dir.path()).unwrap();
    keep(&mut spool, &numbered(0, 10));
    let disk = Arc::new(AtomicUsize::new(0));
    spool.disk = Some(Arc::clone(&disk));
    for room in 0..50 {
        let before = on_disk(dir.path());
        disk.store(room, Ordering::SeqCst);
        let error = spool.append(&numbered(1, 10), false).unwrap_err();
        assert!(matches!(error, SpoolError::Write { .. }), "{error}");
        assert!(error.to_string().contains("Make room on the disk"), "{error}");
        assert_eq!(on_disk(dir.path()), before);
        // Nor is what is settled noted; that may lag.
        spool.settle(&[]);
    }
    disk.store(0, Ordering::SeqCst);
    spool.settle(&[0]);
    disk.store(10_000, Ordering::SeqCst);
    assert_eq!(keep(&mut spool, &numbered(1, 10)), 1);
    drop(spool);
    let found = left(dir.path());
    assert_eq!(json(&found), [numbered(0, 10).json.as_str(), &numbered(1, 10).json]);
}

#[test]
fn what_was_forced_on_a_full_disk_comes_behind_what_waits_and_is_written_when_it_can_be() {
    let dir = TempDir::new().unwrap();
    let mut spool = open(dir.path()).unwrap();
    spool.append(&numbered(0, 1), false).unwrap();
    let disk = Arc::new(AtomicUsize::new(0));
    spool.disk = Some(Arc::clone(&disk));
    for number in [1, 2] {
        assert!(spool.append(&numbered(number, 1), true).is_err());
        spool.keep(numbered(number, 1));
    }
    assert_eq!(spool.unread(), 3);
    assert!(spool.append(&numbered(3, 1), false).is_err());
    disk.store(100_000, Ordering::SeqCst);
    assert_eq!(spool.append(&numbered(3, 1), false).unwrap(), Some(3));
    let expected: Vec<Item> = (0..4).map(|number| numbered(number, 1)).collect();
    assert_eq!(json(&spool.read(usize::MAX, usize::MAX).unwrap()), json(&expected));

    spool.append(&numbered(4, 1), false).unwrap();
    disk.store(0, Ordering::SeqCst);
    spool.keep(numbered(5, 1));
    let read = spool.read(usize::MAX, usize::MAX).unwrap();
    assert_eq!(json(&read), json(&[numbered(4, 1), numbered(5, 1)]));
    assert_eq!((read[1].spooled, spool.unread()), (None, 0));
}

#[test]
fn files_of_an_earlier_life_are_known_until_they_end_or_begin_again_however_often_segments_go() {
    let dir = TempDir::new().unwrap();
    let mut spool = open(dir.path()).unwrap();
    for file in ["a", "b", "c", "d"] {
        keep(&mut spool, &of_file("file:processing", file));
    }
    keep(&mut spool, &of_file("file:completed", "b"));
    keep(&mut spool, &of_file("file:queued", "waits"));
    assert_eq!(spool.orphans().len(), 0, "they are of this life");
    for number in 0..300 {
        let number = keep(&mut spool, &numbered(number, 2_000));
        spool.settle(&(0..=number).collect::<Vec<_>>());
    }
    assert_eq!(on_disk(dir.path()) / WORTH_REPLACING, 0);
    drop(spool);

    let names = |spool: &Spool| -> Vec<String> {
        spool.orphans().iter().map(|fields| fields["file"]["name"].as_str().unwrap().to_owned()).collect()
    };
    let mut spool = open(dir.path()).unwrap();
    assert_eq!(names(&spool), ["a", "c", "d"]);
    assert_eq!(spool.orphans()[0]["file"]["size"], 7);
    keep(&mut spool, &of_file("file:processing", "c"));
    keep(&mut spool, &of_file("file:failed", "d"));
    assert_eq!(names(&spool), ["a"]);
    drop(spool);
    let mut spool = open(dir.path()).unwrap();
    assert_eq!(names(&spool), ["a", "c"], "the next life did not end them either");
    keep(&mut spool, &event(r#"{"event":"pipeline:offline"}"#.into()));
    assert_eq!(names(&spool), Vec::<String>::new());
    drop(spool);
    assert_eq!(names(&open(dir.path()).unwrap()), Vec::<String>::new());
}

#[test]
fn with_sync_it_is_the_same_spool() {
    let dir = TempDir::new().unwrap();
    let settings = Settings { sync: true, ..settings(dir.path()) };
    let mut spool = Spool::open(settings, "p", None, || "r".to_owned()).unwrap();
    assert!(spool.syncs());
    (0..40).for_each(|number| _ = keep(&mut spool, &numbered(number, 10_000)));
    drop(spool);
    assert_eq!(left(dir.path()).len(), 40);
}

#[derive(Debug, Clone)]
enum Op {
    /// An event of so many bytes, which is put into memory or not.
    Append(usize, bool),
    Read(usize, usize),
    /// Of what is in memory, settles the one at this place.
    Settle(usize),
    SettleAll,
    /// The process ends, in the midst of writing so many bytes.
    Die(usize),
    /// So much room is left on the disk.
    Disk(Option<usize>),
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        8 => (0..60_000usize, any::<bool>()).prop_map(|(size, passed)| Op::Append(size, passed)),
        3 => (1..5usize, 1..100_000usize).prop_map(|(events, bytes)| Op::Read(events, bytes)),
        4 => (0..4usize).prop_map(Op::Settle),
        1 => Just(Op::SettleAll),
        1 => (0..200usize).prop_map(Op::Die),
        1 => prop::option::of(0..90_000usize).prop_map(Op::Disk),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    /// Whatever happens, in any life: each event that was taken is read in order until it is settled, none that was
    /// refused is ever seen, the bound holds, and what is read again in the next life begins at the first that is open.
    #[test]
    fn it_is_the_list_of_a_model(ops in prop::collection::vec(op(), 1..120)) {
        let dir = TempDir::new().unwrap();
        let mut spool = open(dir.path()).unwrap();
        // By number: what was taken and is not settled; and of these, up to where it is in memory.
        let (mut model, mut memory, mut next) = (BTreeMap::<u64, Item>::new(), 0u64, 0u64);
        // Up to where the disk surely knows that everything is settled.
        let (mut disk, mut noted) = (None, 0u64);
        for (step, op) in ops.into_iter().enumerate() {
            match op {
                Op::Append(size, passed) => {
                    let item = numbered(step as u64, size);
                    match spool.append(&item, false) {
                        Ok(Some(number)) => {
                            prop_assert_eq!(number, next);
                            if passed && memory == next {
                                spool.passed();
                                memory += 1;
                            }
                            model.insert(number, item);
                            next += 1;
                        }
                        Ok(None) => prop_assert!(spool.bytes() + size as u64 + 200 > BYTES),
                        Err(error) => prop_assert!(disk.is_some(), "{error}"),
                    }
                }
                Op::Read(events, bytes) => {
                    let read = spool.read(events, bytes).unwrap();
                    prop_assert_eq!(read.is_empty(), memory == next);
                    prop_assert!(read.len() <= events);
                    for item in read {
                        prop_assert_eq!(item.spooled, Some(memory));
                        prop_assert_eq!(Some(&item.json), model.get(&memory).map(|item| &item.json));
                        memory += 1;
                    }
                }
                Op::Settle(place) => {
                    if let Some(number) = model.range(..memory).nth(place).map(|(number, _)| *number) {
                        spool.settle(&[number]);
                        model.remove(&number);
                    }
                }
                Op::SettleAll => {
                    let numbers: Vec<u64> = model.range(..memory).map(|(number, _)| *number).collect();
                    spool.settle(&numbers);
                    model.retain(|number, _| *number >= memory);
                }
                Op::Disk(room) => {
                    disk = room;
                    spool.disk = room.map(|room| Arc::new(AtomicUsize::new(room)));
                }
                Op::Die(torn) => {
                    drop(spool);
                    if let Some(last) = segments(dir.path()).last() {
                        let mut record = Vec::new();
                        format::put(Kind::Event, &[b'x'; 200], &mut record);
                        let mut file = OpenOptions::new().append(true).open(last).unwrap();
                        file.write_all(&record[..torn]).unwrap();
                    }
                    disk = None;
                    spool = open(dir.path()).unwrap();
                    let left: Vec<Item> = {
                        let unread = spool.unread();
                        let left = spool.read(usize::MAX, usize::MAX).unwrap();
                        prop_assert_eq!(unread, left.len());
                        left
                    };
                    memory = next;
                    let first = left.first().map_or(next, |item| item.spooled.unwrap());
                    prop_assert!(first >= noted, "what was once settled for good is not seen again");
                    prop_assert!(model.keys().next().is_none_or(|open| first <= *open));
                    let numbers: Vec<u64> = left.iter().filter_map(|item| item.spooled).collect();
                    prop_assert_eq!(&numbers, &(first..next).collect::<Vec<_>>());
                    for item in left {
                        let number = item.spooled.unwrap();
                        let known = model.entry(number).or_insert_with(|| item.clone());
                        prop_assert_eq!(&known.json, &item.json);
                    }
                }
            }
            if disk.is_none() {
                // What could be noted is: up to the first that is open, if anything was settled since.
                noted = noted.max(spool.segments.front().map_or(0, |segment| segment.first));
            }
            prop_assert!(spool.bytes() <= BYTES + 200 * 40, "{}", spool.bytes());
            prop_assert_eq!(spool.bytes(), on_disk(dir.path()));
            prop_assert_eq!(spool.unread() as u64, next - memory);
            prop_assert!(spool.settled <= model.keys().next().copied().unwrap_or(next));
        }
    }
}
