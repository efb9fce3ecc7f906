//! Whether somebody else reports the same pipeline: then every file of it counts twice.
//!
//! A hub does not tell who reported an event. The bridge knows what it reported itself, though, by name, file and time, so
//! an event of a file that it did not report, and still has not some looks later, is somebody else's. Another bridge
//! reports the same events, of which a hub takes the first: then the bridge's own one never comes.
//!
//! *What may come in:* what the bridge reports, and what the hub delivers, in any order. *What it never does:* I/O, grow
//! without bound, or take for somebody else's what a hub makes: files that it ends as interrupted.

use std::collections::{HashMap, VecDeque};

use ragpulse_protocol::http::NamedEvent;
use ragpulse_protocol::parts::INTERRUPTED;
use ragpulse_protocol::{Cursor, Epoch, Object, PipelineStatus, ReportedEvent, Timestamp};
use serde_json::Value;

/// How many of the bridge's own events are remembered until the hub delivers them: more than its queue holds.
const MAX_OWN: usize = 20_000;
/// How many events wait for the bridge to report them too.
const MAX_SUSPECTS: usize = 200;
/// After how many looks an event counts as somebody else's, if the bridge did not report it by then.
const LOOKS: u32 = 3;
/// After how many looks one that the bridge reported as well counts as another bridge's: the hub took only one of the two.
const SETTLED: u32 = 60;

/// An event of a file: its name, and the file's id. With the time it is told from others of that file.
type Key = (String, String);

/// An event that the bridge did not report so far.
#[derive(Debug)]
struct Suspect {
    key: Key,
    file: String,
    looks: u32,
}

/// An event of somebody else.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Foreign {
    pub(crate) event: String,
    pub(crate) file: String,
}

/// Compares what the hub delivers with what the bridge reported.
#[derive(Debug, Default)]
pub(crate) struct Others {
    /// Up to where the hub's events were compared; nothing before the hub said where it is.
    cursor: Option<Cursor>,
    /// What the bridge reported and the hub did not deliver so far, also in the order in which it was reported.
    own: HashMap<Key, Vec<Timestamp>>,
    order: VecDeque<(Key, Timestamp)>,
    suspects: Vec<Suspect>,
    found: bool,
}

impl Others {
    /// From where to read on; nothing if there is no need to.
    pub(crate) fn reads_after(&self) -> Option<&Cursor> {
        self.cursor.as_ref().filter(|_| !self.found)
    }

    /// Whether the hub is to be asked where it is before anything can be compared.
    pub(crate) fn is_lost(&self) -> bool {
        self.cursor.is_none() && !self.found
    }

    /// Begins anew where the hub is now: what is before was not compared, and need not be the bridge's. To be called while
    /// nothing that was reported is still on its way.
    pub(crate) fn begin_at(&mut self, hub: Option<&PipelineStatus>) {
        if !self.found {
            *self = Self { cursor: hub.map(PipelineStatus::cursor), ..Self::default() };
        }
    }

    /// Begins with a sequence of which the hub knew nothing when the bridge began: all of it is to be compared.
    pub(crate) fn begin_with(&mut self, epoch: Epoch) {
        self.cursor = Some(Cursor { epoch, seq: 0 });
    }

    /// The hub's sequence is another one, or its history is gone: nothing can be compared until it begins anew.
    pub(crate) fn lose(&mut self) {
        self.cursor = None;
        self.suspects.clear();
    }

    /// The bridge reports this.
    pub(crate) fn reported(&mut self, event: &ReportedEvent) {
        let Some(at) = event.timestamp.filter(|_| !self.found) else { return };
        let Some((key, _)) = key(&event.event, &event.data) else { return };
        let times = self.own.entry(key.clone()).or_default();
        if times.contains(&at) {
            return;
        }
        times.push(at);
        self.order.push_back((key, at));
        if self.order.len() > MAX_OWN
            && let Some((key, at)) = self.order.pop_front()
            && self.take_own(&key, at)
        {
            // It may be delivered yet, and would be taken for somebody else's: better to see less.
            self.lose();
        }
    }

    /// The hub delivers these, up to this cursor.
    pub(crate) fn delivered(&mut self, events: &[NamedEvent], upto: Cursor) {
        if self.found {
            return;
        }
        for event in events {
            let Value::Object(data) = &event.data else { continue };
            let time = data.get("timestamp").and_then(Value::as_str);
            let Some(at) = time.and_then(|text| text.parse().ok()) else { continue };
            let Some((key, file)) = key(&event.event, data) else { continue };
            if !self.take_own(&key, at) && self.suspects.len() < MAX_SUSPECTS {
                self.suspects.push(Suspect { key, file, looks: 0 });
            }
        }
        // What was delivered need not be remembered.
        while let Some((key, at)) = self.order.front()
            && !self.own.get(key).is_some_and(|times| times.contains(at))
        {
            self.order.pop_front();
        }
        self.cursor = Some(upto);
    }

    /// The bridge looked and reported what it saw: what is somebody else's by now, once.
    pub(crate) fn looked(&mut self) -> Option<Foreign> {
        let own = &mut self.own;
        self.suspects.retain_mut(|suspect| {
            suspect.looks = suspect.looks.saturating_add(1);
            let settled = suspect.looks >= SETTLED && own.contains_key(&suspect.key);
            if settled {
                own.remove(&suspect.key);
            }
            !settled
        });
        // One that the bridge reported as well waits for the bridge's own: if both come, it counts twice.
        let is_foreign = |suspect: &Suspect| suspect.looks >= LOOKS && !self.own.contains_key(&suspect.key);
        let place = self.suspects.iter().position(is_foreign)?;
        let suspect = self.suspects.swap_remove(place);
        *self = Self { found: true, ..Self::default() };
        Some(Foreign { event: suspect.key.0, file: suspect.file })
    }

