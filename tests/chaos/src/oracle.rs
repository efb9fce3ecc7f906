//! The oracle: knows every event that was sent and acknowledged, and every event that anybody was shown, and so which
//! snapshot is permitted.
//!
//! Nothing of it comes from the hub's code: it is told by reporters what they were promised and by clients what they saw,
//! and holds both against docs/spec/delivery.md.

mod log;
mod verify;

use std::collections::{HashMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};

use std::sync::Arc;
use std::time::Instant;

use parking_lot::Mutex;
use ragpulse_protocol::command::PublishReceipt;
use ragpulse_protocol::status::ResetReason;
use ragpulse_protocol::{Cursor, Epoch, PipelineId};

pub(crate) use self::log::Log;
pub(crate) use self::verify::{Findings, difference};
use crate::report::workload::Item;

/// What a socket is replayed at most.
const REPLAY: u64 = 10_000;
/// The same in bytes: 8 MiB, less what the oracle's sizes, which are of payloads alone, leave out.
const REPLAY_BYTES: u64 = 6 * 1024 * 1024;
/// What every log keeps of a pipeline.
const LOG: u64 = 100_000;

/// Knows what was promised.
#[derive(Debug)]
pub(crate) struct Oracle {
    /// Whether a hub that was killed comes back with the same sequences.
    keeps: bool,
    began: Instant,
    losses: Mutex<Losses>,
    pipelines: Mutex<HashMap<PipelineId, Known>>,
}

/// What a store that keeps everything was made to lose nevertheless.
#[derive(Debug, Clone, Copy, Default)]
struct Losses {
    /// How many times its end may have been lost: each may be a new epoch.
    ends: usize,
    /// Everything was removed from it, once or more.
    emptied: bool,
    /// How many acknowledgements there were.
    acks: u64,
}

/// What is known of one pipeline.
#[derive(Debug, Default)]
struct Known {
    /// Reporters that say again what they are at where a pipeline has a new epoch, under the same marks.
    restating: HashSet<Box<str>>,
    epochs: HashMap<Epoch, Sequence>,
    sent: HashMap<String, Sent>,
    sendings: u64,
}

/// What has been seen of one epoch, by `seq` from 1.
#[derive(Debug, Default)]
struct Sequence {
    seen: Vec<Option<Seen>>,
    /// The highest `seq` a hub acknowledged.
    acked: u64,
}

/// One event as somebody saw it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Seen {
    name: Box<str>,
    mark: Option<Box<str>>,
    /// Of the payload's text, where it was seen as text.
    digest: Option<u64>,
    bytes: u32,
}

/// One event as its reporter knows it.
#[derive(Debug)]
struct Sent {
    reporter: Box<str>,
    /// In which order its reporter sent it, the last time.
    number: u64,
    must_arrive: bool,
    acked: Option<Acked>,
    /// The number of its acknowledgement.
    ack: u64,
    /// It is on the disk: no loss of power takes it.
    secure: bool,
    /// How often it was sent, and with what it was acknowledged, for a failure.
    times: u32,
    receipt: Option<Arc<str>>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Acked {
    /// In this epoch, at or before this place.
    Until(Cursor),
    /// In whichever epoch it was: the client library does not say.
    Somewhere,
}

/// By what a client asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Via {
    Socket,
    /// A socket of an official client, which hands out what it has parsed.
    Official,
    /// A page of events, which reads through to the log.
    Http,
    /// A stream of server-sent events, which does so too.
    Stream,
    /// One or the other, as the client library likes.
    Either,
}

/// An event as a client was given it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Delivered<'a> {
    pub(crate) name: &'a str,
    pub(crate) mark: Option<&'a str>,
    /// The text of the payload, where the client has it.
    pub(crate) text: Option<&'a str>,
}

impl Oracle {
    pub(crate) fn new(keeps: bool) -> Self {
        Self { keeps, began: Instant::now(), losses: Mutex::default(), pipelines: Mutex::default() }
    }

    /// Whether nothing that was acknowledged can be lost, and nothing was.
    pub(crate) fn keeps(&self) -> bool {
        self.keeps && self.losses.lock().ends == 0
    }

    /// Whether a pipeline may be forgotten.
    pub(crate) fn forgets(&self) -> bool {
        !self.keeps || self.losses.lock().emptied
    }

    /// Whether the store was emptied under hubs that live.
    pub(crate) fn was_emptied(&self) -> bool {
        self.losses.lock().emptied
    }

