//! The last judgement: the log against what was promised and seen, and states against the log.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write;

use ragpulse_protocol::status::Limits;
use ragpulse_protocol::{FileState, Liveness, PipelineStatus};
use serde_json::Value;

use super::log::Logged;
use super::{Acked, Known, Log, Oracle, Seen};

/// How many findings of a kind are told.
const TOLD: usize = 12;

/// What the last judgement counted, and what it found wrong.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    /// Acknowledged events that must arrive.
    pub(crate) promised: u64,
    /// Of these, how many are not in the log.
    pub(crate) lost: u64,
    /// Events that are in the log more than once.
    pub(crate) doubled: u64,
    /// Everything that is wrong, in words.
    pub(crate) wrong: Vec<String>,
}

impl Oracle {
    /// Holds the log against what was acknowledged and what was seen.
    pub(crate) fn judge(&self, log: &Log, findings: &mut Findings) {
        let pipelines = self.pipelines.lock();
        let Some(known) = pipelines.get(&log.pipeline) else { return };
        let mut places: HashMap<&str, &Logged> = HashMap::new();
        let mut newest: HashMap<&str, (u64, &str)> = HashMap::new();
        let mut wrong = Vec::new();
        for event in &log.events {
            let Some(mark) = event.mark.as_deref() else { continue };
            let Some(sent) = known.sent.get(mark) else {
                wrong.push(format!("{mark} at {} was never sent", event.seq));
                continue;
            };
            // To a hub that may have forgotten the client library says again what is under way, whatever it has said since.
            let says_again = !self.keeps() && known.restating.contains(&sent.reporter);
            if let Some(before) = places.insert(mark, event)
                && !(says_again && before.epoch != event.epoch)
            {
                findings.doubled += 1;
                wrong.push(format!("{mark} is in the log twice: at {} and {}", before.seq, event.seq));
            }
            // Progress that was held back comes after what was reported after it.
            if sent.must_arrive && !says_again {
                let last = newest.entry(&sent.reporter).or_insert((sent.number, mark));
                if last.0 > sent.number {
                    wrong.push(format!("{mark} is logged after {}, but was sent before it", last.1));
                }
                *last = (sent.number, mark);
            }
        }
        for (mark, sent) in known.sent.iter().filter(|(_, sent)| sent.must_arrive) {
            let until = match &sent.acked {
                None => continue,
                Some(Acked::Until(until)) if until.epoch != log.head.epoch && !sent.secure => continue,
                Some(Acked::Somewhere) if !self.keeps() => continue,
                // The count goes on where the end was lost, so places of another epoch hold too.
                Some(Acked::Until(until)) => until.seq,
                Some(Acked::Somewhere) => u64::MAX,
            };
            findings.promised += 1;
            match places.get(mark.as_str()) {
                None => {
                    findings.lost += 1;
                    let how = if sent.secure { "and was on the disk" } else { "in this epoch" };
                    wrong.push(format!(
                        "{mark} was acknowledged {how} (sent {} times, {:?}), and is not in the log",
                        sent.times, sent.receipt
                    ));
                }
                Some(event) if event.seq > until => {
                    wrong.push(format!(
                        "{mark} stands at {}, but was acknowledged as within {until}",
                        event.seq
                    ));
                }
                Some(_) => {}
            }
        }
        if let Some(sequence) = known.epochs.get(&log.head.epoch)
            && sequence.acked > log.head.seq
        {
            wrong.push(format!("{} was acknowledged, but the log ends at {}", sequence.acked, log.head));
        }
        wrong.extend(known.differs_from(log));
        wrong.extend(ended_files_move(log));
        for shown in &log.shown {
            if let Some(difference) = difference(&log.folded, shown) {
                wrong.push(format!("the state a hub shows is not what the log gives: {difference}"));
            }
        }
        let (nothing, more) = (wrong.is_empty(), wrong.len().saturating_sub(TOLD));
        findings.wrong.extend(wrong.into_iter().take(TOLD).map(|wrong| format!("{}: {wrong}", log.pipeline)));
        if more > 0 {
            findings.wrong.push(format!("{}: and {more} more", log.pipeline));
        }
        if !nothing {
            findings.wrong.push(format!("{}: its log has {}", log.pipeline, epochs_of(log)));
        }
    }
}

impl Known {
    /// Where clients were given something else than the log has, or something that it has not. In earlier epochs only what the
    /// log still has of them counts: their ends may be lost.
    fn differs_from(&self, log: &Log) -> Vec<String> {
        let mut wrong = Vec::new();
        for (epoch, sequence) in &self.epochs {
            for (index, seen) in sequence.seen.iter().enumerate() {
                let (Some(seen), logged) = (seen, log.events.get(index)) else { continue };
                let of_epoch = logged.is_some_and(|logged| logged.epoch == *epoch);
                if !of_epoch && *epoch != log.head.epoch {
                    continue;
                }
                let same = logged.is_some_and(|logged| {
                    logged.name == *seen.name && logged.mark.as_deref() == seen.mark.as_deref()
                });
                if !same {
                    let (place, Seen { name, mark, .. }) = (index + 1, seen);
                    wrong.push(format!(
                        "at {epoch}:{place} clients were given {name} {mark:?}, and the log has {logged:?}"
                    ));
                }
            }
        }
        wrong
    }
}

