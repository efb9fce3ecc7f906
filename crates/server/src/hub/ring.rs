//! The ring: the last events of a pipeline, at hand for subscribers who are behind. Pure.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::log::Record;

/// The last events of one epoch, without holes, within bounds of number and bytes.
#[derive(Debug)]
pub(crate) struct Ring {
    records: VecDeque<Arc<Record>>,
    /// The bytes of all records that ever were, up to and with each one.
    ends: VecDeque<u64>,
    pushed: u64,
    bytes: usize,
    most_records: usize,
    most_bytes: usize,
}

impl Ring {
    pub(crate) fn new(most_records: usize, most_bytes: usize) -> Self {
        Self {
            records: VecDeque::new(),
            ends: VecDeque::new(),
            pushed: 0,
            bytes: 0,
            most_records: most_records.max(1),
            most_bytes,
        }
    }

    /// Adds the event that follows the last one, and lets the oldest go where the bounds ask for it.
    pub(crate) fn push(&mut self, record: Arc<Record>) {
        self.bytes += record.size();
        self.pushed += record.size() as u64;
        self.ends.push_back(self.pushed);
        self.records.push_back(record);
        while self.records.len() > self.most_records
            || (self.bytes > self.most_bytes && self.records.len() > 1)
        {
            self.ends.pop_front();
            if let Some(oldest) = self.records.pop_front() {
                self.bytes -= oldest.size();
            }
        }
    }

    pub(crate) fn clear(&mut self) {
        self.records.clear();
        self.ends.clear();
        self.bytes = 0;
    }

    /// The newest event.
    pub(crate) fn last(&self) -> Option<&Arc<Record>> {
        self.records.back()
    }

    /// At most `limit` events after `seq`; `None` when the first of them is no longer here.
    pub(crate) fn after(&self, seq: u64, limit: usize) -> Option<impl Iterator<Item = &Arc<Record>>> {
        let first = self.records.front()?.seq;
        let skip = seq.saturating_add(1).checked_sub(first)?;
        let skip = usize::try_from(skip).unwrap_or(usize::MAX).min(self.records.len());
        Some(self.records.range(skip..).take(limit))
    }

    /// How many bytes of events there are after `seq`; `None` when the first of them is no longer here.
    pub(crate) fn bytes_after(&self, seq: u64) -> Option<u64> {
        let first = self.records.front()?.seq;
        let skip = usize::try_from(seq.saturating_add(1).checked_sub(first)?).unwrap_or(usize::MAX);
        let before = match skip.checked_sub(1) {
            Some(last) => self.ends.get(last).copied().unwrap_or(self.pushed),
            None => self.pushed - self.bytes as u64,
        };
        Some(self.pushed - before)
    }
}
