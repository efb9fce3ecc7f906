//! What a bridge warns of while it runs, each once: keys that are left out, and somebody else who reports the pipeline.
//!
//! *What it never does:* end the bridge, or change what it reports.

use std::time::{Duration, Instant};

use ragpulse_protocol::Cursor;
use ragpulse_protocol::http::EventsAnswer;

use super::ids::short;
use super::told::listed;
use super::{Bridge, ask_hub};
use crate::failure::Failure;
use crate::line::{plain, say};

/// How often the hub is asked whether somebody else reports the pipeline, how long it may take, and how many pages are
/// read at a time.
const OTHERS: Duration = Duration::from_secs(5);
const OTHERS_ANSWER: Duration = Duration::from_secs(3);
const OTHERS_PAGES: usize = 10;

impl Bridge<'_> {
    /// Names the keys of the dict that are not reported.
    pub(super) fn tell_left_out(&mut self) {
        let left_out = self.differ.left_out();
        if !left_out.no_room.is_empty() {
            say!("the dict has more keys than a hub keeps; left out: {}", listed(&left_out.no_room));
        }
        if !left_out.not_taken.is_empty() {
            say!(
                "a hub does not take these keys of the dict, for their names or values: {}",
                listed(&left_out.not_taken)
            );
        }
    }

    /// Finds out whether somebody else reports the pipeline, and says so once.
    pub(super) async fn watch_others(&mut self) {
        if let Some(foreign) = self.others.looked() {
            say!(
                "somebody else reports pipeline {id} too: the hub has a {event} of '{file}' that this bridge did not \
                 report, so files count twice. If the pipeline reports to the hub itself, stop this bridge, or give it \
                 an id of its own, such as --pipeline {id}-bridge",
                id = self.id,
                event = foreign.event,
                file = plain(&short(&foreign.file, 100)),
            );
        }
        if self.hub_away.is_some() || self.options.once || self.others_asked.elapsed() < OTHERS {
            return;
        }
        self.others_asked = Instant::now();
        if self.others.is_lost() {
            if std::mem::take(&mut self.new_to_hub)
                && let Some(epoch) = self.epoch.clone()
            {
                return self.others.begin_with(epoch);
            }
            // What is on its way would be taken for somebody else's.
            if self.reporter.status().borrow().queued > 0 {
                return;
            }
            if let Ok(known) = ask_hub(self.hub, &self.id).await {
                self.others.begin_at(known.as_ref());
            }
            return;
        }
        let read = tokio::time::timeout(OTHERS_ANSWER, self.read_others());
        match read.await {
            Ok(Ok(())) => {}
            Ok(Err(failure)) => tracing::debug!("the hub's events were not read: {failure}"),
            Err(_) => tracing::debug!("the hub's events were not read in time"),
        }
    }

    /// Reads what the hub has delivered since, and compares it with what this bridge reported.
    async fn read_others(&mut self) -> Result<(), Failure> {
        for _ in 0..OTHERS_PAGES {
            let Some(cursor) = self.others.reads_after() else { break };
            let (epoch, seq) = (cursor.epoch.to_string(), cursor.seq.to_string());
            let path = ["api", "pipelines", self.id.as_str(), "events"];
            let query = [("epoch", epoch.as_str()), ("seq", seq.as_str()), ("limit", "1000")];
            match self.hub.get::<EventsAnswer>(&path, &query).await? {
                EventsAnswer::Snapshot(_) => self.others.lose(),
                EventsAnswer::Events(page) => {
                    let Some(epoch) = page.epoch else {
                        self.others.lose();
                        break;
                    };
                    self.others.delivered(&page.events, Cursor { epoch, seq: page.seq });
                    if page.up_to_date {
                        break;
                    }
                }
            }
        }
        Ok(())
    }
}
