//! How much of the time that clients wanted to be connected they were: the definition stands in docs/metrics.md.
//!
//! *What may come in:* sockets that come and go, and what clients tell of themselves. *What it never does:* keep a
//! client's name, which is hashed with a key of this process; grow beyond its bound; read a clock: time comes in.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};

use ragpulse_protocol::Timestamp;

/// How long a client that was lost is waited for. Who is away for longer has, as far as a hub can tell, gone.
pub(crate) const AWAY_MS: i64 = 120_000;
/// How long a client that polls may say nothing of itself and still counts as connected: it tells every half minute, with
/// a poll that may be held for as long.
pub(crate) const POLLS_MS: i64 = 75_000;
/// What an interruption is taken to last of a client that gave no name, by which its return would be known. The longest
/// that Socket.IO's own client waits before it comes back.
pub(crate) const NAMELESS_MS: i64 = 5_000;
/// For how long a socket was silent before the hub knew that it was dead: what the answer to a ping may take.
pub(crate) const SILENT_MS: i64 = 20_000;

/// How a socket ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// One of both sides meant it.
    Meant,
    /// In order, but without a word: a page that was closed, or a proxy that went.
    Orderly,
    /// It broke.
    Broken,
    /// Nothing was heard for too long.
    Silent,
}

/// What was counted since it was last taken, in milliseconds.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Spent {
    pub(crate) wanted: i64,
    pub(crate) by_socket: i64,
    pub(crate) by_polls: i64,
    pub(crate) returned: u64,
    pub(crate) gone: u64,
}

/// One socket.
#[derive(Debug)]
struct Seat {
    since: Timestamp,
    /// Up to when its time was counted, where it has no client to count for.
    counted: Timestamp,
    client: Option<u64>,
    hidden: bool,
}

/// One client that has a name, with all its sockets.
#[derive(Debug)]
struct Client {
    /// Sockets of pages that are looked at, and of hidden ones.
    visible: u32,
    hidden: u32,
    counted: Timestamp,
    /// What it is at while it has no socket.
    without: Without,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Without {
    /// It has one, or its page is hidden.
    Nothing,
    /// It polls; it last said so at this time.
    Polls(Timestamp),
    /// Lost at this time, in order or not. Of one that was not, the time it is away counts as it passes.
    Lost(Timestamp, bool),
}

/// All sessions of a hub.
#[derive(Debug)]
pub(crate) struct Sessions {
    seats: HashMap<u64, Seat>,
    clients: HashMap<u64, Client>,
    most: usize,
    names: RandomState,
    spent: Spent,
    /// Time that was counted as away and was not: taken from what is counted next, as a counter cannot fall.
    over: i64,
}

fn between(from: Timestamp, to: Timestamp) -> i64 {
    to.millis_since(from).max(0)
}

impl Sessions {
    /// Sessions of which at most so many have a name.
    pub(crate) fn new(most: usize) -> Self {
        Self {
            seats: HashMap::new(),
            clients: HashMap::new(),
            most,
            names: RandomState::new(),
            spent: Spent::default(),
            over: 0,
        }
    }

    /// A socket is there.
    pub(crate) fn connected(&mut self, socket: u64, now: Timestamp) {
        self.seats.insert(socket, Seat { since: now, counted: now, client: None, hidden: false });
    }

    /// A socket tells whose it is, and whether its page is hidden.
    pub(crate) fn told(&mut self, socket: u64, name: &str, hidden: bool, now: Timestamp) {
        let Some(mut seat) = self.seats.remove(&socket) else { return };
        self.count_seat(&mut seat, now);
        let key = self.names.hash_one(name);
        let may = !name.is_empty() && (self.clients.contains_key(&key) || self.clients.len() < self.most);
        if seat.client != Some(key) {
            self.part(&seat, End::Meant, now);
            seat.client = may.then_some(key);
            if may {
                self.returned(key, seat.since);
                self.with(key, now, |client| {
                    client.without = Without::Nothing;
                    *(if hidden { &mut client.hidden } else { &mut client.visible }) += 1;
                });
            }
        } else if seat.hidden != hidden {
            self.with(key, now, |client| {
                let (to, from) = (&mut client.hidden, &mut client.visible);
                let (to, from) = if hidden { (to, from) } else { (from, to) };
                *to += 1;
                *from = from.saturating_sub(1);
            });
        }
        seat.hidden = hidden;
        self.seats.insert(socket, seat);
    }

