//! The one thread that writes: appends in groups, and between them whatever keeps the store small and quick to open.
//!
//! What waits is appended in one transaction. Memory is changed and readers are told only after it was committed, so
//! that a store that fails leaves everything as it was.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::sync::Arc;
use std::sync::mpsc as std_mpsc;
use std::time::{Duration, Instant};

use ragpulse_protocol::status::Limits;
use ragpulse_protocol::{PipelineId, ReporterId};
use rusqlite::{Connection, OptionalExtension, Transaction, TransactionBehavior, params};
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};

use super::super::place::{Placed, file_limits, opening, place as place_batches, trial};
use super::super::{Appended, Batch, LogError, TailItem};
use super::known::{Inner, Known, Shared, unwritten};
use super::open::{Opened, write_state};
use super::schema::{MOST_KEYS, place};
use super::{Retention, SqliteOptions};
use crate::clock::Clock;
use crate::config::HubLimits;

/// How many events are written in one transaction at most, but for those of one append.
const GROUP_EVENTS: usize = 4_000;
/// How often the upkeep has its turn while events come.
const UPKEEP_EVERY: Duration = Duration::from_millis(100);
/// How long the thread waits for a command before it looks for upkeep.
const IDLE: Duration = Duration::from_millis(250);
/// A state is written down after so many events …
const WRITE_STATE_AFTER: u64 = 4_096;
/// … or after so long without.
const WRITE_STATE_IDLE: Duration = Duration::from_secs(5);
/// How many states are written down in one transaction.
const STATES_TOGETHER: usize = 64;
/// How often it is looked what may go: with many pipelines the look itself is work.
const TRIM_EVERY: Duration = Duration::from_millis(500);
/// How many rows of a pipeline go at once.
const DELETE_ROWS: u64 = 4_000;

/// What the writer is asked to do.
pub(super) enum Command {
    Append(Append),
    Forget(PipelineId, Reply<()>),
    /// Writes down all states, marks the store as closed and ends.
    Close(Reply<()>),
}

/// Batches of one pipeline.
pub(super) struct Append {
    pub(super) pipeline: PipelineId,
    pub(super) batches: Vec<Batch>,
    pub(super) reply: Reply<Vec<Appended>>,
}

/// Where an answer goes. With it the place in the queue is given back.
pub(super) struct Reply<T> {
    to: oneshot::Sender<Result<T, LogError>>,
    _place: OwnedSemaphorePermit,
}

impl<T> Reply<T> {
    pub(super) fn new(to: oneshot::Sender<Result<T, LogError>>, place: OwnedSemaphorePermit) -> Self {
        Self { to, _place: place }
    }

    fn send(self, answer: Result<T, LogError>) {
        // Who asked may have gone.
        let _ = self.to.send(answer);
    }
}

/// An append that is in the transaction.
struct Prepared {
    known: Arc<Known>,
    is_new: bool,
    placed: Placed,
    next_id: u64,
}

/// What goes of a pipeline: all before these.
struct Cut {
    known: Arc<Known>,
    events: u64,
    ids: u64,
}

pub(super) struct Writer {
    connection: Connection,
    shared: Arc<Shared>,
    tail: mpsc::Sender<TailItem>,
    retention: Retention,
    limits: HubLimits,
    clock: Arc<dyn Clock>,
    upkeep_at: Instant,
    states_at: Instant,
    trim_at: Instant,
    _lock: File,
}

impl Writer {
    pub(super) fn new(opened: Opened, tail: mpsc::Sender<TailItem>, options: &SqliteOptions) -> Self {
        let now = Instant::now();
        Self {
            connection: opened.connection,
            shared: opened.shared,
            tail,
            retention: options.retention.clone(),
            limits: options.limits.clone(),
            clock: options.clock.clone(),
            upkeep_at: now,
            states_at: now + WRITE_STATE_IDLE,
            trim_at: now,
            _lock: opened.lock,
        }
    }