    /// How many acknowledgements there are by now, for [`secure`](Self::secure).
    pub(crate) fn acks(&self) -> u64 {
        self.losses.lock().acks
    }

    /// What was acknowledged of this epoch of a pipeline, which it has now, is on the disk as far as it is among the first so many
    /// acknowledgements. (One of an earlier epoch may have come late, and its event be lost.)
    pub(crate) fn secure(&self, pipeline: &PipelineId, epoch: &str, acks: u64) {
        let mut pipelines = self.pipelines.lock();
        for sent in pipelines.get_mut(pipeline).into_iter().flat_map(|known| known.sent.values_mut()) {
            let of_epoch = matches!(&sent.acked, Some(Acked::Until(until)) if until.epoch.as_str() == epoch);
            sent.secure |= of_epoch && sent.ack <= acks;
        }
    }

    /// The store is about to lose its end: what was acknowledged and is not secure may be gone, with a new epoch.
    pub(crate) fn loses_end(&self) {
        self.losses.lock().ends += 1;
    }

    /// The store is about to be emptied.
    pub(crate) fn is_emptied(&self) {
        let mut losses = self.losses.lock();
        (losses.ends, losses.emptied) = (losses.ends + 1, true);
        for known in self.pipelines.lock().values_mut() {
            known.sent.values_mut().for_each(|sent| sent.secure = false);
        }
    }

    /// A reporter is about to send this, for the first time or again.
    pub(crate) fn sending(&self, pipeline: &PipelineId, reporter: &str, item: &Item) {
        let mut pipelines = self.pipelines.lock();
        let known = pipelines.entry(pipeline.clone()).or_default();
        known.sendings += 1;
        let times = known.sent.get(&item.mark).map_or(1, |before| before.times + 1);
        let sent = Sent {
            reporter: reporter.into(),
            number: known.sendings,
            must_arrive: item.must_arrive(),
            acked: None,
            ack: 0,
            secure: false,
            times,
            receipt: None,
        };
        known.sent.insert(item.mark.clone(), sent);
    }

    /// This reporter says again what it is at where the pipeline has a new epoch.
    pub(crate) fn restates(&self, pipeline: &PipelineId, reporter: &str) {
        self.pipelines.lock().entry(pipeline.clone()).or_default().restating.insert(reporter.into());
    }