    /// A client that polls tells that it does.
    pub(crate) fn polled(&mut self, name: &str, hidden: bool, now: Timestamp) {
        let key = self.names.hash_one(name);
        if name.is_empty() || (!self.clients.contains_key(&key) && self.clients.len() >= self.most) {
            return;
        }
        if self.clients.get(&key).is_some_and(|client| client.visible + client.hidden > 0) {
            return;
        }
        self.returned(key, now);
        if hidden {
            self.clients.remove(&key);
        } else {
            self.with(key, now, |client| client.without = Without::Polls(now));
        }
    }

    /// A socket is gone.
    pub(crate) fn ended(&mut self, socket: u64, end: End, now: Timestamp) {
        let Some(mut seat) = self.seats.remove(&socket) else { return };
        self.count_seat(&mut seat, now);
        self.part(&seat, end, now);
    }

    /// Counts up to now, and lets go of who has been away for too long.
    pub(crate) fn settle(&mut self, now: Timestamp) -> Spent {
        let mut seats = std::mem::take(&mut self.seats);
        seats.values_mut().for_each(|seat| self.count_seat(seat, now));
        self.seats = seats;
        let mut clients = std::mem::take(&mut self.clients);
        clients.retain(|_, client| {
            self.count_client(client, now);
            match client.without {
                Without::Nothing => client.visible + client.hidden > 0,
                Without::Polls(last) => between(last, now) <= AWAY_MS,
                Without::Lost(at, in_order) => {
                    let waits = between(at, now) <= AWAY_MS;
                    self.spent.gone += u64::from(!waits && !in_order);
                    waits
                }
            }
        });
        self.clients = clients;
        let mut spent = std::mem::take(&mut self.spent);
        let less = self.over.min(spent.wanted);
        self.over -= less;
        spent.wanted -= less;
        spent
    }

    /// Nobody is connected any more, because the hub closes.
    pub(crate) fn clear(&mut self, now: Timestamp) -> Spent {
        let spent = self.settle(now);
        self.seats.clear();
        self.clients.clear();
        spent
    }

    fn with(&mut self, key: u64, now: Timestamp, change: impl FnOnce(&mut Client)) {
        let fresh = Client { visible: 0, hidden: 0, counted: now, without: Without::Nothing };
        let mut client = self.clients.remove(&key).unwrap_or(fresh);
        self.count_client(&mut client, now);
        change(&mut client);
        self.clients.insert(key, client);
    }

    /// Counts the time of a socket that has no client.
    fn count_seat(&mut self, seat: &mut Seat, now: Timestamp) {
        if seat.client.is_none() && !seat.hidden {
            self.count_connected(between(seat.counted, now));
        }
        seat.counted = now;
    }

    fn count_connected(&mut self, time: i64) {
        self.spent.wanted += time;
        self.spent.by_socket += time;
    }

    /// Counts what time alone brings: that of sockets, and of being away without order.
    fn count_client(&mut self, client: &mut Client, now: Timestamp) {
        if client.visible > 0 {
            self.count_connected(between(client.counted, now));
        } else if let Without::Lost(at, false) = client.without {
            let until = now.min(Timestamp::from_millis(at.as_millis().saturating_add(AWAY_MS)));
            self.spent.wanted += between(client.counted, until);
        }
        client.counted = client.counted.max(now);
    }

