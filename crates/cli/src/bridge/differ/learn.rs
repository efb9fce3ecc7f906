//! What the hub knows, taken over: at the start, and when hub and bridge had lost each other.
//!
//! *What it never does:* report anything.

use std::collections::HashSet;

use ragpulse_protocol::{Liveness, PipelineStatus};
use serde_json::Value;

use super::super::dict::Moment;
use super::super::keys::REPORTED;
use super::super::known::{Known, State};
use super::{Before, Differ};

impl Differ {
    /// Takes over what the hub knows; nothing if it does not know the pipeline. To be called at the start, and when hub and
    /// bridge had lost each other, while nothing that was reported is still on its way.
    pub(crate) fn learn(&mut self, hub: Option<&PipelineStatus>) {
        self.keys.learn(hub);
        self.online = hub.is_some_and(PipelineStatus::is_online);
        let Some(hub) = hub else {
            for (_, known) in self.files.iter_mut().filter(|(_, known)| known.is_open()) {
                known.state = State::Interrupted;
            }
            return;
        };
        if !self.online {
            self.online_salt = hub.cursor().to_string();
        }
        self.uses_checking |= hub.is_checking == Some(true);
        let mut listed_open = 0_u64;
        let mut told: HashSet<&str> = HashSet::new();
        for file in hub.files.iter() {
            let Some(known) = Known::of_hub(file) else { continue };
            listed_open += u64::from(known.is_open());
            told.insert(&file.id);
            match self.files.get_mut(&file.id) {
                Some(own) => {
                    // The text of the start is known only here.
                    if own.started.at.is_some() && own.started.at != known.started.at {
                        own.started = known.started;
                    }
                    own.state = known.state;
                    own.completed = known.completed;
                }
                None => self.files.put(&file.id, known),
            }
        }
        if listed_open >= hub.counts.processing {
            let missing =
                self.files.iter_mut().filter(|(id, known)| known.is_open() && !told.contains(id.as_str()));
            for (_, known) in missing {
                known.state = State::Interrupted;
            }
        }
        if self.before.is_none()
            && let Some(Value::Object(reported)) = self.keys.get(REPORTED)
        {
            let total = |key: &str| reported.get(key).and_then(Value::as_u64);
            let started = reported.get("started_at").and_then(Value::as_str).map(str::to_owned);
            self.before = Some(Before {
                total_processed: total("total_processed"),
                total_failed: total("total_failed"),
                is_checking: hub.is_checking.filter(|_| hub.liveness != Liveness::Offline),
                started: Moment { raw: started, at: None },
                ..Before::default()
            });
        }
    }
}
