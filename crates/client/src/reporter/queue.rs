//! The bounded queue of a reporter: what waits to be sent, in order, and the one batch that is under way.
//!
//! *What may come in:* events already encoded, in any number. *What it never does:* I/O; grow past its bounds by an
//! event that was not forced; lose an event that must arrive; change the order of events.
//!
//! Progress is what it may give up: a newer progress of the same file and stage takes the place of the older one;
//! when there is no room, any newer progress of the file does, and then progress is dropped. The end of a file
//! takes its progress out of the queue. An event that must arrive takes the room of progress before it is refused.
//! While events wait behind these in the spool, newer progress is dropped: it would overtake them.

use std::collections::{BTreeMap, HashMap, VecDeque};

use ragpulse_protocol::Object;

/// What an event does to the reporter's own picture of its pipeline.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Effect {
    /// `pipeline:online`, with its fields, to say it again to a hub that forgot.
    Online(Object),
    /// `pipeline:offline`.
    Offline,
    /// `file:processing`, with its fields.
    Begin { file: String, data: Object },
    /// `file:progress`.
    Progress { file: String, stage: Option<String> },
    /// A file is no longer being processed: it ended, or waits again.
    End { file: String },
    /// Anything else.
    Other,
}

/// An event ready to be sent.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Item {
    /// As JSON, with its id: a resend is the same to the byte.
    pub(crate) json: String,
    pub(crate) effect: Effect,
    /// Whether the reporter made it to re-open its pipeline.
    pub(crate) reopening: bool,
    /// Its number in the spool, if it is there.
    pub(crate) spooled: Option<u64>,
}

/// What became of an event.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Pushed {
    /// It waits.
    Queued,
    /// It is progress and there was no room for it.
    Dropped,
    /// It must arrive and there is no room: nothing changed, and here it is again.
    Full(Item),
}

#[derive(Debug)]
pub(crate) struct Queue {
    waiting: BTreeMap<i64, Item>,
    under_way: Vec<(i64, Item)>,
    /// Where the waiting progress of each file is, oldest first.
    progress: HashMap<String, VecDeque<i64>>,
    /// Bytes of JSON, of both.
    bytes: usize,
    max_events: usize,
    max_bytes: usize,
    next: i64,
    /// How many progress events were superseded or dropped.
    given_up: u64,
    /// How many events wait in the spool only, behind all that waits here.
    elsewhere: usize,
}

impl Queue {
    pub(crate) fn new(max_events: usize, max_bytes: usize) -> Self {
        Self {
            waiting: BTreeMap::new(),
            under_way: Vec::new(),
            progress: HashMap::new(),
            bytes: 0,
            max_events,
            max_bytes,
            next: 0,
            given_up: 0,
            elsewhere: 0,
        }
    }

    /// How many events there are, with those under way.
    pub(crate) fn len(&self) -> usize {
        self.waiting.len() + self.under_way.len()
    }

    pub(crate) fn given_up(&self) -> u64 {
        self.given_up
    }

    /// How many events wait behind these, in the spool only.
    pub(crate) fn elsewhere(&self) -> usize {
        self.elsewhere
    }

    pub(crate) fn set_elsewhere(&mut self, events: usize) {
        self.elsewhere = events;
    }

    /// An event goes past this queue into the spool, where it waits behind all of these.
    pub(crate) fn pass_by(&mut self, effect: &Effect) {
        if let Effect::End { file } = effect {
            self.cancel_progress(file);
        }
    }

    /// How many events and bytes there is room for, when all progress gives way.
    pub(crate) fn room(&self) -> (usize, usize) {
        let (count, size) = self.of_progress();
        let events = self.max_events.saturating_sub(self.len() - count);
        (events, self.max_bytes.saturating_sub(self.bytes - size))
    }

    /// How much to fetch from the spool, if it is time to.
    pub(crate) fn wants(&self) -> Option<(usize, usize)> {
        let (events, bytes) = self.room();
        let half_empty = events >= self.max_events.div_ceil(2) && bytes >= self.max_bytes.div_ceil(2);
        (self.elsewhere > 0 && self.under_way.is_empty() && (self.waiting.is_empty() || half_empty))
            .then_some((events, bytes))
    }

    fn has_room(&self, bytes: usize) -> bool {
        self.len() < self.max_events && self.bytes.saturating_add(bytes) <= self.max_bytes
    }

    /// Takes an event, or says why not. `force` takes one that must arrive past the bounds; callers bound it themselves.
    pub(crate) fn push(&mut self, item: Item, force: bool) -> Pushed {
        let size = item.json.len();
        match &item.effect {
            Effect::Progress { file, stage } => {
                self.supersede(file, stage.as_deref(), size);
                // What waits elsewhere was reported before it, and is the begin of its file perhaps.
                if self.elsewhere > 0 || !self.has_room(size) {
                    self.given_up += 1;
                    return Pushed::Dropped;
                }
            }
            _ => {
                // Room is made by progress only if that is enough: a refused event must change nothing.
                if !force && !self.has_room(size) && !self.could_have_room(size) {
                    return Pushed::Full(item);
                }
                if let Effect::End { file } = &item.effect {
                    self.cancel_progress(file);
                }
                while !force && !self.has_room(size) && self.evict_oldest_progress() {}
            }
        }
        self.insert(item);
        Pushed::Queued
    }

