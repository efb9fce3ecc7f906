//! The calls of scripts, with types. Each is one round trip, and is done whole or not at all.

use std::time::Duration;

use futures_util::future::try_join_all;
use ragpulse_protocol::{Epoch, PipelineId, PipelineType, ReporterId, Timestamp};
use redis::Value;

use super::super::{HeldLease, OfLease};
use super::reply::{Fault, items, number, strange, text};
use super::session::{Script, Session};

/// How many ids are asked for at once.
const IDS_AT_ONCE: usize = 1_000;

/// An id that was taken, short and of one length: what is stored of it.
pub(super) type IdHash = [u8; 16];

/// A position: the epoch, and the end of the sequence. `None` where there is no such pipeline.
pub(super) type Position = Option<(Epoch, u64)>;

/// An event with its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) seq: u64,
    pub(super) name: String,
    pub(super) payload: String,
    pub(super) reporter: Option<ReporterId>,
}

/// An event to be appended: what goes into the log, and the id it takes.
#[derive(Debug, Clone)]
pub(super) struct Placed<'a> {
    pub(super) name: &'a str,
    pub(super) payload: &'a str,
    pub(super) reporter: Option<&'a ReporterId>,
    pub(super) id: Option<IdHash>,
}

/// How ids grow old.
#[derive(Debug, Clone, Copy)]
pub(super) struct IdRules {
    /// From so many on a bucket is full, where the oldest may go …
    pub(super) bucket: u64,
    /// … that is, where all its ids are older than this, in milliseconds …
    pub(super) age_millis: u64,
    /// … or there are so many in all.
    pub(super) most: u64,
}

/// An append: where it was planned, and what of.
#[derive(Debug)]
pub(super) struct Append<'a> {
    pub(super) pipeline: &'a PipelineId,
    pub(super) on: &'a Position,
    /// Used where there is no such pipeline.
    pub(super) opening: (&'a Epoch, &'a PipelineType),
    pub(super) events: &'a [Placed<'a>],
    pub(super) remember: &'a [IdHash],
    pub(super) leases: &'a [OfLease],
    /// Milliseconds since 1970; `None` for the server's clock.
    pub(super) now: Option<i64>,
    pub(super) ids: IdRules,
    /// How many entries the feed keeps, about.
    pub(super) feed: u64,
}

/// What became of an append.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Appended {
    /// It is in the log, which ends here now; the state was last written down there.
    Ok { seq: u64, snap: u64 },
    /// Nothing was done: the pipeline is there.
    Moved(Position),
    /// Nothing was done: the ids of these events had been taken.
    Taken(Vec<usize>),
    /// Nothing was done: these reporters are heard.
    Heard(Vec<Option<ReporterId>>),
}

/// What there is after a position.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Found {
    Unknown,
    EpochChanged,
    Trimmed,
    Entries(Vec<Entry>),
    Bytes(u64),
}

/// What became of a state that was to be written down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Written {
    /// It is, and this is the first event that is kept.
    Ok { first: u64 },
    /// A newer one was there.
    Late,
    /// The pipeline has another epoch, or is gone.
    Moved,
}

/// A pipeline as it was written down.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Loaded {
    pub(super) epoch: Epoch,
    pub(super) seq: u64,
    pub(super) begins: u64,
    pub(super) pipeline_type: String,
    pub(super) snap: u64,
    pub(super) state: String,
    pub(super) files: Vec<(String, String)>,
    /// The first event that is kept; one more than the end where none is.
    pub(super) first: u64,
}

/// What of a pipeline's events is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Held {
    /// The first of them; one more than the end where there is none.
    pub(super) first: u64,
    /// When it was received.
    pub(super) received_at: Option<Timestamp>,
    /// Their bytes.
    pub(super) bytes: u64,
}

/// What is to be kept of a pipeline's events.
#[derive(Debug, Clone, Copy)]
pub(super) struct Keep {
    /// At most so many …
    pub(super) events: u64,
    /// … that were not received before this …
    pub(super) since: Option<Timestamp>,
    /// … and at most so many bytes.
    pub(super) bytes: u64,
}

fn name(reporter: Option<&ReporterId>) -> &str {
    reporter.map_or("", ReporterId::as_str)
}

