//! What the parts of a log in Redis share.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

use aws_lc_rs::digest::{SHA256, digest};
use ragpulse_protocol::status::Limits;
use ragpulse_protocol::{PipelineStatus, ReporterId, Timestamp};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::super::fold::Fold;
use super::super::place::{file_limits, opening};
use super::super::{LogError, LogWatch, Record, Retention, TailItem};
use super::call::{Entry, Found, IdHash, IdRules, Loaded};
use super::gate::{Gates, Known};
use super::link::Link;
use super::options::RedisOptions;
use super::reply::{Fault, strange};
use super::session::Session;
use crate::clock::{Clock, SystemClock};
use ragpulse_protocol::PipelineId;

/// How many events are read at once.
pub(super) const SLICE: usize = 512;
/// How many entries a feed keeps, about. Who is further behind looks at every pipeline.
pub(super) const FEED: u64 = 10_000;
/// How many sets of ids are full before the oldest may go.
const FULL_BUCKETS: u64 = 6;
/// How often something is looked at again that others change meanwhile.
const TRIES: usize = 8;

pub(super) struct Core {
    pub(super) link: Link,
    pub(super) gates: Arc<Gates>,
    pub(super) tail: mpsc::Sender<TailItem>,
    pub(super) watch: OnceLock<LogWatch>,
    pub(super) end: CancellationToken,
    pub(super) options: RedisOptions,
    pub(super) ids: IdRules,
    machine: SystemClock,
}

impl Core {
    pub(super) fn new(options: RedisOptions, tail: mpsc::Sender<TailItem>) -> Self {
        let retention: &Retention = &options.retention;
        let ids = IdRules {
            bucket: retention.ids_per_pipeline.div_ceil(FULL_BUCKETS).max(1),
            age_millis: u64::try_from(retention.id_age.as_millis()).unwrap_or(u64::MAX),
            most: retention.ids_per_pipeline.saturating_mul(4),
        };
        Self {
            link: Link::new(),
            gates: Arc::default(),
            tail,
            watch: OnceLock::new(),
            end: CancellationToken::new(),
            options,
            ids,
            machine: SystemClock::default(),
        }
    }

    /// The time for scripts; `None` for Redis's own.
    pub(super) fn script_time(&self) -> Option<i64> {
        self.options.clock.as_ref().map(|clock| clock.now().as_millis())
    }

    /// The time by which events grow old.
    pub(super) fn now(&self) -> Timestamp {
        self.options.clock.as_ref().map_or_else(|| self.machine.now(), |clock| clock.now())
    }

    pub(super) fn file_limits(&self) -> Limits {
        file_limits(&self.options.limits)
    }

    /// Room in the tail: nothing is taken that could not be passed on.
    pub(super) async fn permit(&self) -> Result<mpsc::Permit<'_, TailItem>, LogError> {
        self.tail.reserve().await.map_err(|_| LogError::written("its tail is gone"))
    }

    /// A pipeline as it was last written down, or as it began; what came after is not folded yet. `None` where there is none.
    pub(super) async fn written(&self, session: &Session, id: &PipelineId) -> Result<Option<Known>, Fault> {
        let Some(loaded) = session.load(id).await? else { return Ok(None) };
        let Loaded { begins, first, snap, .. } = loaded;
        let fold = if snap > 0 {
            restored(loaded, self.file_limits())?
        } else {
            // Nothing goes before a state was written, so its first event is there.
            let Found::Entries(entries) = session.read(id, None, 0, 1).await? else { return Ok(None) };
            let Some(record) = entries.into_iter().next().map(record).transpose()? else { return Ok(None) };
            let shared = record.event.shared();
            let (kind, at) = (&shared.pipeline_type, shared.received_at);
            let mut state = opening(id, kind, at, self.file_limits());
            state.epoch = loaded.epoch;
            Fold::opening(state)
        };
        Ok(Some(Known { fold, begins, first, snap, held: None, told: false }))
    }

    /// A pipeline as it is now, and its last events of this epoch, without holes, at most as many as are read at once.
    pub(super) async fn loaded(
        &self,
        session: &Session,
        id: &PipelineId,
    ) -> Result<Option<(Known, Vec<Arc<Record>>)>, Fault> {
        'again: for _ in 0..TRIES {
            let Some(mut known) = self.written(session, id).await? else { return Ok(None) };
            let epoch = known.fold.state.epoch.clone();
            let mut last: Vec<Arc<Record>> = Vec::new();
            loop {
                let entries = match session.read(id, None, known.fold.state.seq, SLICE).await? {
                    Found::Entries(entries) => entries,
                    // Another node wrote the state down, or forgot the pipeline, since it was loaded.
                    _ => continue 'again,
                };
                self.link.heard();
                if entries.is_empty() {
                    break;
                }
                let page = records(entries)?;
                page.iter().for_each(|record| known.fold.apply(record));
                last = page.into_iter().filter(|record| record.seq >= known.begins).collect();
            }
            // Events of an earlier epoch may have been the last. One that began since then is found by the next who reads on.
            known.fold.begin_epoch(&epoch);
            return Ok(Some((known, last)));
        }
        Err(Fault::Gone(format!("pipeline {id} changes faster than it can be loaded")))
    }
}

impl std::fmt::Debug for Core {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Core")
            .field("options", &self.options)
            .field("link", &self.link)
            .finish_non_exhaustive()
    }
}

/// What is stored of an id.
pub(super) fn hash(id: &str) -> IdHash {
    let mut hash = IdHash::default();
    hash.copy_from_slice(&digest(&SHA256, id.as_bytes()).as_ref()[..16]);
    hash
}

pub(super) fn record(entry: Entry) -> Result<Record, Fault> {
    let Entry { seq, name, payload, reporter } = entry;
    let record = Record::stored(&name, payload, reporter)
        .map_err(|error| strange(&format!("an event at {seq} that cannot be read ({error})")))?;
    if record.seq == seq {
        Ok(record)
    } else {
        Err(strange(&format!("the event of {} at {seq}", record.seq)))
    }
}

pub(super) fn records(entries: Vec<Entry>) -> Result<Vec<Arc<Record>>, Fault> {
    entries.into_iter().map(|entry| record(entry).map(Arc::new)).collect()
}

/// A file as it is written down: its owner, or nothing, on a line, and what is known of it.
pub(super) fn file_text(
    file: &ragpulse_protocol::FileStatus,
    owner: Option<&ReporterId>,
) -> serde_json::Result<String> {
    Ok(format!("{}\n{}", owner.map_or("", ReporterId::as_str), serde_json::to_string(file)?))
}

fn restored(loaded: Loaded, limits: Limits) -> Result<Fold, Fault> {
    let bad =
        |what: &str, error: &dyn std::fmt::Display| strange(&format!("{what} that cannot be read ({error})"));
    let mut shown: PipelineStatus =
        serde_json::from_str(&loaded.state).map_err(|error| bad("a state", &error))?;
    shown.epoch = loaded.epoch;
    let mut owners = HashMap::new();
    let mut files = Vec::with_capacity(loaded.files.len());
    for (id, text) in loaded.files {
        let (owner, file) = text.split_once('\n').ok_or_else(|| bad("a file", &"it has no owner's line"))?;
        if !owner.is_empty() {
            owners.insert(id, ReporterId::new(owner).map_err(|error| bad("an owner", &error))?);
        }
        files.push(serde_json::from_str(file).map_err(|error| bad("a file", &error))?);
    }
    Ok(Fold::restored(shown, files, owners, limits))
}
