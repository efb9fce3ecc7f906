//! Looking up events: a pipeline's stream is gone through in slices, within bounds.

use std::sync::Arc;

use ragpulse_protocol::PipelineId;

use super::super::{HistoryPage, HistoryQuery, Record};
use super::call::{Entry, entry};
use super::core::{Core, record};
use super::reply::{Fault, items};
use super::session::Session;

/// How many events are read at once.
const SLICE: u64 = 500;
/// How many events one look-up goes through at most.
const SCAN: u64 = 20_000;
/// The clocks of several hubs may differ by so much: beyond that, times within a pipeline only grow.
const SKEW_MILLIS: i64 = 60_000;

impl Core {
    /// A page of what a query asks for; the pipeline ends at `end`.
    pub(super) async fn look_up(
        &self,
        session: &Session,
        id: &PipelineId,
        query: &HistoryQuery,
        end: u64,
    ) -> Result<HistoryPage, Fault> {
        let mut after = query.after;
        if let Some(since) = query.since {
            let from = first_at_or_after(session, id, since.as_millis() - SKEW_MILLIS, end).await?;
            after = after.max(from.saturating_sub(1));
        }
        let mut records: Vec<Arc<Record>> = Vec::new();
        let mut left = SCAN;
        while left > 0 {
            let entries = slice(session, id, after, SLICE.min(left)).await?;
            if entries.is_empty() {
                return Ok(HistoryPage { records, next_after: None });
            }
            left -= entries.len() as u64;
            for entry in entries {
                let seq = entry.seq;
                // Before it is decoded, which is most of the work.
                if query.event.as_deref().is_none_or(|wanted| entry.name == wanted) {
                    let record = record(entry)?;
                    if query.until.is_some_and(|until| {
                        record.received_at.as_millis() >= until.as_millis().saturating_add(SKEW_MILLIS)
                    }) {
                        return Ok(HistoryPage { records, next_after: None });
                    }
                    if is_wanted(&record, query) {
                        if records.len() == query.limit {
                            // There is one more, so it goes on after the last.
                            let next_after = records.last().map_or(Some(after), |record| Some(record.seq));
                            return Ok(HistoryPage { records, next_after });
                        }
                        records.push(Arc::new(record));
                    }
                }
                after = seq;
            }
        }
        Ok(HistoryPage { records, next_after: Some(after).filter(|after| *after < end) })
    }
}

fn is_wanted(record: &Record, query: &HistoryQuery) -> bool {
    let file = record.event.file().map(|file| file.id.as_str());
    query.file.as_deref().is_none_or(|wanted| file == Some(wanted))
        && query.since.is_none_or(|since| record.received_at >= since)
        && query.until.is_none_or(|until| record.received_at < until)
}

async fn slice(session: &Session, id: &PipelineId, after: u64, count: u64) -> Result<Vec<Entry>, Fault> {
    let mut command = redis::cmd("XRANGE");
    command.arg(session.keys().of(id).events(id)).arg(format!("{}-0", after.saturating_add(1))).arg("+");
    let found = session.look(command.arg("COUNT").arg(count)).await?;
    items(found)?.into_iter().map(entry).collect()
}

/// The first place whose event was received at or after a time, or one after the end; by halving.
async fn first_at_or_after(session: &Session, id: &PipelineId, at: i64, end: u64) -> Result<u64, Fault> {
    let (mut low, mut high) = (1, end + 1);
    while low < high {
        let middle = low + (high - low) / 2;
        // Where it was trimmed, the first that is kept stands for it.
        match slice(session, id, middle - 1, 1).await?.into_iter().next() {
            Some(found) if record(found.clone())?.received_at.as_millis() < at => {
                low = found.seq.max(middle) + 1
            }
            _ => high = middle,
        }
    }
    Ok(low)
}
