//! The one thread that writes: appends in groups, and between them whatever keeps the store small and quick to open.
//!
//! What waits is appended in one transaction. Memory is changed and readers are told only after it was committed, so
//! that a store that fails leaves everything as it was.

use std::collections::HashMap;
use std::fs::File;
use std::sync::Arc;
use std::sync::mpsc as std_mpsc;
use std::time::{Duration, Instant};

use ragpulse_protocol::{PipelineId, ReporterId};
use rusqlite::{Connection, Transaction, TransactionBehavior, params};
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};

use super::super::fold::Fold;
use super::super::place::{Placed, file_limits, opening, place as place_batches, trial};
use super::super::{Appended, Batch, LogError, TailItem};
use super::checkpoint::Checkpointer;
use super::known::{Inner, Known, Shared, unwritten};
use super::open::Opened;
use super::schema::{MOST_KEYS, place};
use super::upkeep::WRITE_STATE_IDLE;
use super::{Retention, SqliteOptions};
use crate::clock::Clock;
use crate::config::HubLimits;

/// How many events are written in one transaction at most, but for those of one append.
const GROUP_EVENTS: usize = 4_000;
/// How often the upkeep has its turn while events come.
const UPKEEP_EVERY: Duration = Duration::from_millis(100);
/// How long the thread waits for a command before it looks for upkeep.
const IDLE: Duration = Duration::from_millis(250);

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
    /// Only where no id was taken before; otherwise nothing is appended, and the answer is `None`.
    pub(super) fresh: bool,
    pub(super) reply: Reply<Option<Vec<Appended>>>,
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

/// What an append comes to: `None` where it is not to be, as an id was taken.
type Outcome = Result<Option<Prepared>, LogError>;

pub(super) struct Writer {
    pub(super) connection: Connection,
    pub(super) shared: Arc<Shared>,
    /// The pipelines whose state has changed since it was written down, by key: with thousands of others, they alone are looked at.
    pub(super) unwritten: HashMap<i64, Arc<Known>>,
    pub(super) tail: mpsc::Sender<TailItem>,
    pub(super) retention: Retention,
    pub(super) limits: HubLimits,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) upkeep_at: Instant,
    pub(super) states_at: Instant,
    pub(super) trim_at: Instant,
    pub(super) upkeep_fails: bool,
    checkpointer: Checkpointer,
    _lock: File,
}

impl Writer {
    pub(super) fn new(opened: Opened, tail: mpsc::Sender<TailItem>, options: &SqliteOptions) -> Self {
        let now = Instant::now();
        let behind = |known: &Arc<Known>| known.with(|inner| inner.fold.state.seq > inner.written);
        let unwritten = opened.shared.all().into_iter().filter(behind).map(|known| (known.key, known));
        Self {
            checkpointer: Checkpointer::start(&options.path),
            connection: opened.connection,
            unwritten: unwritten.collect(),
            shared: opened.shared,
            tail,
            retention: options.retention.clone(),
            limits: options.limits.clone(),
            clock: options.clock.clone(),
            upkeep_at: now,
            states_at: now + WRITE_STATE_IDLE,
            trim_at: now,
            upkeep_fails: false,
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
            .map(|one| ((one.pipeline.clone(), one.batches, one.fresh), (one.pipeline, one.reply)))
            .unzip();
        match self.write(batches) {
            Ok(outcomes) => {
                for ((pipeline, reply), outcome) in waiting.into_iter().zip(outcomes) {
                    let answer = outcome.map(|prepared| Some(self.publish(pipeline, prepared?)));
                    reply.send(answer);
                }
            }
            Err(error) => waiting.into_iter().for_each(|(_, reply)| reply.send(Err(error.clone()))),
        }
        other
    }

    /// Writes appends in one transaction. One that fails by itself is left out; if the transaction fails, so do all.
    fn write(&mut self, appends: Vec<(PipelineId, Vec<Batch>, bool)>) -> Result<Vec<Outcome>, LogError> {
        let failed = |error: rusqlite::Error| unwritten(&error);
        let transaction =
            self.connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(failed)?;
        let mut outcomes = Vec::with_capacity(appends.len());
        // One that is alone is the whole transaction.
        let alone = appends.len() == 1;
        for (pipeline, batches, fresh) in appends {
            if !alone {
                transaction.execute_batch("SAVEPOINT append").map_err(failed)?;
            }
            let outcome = prepare(&transaction, &self.shared, &self.limits, &pipeline, batches, fresh);
            if !matches!(outcome, Ok(Some(_))) {
                // An error that took the whole transaction with it is everybody's.
                if let Err(error) = &outcome
                    && transaction.is_autocommit()
                {
                    return Err(error.clone());
                }
                if alone {
                    transaction.rollback().map_err(failed)?;
                    return Ok(vec![outcome]);
                }
                transaction.execute_batch("ROLLBACK TO append").map_err(failed)?;
            }
            if !alone {
                transaction.execute_batch("RELEASE append").map_err(failed)?;
            }
            outcomes.push(outcome);
        }
        let began = Instant::now();
        transaction.commit().map_err(failed)?;
        if let Some(watch) = self.shared.watch.get() {
            watch.committed(began.elapsed());
        }
        self.checkpointer.committed();
        Ok(outcomes)
    }

    /// Makes known what was committed.
    fn publish(&mut self, pipeline: PipelineId, prepared: Prepared) -> Vec<Appended> {
        let Prepared { known, is_new, placed, next_id } = prepared;
        known.with(|inner| {
            placed.records.iter().for_each(|record| inner.apply(record));
            inner.ids.end = next_id;
        });
        if !placed.records.is_empty() {
            self.unwritten.entry(known.key).or_insert_with(|| known.clone());
        }
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
            self.unwritten.remove(&known.key);
        }
        let _ = self.tail.blocking_send(TailItem::Forgotten(pipeline.clone()));
        Ok(())
    }

