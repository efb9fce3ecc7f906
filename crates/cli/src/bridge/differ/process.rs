//! The process behind the status server, and its checks: whether they ended since the last look.
//!
//! *What it never does:* take a server that counts from nothing for the one before.

use std::collections::HashMap;

use ragpulse_protocol::{ReportedEvent, Timestamp};
use serde_json::Value;

use super::super::dict::{Dict, Moment};
use super::{Before, Differ};

/// What a restarted server leaves behind.
const RESTARTED: &str = "the process behind the status server restarted before the file ended";
/// What an exception in the pipeline leaves behind.
pub(super) const CHECK_ENDED: &str = "the pipeline finished its check without ending the file: its processing stopped midway, or the \
                           file was left out";

impl Differ {
    /// The process is another one: nobody works on the files of the one before, and it counts from nothing.
    pub(super) fn forget_process(&mut self, dict: &Dict, now: Timestamp, out: &mut Vec<ReportedEvent>) {
        let listed: HashMap<String, Moment> = {
            let listed = self.files.listed_as(&dict.processing);
            listed.into_iter().map(|(id, entry)| (id, entry.started.clone())).collect()
        };
        // Where not even the start is known it is not the same work.
        for id in self.files.open() {
            let start = self.files.get(&id).map(|known| known.started.clone()).unwrap_or_default();
            if listed.get(&id).and_then(|listed| listed.same_as(&start)) != Some(true) {
                self.give_up(&id, RESTARTED, now, out);
            }
        }
        self.before = Some(Before {
            total_processed: Some(0),
            total_failed: Some(0),
            started: dict.started.clone(),
            lists: self.before.take().and_then(|before| before.lists),
            ..Before::default()
        });
    }

    /// Whether a check ended since the last look.
    pub(super) fn check_ended(&mut self, before: &Before, dict: &Dict, restarted: bool) -> bool {
        let checked = before.is_checking == Some(true);
        self.uses_checking |= checked || dict.is_checking == Some(true);
        let unseen_check = self.uses_checking
            && before.lists.is_some()
            && !restarted
            && before.checks.iter().zip(&checks_of(dict)).any(|(before, now)| now.is_some() && before != now);
        dict.is_checking == Some(false) && (checked || unseen_check)
    }
}

/// Whether the process behind the server is another one than at the last look.
pub(super) fn has_restarted(before: &Before, dict: &Dict) -> bool {
    let fell =
        |before: Option<u64>, now: Option<u64>| before.zip(now).is_some_and(|(before, now)| now < before);
    before.started.same_as(&dict.started) == Some(false)
        || fell(before.total_processed, dict.total_processed)
        || fell(before.total_failed, dict.total_failed)
}

pub(super) fn checks_of(dict: &Dict) -> [Option<Value>; 2] {
    ["last_check_time", "next_check_time"]
        .map(|key| dict.keys.get(key).filter(|value| !value.is_null()).cloned())
}
