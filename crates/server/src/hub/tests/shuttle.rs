//! Thousands of interleavings of those who share a room: the tail that applies and forgets, the sweeper, a feeder that
//! reads the log, and subscribers that join, read, join again, leave and come back.
//!
//! `SHUTTLE_ITERATIONS` has more of them tried than a plain test run does. A failure prints its schedule, which
//! `shuttle::replay` takes.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::atomic::AtomicU64;

use ::shuttle::sync::Mutex as Shared;
use ::shuttle::thread;
use ragpulse_protocol::session::Verdict;
use ragpulse_protocol::status::ResetReason;
use ragpulse_protocol::{Cursor, PipelineStatus, Session};

use super::*;
use crate::hub::room::Question;
use crate::hub::sync::explored;
use crate::log::{Extent, Page};

const SUBSCRIBERS: u64 = 2;
/// How many events the first life has, and the next. Few, so that much of what can happen does.
const EVENTS: u64 = 6;
const NEXT_EVENTS: u64 = 4;
/// How many messages a buffer takes.
const ROOM_FOR: usize = 3;

/// A socket in whose middle anything may happen.
struct Way {
    id: u64,
    /// What waits: a message, and how many joins of this outlet were done when it set out.
    buffer: Mutex<VecDeque<(u64, String, String)>>,
    joins: AtomicU64,
    /// How many there were when the sweeper last began to continue it.
    swept: Mutex<Option<u64>>,
}

impl Way {
    fn new(id: u64) -> Self {
        Self { id, buffer: Mutex::default(), joins: AtomicU64::new(0), swept: Mutex::new(None) }
    }

    fn joins(&self) -> u64 {
        self.joins.load(Ordering::SeqCst)
    }
}

impl Outlet for Way {
    fn id(&self) -> u64 {
        self.id
    }

    fn dialect(&self) -> Dialect {
        Dialect::Native
    }

    fn audience(&self, _: &PipelineId) -> crate::auth::Audience {
        crate::auth::Audience::Full
    }
    fn may_view(&self, _: &PipelineId) -> bool {
        true
    }

    fn emit(&self, event: &str, payload: &RawValue) -> Sent {
        thread::yield_now();
        let mut buffer = self.buffer.lock();
        if buffer.len() >= ROOM_FOR {
            return Sent::Full;
        }
        let since = self.swept.lock().unwrap_or(self.joins());
        buffer.push_back((since, event.to_owned(), payload.get().to_owned()));
        Sent::Buffered
    }
}

/// What the threads share, beside the room itself.
struct World {
    room: Arc<Room>,
    /// The events of this life, as the log keeps them; the log is ahead of the room, never behind.
    log: Shared<(u32, Vec<Arc<Record>>)>,
    /// The outlets that the sweeper has to continue, and those that wait for the log.
    behind: Shared<BTreeSet<u64>>,
    hungry: Shared<BTreeSet<u64>>,
    ways: Shared<HashMap<u64, Arc<Way>>>,
    /// How many of those that make work are still at it.
    busy: Shared<usize>,
    /// Whether a snapshot may take the place of a replay: only where the ring may go on without a subscriber.
    lagging: bool,
}

impl World {
    fn after(&self, cursor: &Cursor) -> Option<Vec<Arc<Record>>> {
        let log = self.log.lock().unwrap();
        let ours = format!("e{}", log.0) == cursor.epoch.as_str();
        let skip = usize::try_from(cursor.seq).unwrap();
        log.1.get(skip..).filter(|_| ours).map(<[_]>::to_vec)
    }

    fn append(&self, life: u32, seq: u64) {
        let record = if seq > EVENTS {
            placed(&format!("e{life}"), seq, "pipeline:removed", &json!({}))
        } else {
            event(&format!("e{life}"), seq)
        };
        self.log.lock().unwrap().1.push(record.clone());
        let applied = self.room.apply(record, now());
        self.behind.lock().unwrap().extend(applied.paused);
    }

