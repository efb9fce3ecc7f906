//! The keys of the pipeline's own status: what of the dict the hub does not know yet.
//!
//! *What may come in:* any keys and values. *What it never does:* name a key that belongs to reducers, or give a value that
//! a hub refuses.

use std::collections::{BTreeMap, BTreeSet};

use ragpulse_protocol::reduce::{is_reserved_key, is_valid_change};
use ragpulse_protocol::{Object, PipelineStatus, Timestamp};
use serde_json::{Value, json};

use super::dict::Dict;
use super::ids::short;
use super::time::planned;

/// How many names of keys that are left out are remembered, so that each is told once.
const MAX_TOLD: usize = 500;
/// What of a status dict is reported otherwise: its lists and totals as files, its type as the pipeline's.
const ELSEWHERE: [&str; 9] = [
    "files_processing",
    "files_completed",
    "files_failed",
    "total_processed",
    "total_failed",
    "pipeline_type",
    "pipeline_id",
    // A hub knows these itself.
    "last_activity",
    "seconds_until_next_check",
];
/// The largest key and value that a hub takes, in bytes of JSON.
const LONGEST_KEY: usize = 128;
const LARGEST: usize = 4_096;
/// How many keys are reported beside those that the contract knows. A hub keeps 64; one is `reported`, and some are for others.
const MOST: usize = 60;
/// How many bytes of changes go into one event; a hub takes 16 kB.
const EVENT: usize = 12_000;
/// What the bridge itself has to find again: the legacy server's totals and the start of its process.
pub(crate) const REPORTED: &str = "reported";

#[derive(Debug, Default)]
pub(crate) struct Keys {
    known: BTreeMap<String, Value>,
    /// The keys that the dict had since the bridge began: only these are taken out when they are gone from it.
    seen: BTreeSet<String>,
    /// The keys that were left out since the bridge began.
    left_out: BTreeSet<String>,
    /// Those that nobody was told of so far.
    untold: LeftOut,
}

/// Keys of a dict that are not reported, by cause.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct LeftOut {
    /// A hub keeps no more keys.
    pub(crate) no_room: Vec<String>,
    /// A hub would refuse the key or its value.
    pub(crate) not_taken: Vec<String>,
}

impl Keys {
    /// What the hub knows now; nothing if it does not know the pipeline.
    pub(crate) fn learn(&mut self, hub: Option<&PipelineStatus>) {
        self.known.clear();
        let Some(hub) = hub else { return };
        self.known.extend(hub.extra.iter().map(|(key, value)| (key.clone(), value.clone())));
        self.set("status", Some(json!(hub.status)));
        self.set("check_interval", hub.check_interval.map(Value::from));
        self.set("watch_location", hub.watch_location.clone().map(Value::from));
        self.set("is_checking", hub.is_checking.map(Value::from));
        let text = |time: Option<Timestamp>| time.map(|time| Value::from(time.to_string()));
        self.set("started_at", text(hub.started_at));
        self.set("last_check_time", text(hub.last_check_time));
        self.set("next_check_time", text(hub.next_check_time));
    }

    pub(crate) fn get(&self, key: &str) -> Option<&Value> {
        self.known.get(key)
    }

    fn set(&mut self, key: &str, value: Option<Value>) {
        match value.filter(|value| !value.is_null()) {
            Some(value) => self.known.insert(key.to_owned(), value),
            None => self.known.remove(key),
        };
    }

    /// What `pipeline:online` does to the hub's keys.
    pub(crate) fn went_online(&mut self, fields: &Object, at: Timestamp) {
        self.set("status", Some(json!("online")));
        let started = fields.get("started_at").cloned();
        self.set("started_at", Some(started.unwrap_or_else(|| json!(at))));
        for key in ["check_interval", "watch_location"] {
            if let Some(value) = fields.get(key) {
                self.set(key, Some(value.clone()));
            }
        }
    }

    /// What `pipeline:offline` does to them.
    pub(crate) fn went_offline(&mut self) {
        self.set("status", Some(json!("offline")));
        self.set("next_check_time", None);
        if self.known.contains_key("is_checking") {
            self.set("is_checking", Some(json!(false)));
        }
    }