    /// Runs until the store is closed, or nobody can ask any more.
    pub(super) fn run(mut self, commands: &std_mpsc::Receiver<Command>) {
        let mut busy = false;
        let mut next = None;
        loop {
            let command = match next.take() {
                Some(command) => Ok(command),
                // Upkeep that is not done goes on at once where nobody waits.
                None => commands.recv_timeout(if busy { Duration::ZERO } else { IDLE }),
            };
            match command {
                Ok(Command::Append(append)) => next = self.append_group(append, commands),
                Ok(Command::Forget(pipeline, reply)) => {
                    let done = self.forget(&pipeline);
                    reply.send(done);
                }
                Ok(Command::Close(reply)) => {
                    let closed = self.close();
                    // The file and its lock are given back before anybody is told.
                    drop(self);
                    reply.send(closed);
                    return;
                }
                Err(std_mpsc::RecvTimeoutError::Timeout) => {}
                Err(std_mpsc::RecvTimeoutError::Disconnected) => {
                    if let Err(error) = self.close() {
                        tracing::warn!(%error, "the store was not closed in order");
                    }
                    return;
                }
            }
            if busy || Instant::now() >= self.upkeep_at {
                busy = self.upkeep();
                self.upkeep_at = Instant::now() + UPKEEP_EVERY;
            }
        }
    }

    /// Appends what waits, up to a command of another kind, which is given back.
    fn append_group(&mut self, first: Append, commands: &std_mpsc::Receiver<Command>) -> Option<Command> {
        let events = |append: &Append| append.batches.iter().map(|batch| batch.records.len()).sum::<usize>();
        let mut count = events(&first);
        let mut group = vec![first];
        let mut other = None;
        while count < GROUP_EVENTS {
            match commands.try_recv() {
                // A second append of a pipeline counts from the first.
                Ok(Command::Append(append)) if group.iter().all(|one| one.pipeline != append.pipeline) => {
                    count += events(&append);
                    group.push(append);
                }
                Ok(command) => {
                    other = Some(command);
                    break;
                }
                Err(_) => break,
            }
        }
        let (batches, waiting): (Vec<_>, Vec<_>) = group
            .into_iter()
            .map(|one| ((one.pipeline.clone(), one.batches), (one.pipeline, one.reply)))
            .unzip();
        match self.write(batches) {
            Ok(outcomes) => {
                for ((pipeline, reply), outcome) in waiting.into_iter().zip(outcomes) {
                    let answer = outcome.map(|prepared| self.publish(pipeline, prepared));
                    reply.send(answer);
                }
            }
            Err(error) => waiting.into_iter().for_each(|(_, reply)| reply.send(Err(error.clone()))),
        }
        other
    }

    /// Writes appends in one transaction. One that fails by itself is left out; if the transaction fails, so do all.
    fn write(
        &mut self,
        appends: Vec<(PipelineId, Vec<Batch>)>,
    ) -> Result<Vec<Result<Prepared, LogError>>, LogError> {
        let failed = |error: rusqlite::Error| unwritten(&error);
        let transaction =
            self.connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(failed)?;
        let mut outcomes = Vec::with_capacity(appends.len());
        for (pipeline, batches) in appends {
            transaction.execute_batch("SAVEPOINT append").map_err(failed)?;
            let outcome = prepare(&transaction, &self.shared, &self.limits, &pipeline, batches);
            if let Err(error) = &outcome {
                // An error that took the whole transaction with it is everybody's.
                if transaction.is_autocommit() {
                    return Err(error.clone());
                }
                transaction.execute_batch("ROLLBACK TO append").map_err(failed)?;
            }
            transaction.execute_batch("RELEASE append").map_err(failed)?;
            outcomes.push(outcome);
        }
        transaction.commit().map_err(failed)?;
        Ok(outcomes)
    }

    /// Makes known what was committed.
    fn publish(&self, pipeline: PipelineId, prepared: Prepared) -> Vec<Appended> {
        let Prepared { known, is_new, placed, next_id } = prepared;
        known.with(|inner| {
            placed.records.iter().for_each(|record| inner.apply(record));
            inner.ids.end = next_id;
        });
        if is_new {
            self.shared.insert(pipeline.clone(), known);
        }
        if !placed.records.is_empty() {
            // Without a hub there is nobody to tell.
            let _ = self.tail.blocking_send(TailItem::Records(pipeline, placed.records));
        }
        placed.appended
    }