    /// Takes one of the bridge's own events from the books; whether it was there.
    fn take_own(&mut self, key: &Key, at: Timestamp) -> bool {
        let Some(times) = self.own.get_mut(key) else { return false };
        let Some(place) = times.iter().position(|time| *time == at) else { return false };
        times.swap_remove(place);
        if times.is_empty() {
            self.own.remove(key);
        }
        true
    }
}

/// What an event of a file is known by, and the file's name. Nothing for what need not be reported by anybody: keys and
/// the pipeline itself, progress of which a hub leaves some out, and ends that a hub makes.
fn key(event: &str, data: &Object) -> Option<(Key, String)> {
    let interrupted =
        || data.get("error").is_some_and(|error| error.get("type").is_some_and(|kind| kind == INTERRUPTED));
    if !event.starts_with("file:") || event == "file:progress" || interrupted() {
        return None;
    }
    let file = data.get("file")?;
    let name = file.get("name")?.as_str()?;
    let id = file.get("id").and_then(Value::as_str).unwrap_or(name);
    Some(((event.to_owned(), id.to_owned()), name.to_owned()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_millis(1_777_629_600_000 + millis)
    }

    fn data(id: &str) -> Object {
        json!({ "file": { "name": "a.pdf", "id": id } }).as_object().cloned().unwrap()
    }

    fn reported(event: &str, id: &str, millis: i64) -> ReportedEvent {
        let mut reported = ReportedEvent::heartbeat();
        (reported.event, reported.timestamp, reported.data) = (event.to_owned(), Some(at(millis)), data(id));
        reported
    }

    fn delivered(event: &str, id: &str, millis: i64) -> NamedEvent {
        let mut data = data(id);
        data.insert("timestamp".to_owned(), json!(at(millis)));
        NamedEvent { event: event.to_owned(), data: data.into() }
    }

    fn upto(seq: u64) -> Cursor {
        Cursor { epoch: Epoch::new("e").unwrap(), seq }
    }

    fn looks(others: &mut Others) -> Option<Foreign> {
        (0..LOOKS).find_map(|_| others.looked())
    }

    #[test]
    fn what_the_bridge_reported_is_its_own_whoever_was_first() {
        let mut others = Others::default();
        others.reported(&reported("file:processing", "a", 0));
        others.delivered(&[delivered("file:processing", "a", 0)], upto(1));
        // Another bridge looked earlier.
        others.delivered(&[delivered("file:completed", "a", 5)], upto(2));
        assert_eq!(others.looked(), None);
        // As it found no time in the dict, it took its own.
        others.reported(&reported("file:completed", "a", 6));
        assert_eq!((0..100).find_map(|_| others.looked()), None);
        others.delivered(&[], upto(2));
        assert!(others.own.is_empty() && others.order.is_empty() && others.suspects.is_empty());
    }

    #[test]
    fn what_somebody_else_reported_is_found_once() {
        let mut others = Others::default();
        others.reported(&reported("file:processing", "a", 0));
        // The same file at another moment.
        others.delivered(
            &[delivered("file:processing", "a", 0), delivered("file:processing", "a", 1)],
            upto(2),
        );
        assert_eq!(others.looked(), None, "it may be a bridge that is ahead");
        let foreign = Foreign { event: "file:processing".to_owned(), file: "a.pdf".to_owned() };
        assert_eq!(looks(&mut others), Some(foreign));
        others.delivered(&[delivered("file:completed", "x", 9)], upto(3));
        others.reported(&reported("file:completed", "y", 9));
        assert_eq!(looks(&mut others), None);
        assert!(others.reads_after().is_none() && !others.is_lost() && others.own.is_empty());
    }

    #[test]
    fn the_same_moment_twice_is_somebody_elses_too() {
        // A status server that reports to the hub itself may say in its dict what it reported.
        for first in [true, false] {
            let mut others = Others::default();
            let event = delivered("file:processing", "a", 0);
            if first {
                others.delivered(std::slice::from_ref(&event), upto(1));
            }
            others.reported(&reported("file:processing", "a", 0));
            others.delivered(&[event.clone(), event][usize::from(first)..], upto(2));
            assert!(looks(&mut others).is_some(), "{first}");
        }
    }

    #[test]
    fn what_a_hub_makes_is_nobodys() {
        let mut others = Others::default();
        let mut interrupted = delivered("file:failed", "a", 3);
        interrupted.data["error"] = json!({ "type": INTERRUPTED, "message": "m" });
        let progress = delivered("file:progress", "a", 3);
        let online = NamedEvent { event: "pipeline:online".to_owned(), data: json!({ "timestamp": at(0) }) };
        others.delivered(&[interrupted, progress, online], upto(3));
        assert_eq!(looks(&mut others), None);
    }

    #[test]
    fn books_are_bounded_and_one_that_is_full_sees_less() {
        let mut others = Others { cursor: Some(upto(1)), ..Others::default() };
        for n in 0..=MAX_OWN as i64 {
            others.reported(&reported("file:completed", &format!("f{n}"), n));
        }
        assert!(others.is_lost() && others.own.len() <= MAX_OWN && others.order.len() <= MAX_OWN);
        let many: Vec<_> = (0..500).map(|n| delivered("file:completed", &format!("g{n}"), n)).collect();
        others.delivered(&many, upto(2));
        assert_eq!(others.suspects.len(), MAX_SUSPECTS);
    }
}
