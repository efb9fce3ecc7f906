//! The upkeep of a store, done by its writer between appends: states are written down, history and ids that need not be kept go,
//! and so do the rows of pipelines that were forgotten. A little at a time, so that nobody waits for it.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rusqlite::{OptionalExtension, params};

use super::known::{Inner, Known};
use super::schema::place;
use super::state::StateRows;
use super::writer::Writer;

/// A state is written down after so many events …
const WRITE_STATE_AFTER: u64 = 4_096;
/// … or after so long without.
pub(super) const WRITE_STATE_IDLE: Duration = Duration::from_secs(5);
/// How often it is looked what may go: with many pipelines the look itself is work.
const TRIM_EVERY: Duration = Duration::from_millis(500);
/// How many rows of a pipeline go at once.
const DELETE_ROWS: u64 = 4_000;
/// How many states are written down in one transaction.
const STATES_TOGETHER: usize = 64;

/// What goes of a pipeline: all before these.
struct Cut {
    known: Arc<Known>,
    events: u64,
    ids: u64,
}

impl Writer {
    /// Does a little of what is to be done beside appending; true where there is more. What fails is tried again.
    pub(super) fn upkeep(&mut self) -> bool {
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
        match (&more, self.upkeep_fails) {
            (Err(error), false) => {
                tracing::warn!(%error, "the upkeep of the store fails; it is tried again until it does not");
            }
            (Ok(_), true) => tracing::info!("the upkeep of the store goes on"),
            // Said once: it is tried ten times a second.
            _ => {}
        }
        self.upkeep_fails = more.is_err();
        more.unwrap_or(false)
    }

    /// Writes down the states that are at least so many events ahead of what is written, or all that changed.
    pub(super) fn write_states(&mut self, ahead: u64) -> rusqlite::Result<()> {
        let due = |inner: &mut Inner| {
            inner.fold.state.seq - inner.written >= ahead && inner.fold.state.seq > inner.written
        };
        let due: Vec<Arc<Known>> = self.unwritten.values().filter(|known| known.with(due)).cloned().collect();
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
            known.with(|inner| StateRows::of(inner))?.write(&transaction, known.key)?;
        }
        transaction.commit()?;
        for known in states {
            known.with(|inner| {
                inner.written = inner.fold.state.seq;
                inner.fold.changed = HashSet::new();
            });
            self.unwritten.remove(&known.key);
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
        let kept = |known: Arc<Known>| (known.with(|inner| inner.fold.state.seq + 1 - inner.first), known);
        let mut pipelines: Vec<(u64, Arc<Known>)> = self.shared.all().into_iter().map(kept).collect();
        let total: u64 = pipelines.iter().map(|(count, _)| count).sum();
        let mut over = total.saturating_sub(self.retention.events);
        if over > 0 {
            pipelines.sort_unstable_by_key(|(count, _)| std::cmp::Reverse(*count));
        }
        let mut cuts = Vec::new();
        let mut more = false;
        for (count, known) in &pipelines {
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
        let (first, end, first_at) = known.with(|inner| (inner.first, inner.fold.state.seq, inner.first_at));
        let chunk_end = (first + DELETE_ROWS).min(end + 1);
        let old = self.clock.now().as_millis().saturating_sub(millis(self.retention.age));
        let is_young = first_at.is_some_and(|(number, at)| number == first && at >= old);
        if surplus == 0 && (is_young || first > end) {
            return Ok((first, false));
        }
        // Times never fall, so what is old stands before what is not.
        let first_young: Option<(i64, i64)> = self
            .connection
            .prepare_cached(
                "SELECT place, at FROM events WHERE place >= ?1 AND place < ?2 AND at >= ?3 ORDER BY place LIMIT 1",
            )?
            .query_row(params![place(known.key, first), place(known.key, chunk_end), old], |row| {
                Ok((row.get(0)?, row.get(1)?))
            })
            .optional()?;
        let first_young = first_young.map(|(place, at)| (super::schema::number(place), at));
        known.with(|inner| inner.first_at = first_young);
        let young = first_young.map_or(chunk_end, |(number, _)| number);
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

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}