    /// A client has a connection again, since this time.
    fn returned(&mut self, key: u64, since: Timestamp) {
        let Some(mut client) = self.clients.remove(&key) else { return };
        match client.without {
            // By another of its pages it was there all the time.
            Without::Nothing => {
                self.clients.insert(key, client);
                return;
            }
            Without::Polls(last) => match between(last, since) {
                gap if gap <= POLLS_MS => {
                    self.spent.wanted += gap;
                    self.spent.by_polls += gap;
                }
                gap if gap <= AWAY_MS => {
                    self.spent.wanted += gap;
                    self.spent.returned += 1;
                }
                _ => {}
            },
            Without::Lost(at, in_order) => {
                let gap = between(at, since);
                let in_time = gap <= AWAY_MS;
                if in_order && in_time {
                    self.spent.wanted += gap;
                } else if !in_order {
                    // It is known only now that it was back before it said so.
                    self.over += between(since, client.counted);
                    self.count_client(&mut client, since);
                }
                self.spent.returned += u64::from(in_time);
                self.spent.gone += u64::from(!in_time && !in_order);
            }
        }
        client.without = Without::Nothing;
        // What follows counts by itself from when it was told, until then as of a socket without a name.
        client.counted = client.counted.max(since);
        self.clients.insert(key, client);
    }

