//! Any order of appending, joining, leaving, reading and continuing, against an oracle that saw every event.

use proptest::collection::vec;
use proptest::prelude::*;
use ragpulse_protocol::session::Verdict;
use ragpulse_protocol::status::ResetReason;
use ragpulse_protocol::{Cursor, PipelineStatus, Session};
use serde_json::json;

use super::super::room::Question;
use super::*;
use crate::log::{Extent, Page};

const OUTLETS: usize = 3;
const RING: usize = 6;
const BUDGET: u64 = 20;

#[derive(Debug, Clone)]
enum Step {
    Append(u8),
    Join(usize),
    Leave(usize),
    Read(usize, usize),
    Continue(usize),
    /// The log answers what it was asked when this one joined.
    Answer(usize),
    /// The log is read for this one, if it is behind the ring.
    Feed(usize),
    /// The log keeps no more than so many events.
    Trim(usize),
    Heartbeat,
    Forget,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => any::<u8>().prop_map(Step::Append),
        2 => (0..OUTLETS).prop_map(Step::Join),
        1 => (0..OUTLETS).prop_map(Step::Leave),
        4 => (0..OUTLETS, 1..4_usize).prop_map(|(who, most)| Step::Read(who, most)),
        4 => (0..OUTLETS).prop_map(Step::Continue),
        2 => (0..OUTLETS).prop_map(Step::Answer),
        2 => (0..OUTLETS).prop_map(Step::Feed),
        1 => (0..20_usize).prop_map(Step::Trim),
        1 => Just(Step::Heartbeat),
        1 => Just(Step::Forget),
    ]
}

/// One subscriber: it keeps its state when it leaves, and comes back with its cursor.
struct Subscriber {
    outlet: Option<Arc<Fake>>,
    session: Session,
    /// The `seq` it has by events alone, to see repeats and holes that a rule would forgive.
    rejoined: bool,
    question: Option<Question>,
}

struct World {
    room: Arc<Room>,
    epoch: u32,
    /// What a subscriber that missed nothing has.
    oracle: Option<PipelineStatus>,
    subscribers: Vec<Subscriber>,
    next_outlet: u64,
    /// What the log keeps of this epoch.
    log: Vec<Arc<Record>>,
}

impl World {
    fn new() -> Self {
        let nobody = || Subscriber { outlet: None, session: Session::new(), rejoined: false, question: None };
        Self {
            room: room(RING, BUDGET),
            epoch: 0,
            oracle: None,
            subscribers: (0..OUTLETS).map(|_| nobody()).collect(),
            next_outlet: 1,
            log: Vec::new(),
        }
    }

    fn append(&mut self, kind: u8) {
        let epoch = format!("e{}", self.epoch);
        let seq = self.oracle.as_ref().map_or(0, |state| state.seq) + 1;
        let file = format!("f{}", kind % 4);
        let fields = json!({
            "file": { "id": file, "name": file }, "change": "created", "success": true, "results": {}, "progress": 0.5
        });
        let record = match (seq, kind / 64) {
            (1, _) => event(&epoch, 1),
            (_, 0) => placed(&epoch, seq, "file:queued", &fields),
            (_, 1) => placed(&epoch, seq, "file:processing", &fields),
            (_, 2) => placed(&epoch, seq, "file:progress", &fields),
            _ => placed(&epoch, seq, "file:completed", &fields),
        };
        self.apply(record);
    }

    fn apply(&mut self, record: Arc<Record>) {
        let mut session = Session::new();
        if let Some(state) = self.oracle.take() {
            session.handle(&ServerMessage::Snapshot(Box::new(state)));
        }
        session.handle(&ServerMessage::Event(Box::new(record.event.clone())));
        self.oracle = session.state().cloned();
        self.log.push(record.clone());
        self.room.apply(record, now());
    }

    fn forget(&mut self) {
        let Some(state) = &self.oracle else { return };
        let removed = placed(&format!("e{}", self.epoch), state.seq + 1, "pipeline:removed", &json!({}));
        self.apply(removed);
        self.room.forget();
        assert!(self.oracle.is_none());
        self.epoch += 1;
        self.log.clear();
    }

    /// What the log has after a cursor.
    fn after(&self, cursor: &Cursor) -> Option<&[Arc<Record>]> {
        let (Some(state), Some(first)) = (&self.oracle, self.log.first()) else { return None };
        let skip = (cursor.seq + 1).checked_sub(first.seq).filter(|_| state.epoch == cursor.epoch)?;
        self.log.get(usize::try_from(skip).unwrap()..)
    }

    fn answer(&mut self, who: usize) {
        let Some(question) = self.subscribers[who].question.take() else { return };
        let extent = match self.after(&question.cursor) {
            Some(records) => Extent::Held { bytes: records.len() as u64 },
            None => Extent::Trimmed,
        };
        let Some(outlet) = &self.subscribers[who].outlet else { return };
        let answer = self.room.settle(outlet.id(), &question, &Ok(extent));
        // A snapshot in place of a replay that is to be had is a fault.
        assert_eq!(answer.recovered, extent != Extent::Trimmed);
    }

