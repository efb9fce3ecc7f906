//! Files that nobody lists any more: what the totals tell of them, and giving up those of which nothing is told.
//!
//! *What it never does:* leave a file open that is not listed.

use ragpulse_protocol::{ReportedEvent, Timestamp};

use super::super::known::State;
use super::super::reports::Kind;
use super::{Counted, Differ, Starts, is_listed};

const VANISHED: &str = "the status server no longer lists the file, and counted no end for it: a file of the same name \
                        ended, or the file was left out";
const UNCLEAR: &str = "the status server no longer lists the file, and its totals do not tell whether it completed or \
                       failed: more files ended between two looks than it lists";

impl Differ {
    /// Files that are no longer listed and whose ends are not either: as far as the totals tell, they ended. Gives how many
    /// ends of each kind are of files that were never seen.
    pub(super) fn vanished(
        &mut self,
        counted: [Counted; 2],
        listed: &Starts<'_>,
        now: Timestamp,
        out: &mut Vec<ReportedEvent>,
    ) -> [u64; 2] {
        let mut gone = self.files.open();
        gone.retain(|id| self.files.get(id).is_some_and(|known| !is_listed(listed, id, known)));
        let [completed, failed] = counted.map(|counted| counted.unlisted);
        let all = gone.len() as u64;
        let kind = match (completed, failed) {
            (1.., 0) if all <= completed => Some(Kind::Completed),
            (0, 1..) if all <= failed => Some(Kind::Failed),
            _ => None,
        };
        let message = if completed + failed == 0 { VANISHED } else { UNCLEAR };
        for id in gone {
            let Some(kind) = kind else {
                self.give_up(&id, message, now, out);
                continue;
            };
            if let Some(known) = self.files.get_mut(&id) {
                known.state = State::Ended;
                known.completed = Some(now);
                out.push(self.reports.counted(kind, &id, known, now));
            }
        }
        match kind {
            Some(Kind::Completed) => [completed - all, 0],
            Some(Kind::Failed) => [0, failed - all],
            None => [completed, failed],
        }
    }

    pub(super) fn give_up(&mut self, id: &str, message: &str, now: Timestamp, out: &mut Vec<ReportedEvent>) {
        if let Some(known) = self.files.get_mut(id) {
            known.state = State::GivenUp;
            known.completed = Some(now);
            out.push(self.reports.interrupted(id, known, message, now));
        }
    }
}
