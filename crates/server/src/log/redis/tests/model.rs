//! The scripts beside a model that is a few lines of Rust: whatever three nodes do, and whatever happens to the server, each answer
//! is the model's. And many at once, where only what must hold of all orders is asked.

use std::collections::{BTreeMap, HashSet};

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use ragpulse_protocol::Epoch;

use super::super::call::{Appended, Found, Position, Written};
use super::super::reply::Fault;
use super::super::session::{Opened, Session};
use super::server::{Disk, Server};
use super::{Try, at, hash, pipeline};

const NODES: usize = 3;
const PIPELINES: [&str; 3] = ["p", "q", "r"];
const IDS: u32 = 24;

#[derive(Debug, Clone)]
enum Op {
    Append { node: usize, pipeline: usize, ids: Vec<Option<u32>>, remember: Vec<u32> },
    Write { node: usize, pipeline: usize, back: u64, keep: u64 },
    Read { node: usize, pipeline: usize, after: u64, limit: usize },
    Forget { node: usize, pipeline: usize },
    Renew { node: usize },
    Flush,
    Restart,
}

fn op() -> impl Strategy<Value = Op> {
    let (node, pipeline) = (0..NODES, 0..PIPELINES.len());
    let ids = vec(proptest::option::weighted(0.7, 0..IDS), 0..5).prop_map(|ids| {
        // Within a batch nodes drop what is there twice.
        let mut own = HashSet::new();
        ids.into_iter().filter(|id| id.is_none_or(|id| own.insert(id))).collect()
    });
    prop_oneof![
        12 => (node.clone(), pipeline.clone(), ids, vec(0..IDS, 0..2))
            .prop_map(|(node, pipeline, ids, remember)| Op::Append { node, pipeline, ids, remember }),
        4 => (node.clone(), pipeline.clone(), 0..4_u64, 0..8_u64)
            .prop_map(|(node, pipeline, back, keep)| Op::Write { node, pipeline, back, keep }),
        6 => (node.clone(), pipeline.clone(), 0..20_u64, 1..5_usize)
            .prop_map(|(node, pipeline, after, limit)| Op::Read { node, pipeline, after, limit }),
        1 => (node.clone(), pipeline).prop_map(|(node, pipeline)| Op::Forget { node, pipeline }),
        1 => node.prop_map(|node| Op::Renew { node }),
        1 => Just(Op::Flush),
        1 => Just(Op::Restart),
    ]
}

/// What there ought to be of a pipeline.
#[derive(Debug)]
struct Pipeline {
    epoch: Epoch,
    begins: u64,
    first: u64,
    snap: u64,
    /// All events that ever were, the first at 1.
    payloads: Vec<String>,
    ids: HashSet<u32>,
}

impl Pipeline {
    fn end(&self) -> u64 {
        self.payloads.len() as u64
    }
}

struct Node {
    session: Session,
    /// Where it believes each pipeline to be.
    on: [Position; PIPELINES.len()],
    /// The server is not what it was when the session began.
    outdated: bool,
}

struct World {
    server: Server,
    prefix: String,
    disk: Disk,
    pipelines: BTreeMap<usize, Pipeline>,
    nodes: Vec<Node>,
    epochs: u32,
}

impl World {
    async fn new(server: Server, disk: Disk, prefix: String) -> Self {
        let mut nodes = Vec::new();
        for _ in 0..NODES {
            let session = server.session(&prefix).await;
            nodes.push(Node { session, on: Default::default(), outdated: false });
        }
        Self { server, prefix, disk, pipelines: BTreeMap::new(), nodes, epochs: 0 }
    }

    fn position(&self, pipeline: usize) -> Position {
        self.pipelines.get(&pipeline).map(|one| (one.epoch.clone(), one.end()))
    }

    /// Whether the node may go on; one that is outdated has to be told, and opens a session anew.
    async fn told<T: std::fmt::Debug>(&mut self, node: usize, result: Result<T, Fault>) -> Option<T> {
        if !self.nodes[node].outdated {
            return Some(result.unwrap());
        }
        let fault = result.unwrap_err();
        assert!(matches!(fault, Fault::NewLife | Fault::Gone(_)), "{fault:?}");
        self.nodes[node].session = self.server.session(&self.prefix).await;
        self.nodes[node].outdated = false;
        None
    }

