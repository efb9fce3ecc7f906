//! Ends that no reporter tells of: of files whose reporter left or fell silent, and of pipelines that nobody reports for.

use std::sync::Arc;

use ragpulse_protocol::{ReporterId, Timestamp};
use serde_json::json;

use super::{Desk, OpenFile};
use crate::ingest::{hub_interrupted, hub_offline};
use crate::log::NewRecord;

impl Desk {
    /// Open files by id, so that the order does not depend on a hash.
    pub(super) fn which(&self, which: impl Fn(&OpenFile) -> bool) -> Vec<(String, String)> {
        let mut files: Vec<(String, String)> = self
            .open
            .iter()
            .filter(|(_, file)| which(file))
            .map(|(id, file)| (id.clone(), file.name.clone()))
            .collect();
        files.sort_unstable();
        files
    }

    /// What is to be appended when reporters fell silent.
    pub(in super::super) fn lapse_records(
        &self,
        lapsed: &[Option<ReporterId>],
        now: Timestamp,
    ) -> Vec<NewRecord> {
        if self.is_last(lapsed) {
            return self.end_records(true, now);
        }
        let files = self.which(|file| file.processing && lapsed.contains(&file.reporter));
        files.into_iter().map(|(id, name)| hub_interrupted(&id, &name, true, now)).collect()
    }

    /// What is to be appended when nobody reports any more, for whoever was the last fell silent, or left.
    pub(in super::super) fn end_records(&self, lapsed: bool, now: Timestamp) -> Vec<NewRecord> {
        let files = self.which(|_| true).into_iter();
        let mut records: Vec<NewRecord> =
            files.map(|(id, name)| hub_interrupted(&id, &name, lapsed, now)).collect();
        if self.online {
            records.push(hub_offline(lapsed, now));
        }
        records
    }

    /// Nobody reports any more, and that has been said.
    pub(in super::super) fn ended(&mut self) {
        self.leases.clear();
        self.online = false;
        self.open.drain().for_each(|(id, _)| self.conflator.cancel(&id));
    }

    /// Those reporters are gone, and what they left behind has been ended.
    pub(in super::super) fn lapse(&mut self, lapsed: &[Option<ReporterId>]) {
        if self.is_last(lapsed) {
            return self.ended();
        }
        for (id, _) in self.which(|file| file.processing && lapsed.contains(&file.reporter)) {
            self.conflator.cancel(&id);
            self.open.remove(&id);
        }
        for reporter in lapsed {
            self.leases.leave(reporter.as_ref());
        }
    }

    /// Whether these are all who report.
    fn is_last(&self, lapsed: &[Option<ReporterId>]) -> bool {
        self.leases.count() == lapsed.len()
    }
}

/// The last event of a pipeline that is forgotten.
pub(in crate::hub) fn removed(requested_by: Option<&str>, now: Timestamp) -> NewRecord {
    let fields = requested_by.map_or(json!({}), |who| json!({ "requested_by": who }));
    NewRecord {
        name: Arc::from("pipeline:removed"),
        event_id: None,
        reporter: None,
        timestamp: now,
        received_at: now,
        file_id: None,
        body: fields.to_string(),
        request_id: None,
    }
}