    fn forget(&mut self, pipeline: &PipelineId) -> Result<(), LogError> {
        if let Some(known) = self.shared.get(pipeline) {
            let forget = |connection: &mut Connection| -> rusqlite::Result<()> {
                let transaction = connection.transaction()?;
                transaction.execute("DELETE FROM pipelines WHERE key = ?1", [known.key])?;
                // The rows go bit by bit, so that nobody waits for them.
                transaction.execute("INSERT INTO forgotten (key) VALUES (?1)", [known.key])?;
                transaction.commit()
            };
            forget(&mut self.connection).map_err(|error| unwritten(&error))?;
            self.shared.remove(pipeline);
        }
        let _ = self.tail.blocking_send(TailItem::Forgotten(pipeline.clone()));
        Ok(())
    }

    fn close(&mut self) -> Result<(), LogError> {
        self.shared.close();
        let close = |writer: &mut Self| -> rusqlite::Result<()> {
            writer.write_states(0)?;
            writer.connection.execute("UPDATE run SET clean = 1", [])?;
            writer.connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))
        };
        close(self).map_err(|error| unwritten(&error))
    }

    /// Does a little of what is to be done beside appending; true where there is more. What fails is tried again.
    fn upkeep(&mut self) -> bool {
        let idle = Instant::now() >= self.states_at;
        if idle {
            self.states_at = Instant::now() + WRITE_STATE_IDLE;
        }
        let trims = idle || Instant::now() >= self.trim_at;
        // Each by itself: where there is no room for a state, there may be events and rows to let go of.
        let written = self.write_states(if idle { 1 } else { WRITE_STATE_AFTER });
        let trimmed = if trims { self.trim() } else { Ok(false) };
        if !matches!(trimmed, Ok(true)) && trims {
            self.trim_at = Instant::now() + TRIM_EVERY;
        }
        let parts = [written.map(|()| false), trimmed, self.delete_forgotten()];
        let more = parts.into_iter().try_fold(false, |more, part| part.map(|part| more | part));
        more.unwrap_or_else(|error| {
            tracing::warn!(%error, "the upkeep of the store failed; it will be tried again");
            false
        })
    }

    /// Writes down the states that are at least so many events ahead of what is written, or all that changed.
    fn write_states(&mut self, ahead: u64) -> rusqlite::Result<()> {
        let due =
            |inner: &mut Inner| inner.state.seq - inner.written >= ahead && inner.state.seq > inner.written;
        let due: Vec<Arc<Known>> =
            self.shared.all().into_iter().map(|(_, known)| known).filter(|known| known.with(due)).collect();
        self.write_down(&due)
    }

    /// Writes down these states, as many as it can; some in each transaction, because each may wait for the disk.
    fn write_down(&mut self, states: &[Arc<Known>]) -> rusqlite::Result<()> {
        let mut done = Ok(());
        for states in states.chunks(STATES_TOGETHER) {
            done = done.and(self.write_together(states));
        }
        done
    }

    fn write_together(&mut self, states: &[Arc<Known>]) -> rusqlite::Result<()> {
        let transaction = self.connection.transaction()?;
        for known in states {
            known.with(|inner| write_state(&transaction, known.key, inner))?;
        }
        transaction.commit()?;
        for known in states {
            known.with(|inner| {
                inner.written = inner.state.seq;
                inner.changed = HashSet::new();
            });
        }
        Ok(())
    }

    /// Deletes some of the events and ids that need not be kept; true where there are more.
    fn trim(&mut self) -> rusqlite::Result<bool> {
        let (mut cuts, more) = self.plan_cuts()?;
        if cuts.is_empty() {
            return Ok(more);
        }
        // A start replays from the state that is written down: what it needs must stay until there is a later one.
        let needed = |cut: &&Cut| cut.known.with(|inner| inner.written + 1 < cut.events);
        let states: Vec<Arc<Known>> = cuts.iter().filter(needed).map(|cut| cut.known.clone()).collect();
        let written = self.write_down(&states);
        for cut in &mut cuts {
            cut.events = cut.events.min(cut.known.with(|inner| inner.written + 1));
        }
        // One transaction for all, because each may wait for the disk.
        let transaction = self.connection.transaction()?;
        for Cut { known, events, ids } in &cuts {
            let (first_event, first_id) = known.with(|inner| (inner.first, inner.ids.start));
            for (table, first, to) in [("events", first_event, *events), ("ids", first_id, *ids)] {
                if first < to {
                    transaction
                        .prepare_cached(&format!("DELETE FROM {table} WHERE place >= ?1 AND place < ?2"))?
                        .execute(params![place(known.key, first), place(known.key, to)])?;
                }
            }
        }
        transaction.commit()?;
        for Cut { known, events, ids } in cuts {
            known.with(|inner| {
                inner.first = inner.first.max(events);
                inner.ids.start = inner.ids.start.max(ids);
            });
        }
        written.map(|()| more)
    }

    /// What may go of each pipeline, and whether there is more than goes at once.
    fn plan_cuts(&self) -> rusqlite::Result<(Vec<Cut>, bool)> {
        let pipelines = self.shared.all();
        let kept = |known: &Known| known.with(|inner| inner.state.seq + 1 - inner.first);
        let total: u64 = pipelines.iter().map(|(_, known)| kept(known)).sum();
        let mut over = total.saturating_sub(self.retention.events);
        let mut by_size: Vec<&Arc<Known>> = pipelines.iter().map(|(_, known)| known).collect();
        by_size.sort_unstable_by_key(|known| std::cmp::Reverse(kept(known)));
        let mut cuts = Vec::new();
        let mut more = false;
        for known in by_size {
            let count = kept(known);
            let surplus = count.saturating_sub(self.retention.events_per_pipeline);
            let spare = count.saturating_sub(self.retention.events_guaranteed);
            let given = over.min(spare).max(surplus);
            over = over.saturating_sub(given);
            let (events, more_events) = self.cut_events(known, given)?;
            let (ids, more_ids) = self.cut_ids(known)?;
            more |= more_events | more_ids;
            if known.with(|inner| inner.first < events || inner.ids.start < ids) {
                cuts.push(Cut { known: known.clone(), events, ids });
            }
        }
        Ok((cuts, more))
    }

    /// The first event that stays, and whether more may go.
    fn cut_events(&self, known: &Known, surplus: u64) -> rusqlite::Result<(u64, bool)> {
        let (first, end) = known.with(|inner| (inner.first, inner.state.seq));
        let chunk_end = (first + DELETE_ROWS).min(end + 1);
        let old = self.clock.now().as_millis().saturating_sub(millis(self.retention.age));
        // Times never fall, so what is old stands before what is not.
        let first_young: Option<i64> = self
            .connection
            .prepare_cached("SELECT place FROM events WHERE place >= ?1 AND place < ?2 AND at >= ?3 ORDER BY place LIMIT 1")?
            .query_row(params![place(known.key, first), place(known.key, chunk_end), old], |row| row.get(0))
            .optional()?;
        let young = first_young.map_or(chunk_end, super::schema::number);
        let to = (first + surplus.min(DELETE_ROWS)).max(young).min(chunk_end);
        Ok((to, first < to && to == chunk_end && to <= end))
    }

    /// The first id that stays, and whether more may go.
    fn cut_ids(&self, known: &Known) -> rusqlite::Result<(u64, bool)> {
        let ids = known.with(|inner| inner.ids.clone());
        let surplus = (ids.end - ids.start).saturating_sub(self.retention.ids_per_pipeline);
        if surplus == 0 {
            return Ok((ids.start, false));
        }
        let to = ids.start + surplus.min(DELETE_ROWS);
        let old = self.clock.now().as_millis().saturating_sub(millis(self.retention.id_age));
        let last: Option<i64> = self
            .connection
            .prepare_cached("SELECT at FROM ids WHERE place = ?1")?
            .query_row([place(known.key, to - 1)], |row| row.get(0))
            .optional()?;
        if last.is_some_and(|at| at >= old) {
            return Ok((ids.start, false));
        }
        Ok((to, surplus > DELETE_ROWS))
    }

    /// Deletes some rows of a pipeline that was forgotten; true where there are more.
    fn delete_forgotten(&mut self) -> rusqlite::Result<bool> {
        let key: Option<i64> = self
            .connection
            .prepare_cached("SELECT key FROM forgotten LIMIT 1")?
            .query_row([], |row| row.get(0))
            .optional()?;
        let Some(key) = key else { return Ok(false) };
        let transaction = self.connection.transaction()?;
        let range = params![place(key, 0), place(key + 1, 0), DELETE_ROWS];
        let mut deleted = 0;
        for table in ["events", "ids"] {
            deleted += transaction
                .prepare_cached(&format!(
                    "DELETE FROM {table} WHERE place IN (SELECT place FROM {table} WHERE place > ?1 AND place < ?2 LIMIT ?3)"
                ))?
                .execute(range)?;
        }
        deleted += transaction
            .prepare_cached(
                "DELETE FROM files WHERE pipeline = ?1 AND id IN (SELECT id FROM files WHERE pipeline = ?1 LIMIT ?2)",
            )?
            .execute(params![key, DELETE_ROWS])?;
        if deleted == 0 {
            transaction.execute("DELETE FROM forgotten WHERE key = ?1", [key])?;
        }
        transaction.commit()?;
        Ok(true)
    }
}

