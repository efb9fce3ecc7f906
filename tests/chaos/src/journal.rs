//! What each actor did and saw last, so that a failure can be told as a story.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use ragpulse_protocol::Cursor;

/// How many lines of an actor are kept.
const KEPT: usize = 64;
/// How many lines of whoever a failure befell are shown, and how many of each of its surroundings.
const SHOWN: usize = 24;
const SHOWN_AROUND: usize = 12;

/// The last lines of one actor. Clones share them.
#[derive(Debug, Clone)]
pub(crate) struct Journal(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    name: String,
    started: Instant,
    lines: Mutex<VecDeque<(Duration, Entry)>>,
}

#[derive(Debug, Clone)]
enum Entry {
    Note(String),
    /// Events that followed each other: one line, however many.
    Events {
        from: Cursor,
        to: u64,
    },
}

impl Journal {
    pub(crate) fn new(name: String, started: Instant) -> Self {
        Self(Arc::new(Inner { name, started, lines: Mutex::default() }))
    }

    pub(crate) fn name(&self) -> &str {
        &self.0.name
    }

    pub(crate) fn note(&self, text: impl Into<String>) {
        self.push(&mut self.0.lines.lock(), Entry::Note(text.into()));
    }

    /// An event was taken. Costs nothing where it follows the last one.
    pub(crate) fn event(&self, at: &Cursor) {
        let mut lines = self.0.lines.lock();
        if let Some((_, Entry::Events { from, to })) = lines.back_mut()
            && *to + 1 == at.seq
            && from.epoch == at.epoch
        {
            *to = at.seq;
            return;
        }
        self.push(&mut lines, Entry::Events { from: at.clone(), to: at.seq });
    }

    fn push(&self, lines: &mut VecDeque<(Duration, Entry)>, entry: Entry) {
        if lines.len() == KEPT {
            lines.pop_front();
        }
        lines.push_back((self.0.started.elapsed(), entry));
    }

    fn last(&self, count: usize) -> Vec<(Duration, String)> {
        let lines = self.0.lines.lock();
        let line = |(at, entry): &(Duration, Entry)| {
            let text = match entry {
                Entry::Note(text) => text.clone(),
                Entry::Events { from, to } if from.seq == *to => format!("event {from}"),
                Entry::Events { from, to } => format!("events {from} to {to}"),
            };
            (*at, text)
        };
        lines.iter().skip(lines.len().saturating_sub(count)).map(line).collect()
    }
}

/// The ends of some journals as one story in the order of time.
pub(crate) fn merged(journals: &[&Journal]) -> Vec<String> {
    let mut lines: Vec<(Duration, String)> = Vec::new();
    for (number, journal) in journals.iter().enumerate() {
        let count = if number == 0 { SHOWN } else { SHOWN_AROUND };
        let of_one = journal.last(count).into_iter();
        lines.extend(of_one.map(|(at, text)| (at, format!("{:<14} {text}", journal.name()))));
    }
    lines.sort_by_key(|(at, _)| *at);
    lines.into_iter().map(|(at, text)| format!("{:>9.3} s  {text}", at.as_secs_f64())).collect()
}

#[cfg(test)]
mod tests {
    use ragpulse_protocol::Epoch;

    use super::*;

    #[test]
    fn events_that_follow_each_other_are_one_line_and_old_lines_go() {
        let journal = Journal::new("c".into(), Instant::now());
        let at = |seq| Cursor { epoch: Epoch::new("e").unwrap(), seq };
        (1..=500).for_each(|seq| journal.event(&at(seq)));
        journal.event(&at(7));
        let texts: Vec<String> = journal.last(10).into_iter().map(|(_, text)| text).collect();
        assert_eq!(texts, ["events e:1 to 500", "event e:7"]);
        (0..100).for_each(|n| journal.note(n.to_string()));
        assert_eq!(journal.last(usize::MAX).len(), KEPT);
    }
}
