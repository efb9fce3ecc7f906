//! How many bytes wait in the library's buffer of a session: answers, and what goes to subscribers by the library and not
//! [directly](super::direct). The library bounds it in messages only, and a message may be large.
//!
//! What is put in is counted here; what came out is read from the connection, of which the [`Wire`] tells how much the library
//! wrote to it, or from the polls of a session, each of which takes all there is. The count may be too low, because the
//! library writes more than what was counted, but never too high: that would pause a subscription for ever.

use std::collections::HashMap;
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use crate::service::Wire;

/// What waits for one session.
#[derive(Debug)]
pub(super) struct Meter {
    most: u64,
    /// The connection of a session that began on a WebSocket: it stays with that.
    begun_on: Option<Wire>,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    waiting: u64,
    /// Of answers to commands. By itself, and only to refuse further ones: who wants no answer is counted too.
    answers: u64,
    outflow: Outflow,
    /// When a poll was answered last; none of a session that has never polled.
    polled: Option<Instant>,
}

/// After how long without a poll the library has surely ended a session: it pings every 25 s.
const NO_POLLS: Duration = Duration::from_secs(90);

/// How it is known what came out.
#[derive(Debug, Default)]
enum Outflow {
    /// It is not: the host's listener does not tell. Then only messages are bounded.
    #[default]
    Unknown,
    /// Each poll takes everything.
    Polls,
    /// The connection, and what was written to it when last looked at.
    Wire(Wire, u64),
}

impl Inner {
    fn settle(&mut self) {
        if let Outflow::Wire(wire, seen) = &mut self.outflow {
            let written = wire.by_library();
            let left = written.saturating_sub(*seen);
            self.waiting = self.waiting.saturating_sub(left);
            self.answers = self.answers.saturating_sub(left);
            *seen = written;
        }
    }
}

impl Meter {
    fn new(most: u64, begun_on: Option<Wire>, outflow: Outflow) -> Self {
        let polled = matches!(outflow, Outflow::Polls).then(Instant::now);
        Self { most, begun_on, inner: Mutex::new(Inner { waiting: 0, answers: 0, outflow, polled }) }
    }

    /// The connection of a session that began on a WebSocket.
    pub(super) fn begun_on(&self) -> Option<Wire> {
        self.begun_on.clone()
    }

    /// Whether as much waits as may.
    #[cfg(test)]
    fn is_full(&self) -> bool {
        let mut inner = self.inner.lock();
        inner.settle();
        !matches!(inner.outflow, Outflow::Unknown) && inner.waiting >= self.most
    }

    /// Counts what is about to be put in, unless as much waits as may; whether it was counted.
    pub(super) fn take(&self, bytes: usize) -> bool {
        let mut inner = self.inner.lock();
        inner.settle();
        let full = !matches!(inner.outflow, Outflow::Unknown) && inner.waiting >= self.most;
        if !full {
            inner.waiting = inner.waiting.saturating_add(bytes as u64);
        }
        !full
    }

    /// Counts what is about to be put in. Before it is: it may be out again at once.
    pub(super) fn add(&self, bytes: usize) {
        let mut inner = self.inner.lock();
        inner.settle();
        inner.waiting = inner.waiting.saturating_add(bytes as u64);
    }

    /// It was not put in after all.
    pub(super) fn take_back(&self, bytes: usize) {
        let mut inner = self.inner.lock();
        inner.waiting = inner.waiting.saturating_sub(bytes as u64);
    }

    /// Counts an answer to a command, before it is put in.
    pub(super) fn add_answer(&self, bytes: usize) {
        let mut inner = self.inner.lock();
        inner.settle();
        inner.answers = inner.answers.saturating_add(bytes as u64);
    }

    /// Whether as many answers wait as may.
    pub(super) fn is_full_of_answers(&self) -> bool {
        let mut inner = self.inner.lock();
        inner.settle();
        !matches!(inner.outflow, Outflow::Unknown) && inner.answers >= self.most
    }

    /// A poll was answered with all there was.
    fn polled(&self) {
        let mut inner = self.inner.lock();
        (inner.waiting, inner.answers) = (0, 0);
        inner.polled = Some(Instant::now());
    }

    /// Whether nobody can be at the other end any more. A session that has polled may go on so after its WebSocket is gone.
    pub(super) fn is_over(&self) -> bool {
        let inner = self.inner.lock();
        let polls = inner.polled.is_some_and(|polled| polled.elapsed() < NO_POLLS);
        !polls
            && match &inner.outflow {
                Outflow::Unknown => false,
                Outflow::Polls => true,
                Outflow::Wire(wire, _) => wire.is_closed(),
            }
    }

    /// From now on the session writes to this connection.
    fn upgraded(&self, wire: Option<Wire>) {
        self.inner.lock().outflow = wire.map_or(Outflow::Unknown, |wire| {
            let written = wire.by_library();
            Outflow::Wire(wire, written)
        });
    }
}

