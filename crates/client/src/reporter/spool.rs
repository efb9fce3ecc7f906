//! A reporter's spool: the events that must arrive, in files, until the hub has answered for them. So they outlive an
//! outage that is longer than the memory holds, and the process.
//!
//! The spool is a directory of segments, each named after the number of its first event, and only ever appended to. An
//! event is in the page cache of the operating system when [`append`](Spool::append) returns: it survives the process,
//! and with `sync` also a loss of power. What was settled is appended as well; that may lag behind, because a hub takes an
//! event id once. A segment of which everything is settled is deleted; the files that are open at that moment are carried
//! over into the next one. A record that was cut short is cut off when the spool is opened: nobody was told that it is kept.
//!
//! *What may come in:* encoded events; whatever is found on the disk. *What it never does:* decide when something is sent,
//! touch a file that it does not wholly understand, let two reporters at one spool, or grow past its bound by an event
//! that was not forced.

mod error;
mod format;
mod load;
mod reading;

use std::collections::{BTreeSet, VecDeque};
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use ragpulse_protocol::Object;
use serde::{Deserialize, Serialize};

pub use error::SpoolError;
use format::{HEAD, Kind, START};
use load::Loaded;
use reading::Reading;

use super::encode::item_of;
use super::files::OpenFiles;
use super::queue::{Effect, Item};

const EXTENSION: &str = "spool";
const UNFINISHED: &str = "new";
const LOCK: &str = "lock";
/// A segment of which everything is settled is replaced from this size on, so that a quiet spool stays small.
const WORTH_REPLACING: u64 = 256 * 1024;

/// Whose spool it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) pipeline_id: String,
    pub(crate) reporter_id: String,
}

impl std::fmt::Display for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "reporter {:?} of pipeline {:?}", self.reporter_id, self.pipeline_id)
    }
}

/// How a spool is opened.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    pub(crate) path: PathBuf,
    /// The most bytes of all segments.
    pub(crate) max_bytes: u64,
    /// Whether each event is to be on the disk before it counts as taken.
    pub(crate) sync: bool,
}

/// The first record of a segment.
#[derive(Debug, Serialize, Deserialize)]
struct Header {
    pipeline_id: String,
    reporter_id: String,
    first: u64,
    settled: u64,
}

#[derive(Debug)]
struct Segment {
    path: PathBuf,
    /// The number of its first event.
    first: u64,
    len: u64,
}

/// Up to where the memory has everything.
#[derive(Debug, Clone, Copy)]
struct Cursor {
    /// The number of the next event to be read.
    number: u64,
    /// A place at or before it, in the last segment that begins at or before it.
    offset: u64,
}

#[derive(Debug)]
pub(crate) struct Spool {
    settings: Settings,
    identity: Identity,
    segment_bytes: u64,
    /// Oldest first, none empty of events but the last, which is the one that is written.
    segments: VecDeque<Segment>,
    file: File,
    /// The number of the next event.
    next: u64,
    /// All events before this number are settled.
    settled: u64,
    /// Settled events from there on.
    done: BTreeSet<u64>,
    cursor: Cursor,
    /// Files begun in this life and not ended, each as `{"file": …}`.
    open: OpenFiles,
    /// Files begun in an earlier life, and since then neither ended nor begun again.
    orphans: OpenFiles,
    /// Forced events that could not be written behind others that wait here.
    late: VecDeque<Item>,
    /// The end of the last segment holds what could not be written whole, nor taken back.
    ragged: bool,
    /// What a pretended disk still takes.
    #[cfg(test)]
    pub(super) disk: Option<std::sync::Arc<std::sync::atomic::AtomicUsize>>,
    _lock: File,
}