    /// The keys that were left out and that nobody was told of so far. Each is given once.
    pub(crate) fn left_out(&mut self) -> LeftOut {
        std::mem::take(&mut self.untold)
    }

    /// What of a dict is new, in as many parts as it takes: one, unless somebody keeps books in there.
    pub(crate) fn changes(&mut self, dict: &Dict, now: Timestamp) -> Vec<Object> {
        let mut wanted: BTreeMap<String, Value> = BTreeMap::new();
        for (key, value) in &dict.keys {
            match publishable(key, value, now) {
                Some(value) => {
                    wanted.insert(key.clone(), value);
                }
                // A time that cannot be comes right by itself.
                None if !ELSEWHERE.contains(&key.as_str()) && !is_contracts(key) => {
                    leave_out(&mut self.left_out, &mut self.untold.not_taken, key);
                }
                None => {}
            }
        }
        // Those that the hub would ignore for want of room.
        let over: Vec<String> = wanted.keys().filter(|key| !is_contracts(key)).skip(MOST).cloned().collect();
        wanted.retain(|key, _| !over.contains(key));
        for key in &over {
            leave_out(&mut self.left_out, &mut self.untold.no_room, key);
        }
        self.seen.extend(wanted.keys().cloned());
        wanted.insert(REPORTED.to_owned(), reported(dict));
        let is_gone =
            |key: &&String| !is_contracts(key) && !dict.keys.contains_key(*key) && self.seen.contains(*key);
        let gone = self.known.keys().filter(|key| key.as_str() != REPORTED).filter(is_gone);
        let gone: Vec<(String, Value)> = gone.map(|key| (key.clone(), Value::Null)).collect();
        let mut parts: Vec<Object> = Vec::new();
        let mut size = EVENT;
        for (key, value) in wanted.into_iter().chain(gone) {
            let before = self.known.get(&key).unwrap_or(&Value::Null);
            if is_same(before, &value) {
                continue;
            }
            let added = key.len() + value.to_string().len() + 4;
            if size + added > EVENT {
                parts.push(Object::new());
                size = 0;
            }
            size += added;
            self.set(&key, Some(value.clone()));
            if let Some(part) = parts.last_mut() {
                part.insert(key, value);
            }
        }
        parts
    }
}

/// Notes a key that is left out, unless it was noted before.
fn leave_out(known: &mut BTreeSet<String>, untold: &mut Vec<String>, key: &str) {
    if known.len() < MAX_TOLD && known.insert(short(key, LONGEST_KEY)) {
        untold.push(short(key, LONGEST_KEY));
    }
}

/// Whether the contract gives a key a meaning: these have a place of their own in a state.
fn is_contracts(key: &str) -> bool {
    const KEYS: [&str; 7] = [
        "status",
        "started_at",
        "watch_location",
        "check_interval",
        "is_checking",
        "last_check_time",
        "next_check_time",
    ];
    KEYS.contains(&key)
}

/// Numbers are the same however they are written: the hub gives `60` back as `60.0`.
fn is_same(a: &Value, b: &Value) -> bool {
    match (a.as_f64(), b.as_f64()) {
        (Some(a), Some(b)) => a == b,
        _ => a == b,
    }
}

fn reported(dict: &Dict) -> Value {
    let mut reported = Object::new();
    let mut put =
        |key: &str, value: Option<Value>| reported.extend(value.map(|value| (key.to_owned(), value)));
    put("total_processed", dict.total_processed.map(Value::from));
    put("total_failed", dict.total_failed.map(Value::from));
    put("started_at", dict.started.raw.clone().map(Value::from));
    reported.into()
}

/// A value as a hub takes it, if it takes it.
fn publishable(key: &str, value: &Value, now: Timestamp) -> Option<Value> {
    let known_elsewhere = matches!(key, "reported" | "pipeline_type" | "pipeline_id");
    if known_elsewhere || is_reserved_key(key) || key.is_empty() || key.len() > LONGEST_KEY {
        return None;
    }
    if matches!(key, "started_at" | "last_check_time" | "next_check_time") && !value.is_null() {
        let time = value.as_str().and_then(|text| text.parse::<Timestamp>().ok());
        return planned(time, now).map(|time| json!(time));
    }
    (is_valid_change(key, value) && value.to_string().len() <= LARGEST).then(|| value.clone())
}