/// From where to where each epoch goes, for a failure.
fn epochs_of(log: &Log) -> String {
    let mut told = String::new();
    for epoch in log.events.chunk_by(|one, next| one.epoch == next.epoch) {
        if let (Some(first), Some(last)) = (epoch.first(), epoch.last()) {
            let _ = write!(told, "{} {} to {}, ", first.epoch, first.seq, last.seq);
        }
    }
    format!("{told}and ends at {}", log.head)
}

/// Progress after an end: of a file that nobody has taken up again. One that was interrupted may go on, as its
/// reporter may only have been cut off.
fn ended_files_move(log: &Log) -> Vec<String> {
    let mut ended: HashMap<&str, u64> = HashMap::new();
    let mut wrong = Vec::new();
    for event in &log.events {
        let Some(file) = event.file.as_deref() else { continue };
        match event.name.as_str() {
            "file:completed" | "file:failed" | "file:skipped" | "file:cancelled" if !event.interrupted => {
                ended.insert(file, event.seq);
            }
            "file:progress" => {
                if let Some(end) = ended.get(file) {
                    wrong.push(format!("{file} has progress at {} after its end at {end}", event.seq));
                }
            }
            _ => {
                ended.remove(file);
            }
        }
    }
    wrong
}

impl Findings {
    /// Holds the files of the log against what a reporter last said of each.
    pub(crate) fn files(&mut self, log: &Log, expected: &BTreeMap<String, FileState>) {
        let mut missing = 0;
        for (id, state) in expected {
            let found = log.every_file.files.get(id).map(|file| file.state);
            if found != Some(*state) {
                missing += 1;
                if missing <= TOLD {
                    let line = format!(
                        "{}: file {id} is {found:?}, and was last said to be {state:?}",
                        log.pipeline
                    );
                    self.wrong.push(line);
                }
            }
        }
    }

    /// Holds the progress of the files that are being processed against what a reporter last said of each.
    pub(crate) fn progress(&mut self, log: &Log, expected: &BTreeMap<String, f64>) {
        for (id, progress) in expected {
            let found = log.every_file.files.get(id).and_then(|file| file.progress);
            if found.is_none_or(|found| (found - progress).abs() > f64::EPSILON) {
                self.wrong
                    .push(format!("{}: {id} is at {found:?}, and was last at {progress}", log.pipeline));
            }
        }
    }
}

/// Where two states differ, except in what time alone changes and in how many files they list.
pub(crate) fn difference(expected: &PipelineStatus, found: &PipelineStatus) -> Option<String> {
    let limits = Limits {
        open: expected.limits.open.min(found.limits.open),
        ended: expected.limits.ended.min(found.limits.ended),
    };
    let comparable = |state: &PipelineStatus| {
        let mut state = state.clone().limited_to(limits);
        state.reason = None;
        if state.liveness == Liveness::Late {
            state.liveness = Liveness::Live;
        }
        serde_json::to_value(&state).unwrap_or_default()
    };
    let (expected, found) = (comparable(expected), comparable(found));
    let first = first_difference("", &expected, &found)?;
    // What differs in the files tells more than what it makes of the counts.
    let of_files = first_difference("/files", &expected["files"], &found["files"]);
    Some(
        of_files
            .filter(|of_files| *of_files != first)
            .map_or(first.clone(), |more| format!("{first}; {more}")),
    )
}

fn first_difference(path: &str, expected: &Value, found: &Value) -> Option<String> {
    match (expected, found) {
        (Value::Object(one), Value::Object(other)) => {
            let keys = one.keys().chain(other.keys().filter(|key| !one.contains_key(*key)));
            keys.into_iter().find_map(|key| {
                let of =
                    |object: &serde_json::Map<String, Value>| object.get(key).cloned().unwrap_or(Value::Null);
                first_difference(&format!("{path}/{key}"), &of(one), &of(other))
            })
        }
        (Value::Array(one), Value::Array(other)) if one.len() == other.len() => {
            let mut pairs = one.iter().zip(other).enumerate();
            pairs.find_map(|(index, (one, other))| first_difference(&format!("{path}/{index}"), one, other))
        }
        _ if expected == found => None,
        _ => Some(format!("{path} is {}, expected {}", short(found), short(expected))),
    }
}

fn short(value: &Value) -> String {
    let text = value.to_string();
    text.char_indices().nth(200).map_or(text.clone(), |(end, _)| format!("{}…", &text[..end]))
}