fn reporter(name: &str) -> Result<Option<ReporterId>, Fault> {
    if name.is_empty() {
        return Ok(None);
    }
    ReporterId::new(name).map(Some).map_err(|_| strange("a reporter that is none"))
}

fn position(position: &Position) -> (&str, u64) {
    position.as_ref().map_or(("", 0), |(epoch, seq)| (epoch.as_str(), *seq))
}

impl Session {
    pub(super) async fn append(&self, append: &Append<'_>) -> Result<Appended, Fault> {
        let at = self.keys().shard_of(append.pipeline);
        let keys = self.shard(at).of_append(append.pipeline);
        let mut call = self.call(Script::Append, at, &keys)?;
        let (epoch, seq) = position(append.on);
        call.arg(append.pipeline.as_str()).arg(epoch).arg(seq);
        call.arg(append.opening.0.as_str()).arg(append.opening.1.as_str());
        call.arg(append.now.map(|now| now.to_string()).unwrap_or_default());
        call.arg(append.feed).arg(append.ids.bucket).arg(append.ids.age_millis).arg(append.ids.most);
        call.arg(append.events.len()).arg(append.remember.len()).arg(append.leases.len());
        for event in append.events {
            call.arg(event.name).arg(event.payload).arg(name(event.reporter));
            call.arg(event.id.as_ref().map_or(&[][..], |id| &id[..]));
        }
        for id in append.remember {
            call.arg(&id[..]);
        }
        for change in append.leases {
            let (what, who, seconds) = match change {
                OfLease::Lapsed(who) => ("lapsed", who, 0),
                OfLease::Alone(who) => ("alone", who, 0),
                OfLease::Renew(who, seconds) => ("renew", who, *seconds),
                OfLease::Leave(who) => ("leave", who, 0),
            };
            call.arg(what).arg(name(who.as_ref())).arg(seconds);
        }
        let reply = self.ask(&call).await?;
        match &*reply.word {
            "ok" => Ok(Appended::Ok { seq: reply.number(0)?, snap: reply.number(1)? }),
            "moved" => {
                let seq = reply.number(1)?;
                Ok(Appended::Moved(reply.epoch(0)?.map(|epoch| (epoch, seq))))
            }
            "taken" => {
                let index = |value| {
                    usize::try_from(number(value)?).map_err(|_| strange("an event that was not sent"))
                };
                reply.rest.iter().map(index).collect::<Result<_, _>>().map(Appended::Taken)
            }
            "heard" => {
                let who = |value| reporter(&text(value)?);
                reply.rest.iter().map(who).collect::<Result<_, _>>().map(Appended::Heard)
            }
            _ => Err(reply.unexpected()),
        }
    }

    /// At most `limit` events after a position. No epoch stands for whatever epoch there is.
    pub(super) async fn read(
        &self,
        pipeline: &PipelineId,
        epoch: Option<&Epoch>,
        after: u64,
        limit: usize,
    ) -> Result<Found, Fault> {
        self.found(pipeline, epoch, after, |call| {
            call.arg(limit);
        })
        .await
    }

    /// How many bytes of events there are after a position, up to another.
    pub(super) async fn extent(
        &self,
        pipeline: &PipelineId,
        epoch: &Epoch,
        after: u64,
        last: u64,
    ) -> Result<Found, Fault> {
        self.found(pipeline, Some(epoch), after, |call| {
            call.arg("extent").arg(last);
        })
        .await
    }

    async fn found(
        &self,
        pipeline: &PipelineId,
        epoch: Option<&Epoch>,
        after: u64,
        what: impl FnOnce(&mut redis::Cmd),
    ) -> Result<Found, Fault> {
        let at = self.keys().shard_of(pipeline);
        let shard = self.shard(at);
        let keys = [shard.life(), shard.meta(pipeline), shard.events(pipeline)];
        let mut call = self.call(Script::Read, at, &keys)?;
        call.arg(epoch.map_or("", Epoch::as_str)).arg(after);
        what(&mut call);
        let mut reply = self.ask(&call).await?;
        match &*reply.word {
            "unknown" => Ok(Found::Unknown),
            "epoch" => Ok(Found::EpochChanged),
            "trimmed" => Ok(Found::Trimmed),
            "ok" if matches!(reply.rest.get(2), Some(Value::Array(_))) => {
                reply.take_items(2)?.into_iter().map(entry).collect::<Result<_, _>>().map(Found::Entries)
            }
            "ok" => Ok(Found::Bytes(reply.number(2)?)),
            _ => Err(reply.unexpected()),
        }
    }

