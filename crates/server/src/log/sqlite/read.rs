//! The queries of readers. Each is one transaction on a connection of its own.

use std::sync::Arc;

use ragpulse_protocol::ReporterId;
use rusqlite::types::Type;
use rusqlite::{Connection, Row, params};

use super::super::{HistoryPage, HistoryQuery, Record};
use super::schema::{number, place};

/// How many events one look-up goes through at most where no index helps.
const SCAN: u64 = 100_000;

/// Which of these ids a pipeline took.
pub(super) fn seen(connection: &Connection, key: i64, ids: &[String]) -> rusqlite::Result<Vec<bool>> {
    let mut query = connection.prepare_cached("SELECT 1 FROM ids WHERE id = ?1 AND pipeline = ?2")?;
    ids.iter().map(|id| query.exists(params![id, key])).collect()
}

/// At most `limit` events after a place.
pub(super) fn after(
    connection: &Connection,
    key: i64,
    seq: u64,
    limit: usize,
) -> rusqlite::Result<Vec<Arc<Record>>> {
    let mut query = connection.prepare_cached(
        "SELECT name, payload, reporter FROM events WHERE place > ?1 AND place < ?2 ORDER BY place LIMIT ?3",
    )?;
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let rows = query.query_map(params![place(key, seq), place(key + 1, 0), limit], record)?;
    rows.collect()
}

/// The bytes of the events after one place and up to another, and the number of the first of them that is there.
pub(super) fn bytes(
    connection: &Connection,
    key: i64,
    after: u64,
    last: u64,
) -> rusqlite::Result<(Option<u64>, u64)> {
    let mut query = connection.prepare_cached(
        "SELECT min(place), coalesce(sum(octet_length(payload) + octet_length(name)), 0) FROM events
         WHERE place > ?1 AND place <= ?2",
    )?;
    query.query_row(params![place(key, after), place(key, last)], |row| {
        let first: Option<i64> = row.get(0)?;
        Ok((first.map(number), row.get(1)?))
    })
}

/// A page of what a query asks for.
pub(super) fn history(
    connection: &Connection,
    key: i64,
    end: u64,
    asked: &HistoryQuery,
) -> rusqlite::Result<HistoryPage> {
    let (since, until) =
        (asked.since.map_or(i64::MIN, |at| at.as_millis()), asked.until.map(|at| at.as_millis()));
    let from = asked.after.max(first_at_or_after(connection, key, since)?.saturating_sub(1));
    let to = match until {
        Some(until) => end.min(first_at_or_after(connection, key, until)?.saturating_sub(1)),
        None => end,
    };
    let limit = i64::try_from(asked.limit).unwrap_or(i64::MAX).saturating_add(1);
    let mut records: Vec<Arc<Record>>;
    let mut looked_to = to;
    if let Some(file) = &asked.file {
        let mut query = connection.prepare_cached(
            "SELECT name, payload, reporter FROM events
             WHERE file = ?1 AND place > ?2 AND place <= ?3 AND (?4 IS NULL OR name = ?4) ORDER BY place LIMIT ?5",
        )?;
        let range = (place(key, from), place(key, to));
        records = query
            .query_map(params![file, range.0, range.1, asked.event, limit], record)?
            .collect::<Result<_, _>>()?;
    } else {
        looked_to = to.min(from.saturating_add(SCAN));
        let mut query = connection.prepare_cached(
            "SELECT name, payload, reporter FROM events
             WHERE place > ?1 AND place <= ?2 AND (?3 IS NULL OR name = ?3) ORDER BY place LIMIT ?4",
        )?;
        let range = (place(key, from), place(key, looked_to));
        records = query
            .query_map(params![range.0, range.1, asked.event, limit], record)?
            .collect::<Result<_, _>>()?;
    }
    let next_after = if records.len() > asked.limit {
        records.truncate(asked.limit);
        Some(records.last().map_or(asked.after, |record| record.seq))
    } else {
        Some(looked_to).filter(|looked_to| *looked_to < to)
    };
    Ok(HistoryPage { records, next_after })
}

/// The first place whose event was received at or after a time, or the one after the last. Times never fall within a
/// pipeline, so it can be found by halving.
fn first_at_or_after(connection: &Connection, key: i64, at: i64) -> rusqlite::Result<u64> {
    let ends = connection.query_row(
        "SELECT min(place), max(place) FROM events WHERE place > ?1 AND place < ?2",
        params![place(key, 0), place(key + 1, 0)],
        |row| Ok((row.get::<_, Option<i64>>(0)?, row.get::<_, Option<i64>>(1)?)),
    )?;
    let (Some(first), Some(last)) = ends else { return Ok(0) };
    let (mut low, mut high) = (number(first), number(last) + 1);
    let mut received = connection.prepare_cached("SELECT at FROM events WHERE place = ?1")?;
    while low < high {
        let middle = low + (high - low) / 2;
        let found: i64 = received.query_row([place(key, middle)], |row| row.get(0))?;
        if found >= at { high = middle } else { low = middle + 1 }
    }
    Ok(low)
}

/// An event from `name, payload, reporter`.
pub(super) fn record(row: &Row<'_>) -> rusqlite::Result<Arc<Record>> {
    let name = row.get_ref(0)?.as_str()?;
    let payload: String = row.get(1)?;
    let reporter: Option<String> = row.get(2)?;
    let bad = |column, error: Box<dyn std::error::Error + Send + Sync>| {
        rusqlite::Error::FromSqlConversionFailure(column, Type::Text, error)
    };
    let reporter = reporter.map(ReporterId::new).transpose().map_err(|error| bad(2, Box::new(error)))?;
    Record::stored(name, payload, reporter).map(Arc::new).map_err(|error| bad(1, Box::new(error)))
}