    async fn run(&mut self, op: Op) {
        match op {
            Op::Append { node, pipeline, ids, remember } => self.append(node, pipeline, ids, remember).await,
            Op::Write { node, pipeline, back, keep } => self.write(node, pipeline, back, keep).await,
            Op::Read { node, pipeline, after, limit } => self.read(node, pipeline, after, limit).await,
            Op::Forget { node, pipeline } => {
                let on = self.nodes[node].on[pipeline].clone();
                let result =
                    self.nodes[node].session.forget(&super::pipeline(PIPELINES[pipeline]), &on, 50).await;
                let Some(forgotten) = self.told(node, result).await else { return };
                let there = self.position(pipeline);
                // No position stands for any.
                assert_eq!(forgotten, there.is_none() || on.is_none() || on == there);
                if forgotten {
                    self.pipelines.remove(&pipeline);
                }
            }
            Op::Renew { node } => {
                let session = self.server.try_session(&self.prefix, true).await.unwrap();
                for (&index, one) in &mut self.pipelines {
                    let shard = session.keys().shard_of(&super::pipeline(PIPELINES[index]));
                    one.epoch = Epoch::new(&session.life(shard).unwrap().token).unwrap();
                    one.begins = one.end() + 1;
                }
                self.nodes.iter_mut().for_each(|node| node.outdated = true);
                self.nodes[node].session = session;
                self.nodes[node].outdated = false;
            }
            Op::Flush => {
                self.server.say(&["FLUSHALL"]).await;
                self.pipelines.clear();
                self.nodes.iter_mut().for_each(|node| node.outdated = true);
            }
            Op::Restart => {
                self.server.kill();
                self.server.start_again().await;
                if matches!(self.disk, Disk::None) {
                    self.pipelines.clear();
                }
                self.nodes.iter_mut().for_each(|node| node.outdated = true);
            }
        }
    }

    async fn append(&mut self, node: usize, index: usize, ids: Vec<Option<u32>>, remember: Vec<u32>) {
        self.epochs += 1;
        let opening = format!("e{}", self.epochs);
        let (pipeline, on) = (pipeline(PIPELINES[index]), self.nodes[node].on[index].clone());
        let attempt =
            Try { pipeline, on: on.clone(), opening: &opening, ids, remember, feed: 50, ..Try::default() };
        let result = attempt.by(&self.nodes[node].session).await;
        let Some(appended) = self.told(node, result).await else { return };
        let there = self.position(index);
        self.nodes[node].on[index] = there.clone();
        if on != there {
            assert_eq!(appended, Appended::Moved(there));
            return;
        }
        if there.is_none() && attempt.ids.is_empty() {
            assert_eq!(appended, Appended::Ok { seq: 0, snap: 0 });
            return;
        }
        let one = self.pipelines.entry(index).or_insert_with(|| Pipeline {
            epoch: Epoch::new(&opening).unwrap(),
            begins: 1,
            first: 1,
            snap: 0,
            payloads: Vec::new(),
            ids: HashSet::new(),
        });
        let is_taken = |id: &Option<u32>| id.is_some_and(|id| one.ids.contains(&id));
        let taken: Vec<usize> = (0..attempt.ids.len()).filter(|&at| is_taken(&attempt.ids[at])).collect();
        if !taken.is_empty() {
            assert_eq!(appended, Appended::Taken(taken));
            return;
        }
        one.payloads.extend(attempt.payloads());
        one.ids.extend(attempt.ids.iter().flatten().chain(&attempt.remember));
        assert_eq!(appended, Appended::Ok { seq: one.end(), snap: one.snap });
        self.nodes[node].on[index] = self.position(index);
    }

    async fn write(&mut self, node: usize, index: usize, back: u64, keep: u64) {
        let Some((epoch, seq)) = self.nodes[node].on[index].clone() else { return };
        let seq = seq.saturating_sub(back);
        let of = (&epoch, seq);
        let state = format!("state at {seq}");
        let name = pipeline(PIPELINES[index]);
        let result = self.nodes[node].session.write_state(&name, of, &state, &[], (keep, None)).await;
        let Some(written) = self.told(node, result).await else { return };
        match self.pipelines.get_mut(&index).filter(|one| one.epoch == epoch) {
            None => assert_eq!(written, Written::Moved),
            Some(one) if seq <= one.snap || seq > one.end() => assert_eq!(written, Written::Late),
            Some(one) => {
                one.snap = seq;
                one.first = one.first.max((one.end() + 1).saturating_sub(keep).min(seq + 1));
                assert_eq!(written, Written::Ok { first: one.first });
            }
        }
    }