    /// The tail: one life to its end, and a part of the next.
    fn tail(&self) {
        for seq in 1..=EVENTS + 1 {
            self.append(0, seq);
        }
        *self.log.lock().unwrap() = (1, Vec::new());
        self.room.forget();
        for seq in 1..=NEXT_EVENTS {
            self.append(1, seq);
        }
        self.done();
    }

    fn done(&self) {
        *self.busy.lock().unwrap() -= 1;
    }

    /// Takes from a set until nobody makes work any more; what is left then is finished without company.
    fn serve(&self, set: &Shared<BTreeSet<u64>>, mut serve: impl FnMut(u64)) {
        while *self.busy.lock().unwrap() > 0 {
            let next = set.lock().unwrap().pop_first();
            match next {
                Some(outlet) => serve(outlet),
                None => thread::yield_now(),
            }
        }
    }

    fn sweeper(&self) {
        self.serve(&self.behind, |outlet| {
            let way = self.ways.lock().unwrap()[&outlet].clone();
            *way.swept.lock() = Some(way.joins());
            let moved = self.room.advance(outlet, now());
            *way.swept.lock() = None;
            assert!(self.lagging || !moved.lagged, "a snapshot though the ring holds everything");
            match moved.to {
                Advance::Behind => drop(self.behind.lock().unwrap().insert(outlet)),
                Advance::BehindRing => drop(self.hungry.lock().unwrap().insert(outlet)),
                Advance::Live | Advance::Asking | Advance::Gone => {}
            }
        });
    }

    fn feeder(&self) {
        self.serve(&self.hungry, |outlet| {
            if let Some(cursor) = self.room.wants(outlet) {
                let page = match self.after(&cursor) {
                    Some(records) => Page::Records(records.into_iter().take(4).collect()),
                    None => Page::EpochChanged,
                };
                self.room.stock(outlet, &cursor, page);
            }
            self.behind.lock().unwrap().insert(outlet);
        });
    }

    fn settle(&self, outlet: u64, question: &Question) {
        let extent = match self.after(&question.cursor) {
            Some(_) => Extent::Held { bytes: 0 },
            None => Extent::EpochChanged,
        };
        self.room.settle(outlet, question, &Ok(extent));
        self.behind.lock().unwrap().insert(outlet);
    }
}

struct Subscriber {
    world: Arc<World>,
    out: Arc<Way>,
    session: Session,
    /// What it may be told beside events: the state, once for each join that did not promise a replay.
    snapshots: usize,
}

impl Subscriber {
    fn new(world: &Arc<World>, id: u64) -> Self {
        let out = Arc::new(Way::new(id));
        world.ways.lock().unwrap().insert(id, out.clone());
        Self { world: world.clone(), out, session: Session::new(), snapshots: 0 }
    }

    fn join(&mut self) {
        let cursor = self.session.cursor();
        let joined = self.world.room.join(self.out.clone(), true, cursor.as_ref(), now());
        self.out.joins.fetch_add(1, Ordering::SeqCst);
        if joined.answer.reason == Some(ResetReason::UnknownPipeline) {
            self.session.reset();
        }
        self.session.resynced();
        if !joined.answer.recovered {
            self.snapshots += 1;
        }
        if let Some(question) = joined.question {
            self.world.settle(self.out.id, &question);
        }
        if joined.paused {
            self.world.behind.lock().unwrap().insert(self.out.id);
        }
    }