    fn feed(&mut self, who: usize) {
        let Some(outlet) = &self.subscribers[who].outlet else { return };
        let Some(cursor) = self.room.wants(outlet.id()) else { return };
        let page = match self.after(&cursor) {
            Some(records) => Page::Records(records.iter().take(4).cloned().collect()),
            None => Page::Trimmed,
        };
        self.room.stock(outlet.id(), &cursor, page);
    }

    fn join(&mut self, who: usize) {
        let subscriber = &mut self.subscribers[who];
        subscriber.rejoined = true;
        let outlet = subscriber.outlet.get_or_insert_with(|| {
            self.next_outlet += 1;
            Fake::new(self.next_outlet, 3)
        });
        let cursor = subscriber.session.cursor();
        let join = self.room.join(outlet.clone(), true, cursor.as_ref(), now());
        if join.answer.reason == Some(ResetReason::UnknownPipeline) {
            subscriber.session.reset();
        }
        subscriber.session.resynced();
        subscriber.question = join.question;
        if cursor.is_some() && join.answer.recovered {
            // A replay is given at once only where the ring has all of it.
            assert!(join.answer.replayed <= RING as u64);
        }
    }

    fn leave(&mut self, who: usize) {
        let subscriber = &mut self.subscribers[who];
        if let Some(outlet) = subscriber.outlet.take() {
            self.room.leave(outlet.id());
            // What was in its buffer is lost with the connection.
            subscriber.session.resynced();
        }
    }

    fn read(&mut self, who: usize, most: usize) {
        let Some(outlet) = self.subscribers[who].outlet.clone() else { return };
        for message in outlet.drain(most) {
            let subscriber = &mut self.subscribers[who];
            let before = subscriber.session.cursor();
            let verdict = subscriber.session.handle(&message).verdict;
            let at = || format!("{} after {before:?}: {verdict}", short(&message));
            match (&message, verdict) {
                (_, Verdict::Apply | Verdict::Replace) | (ServerMessage::Heartbeat(_), Verdict::Ignore) => {}
                // What was on its way before a join is older than what the join brought.
                (_, Verdict::Ignore) => assert!(subscriber.rejoined, "a repeat: {}", at()),
                // One that dropped its state reads on in what was sent before.
                (ServerMessage::Heartbeat(_), Verdict::Resync) => {
                    assert!(subscriber.rejoined && before.is_none(), "a hole: {}", at());
                    self.join(who);
                }
                // Only a life that ended has holes: its end comes in place of what was missed.
                (ServerMessage::Event(event), Verdict::Resync) => {
                    let over = event.name() == "pipeline:removed" || subscriber.rejoined;
                    assert!(over, "a hole: {}", at());
                    self.join(who);
                }
                _ => panic!("{}", at()),
            }
        }
    }

    fn take(&mut self, step: &Step) {
        match step {
            Step::Append(kind) => self.append(*kind),
            Step::Join(who) => self.join(*who),
            Step::Leave(who) => self.leave(*who),
            Step::Read(who, most) => self.read(*who, *most),
            Step::Continue(who) => {
                if let Some(outlet) = &self.subscribers[*who].outlet {
                    self.room.advance(outlet.id(), now());
                }
            }
            Step::Answer(who) => self.answer(*who),
            Step::Feed(who) => self.feed(*who),
            Step::Trim(keep) => {
                let surplus = self.log.len().saturating_sub((*keep).max(1));
                self.log.drain(..surplus);
            }
            Step::Heartbeat => self.room.heartbeat(now(), 1.0, None),
            Step::Forget => self.forget(),
        }
    }

    /// Everybody who is there reads until nothing comes any more.
    fn settle(&mut self) {
        for who in 0..OUTLETS {
            for _ in 0..1_000 {
                let Some(outlet) = self.subscribers[who].outlet.clone() else { break };
                self.answer(who);
                self.feed(who);
                let moved = self.room.advance(outlet.id(), now());
                let waiting = outlet.buffer.lock().len();
                if moved.to == Advance::Live && waiting == 0 {
                    break;
                }
                self.read(who, usize::MAX);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_everybody_ends_in_the_exact_state(steps in vec(step(), 1..120)) {
        let mut world = World::new();
        for step in &steps {
            world.take(step);
        }
        world.settle();
        for subscriber in world.subscribers.iter().filter(|subscriber| subscriber.outlet.is_some()) {
            prop_assert_eq!(subscriber.session.state(), world.oracle.as_ref());
            prop_assert!(!subscriber.session.is_resyncing());
        }
        prop_assert_eq!(world.room.state(), world.oracle);
    }
}