    /// Which of these ids were taken.
    pub(super) async fn seen(&self, pipeline: &PipelineId, ids: &[IdHash]) -> Result<Vec<bool>, Fault> {
        let mut seen = vec![false; ids.len()];
        if ids.is_empty() {
            return Ok(seen);
        }
        for (seen, ids) in seen.chunks_mut(IDS_AT_ONCE).zip(ids.chunks(IDS_AT_ONCE)) {
            // Eight questions, and one round trip.
            let keys = self.keys().of(pipeline).ids(pipeline);
            let ask = |key| {
                let mut command = redis::cmd("SMISMEMBER");
                command.arg(key);
                for id in ids {
                    command.arg(&id[..]);
                }
                async move { self.look(&command).await }
            };
            for found in try_join_all(keys.into_iter().map(ask)).await? {
                for (seen, found) in seen.iter_mut().zip(&items(found)?) {
                    *seen |= number(found)? == 1;
                }
            }
        }
        Ok(seen)
    }

    /// Writes down a state and the files that changed (`None` = no longer listed), and lets old events go.
    pub(super) async fn write_state(
        &self,
        pipeline: &PipelineId,
        of: (&Epoch, u64),
        state: &str,
        files: &[(&str, Option<&str>)],
        keep: (u64, Option<u64>),
    ) -> Result<Written, Fault> {
        let at = self.keys().shard_of(pipeline);
        let shard = self.shard(at);
        let [text, table] = shard.state(pipeline);
        let keys = [shard.life(), shard.meta(pipeline), text, table, shard.events(pipeline)];
        let mut call = self.call(Script::Snapshot, at, &keys)?;
        call.arg(of.0.as_str()).arg(of.1).arg(state);
        call.arg(keep.0).arg(keep.1.map(|first| first.to_string()).unwrap_or_default()).arg(files.len());
        for (id, text) in files {
            call.arg(*id).arg(text.unwrap_or(""));
        }
        let reply = self.ask(&call).await?;
        match &*reply.word {
            "ok" => Ok(Written::Ok { first: reply.number(0)? }),
            "late" => Ok(Written::Late),
            "moved" => Ok(Written::Moved),
            _ => Err(reply.unexpected()),
        }
    }

    /// The pipeline as it was last written down; `None` where there is none.
    pub(super) async fn load(&self, pipeline: &PipelineId) -> Result<Option<Loaded>, Fault> {
        let at = self.keys().shard_of(pipeline);
        let shard = self.shard(at);
        let [state, files] = shard.state(pipeline);
        let keys = [shard.life(), shard.meta(pipeline), state, files, shard.events(pipeline)];
        let mut reply = self.ask(&self.call(Script::Load, at, &keys)?).await?;
        if reply.word == "unknown" {
            return Ok(None);
        }
        let mut files = Vec::new();
        let mut listed = reply.take_items(6)?.into_iter();
        while let (Some(id), Some(file)) = (listed.next(), listed.next()) {
            files.push((text(&id)?, text(&file)?));
        }
        Ok(Some(Loaded {
            epoch: reply.epoch(0)?.ok_or_else(|| strange("a pipeline without an epoch"))?,
            seq: reply.number(1)?,
            begins: reply.number(2)?,
            pipeline_type: reply.text(3)?,
            snap: reply.number(4)?,
            state: reply.text(5)?,
            files,
            first: reply.number(7)?,
        }))
    }

    /// Deletes a pipeline, where it is still at this position. `None` for wherever it is.
    pub(super) async fn forget(
        &self,
        pipeline: &PipelineId,
        on: &Position,
        feed: u64,
    ) -> Result<bool, Fault> {
        let at = self.keys().shard_of(pipeline);
        let shard = self.shard(at);
        let mut keys = shard.of_append(pipeline);
        keys.extend(shard.state(pipeline));
        let mut call = self.call(Script::Forget, at, &keys)?;
        let (epoch, seq) = position(on);
        call.arg(pipeline.as_str()).arg(epoch).arg(seq).arg(feed);
        let reply = self.ask(&call).await?;
        match &*reply.word {
            "ok" => Ok(true),
            "moved" => Ok(false),
            _ => Err(reply.unexpected()),
        }
    }