    fn read(&mut self) {
        loop {
            let next = self.out.buffer.lock().pop_front();
            let Some((since, name, text)) = next else { return };
            let message = ServerMessage::decode(&name, &text).unwrap();
            let before = self.session.cursor();
            // Who joins between the last event of a life and its being forgotten is given a state that is over.
            let over = self.session.state().is_some_and(|state| state.status == "removed");
            let verdict = self.session.handle(&message).verdict;
            let at = || format!("{} after {before:?}: {verdict}", short(&message));
            match (&message, verdict) {
                (ServerMessage::Snapshot(state), Verdict::Replace) => {
                    let lagged = matches!(state.reason, Some(ResetReason::Lagged | ResetReason::Trimmed));
                    assert!(self.world.lagging || !lagged, "{}", at());
                    assert!(lagged || self.snapshots > 0, "a snapshot nobody asked for: {}", at());
                    if !lagged {
                        self.snapshots -= 1;
                    }
                }
                (_, Verdict::Apply) => {}
                // What was under way at a join may have brought what the join brings again.
                (_, Verdict::Ignore) => assert!(self.out.joins() > 1, "a repeat: {}", at()),
                (ServerMessage::Event(event), Verdict::Resync) => {
                    // Only a life that ended has holes: its end comes in place of what was missed.
                    // And what set out before the last join is of another order than what that brings.
                    let late = since < self.out.joins();
                    assert!(over || late || event.name() == "pipeline:removed", "a hole: {}", at());
                    self.join();
                }
                _ => panic!("{}", at()),
            }
        }
    }

    /// Joins, reads, joins again, leaves and comes back with its cursor; stays in the end.
    fn run(mut self) -> Self {
        self.join();
        for round in 0..4 {
            thread::yield_now();
            self.read();
            if round == 1 {
                self.join();
            }
            if round == 2 {
                self.world.room.leave(self.out.id);
                // What was in the buffer is lost with the connection.
                let id = self.out.id + 100;
                self.session.resynced();
                self = Self { session: self.session, ..Self::new(&self.world, id) };
                self.join();
            }
        }
        self.world.done();
        self
    }

    /// Reads until it is at the head and nothing waits.
    fn finish(mut self, expected: &PipelineStatus) {
        for _ in 0..200 {
            let id = self.out.id;
            if let Some(cursor) = self.world.room.wants(id) {
                let page = self.world.after(&cursor).map_or(Page::EpochChanged, Page::Records);
                self.world.room.stock(id, &cursor, page);
            }
            let moved = self.world.room.advance(id, now());
            let waiting = self.out.buffer.lock().len();
            if moved.to == Advance::Live && waiting == 0 {
                break;
            }
            self.read();
        }
        assert_eq!(self.session.state(), Some(expected), "{} does not end at the head", self.out.id);
        assert!(!self.session.is_resyncing());
    }
}

/// One schedule, whichever shuttle chooses.
fn play(ring: usize) {
    let world = Arc::new(World {
        room: room(ring, 1_000),
        log: Shared::new((0, Vec::new())),
        behind: Shared::default(),
        hungry: Shared::default(),
        ways: Shared::default(),
        busy: Shared::new(1 + usize::try_from(SUBSCRIBERS).unwrap()),
        lagging: ring < usize::try_from(EVENTS).unwrap(),
    });
    let part = |work: fn(&World)| {
        let world = world.clone();
        thread::spawn(move || work(&world))
    };
    let parts = [part(World::tail), part(World::sweeper), part(World::feeder)];
    let subscribers: Vec<_> = (1..=SUBSCRIBERS)
        .map(|id| {
            let subscriber = Subscriber::new(&world, id);
            thread::spawn(move || subscriber.run())
        })
        .collect();
    let subscribers: Vec<Subscriber> = subscribers.into_iter().map(|thread| thread.join().unwrap()).collect();
    for part in parts {
        part.join().unwrap();
    }
    let expected = world.room.state().unwrap();
    assert_eq!(expected.seq, NEXT_EVENTS);
    for subscriber in subscribers {
        subscriber.finish(&expected);
    }
}

fn explore(ring: usize, iterations: usize) {
    let iterations =
        std::env::var("SHUTTLE_ITERATIONS").ok().and_then(|text| text.parse().ok()).unwrap_or(iterations);
    explored(|| ::shuttle::check_random(move || play(ring), iterations));
    // Few changes of turn, at places chosen to surprise: finds other things than pure chance does.
    explored(|| ::shuttle::check_pct(move || play(ring), iterations, 3));
}

#[test]
fn no_interleaving_makes_a_hole_while_the_ring_holds_everything() {
    explore(64, 500);
}

#[test]
fn no_interleaving_makes_a_hole_while_the_ring_goes_on_without_some() {
    explore(3, 500);
}