    async fn read(&mut self, node: usize, index: usize, after: u64, limit: usize) {
        let epoch = self.position(index).map_or_else(|| super::epoch("none"), |(epoch, _)| epoch);
        let result =
            self.nodes[node].session.read(&pipeline(PIPELINES[index]), Some(&epoch), after, limit).await;
        let Some(found) = self.told(node, result).await else { return };
        let Some(one) = self.pipelines.get(&index) else {
            assert_eq!(found, Found::Unknown);
            return;
        };
        let trimmed = after + 1 < one.begins || (after < one.end() && after + 1 < one.first);
        match found {
            Found::Trimmed => assert!(trimmed),
            Found::Entries(entries) => {
                assert!(!trimmed);
                let found: Vec<_> = entries.into_iter().map(|entry| (entry.seq, entry.payload)).collect();
                let kept = (1..).zip(one.payloads.iter().cloned());
                let kept: Vec<_> = kept.skip(usize::try_from(after).unwrap()).take(limit).collect();
                assert_eq!(found, kept);
            }
            other => panic!("{other:?}"),
        }
    }

    /// All of it, at the end.
    async fn look_through(&self) {
        let session = self.server.session(&self.prefix).await;
        for (index, name) in PIPELINES.iter().enumerate() {
            let loaded = session.load(&pipeline(name)).await.unwrap();
            let seen = session.seen(&pipeline(name), &(0..IDS).map(hash).collect::<Vec<_>>()).await.unwrap();
            let Some(one) = self.pipelines.get(&index) else {
                assert_eq!(loaded, None);
                assert!(seen.iter().all(|seen| !seen));
                continue;
            };
            let loaded = loaded.unwrap();
            assert_eq!((&loaded.epoch, loaded.seq, loaded.begins), (&one.epoch, one.end(), one.begins));
            let state = if one.snap == 0 { String::new() } else { format!("state at {}", one.snap) };
            assert_eq!((loaded.snap, loaded.state), (one.snap, state));
            assert_eq!(seen, (0..IDS).map(|id| one.ids.contains(&id)).collect::<Vec<_>>());
            let found = session.read(&pipeline(name), None, one.first - 1, 10_000).await.unwrap();
            let Found::Entries(entries) = found else { panic!("{found:?}") };
            let payloads: Vec<_> = entries.into_iter().map(|entry| entry.payload).collect();
            assert_eq!(payloads, one.payloads[usize::try_from(one.first).unwrap() - 1..]);
        }
    }
}

fn follows_the_model(disk: Disk, cases: u32) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let mut runner = TestRunner::new(Config { failure_persistence: None, ..Config::with_cases(cases) });
    runner
        .run(&vec(op(), 1..60), |ops| {
            runtime.block_on(async {
                let mut world = World::new(Server::start(disk).await, disk, "t".to_owned()).await;
                for op in ops {
                    world.run(op).await;
                }
                world.look_through().await;
            });
            Ok(())
        })
        .unwrap();
}

#[test]
fn a_server_that_keeps_everything_follows_the_model() {
    follows_the_model(Disk::Always, 48);
}

#[test]
fn a_server_that_keeps_nothing_follows_the_model() {
    follows_the_model(Disk::None, 48);
}

/// Appends a batch wherever the pipeline is, without what was taken; where each event went. An error is the server's.
async fn anywhere(session: &Session, on: &mut Position, ids: &[u32]) -> Result<Vec<(u64, u32)>, Fault> {
    let mut ids = ids.to_vec();
    loop {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let one = Try { on: on.clone(), ids: ids.iter().copied().map(Some).collect(), ..Try::default() };
        match one.by(session).await? {
            Appended::Ok { seq, .. } => {
                *on = Some((on.take().map_or_else(|| super::epoch("e1"), |(epoch, _)| epoch), seq));
                return Ok((seq + 1 - ids.len() as u64..=seq).zip(ids).collect());
            }
            Appended::Moved(there) => *on = there,
            Appended::Taken(taken) => {
                let mut index = 0..;
                ids.retain(|_| !taken.contains(&index.next().unwrap()));
            }
            Appended::Heard(who) => panic!("nobody asked for {who:?}"),
        }
    }
}