/// Writes an append within the transaction.
fn prepare(
    transaction: &Transaction<'_>,
    shared: &Shared,
    limits: &HubLimits,
    pipeline: &PipelineId,
    batches: Vec<Batch>,
) -> Result<Prepared, LogError> {
    let failed = |error: rusqlite::Error| unwritten(&error);
    let found = shared.get(pipeline);
    let is_new = found.is_none();
    let known = match found {
        Some(known) => known,
        None => create(transaction, limits, pipeline, &batches)?,
    };
    let (trial, mut next_id, mut at) =
        known.with(|inner| (trial(&inner.state, &batches), inner.ids.end, inner.last_at));
    let key = known.key;
    let mut take_id = transaction
        .prepare_cached("INSERT OR IGNORE INTO ids (place, pipeline, id, at) VALUES (?1, ?2, ?3, ?4)")
        .map_err(failed)?;
    let placed = place_batches(trial, batches, &mut |id, now| {
        let row = params![place(key, next_id), key, id, now.as_millis()];
        let free = take_id.execute(row).map_err(failed)? == 1;
        next_id += u64::from(free);
        Ok(free)
    })?;
    let mut put = transaction
        .prepare_cached(
            "INSERT INTO events (place, at, name, file, reporter, payload) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        )
        .map_err(failed)?;
    for record in &placed.records {
        at = at.max(record.received_at.as_millis());
        let file = record.event.file().map(|file| &file.id);
        let reporter = record.reporter.as_ref().map(ReporterId::as_str);
        let row = params![place(key, record.seq), at, &*record.name, file, reporter, record.payload.get()];
        put.execute(row).map_err(failed)?;
    }
    Ok(Prepared { known, is_new, placed, next_id })
}

/// A pipeline that nobody knows before the transaction is committed.
fn create(
    transaction: &Transaction<'_>,
    limits: &HubLimits,
    pipeline: &PipelineId,
    batches: &[Batch],
) -> Result<Arc<Known>, LogError> {
    let first = batches.first().ok_or_else(|| LogError::written("there is no batch"))?;
    let state = opening(pipeline, &first.pipeline_type, first.received_at, file_limits(limits));
    let shown = state.clone().limited_to(Limits::default());
    let text = serde_json::to_string(&shown).map_err(LogError::written)?;
    transaction
        .prepare_cached("INSERT INTO pipelines (pipeline_id, epoch_begins, state) VALUES (?1, 1, ?2)")
        .and_then(|mut insert| insert.execute(params![pipeline.as_str(), text]))
        .map_err(|error| unwritten(&error))?;
    let key = transaction.last_insert_rowid();
    if key >= MOST_KEYS {
        return Err(LogError::written("it has had as many pipelines as it can"));
    }
    let inner = Inner {
        last_at: 0,
        state,
        shown,
        first: 1,
        epoch_begins: 1,
        ids: 1..1,
        owners: HashMap::new(),
        changed: HashSet::new(),
        written: 0,
    };
    Ok(Known::new(key, inner))
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}