/// The meters of the sessions that began by polling, by session: a later request names its session only.
///
/// A session's meter lives as long as its first request, which the library keeps.
#[derive(Debug)]
pub(super) struct Meters {
    most: u64,
    by_session: Mutex<Sessions>,
}

#[derive(Debug, Default)]
struct Sessions {
    meters: HashMap<String, Weak<Meter>>,
    /// At how many those that are gone are let go.
    sweep_at: usize,
}

impl Meters {
    pub(super) fn new(most: usize) -> Self {
        Self { most: most as u64, by_session: Mutex::default() }
    }

    /// The meter of a session that begins on a WebSocket.
    pub(super) fn of_wire(&self, wire: Option<Wire>) -> Arc<Meter> {
        let meter = Meter::new(self.most, wire.clone(), Outflow::Unknown);
        meter.upgraded(wire);
        Arc::new(meter)
    }

    /// The meter of a session that begins with polls.
    pub(super) fn of_polls(&self) -> Arc<Meter> {
        Arc::new(Meter::new(self.most, None, Outflow::Polls))
    }

    /// Has the meter of a session found by later requests.
    pub(super) fn remember(&self, session: &str, meter: &Arc<Meter>) {
        let mut sessions = self.by_session.lock();
        if sessions.meters.len() >= sessions.sweep_at {
            sessions.meters.retain(|_, meter| meter.strong_count() > 0);
            sessions.sweep_at = (sessions.meters.len() * 2).max(1_024);
        }
        sessions.meters.insert(session.to_owned(), Arc::downgrade(meter));
    }

    /// A poll of a session was answered.
    pub(super) fn polled(&self, session: &str) {
        if let Some(meter) = self.find(session) {
            meter.polled();
        }
    }

    /// A session goes over to a WebSocket.
    pub(super) fn upgraded(&self, session: &str, wire: Option<Wire>) {
        if let Some(meter) = self.find(session) {
            meter.upgraded(wire);
        }
    }

    fn find(&self, session: &str) -> Option<Arc<Meter>> {
        self.by_session.lock().meters.get(session)?.upgrade()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn it_is_over_when_neither_a_connection_nor_polls_are_left() {
        let meters = Meters::new(10);
        assert!(!meters.of_wire(None).is_over(), "a host that does not tell is believed");
        let (wire, close) = Wire::closable();
        let (socket, polls) = (meters.of_wire(Some(wire.clone())), meters.of_polls());
        polls.upgraded(Some(wire));
        assert!(!socket.is_over() && !polls.is_over());
        close();
        assert!(socket.is_over());
        // It may have failed to go over, and go on by polls.
        assert!(!polls.is_over());
        tokio::time::advance(NO_POLLS / 2).await;
        polls.polled();
        tokio::time::advance(NO_POLLS / 2).await;
        assert!(!polls.is_over());
        tokio::time::advance(NO_POLLS).await;
        assert!(polls.is_over() && meters.of_wire(None).inner.lock().polled.is_none());
    }

    #[test]
    fn what_was_written_no_longer_waits() {
        let (wire, write) = Wire::manual();
        let meter = Meters::new(100).of_wire(Some(wire));
        write(40);
        meter.add(60);
        meter.add(39);
        assert!(!meter.is_full(), "what was written before does not count");
        meter.add(500);
        assert!(meter.is_full());
        write(500);
        assert!(!meter.is_full());
        write(10_000);
        meter.add(99);
        assert!(!meter.is_full(), "what else was written is no credit");
        meter.add(1);
        assert!(meter.is_full());
        meter.take_back(1);
        assert!(!meter.is_full());
        meter.add_answer(100);
        assert!(meter.is_full_of_answers() && !meter.is_full());
        write(1);
        assert!(!meter.is_full_of_answers());
    }

    #[test]
    fn a_poll_takes_everything_until_the_session_goes_over() {
        let meters = Meters::new(100);
        let meter = meters.of_polls();
        meters.remember("s", &meter);
        meter.add(100);
        assert!(meter.is_full());
        meters.polled("s");
        assert!(!meter.is_full());
        let (wire, write) = Wire::manual();
        meters.upgraded("s", Some(wire));
        meter.add(100);
        assert!(meter.is_full());
        write(1);
        assert!(!meter.is_full());
        meters.upgraded("s", None);
        meter.add(1_000);
        assert!(!meter.is_full(), "where the listener does not tell, bytes are not bounded");
        meters.polled("another");
    }

    #[test]
    fn sessions_that_are_gone_are_let_go() {
        let meters = Meters::new(100);
        let kept = meters.of_polls();
        meters.remember("kept", &kept);
        for session in 0..10_000 {
            meters.remember(&session.to_string(), &meters.of_polls());
        }
        assert!(meters.by_session.lock().meters.len() <= 1_100);
        kept.add(100);
        meters.polled("kept");
        assert!(!kept.is_full());
    }
}