    /// A hub has acknowledged these, all in one batch.
    pub(crate) fn acked<'a>(
        &self,
        pipeline: &PipelineId,
        marks: impl Iterator<Item = &'a str>,
        receipt: &PublishReceipt,
    ) {
        let ack = self.count_ack();
        let mut pipelines = self.pipelines.lock();
        let known = pipelines.entry(pipeline.clone()).or_default();
        let sequence = known.epochs.entry(receipt.epoch.clone()).or_default();
        sequence.acked = sequence.acked.max(receipt.seq);
        let told: Arc<str> = format!("{:.3} s: {receipt:?}", self.began.elapsed().as_secs_f64()).into();
        for mark in marks {
            if let Some(sent) = known.sent.get_mut(mark) {
                sent.receipt = Some(told.clone());
                sent.ack = ack;
                sent.acked = Some(Acked::Until(Cursor { epoch: receipt.epoch.clone(), seq: receipt.seq }));
            }
        }
    }

    fn count_ack(&self) -> u64 {
        let mut losses = self.losses.lock();
        losses.acks += 1;
        losses.acks
    }

    /// The client library says that everything of this reporter has arrived.
    pub(crate) fn acked_all(&self, pipeline: &PipelineId, reporter: &str) {
        let ack = self.count_ack();
        if let Some(known) = self.pipelines.lock().get_mut(pipeline) {
            for sent in known.sent.values_mut().filter(|sent| &*sent.reporter == reporter) {
                sent.ack = ack;
                sent.acked = Some(Acked::Somewhere);
            }
        }
    }

    /// The highest `seq` that was acknowledged.
    pub(crate) fn acknowledged(&self, pipeline: &PipelineId) -> u64 {
        let pipelines = self.pipelines.lock();
        let epochs = pipelines.get(pipeline).into_iter().flat_map(|known| known.epochs.values());
        epochs.map(|sequence| sequence.acked).max().unwrap_or(0)
    }

    /// A client was given this event: everybody must be given the same at the same place.
    pub(crate) fn saw(&self, pipeline: &PipelineId, at: &Cursor, event: Delivered<'_>) -> Result<(), String> {
        let seen = Seen {
            name: event.name.into(),
            mark: event.mark.map(Into::into),
            digest: event.text.map(digest),
            bytes: event.text.map_or(0, |text| u32::try_from(text.len()).unwrap_or(u32::MAX)),
        };
        let ends = self.losses.lock().ends;
        let mut pipelines = self.pipelines.lock();
        let known = pipelines.entry(pipeline.clone()).or_default();
        if self.keeps && !known.epochs.contains_key(&at.epoch) && known.epochs.len() > ends {
            let had = known.epochs.len();
            return Err(format!(
                "{pipeline} has a new epoch {} after {had}, but its store has lost something {ends} times",
                at.epoch
            ));
        }
        let sequence = known.epochs.entry(at.epoch.clone()).or_default();
        sequence.see(at.seq, seen).map_err(|error| format!("{pipeline} at {at}: {error}"))
    }

    /// Whether a client that asked for events after `asked` may be told to take the state instead.
    ///
    /// `given` is where that state stands, where it is known.
    pub(crate) fn may_reset(
        &self,
        pipeline: &PipelineId,
        via: Via,
        asked: &Cursor,
        reason: Option<&ResetReason>,
        given: Option<&Cursor>,
    ) -> Result<(), String> {
        let Some(reason) = reason else {
            return Err(format!(
                "a snapshot without a reason, where the events after {asked} were asked for"
            ));
        };
        let behind =
            given.filter(|given| given.epoch == asked.epoch).map(|given| given.seq.saturating_sub(asked.seq));
        let bytes = behind.map_or(0, |behind| self.bytes_after(pipeline, asked, behind));
        let refuse = |why: &str| {
            Err(format!(
                "a snapshot ({reason}) where a replay was to be had: asked for what follows {asked}, given {}; {why}",
                given.map_or_else(|| "nothing yet".to_owned(), ToString::to_string)
            ))
        };
        match reason {
            ResetReason::EpochChanged | ResetReason::UnknownPipeline if self.keeps() => {
                refuse("the store keeps everything, so the epoch stays")
            }
            ResetReason::UnknownPipeline if !self.forgets() => {
                refuse("the store has lost its end at most, so it knows the pipeline")
            }
            ResetReason::EpochChanged if given.is_some_and(|given| given.epoch == asked.epoch) => {
                refuse("the epoch is the same")
            }
            ResetReason::EpochChanged | ResetReason::UnknownPipeline => Ok(()),
            // A hub that has lost what it had shown begins a new epoch.
            ResetReason::Ahead => refuse("no hub may be behind its own clients in the same epoch"),
            ResetReason::Lagged | ResetReason::Trimmed => match (behind, via) {
                // The place is told by the snapshot that follows.
                (None, _) => Ok(()),
                (Some(behind), Via::Http | Via::Stream) if behind <= LOG => refuse("the log has them"),
                (Some(behind), _) if behind <= REPLAY && bytes <= REPLAY_BYTES => refuse("the hub has them"),
                (Some(_), _) => Ok(()),
            },
            _ => refuse("there is no such reason"),
        }
    }

    fn bytes_after(&self, pipeline: &PipelineId, after: &Cursor, count: u64) -> u64 {
        let pipelines = self.pipelines.lock();
        let sequence = pipelines.get(pipeline).and_then(|known| known.epochs.get(&after.epoch));
        let index = |seq: u64| usize::try_from(seq).unwrap_or(usize::MAX);
        sequence.map_or(0, |sequence| {
            let seen = sequence.seen.iter().skip(index(after.seq)).take(index(count));
            seen.flatten().map(|seen| u64::from(seen.bytes)).sum()
        })
    }
}

impl Sequence {
    fn see(&mut self, seq: u64, seen: Seen) -> Result<(), String> {
        let index = usize::try_from(seq.checked_sub(1).ok_or("an event has no place")?)
            .map_err(|error| error.to_string())?;
        if self.seen.len() <= index {
            self.seen.resize(index + 1, None);
        }
        let known = &mut self.seen[index];
        match known {
            None => *known = Some(seen),
            Some(known) => {
                if (&known.name, &known.mark) != (&seen.name, &seen.mark) {
                    return Err(format!(
                        "{} {:?} here, but another client was given {} {:?}",
                        seen.name, seen.mark, known.name, known.mark
                    ));
                }
                if known.digest.is_some() && seen.digest.is_some() && known.digest != seen.digest {
                    return Err(format!("{} has another payload here than for another client", seen.name));
                }
                known.digest = known.digest.or(seen.digest);
                known.bytes = known.bytes.max(seen.bytes);
            }
        }
        Ok(())
    }
}

fn digest(text: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests;