    /// Lets old events go. `None` where the pipeline has another epoch, or is gone.
    pub(super) async fn trim(
        &self,
        pipeline: &PipelineId,
        epoch: &Epoch,
        keep: Keep,
    ) -> Result<Option<Held>, Fault> {
        let at = self.keys().shard_of(pipeline);
        let shard = self.shard(at);
        let keys = [shard.life(), shard.meta(pipeline), shard.events(pipeline)];
        let mut call = self.call(Script::Trim, at, &keys)?;
        call.arg(epoch.as_str()).arg(keep.events);
        call.arg(keep.since.map(|since| since.to_string()).unwrap_or_default()).arg(keep.bytes);
        let reply = self.ask(&call).await?;
        match &*reply.word {
            "ok" => Ok(Some(Held {
                first: reply.number(0)?,
                received_at: reply.text(1)?.parse().ok(),
                bytes: reply.number(2)?,
            })),
            "moved" => Ok(None),
            _ => Err(reply.unexpected()),
        }
    }

    /// The leases of a pipeline, ended or not.
    pub(super) async fn leases(
        &self,
        pipeline: &PipelineId,
        now: Option<i64>,
    ) -> Result<Vec<HeldLease>, Fault> {
        let at = self.keys().shard_of(pipeline);
        let shard = self.shard(at);
        let [due, spans] = shard.leases();
        let keys = [shard.life(), due, spans, shard.reporters(pipeline)];
        let mut call = self.call(Script::Leases, at, &keys)?;
        call.arg(pipeline.as_str()).arg(now.map(|now| now.to_string()).unwrap_or_default());
        let reply = self.ask(&call).await?;
        let held = |part: &[Value]| match part {
            [who, left, seconds] => Ok(HeldLease {
                reporter: reporter(&text(who)?)?,
                left: Duration::from_millis(number(left)?),
                seconds: u32::try_from(number(seconds)?).map_err(|_| strange("a lease without an end"))?,
            }),
            _ => Err(strange("half a lease")),
        };
        reply.rest.chunks(3).map(held).collect()
    }

    /// The reporters whose leases have ended, at most `most`; and whether all leases began anew, as nobody had looked for `gap_millis`.
    pub(super) async fn tick(
        &self,
        shard: u16,
        now: Option<i64>,
        gap_millis: u64,
        most: usize,
    ) -> Result<(bool, Vec<(PipelineId, Option<ReporterId>)>), Fault> {
        let [due, spans] = self.shard(shard).leases();
        let mut call = self.call(Script::Tick, shard, &[self.shard(shard).life(), due, spans])?;
        call.arg(now.map(|now| now.to_string()).unwrap_or_default()).arg(gap_millis).arg(most);
        let reply = self.ask(&call).await?;
        let anew = reply.text(0)? == "anew";
        let ended = reply.rest.iter().skip(1).map(|who| {
            let who = text(who)?;
            let (pipeline, name) = who.split_once(' ').ok_or_else(|| strange("a lease of nobody"))?;
            let pipeline = PipelineId::new(pipeline).map_err(|_| strange("a lease of no pipeline"))?;
            Ok((pipeline, reporter(name)?))
        });
        Ok((anew, ended.collect::<Result<_, Fault>>()?))
    }
}

/// An entry of a pipeline's stream: `SEQ-0` and its fields, in the order they were written.
pub(super) fn entry(value: Value) -> Result<Entry, Fault> {
    let mut parts = items(value)?.into_iter();
    let (Some(id), Some(fields)) = (parts.next(), parts.next()) else { return Err(strange("half an event")) };
    let id = text(&id)?;
    let seq = id
        .split_once('-')
        .and_then(|(seq, _)| seq.parse().ok())
        .ok_or_else(|| strange("an event without a place"))?;
    let fields = items(fields)?;
    let field = |at: usize| fields.get(at).map_or_else(|| Err(strange("half an event")), text);
    Ok(Entry { seq, name: field(1)?, payload: field(3)?, reporter: reporter(&field(5)?)? })
}