    fn insert(&mut self, item: Item) {
        let at = self.next;
        self.next += 1;
        self.put(at, item);
    }

    fn put(&mut self, at: i64, item: Item) {
        if let Effect::Progress { file, .. } = &item.effect {
            let places = self.progress.entry(file.clone()).or_default();
            let index = places.partition_point(|place| *place < at);
            places.insert(index, at);
        }
        self.bytes += item.json.len();
        self.waiting.insert(at, item);
    }

    fn remove(&mut self, at: i64) -> Option<Item> {
        let item = self.waiting.remove(&at)?;
        self.bytes -= item.json.len();
        if let Effect::Progress { file, .. } = &item.effect
            && let Some(places) = self.progress.get_mut(file)
        {
            places.retain(|place| *place != at);
            if places.is_empty() {
                self.progress.remove(file);
            }
        }
        Some(item)
    }

    /// Takes out the waiting progress that a newer one of this file and stage makes needless.
    fn supersede(&mut self, file: &str, stage: Option<&str>, size: usize) {
        let Some(places) = self.progress.get(file) else { return };
        let same_stage = |at: &i64| match self.waiting.get(at).map(|item| &item.effect) {
            Some(Effect::Progress { stage: queued, .. }) => queued.as_deref() == stage,
            _ => false,
        };
        let needless: Vec<i64> = if self.has_room(size) {
            places.iter().next_back().copied().filter(same_stage).into_iter().collect()
        } else {
            places.iter().copied().collect()
        };
        for at in needless {
            self.remove(at);
            self.given_up += 1;
        }
    }

    fn cancel_progress(&mut self, file: &str) {
        for at in self.progress.get(file).cloned().unwrap_or_default() {
            self.remove(at);
            self.given_up += 1;
        }
    }

    /// How many of the waiting events are progress, and their bytes.
    fn of_progress(&self) -> (usize, usize) {
        let (mut count, mut size) = (0, 0);
        for at in self.progress.values().flatten() {
            count += 1;
            size += self.waiting.get(at).map_or(0, |item| item.json.len());
        }
        (count, size)
    }

    /// Whether giving up all waiting progress would make room.
    fn could_have_room(&self, bytes: usize) -> bool {
        let (events, room) = self.room();
        events > 0 && bytes <= room
    }

    fn evict_oldest_progress(&mut self) -> bool {
        let oldest = self.progress.values().filter_map(|places| places.front().copied()).min();
        let removed = oldest.and_then(|at| self.remove(at)).is_some();
        self.given_up += u64::from(removed);
        removed
    }

    /// Takes the next batch and puts it under way: at least one event if any waits, and none while one is under way.
    pub(crate) fn take(&mut self, max_events: usize, max_bytes: usize) -> impl Iterator<Item = &Item> {
        if self.under_way.is_empty() {
            // Two brackets, and a comma for each event.
            let mut size = 2;
            while self.under_way.len() < max_events {
                let Some((_, item)) = self.waiting.first_key_value() else { break };
                size += item.json.len() + 1;
                if !self.under_way.is_empty() && size > max_bytes {
                    break;
                }
                let Some((&at, _)) = self.waiting.first_key_value() else { break };
                let Some(item) = self.remove(at) else { break };
                self.bytes += item.json.len();
                self.under_way.push((at, item));
            }
        }
        self.under_way.iter().map(|(_, item)| item)
    }

    /// The batch under way arrived: it is handed back for good.
    pub(crate) fn settle(&mut self) -> Vec<Item> {
        let settled: Vec<Item> = self.under_way.drain(..).map(|(_, item)| item).collect();
        self.bytes -= settled.iter().map(|item| item.json.len()).sum::<usize>();
        settled
    }

    /// The batch under way did not arrive: it waits again, before everything else and in its order.
    pub(crate) fn give_back(&mut self) {
        for (at, item) in std::mem::take(&mut self.under_way) {
            self.bytes -= item.json.len();
            self.put(at, item);
        }
    }

    /// Takes one event of the batch under way out for good; the rest waits again.
    pub(crate) fn set_aside(&mut self, index: usize) -> Option<Item> {
        let aside = (index < self.under_way.len()).then(|| self.under_way.remove(index).1);
        self.bytes -= aside.as_ref().map_or(0, |item| item.json.len());
        self.give_back();
        aside
    }

    /// How many events are under way.
    pub(crate) fn under_way(&self) -> usize {
        self.under_way.len()
    }

    /// Puts events that re-open the pipeline before all that waits, in place of earlier ones. Past the bounds: they are
    /// as many as files are open.
    pub(crate) fn reopen(&mut self, items: Vec<Item>) {
        let old: Vec<i64> =
            self.waiting.iter().filter(|(_, item)| item.reopening).map(|(at, _)| *at).collect();
        for at in old {
            self.remove(at);
        }
        let first = self.waiting.first_key_value().map_or(self.next, |(at, _)| *at);
        for (at, item) in (first - items.len() as i64..first).zip(items) {
            self.put(at, item);
        }
    }
}

#[cfg(test)]
#[path = "queue_tests.rs"]
mod tests;