/// The ids in the log, in order.
async fn logged(session: &Session) -> Vec<u32> {
    let Found::Entries(entries) = session.read(&pipeline("p"), None, 0, 100_000).await.unwrap() else {
        panic!("no events")
    };
    for (place, entry) in (1..).zip(&entries) {
        assert_eq!(entry.seq, place, "without holes");
        assert!(entry.payload.contains(&format!("/{place}\"")), "planned for this place: {entry:?}");
    }
    let id = |payload: &str| payload.rsplit_once(':').unwrap().1.trim_end_matches('}').parse().unwrap();
    entries.iter().map(|entry| id(&entry.payload)).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_at_once_have_one_order_and_take_each_id_once() {
    let server = Server::start(Disk::None).await;
    let (tasks, each) = (6_u32, 300_u32);
    let mut running = Vec::new();
    for task in 0..tasks {
        let session = server.session("t").await;
        running.push(tokio::spawn(async move {
            // Each id is sent by two of them.
            let ids: Vec<u32> =
                (0..each).map(|number| (task / 2) * each + (number * 7 + task) % each).collect();
            let (mut on, mut places) = (None, Vec::new());
            for batch in ids.chunks(5) {
                places.extend(anywhere(&session, &mut on, batch).await.unwrap());
            }
            places
        }));
    }
    let mut places = BTreeMap::new();
    for task in running {
        for (place, id) in task.await.unwrap() {
            assert_eq!(places.insert(place, id), None, "two events in one place");
        }
    }
    let log = logged(&server.session("t").await).await;
    assert_eq!(places.into_values().collect::<Vec<_>>(), log, "each is where it was said to be");
    let distinct: HashSet<u32> = log.iter().copied().collect();
    assert_eq!((log.len(), distinct.len()), (900, 900), "each id once");
}

/// Kills the server while four nodes append. Gives what they were told was taken, and the session of who came after.
async fn killed_while_appending(disk: Disk) -> (Server, Vec<(u64, u32)>, Session) {
    let mut server = Server::start(disk).await;
    let mut running = Vec::new();
    let (told, mut count) = tokio::sync::mpsc::unbounded_channel();
    for task in 0..4_u32 {
        let (session, told) = (server.session("t").await, told.clone());
        running.push(tokio::spawn(async move {
            let mut on = None;
            for number in (0..).step_by(3) {
                let ids = [0, 1, 2].map(|more| task * 1_000_000 + number + more);
                match anywhere(&session, &mut on, &ids).await {
                    Ok(places) => places.into_iter().for_each(|place| told.send(place).unwrap()),
                    Err(Fault::Gone(_)) => return,
                    Err(fault) => panic!("{fault:?}"),
                }
            }
        }));
    }
    drop(told);
    let mut taken = Vec::new();
    while taken.len() < 600 {
        taken.push(count.recv().await.unwrap());
    }
    server.kill();
    while let Some(place) = count.recv().await {
        taken.push(place);
    }
    for task in running {
        task.await.unwrap();
    }
    server.start_again().await;
    let session = server.session("t").await;
    (server, taken, session)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_acknowledged_outlives_a_kill_where_each_write_waits_for_the_disk() {
    let (_server, taken, session) = killed_while_appending(Disk::Always).await;
    let shard = session.keys().shard_of(&pipeline("p"));
    assert_eq!(session.life(shard).unwrap().how, Opened::Kept);
    let log = logged(&session).await;
    for (place, id) in taken {
        assert_eq!(log.get(usize::try_from(place).unwrap() - 1), Some(&id), "at {place}");
    }
    assert_eq!(log.iter().collect::<HashSet<_>>().len(), log.len(), "each id once");
    assert_eq!(session.load(&pipeline("p")).await.unwrap().unwrap().epoch, super::epoch("e1"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_kill_lost_is_of_another_epoch() {
    let (_server, taken, session) = killed_while_appending(Disk::EverySecond).await;
    let shard = session.keys().shard_of(&pipeline("p"));
    let life = session.life(shard).unwrap();
    // All may be lost: then it is a store that begins.
    let Some(loaded) = session.load(&pipeline("p")).await.unwrap() else {
        assert_eq!(life.how, Opened::Begun);
        return;
    };
    assert_eq!((life.how, loaded.epoch.as_str()), (Opened::Renewed, &*life.token));
    let log = logged(&session).await;
    let taken: BTreeMap<u64, u32> = taken.into_iter().collect();
    for (place, id) in (1..).zip(&log) {
        assert!(taken.get(&place).is_none_or(|was| was == id), "what is left is a beginning of what was");
    }
    let moved = Try { on: at("e1", log.len() as u64), ..Try::default() }.by(&session).await.unwrap();
    assert_eq!(moved, Appended::Moved(at(&life.token, log.len() as u64)));
}