    fn close(&mut self) -> Result<(), LogError> {
        self.shared.close();
        self.checkpointer.stop();
        let close = |writer: &mut Self| -> rusqlite::Result<()> {
            writer.write_states(0)?;
            writer.connection.execute("UPDATE run SET clean = 1", [])?;
            writer.connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))
        };
        close(self).map_err(|error| unwritten(&error))
    }
}

/// Writes an append within the transaction.
fn prepare(
    transaction: &Transaction<'_>,
    shared: &Shared,
    limits: &HubLimits,
    pipeline: &PipelineId,
    batches: Vec<Batch>,
    fresh: bool,
) -> Outcome {
    let failed = |error: rusqlite::Error| unwritten(&error);
    let found = shared.get(pipeline);
    let is_new = found.is_none();
    let known = match found {
        Some(known) => known,
        None => create(transaction, limits, pipeline, &batches)?,
    };
    let (trial, mut next_id, mut at) =
        known.with(|inner| (trial(&inner.fold.state, &batches), inner.ids.end, inner.last_at));
    let key = known.key;
    let mut take_id = transaction
        .prepare_cached("INSERT OR IGNORE INTO ids (place, pipeline, id, at) VALUES (?1, ?2, ?3, ?4)")
        .map_err(failed)?;
    let mut taken = false;
    let placed = place_batches(trial, batches, &mut |id, now| {
        let row = params![place(key, next_id), key, id, now.as_millis()];
        let free = take_id.execute(row).map_err(failed)? == 1;
        next_id += u64::from(free);
        taken |= !free;
        Ok(free)
    })?;
    if taken && fresh {
        return Ok(None);
    }
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
    Ok(Some(Prepared { known, is_new, placed, next_id }))
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
    let fold = Fold::opening(state);
    let text = serde_json::to_string(&fold.shown).map_err(LogError::written)?;
    transaction
        .prepare_cached("INSERT INTO pipelines (pipeline_id, epoch_begins, state) VALUES (?1, 1, ?2)")
        .and_then(|mut insert| insert.execute(params![pipeline.as_str(), text]))
        .map_err(|error| unwritten(&error))?;
    let key = transaction.last_insert_rowid();
    if key >= MOST_KEYS {
        return Err(LogError::written("it has had as many pipelines as it can"));
    }
    let inner = Inner { last_at: 0, fold, first: 1, epoch_begins: 1, ids: 1..1, first_at: None, written: 0 };
    Ok(Known::new(key, inner))
}