    /// A socket parts from its client, or goes as one that has none.
    fn part(&mut self, seat: &Seat, end: End, now: Timestamp) {
        let broke = matches!(end, End::Broken | End::Silent) && !seat.hidden;
        if broke && end == End::Silent {
            self.spent.wanted += SILENT_MS;
        }
        let Some(key) = seat.client else {
            if broke {
                self.spent.wanted += NAMELESS_MS;
                self.spent.gone += 1;
            }
            return;
        };
        self.with(key, now, |client| {
            let of = if seat.hidden { &mut client.hidden } else { &mut client.visible };
            *of = of.saturating_sub(1);
            if client.visible + client.hidden == 0 && !seat.hidden && end != End::Meant {
                client.without = Without::Lost(now, end == End::Orderly);
            }
        });
        if self
            .clients
            .get(&key)
            .is_some_and(|client| client.visible + client.hidden == 0 && client.without == Without::Nothing)
        {
            self.clients.remove(&key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_millis(1_000_000 + seconds * 1_000)
    }

    /// Seconds wanted, by socket, by polls; returned, gone.
    fn spent(sessions: &mut Sessions, seconds: i64) -> (i64, i64, i64, u64, u64) {
        let spent = sessions.settle(at(seconds));
        let in_seconds = |ms: i64| ms / 1_000;
        let (wanted, by_socket) = (in_seconds(spent.wanted), in_seconds(spent.by_socket));
        (wanted, by_socket, in_seconds(spent.by_polls), spent.returned, spent.gone)
    }

    fn with_one(name: &str) -> Sessions {
        let mut sessions = Sessions::new(10);
        sessions.connected(1, at(0));
        sessions.told(1, name, false, at(0));
        sessions
    }

    #[test]
    fn what_is_meant_is_no_interruption() {
        let mut sessions = with_one("a");
        assert_eq!(spent(&mut sessions, 40), (40, 40, 0, 0, 0), "it counts while it lasts");
        sessions.ended(1, End::Meant, at(100));
        assert_eq!(spent(&mut sessions, 500), (60, 60, 0, 0, 0));
        assert!(sessions.clients.is_empty() && sessions.seats.is_empty());
    }

    #[test]
    fn a_client_that_comes_back_was_away() {
        for end in [End::Broken, End::Orderly] {
            let mut sessions = with_one("a");
            sessions.ended(1, end, at(100));
            sessions.connected(2, at(107));
            sessions.told(2, "a", false, at(107));
            assert_eq!(spent(&mut sessions, 200), (200, 193, 0, 1, 0), "{end:?}");
        }
    }

    #[test]
    fn who_says_late_that_it_is_back_was_away_no_longer() {
        let mut sessions = with_one("a");
        sessions.ended(1, End::Broken, at(100));
        sessions.connected(2, at(107));
        assert_eq!(spent(&mut sessions, 120), (133, 113, 0, 0, 0), "until it says so, it seems to be two");
        sessions.told(2, "a", false, at(130));
        assert_eq!(spent(&mut sessions, 200), (67, 80, 0, 1, 0), "what was counted too much is taken back");
    }

    #[test]
    fn a_closed_page_that_stays_away_was_meant_and_a_broken_connection_was_not() {
        let mut sessions = with_one("a");
        sessions.ended(1, End::Orderly, at(100));
        assert_eq!(spent(&mut sessions, 1_000), (100, 100, 0, 0, 0));
        let mut sessions = with_one("a");
        sessions.ended(1, End::Broken, at(100));
        assert_eq!(spent(&mut sessions, 150), (150, 100, 0, 0, 0), "an outage is seen while it lasts");
        assert_eq!(spent(&mut sessions, 1_000), (70, 0, 0, 0, 1), "but for two minutes at most");
        let mut sessions = with_one("a");
        sessions.ended(1, End::Silent, at(100));
        assert_eq!(spent(&mut sessions, 1_000), (240, 100, 0, 0, 1), "and the silence before it is seen");
    }

    #[test]
    fn who_gives_no_name_is_charged_by_estimate() {
        for (end, wanted) in [(End::Meant, 100), (End::Orderly, 100), (End::Broken, 105), (End::Silent, 125)]
        {
            let mut sessions = Sessions::new(10);
            sessions.connected(1, at(0));
            sessions.told(1, "", false, at(50));
            sessions.ended(1, end, at(100));
            assert_eq!(spent(&mut sessions, 1_000).0, wanted, "{end:?}");
        }
    }

    #[test]
    fn hidden_pages_are_left_out() {
        let mut sessions = with_one("a");
        sessions.told(1, "a", true, at(10));
        assert_eq!(spent(&mut sessions, 50), (10, 10, 0, 0, 0));
        sessions.told(1, "a", false, at(60));
        sessions.told(1, "a", true, at(70));
        sessions.ended(1, End::Silent, at(200));
        assert_eq!(spent(&mut sessions, 1_000), (10, 10, 0, 0, 0), "nor does it matter how they are lost");
    }

    #[test]
    fn a_client_with_two_pages_is_one() {
        let mut sessions = with_one("a");
        sessions.connected(2, at(10));
        sessions.told(2, "a", false, at(10));
        sessions.ended(1, End::Broken, at(50));
        sessions.told(2, "a", true, at(80));
        sessions.ended(2, End::Broken, at(90));
        assert_eq!(spent(&mut sessions, 1_000), (80, 80, 0, 0, 0));
    }

    #[test]
    fn polling_is_being_connected_while_it_goes_on() {
        let mut sessions = with_one("a");
        sessions.ended(1, End::Broken, at(100));
        sessions.polled("a", false, at(104));
        sessions.polled("a", false, at(134));
        sessions.polled("a", false, at(164));
        sessions.connected(2, at(170));
        sessions.told(2, "a", false, at(170));
        sessions.polled("a", false, at(171));
        assert_eq!(spent(&mut sessions, 200), (200, 130, 66, 1, 0));

        let mut sessions = Sessions::new(10);
        sessions.polled("b", false, at(0));
        sessions.polled("b", false, at(100));
        assert_eq!(spent(&mut sessions, 150), (100, 0, 0, 1, 0), "it said nothing for too long");
        sessions.polled("b", true, at(160));
        assert_eq!(spent(&mut sessions, 160), (60, 0, 60, 0, 0));
        assert!(sessions.clients.is_empty());
        sessions.polled("b", false, at(200));
        assert_eq!(spent(&mut sessions, 1_000), (0, 0, 0, 0, 0), "who asks no more has gone");
        assert!(sessions.clients.is_empty());
    }

    #[test]
    fn names_are_bounded_and_the_others_count_as_nameless() {
        let mut sessions = Sessions::new(2);
        for socket in 0..5 {
            sessions.connected(socket, at(0));
            sessions.told(socket, &socket.to_string(), false, at(0));
            sessions.polled(&format!("p{socket}"), false, at(0));
        }
        assert_eq!(sessions.clients.len(), 2);
        assert_eq!(spent(&mut sessions, 10).1, 50);
        (0..5).for_each(|socket| sessions.ended(socket, End::Meant, at(10)));
        sessions.clear(at(10));
        assert!(sessions.clients.is_empty() && sessions.seats.is_empty());
    }
}