impl Spool {
    /// Opens the spool, or makes it. `reporter_id` is asked for where there is none yet; a spool that there is keeps its
    /// own, which a caller's own choice must not contradict.
    pub(crate) fn open(
        settings: Settings,
        pipeline_id: &str,
        chosen: Option<&str>,
        reporter_id: impl FnOnce() -> String,
    ) -> Result<Self, SpoolError> {
        let path = settings.path.clone();
        let io = |error: io::Error| SpoolError::io(&path, &error);
        if path.exists() && !path.is_dir() {
            return Err(SpoolError::NotASpool { path });
        }
        make_directory(&path).map_err(io)?;
        let lock = OpenOptions::new().create(true).append(true).open(path.join(LOCK)).map_err(io)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(SpoolError::Locked { path }),
            Err(TryLockError::Error(error)) => return Err(SpoolError::io(&path, &error)),
        }
        // Everything is read and understood before anything is touched.
        let loaded = Loaded::read(&path, pipeline_id, chosen)?;
        let identity = Identity {
            pipeline_id: pipeline_id.to_owned(),
            reporter_id: loaded.reporter_id.or_else(|| chosen.map(str::to_owned)).unwrap_or_else(reporter_id),
        };
        for leftover in &loaded.leftovers {
            fs::remove_file(leftover).map_err(|error| SpoolError::io(leftover, &error))?;
        }
        let segment_bytes = (settings.max_bytes / 8).clamp(64 * 1024, 8 * 1024 * 1024);
        let mut segments = loaded.segments;
        let (file, fresh) = match segments.back_mut() {
            Some(last) => {
                let io = |error: io::Error| SpoolError::io(&last.path, &error);
                let file = OpenOptions::new().append(true).open(&last.path).map_err(io)?;
                if file.metadata().map_err(io)?.len() > last.len {
                    tracing::warn!(path = %last.path.display(), at = last.len, "a record cut short is cut off");
                    file.set_len(last.len).map_err(io)?;
                }
                (file, false)
            }
            // Until the first segment is there, which is next.
            None => (lock.try_clone().map_err(io)?, true),
        };
        let first = segments.iter().rev().find(|segment| segment.first <= loaded.settled);
        let number = first.map_or(0, |segment| segment.first);
        let mut spool = Self {
            settings,
            identity,
            segment_bytes,
            segments,
            file,
            next: loaded.next,
            settled: loaded.settled,
            done: BTreeSet::new(),
            cursor: Cursor { number, offset: START as u64 },
            open: OpenFiles::default(),
            orphans: loaded.open,
            late: VecDeque::new(),
            ragged: false,
            #[cfg(test)]
            disk: None,
            _lock: lock,
        };
        if fresh {
            spool.begin_segment().map_err(|error| SpoolError::io(&spool.settings.path, &error))?;
        }
        if spool.settled == spool.next {
            spool.passed();
        }
        spool.drop_settled();
        Ok(spool)
    }

    pub(crate) fn identity(&self) -> &Identity {
        &self.identity
    }

    pub(crate) fn syncs(&self) -> bool {
        self.settings.sync
    }

    /// How many events are here and not in memory.
    pub(crate) fn unread(&self) -> usize {
        let unread = self.next - self.cursor.number.max(self.settled);
        usize::try_from(unread).unwrap_or(usize::MAX).saturating_add(self.late.len())
    }

    /// Keeps an event and gives its number; nothing when there is no room. After an error it is not kept.
    /// A forced event goes past the bound, and is not waited for until it is on the disk.
    pub(crate) fn append(&mut self, item: &Item, force: bool) -> Result<Option<u64>, SpoolError> {
        while let Some(item) = self.late.pop_front() {
            if let Err(error) = self.write_event(&item, true) {
                self.late.push_front(item);
                return Err(error);
            }
        }
        self.write_event(item, force)
    }

    /// Holds a forced event that could not be written, behind those that wait here.
    pub(crate) fn keep(&mut self, item: Item) {
        self.late.push_back(item);
    }

    fn write_event(&mut self, item: &Item, force: bool) -> Result<Option<u64>, SpoolError> {
        let size = (HEAD + item.json.len()) as u64;
        let fits = |spool: &Self| force || spool.bytes() + size <= spool.settings.max_bytes;
        if self.last_len() >= self.segment_bytes || (!fits(self) && self.settled == self.next) {
            self.replace_segment();
        }
        if !fits(self) {
            return Ok(None);
        }
        let mut record = Vec::with_capacity(size as usize);
        format::put(Kind::Event, item.json.as_bytes(), &mut record);
        self.write(&record, self.settings.sync && !force)?;
        let number = self.next;
        self.next += 1;
        self.follow(&item.effect);
        Ok(Some(number))
    }

    /// What was appended last is in memory, as all before it.
    pub(crate) fn passed(&mut self) {
        self.cursor = Cursor { number: self.next, offset: self.last_len() };
    }

    /// The next events that are not in memory, at least one if there is any.
    pub(crate) fn read(&mut self, max_events: usize, max_bytes: usize) -> Result<Vec<Item>, SpoolError> {
        let mut items = Vec::new();
        let read = self.read_into(&mut items, max_events, max_bytes);
        if items.is_empty() {
            // What comes before an unreadable place is given first.
            read?;
        }
        // Behind everything that could be written.
        if self.cursor.number == self.next && items.len() < max_events {
            items.extend(self.late.drain(..));
        }
        Ok(items)
    }

    fn read_into(
        &mut self,
        items: &mut Vec<Item>,
        max_events: usize,
        max_bytes: usize,
    ) -> Result<(), SpoolError> {
        let mut bytes = 0;
        while self.cursor.number < self.next && items.len() < max_events {
            let mut reading = Reading::new(self.segment_at(self.cursor.number)?, self.cursor.offset)?;
            while let Some(kind) = reading.next()? {
                let number = self.cursor.number;
                if kind == Kind::Event && number >= self.settled {
                    let size = reading.body.len();
                    if items.len() == max_events || (bytes + size > max_bytes && !items.is_empty()) {
                        return Ok(());
                    }
                    bytes += size;
                    let Some(item) = item_of(&reading.body) else {
                        return Err(reading.damaged("a record holds no event"));
                    };
                    items.push(Item { spooled: Some(number), ..item });
                }
                self.cursor.number += u64::from(kind == Kind::Event);
                self.cursor.offset = reading.at;
            }
            // The next event is in the next segment, which may still be empty.
            if self.segment_at(self.cursor.number)?.path != reading.path {
                self.cursor.offset = START as u64;
            } else if self.cursor.number < self.next {
                return Err(reading.damaged("events are missing at its end"));
            }
        }
        Ok(())
    }

    /// The hub has answered for these.
    pub(crate) fn settle(&mut self, numbers: &[u64]) {
        self.done.extend(numbers.iter().copied().filter(|number| *number >= self.settled));
        let before = self.settled;
        while self.done.remove(&self.settled) {
            self.settled += 1;
        }
        if self.settled == before {
            return;
        }
        let mut record = Vec::new();
        format::put(Kind::Settled, self.settled.to_string().as_bytes(), &mut record);
        if let Err(error) = self.write(&record, false) {
            tracing::debug!("what was settled is not noted: {error}");
        }
        if self.cursor.number == self.next {
            self.cursor.offset = self.last_len();
        }
        if self.settled == self.next && self.last_len() >= WORTH_REPLACING {
            self.replace_segment();
        }
        self.drop_settled();
    }

    /// The files that an earlier life began, and nobody has ended or begun again since.
    pub(crate) fn orphans(&self) -> Vec<Object> {
        self.orphans.fields().cloned().collect()
    }

    fn bytes(&self) -> u64 {
        self.segments.iter().map(|segment| segment.len).sum()
    }

    fn last_len(&self) -> u64 {
        self.segments.back().map_or(0, |segment| segment.len)
    }

    fn segment_at(&self, number: u64) -> Result<&Segment, SpoolError> {
        let found = self.segments.iter().rev().find(|segment| segment.first <= number);
        found.ok_or_else(|| {
            let error = io::Error::other("a segment is missing");
            SpoolError::io(&self.settings.path, &error)
        })
    }

    /// What an event says of the files that are being worked on.
    fn follow(&mut self, effect: &Effect) {
        match effect {
            Effect::Begin { file, data } => {
                self.orphans.end(file);
                self.open.begin(file.clone(), only_file(data));
            }
            Effect::End { file } => {
                self.orphans.end(file);
                self.open.end(file);
            }
            Effect::Offline => {
                self.orphans.clear();
                self.open.clear();
            }
            Effect::Online(_) | Effect::Progress { .. } | Effect::Other => {}
        }
    }

    /// Appends to the last segment, all of it or nothing.
    fn write(&mut self, record: &[u8], sync: bool) -> Result<(), SpoolError> {
        let Some(len) = self.segments.back().map(|segment| segment.len) else { return Ok(()) };
        let written = self.try_write(len, record, sync);
        if let Err(error) = written {
            // What was written of it looks like a record cut short, if it cannot be taken back now.
            self.ragged = self.file.set_len(len).is_err();
            return Err(SpoolError::Write { path: self.settings.path.clone(), error: error.to_string() });
        }
        if let Some(last) = self.segments.back_mut() {
            last.len += record.len() as u64;
        }
        Ok(())
    }

    fn try_write(&mut self, len: u64, record: &[u8], sync: bool) -> io::Result<()> {
        if self.ragged {
            self.file.set_len(len)?;
            self.ragged = false;
        }
        #[cfg(test)]
        self.pretend(record)?;
        self.file.write_all(record)?;
        if sync { self.file.sync_data() } else { Ok(()) }
    }

    /// A disk that fills up takes a part of a record.
    #[cfg(test)]
    fn pretend(&mut self, record: &[u8]) -> io::Result<()> {
        use std::sync::atomic::Ordering::SeqCst;
        let Some(disk) = &self.disk else { return Ok(()) };
        let room = disk.load(SeqCst);
        if room < record.len() {
            self.file.write_all(&record[..room])?;
            return Err(io::ErrorKind::StorageFull.into());
        }
        disk.store(room - record.len(), SeqCst);
        Ok(())
    }

    /// Goes on in a new segment, so that the old one can be deleted. If that cannot be done now, the old one grows.
    fn replace_segment(&mut self) {
        // Two segments with one first event would be one name.
        if self.ragged || self.segments.back().is_some_and(|last| last.first == self.next) {
            return;
        }
        match self.begin_segment() {
            Ok(()) => self.drop_settled(),
            Err(error) => tracing::debug!("no new segment: {error}"),
        }
    }

    /// Makes the segment that begins with the next event. It gets its name when it is whole.
    fn begin_segment(&mut self) -> io::Result<()> {
        let Identity { pipeline_id, reporter_id } = self.identity.clone();
        let header = Header { pipeline_id, reporter_id, first: self.next, settled: self.settled };
        let mut bytes = format::start();
        let header = serde_json::to_vec(&header).unwrap_or_default();
        format::put(Kind::Header, &header, &mut bytes);
        self.put_open_files(&mut bytes);

        let path = self.settings.path.join(format!("{:020}.{EXTENSION}", self.next));
        let unfinished = path.with_extension(UNFINISHED);
        let made = self.make(&unfinished, &path, &bytes);
        self.file = made.inspect_err(|_| _ = fs::remove_file(&unfinished))?;
        self.segments.push_back(Segment { path, first: self.next, len: bytes.len() as u64 });
        if self.cursor.number == self.next {
            self.passed();
        }
        Ok(())
    }

    fn make(&mut self, unfinished: &Path, path: &Path, bytes: &[u8]) -> io::Result<File> {
        let mut file = File::create(unfinished)?;
        #[cfg(test)]
        if let Some(disk) = &self.disk
            && disk.load(std::sync::atomic::Ordering::SeqCst) < bytes.len()
        {
            return Err(io::ErrorKind::StorageFull.into());
        }
        file.write_all(bytes)?;
        if self.settings.sync {
            file.sync_all()?;
        }
        drop(file);
        fs::rename(unfinished, path)?;
        #[cfg(unix)]
        if self.settings.sync {
            File::open(&self.settings.path)?.sync_all()?;
        }
        OpenOptions::new().append(true).open(path)
    }

    /// The files that are open, the oldest first; of more than a quarter of the spool, the newest.
    fn put_open_files(&self, into: &mut Vec<u8>) {
        let most = self.settings.max_bytes as usize / 4;
        let bodies = self.orphans.fields().chain(self.open.fields());
        let mut bodies: VecDeque<Vec<u8>> = bodies.filter_map(|body| serde_json::to_vec(body).ok()).collect();
        let mut size: usize = bodies.iter().map(|body| HEAD + body.len()).sum();
        while size > most {
            let Some(oldest) = bodies.pop_front() else { break };
            size -= HEAD + oldest.len();
        }
        bodies.iter().for_each(|body| format::put(Kind::Open, body, into));
    }

    /// Deletes the segments of which everything is settled. Where that cannot be done now, it is done later.
    fn drop_settled(&mut self) {
        while self.segments.get(1).is_some_and(|second| second.first <= self.settled) {
            let Some(oldest) = self.segments.front() else { return };
            match fs::remove_file(&oldest.path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    tracing::debug!(path = %oldest.path.display(), "a settled segment stays: {error}");
                    return;
                }
                _ => drop(self.segments.pop_front()),
            }
        }
    }
}

/// Makes the directory, where there is none, for its owner only: names of files are nobody else's business.
fn make_directory(path: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path)
}

/// Of the fields of a file's begin, those that say which file it is.
fn only_file(data: &Object) -> Object {
    data.get_key_value("file").map(|(key, file)| (key.clone(), file.clone())).into_iter().collect()
}

#[cfg(test)]
mod tests;
