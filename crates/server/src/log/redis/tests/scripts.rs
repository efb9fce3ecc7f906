//! Each script by itself.

use std::collections::HashSet;

use ragpulse_protocol::ReporterId;

use super::super::super::OfLease;
use super::super::call::{Appended, Found, IdRules, Loaded, Written};
use super::super::keys::Keys;
use super::super::reply::{Fault, number, text};
use super::super::session::Session;
use super::server::{Disk, Server};
use super::{Try, at, epoch, hash, pipeline, reporter};

async fn entries(session: &Session, name: &str, after: u64) -> Vec<(u64, String)> {
    match session.read(&pipeline(name), None, after, 10_000).await.unwrap() {
        Found::Entries(entries) => entries.into_iter().map(|entry| (entry.seq, entry.payload)).collect(),
        other => panic!("no events: {other:?}"),
    }
}

#[tokio::test]
async fn an_append_is_taken_where_it_was_planned_and_nowhere_else() {
    let server = Server::start(Disk::None).await;
    let session = server.session("t").await;
    let first = Try { ids: vec![Some(1), None], ..Try::default() };
    assert_eq!(first.by(&session).await.unwrap(), Appended::Ok { seq: 2, snap: 0 });
    let moved = Appended::Moved(at("e1", 2));
    assert_eq!(Try::default().by(&session).await.unwrap(), moved, "it is there already");
    assert_eq!(
        Try { on: at("e1", 1), ..Try::default() }.by(&session).await.unwrap(),
        moved,
        "before the end"
    );
    assert_eq!(Try { on: at("e1", 3), ..Try::default() }.by(&session).await.unwrap(), moved, "past it");
    assert_eq!(Try { on: at("e2", 2), ..Try::default() }.by(&session).await.unwrap(), moved, "elsewhere");
    let none = Try { pipeline: pipeline("q"), on: at("e1", 2), ..Try::default() };
    assert_eq!(none.by(&session).await.unwrap(), Appended::Moved(None), "of a pipeline that is not there");
    assert_eq!(Try { on: at("e1", 2), ..Try::default() }.ok(&session).await, 3);
    let seqs: Vec<u64> = entries(&session, "p", 0).await.into_iter().map(|(seq, _)| seq).collect();
    assert_eq!(seqs, [1, 2, 3]);
}

#[tokio::test]
async fn a_batch_with_ids_that_were_taken_is_refused_whole_and_named() {
    let server = Server::start(Disk::None).await;
    let session = server.session("t").await;
    Try { ids: vec![Some(1), Some(2)], remember: vec![3], ..Try::default() }.ok(&session).await;
    let half = Try {
        on: at("e1", 2),
        ids: vec![Some(9), Some(3), None, Some(1)],
        remember: vec![7],
        ..Try::default()
    };
    assert_eq!(half.by(&session).await.unwrap(), Appended::Taken(vec![1, 3]));
    let seen = session.seen(&pipeline("p"), &[1, 2, 3, 7, 9].map(hash)).await.unwrap();
    assert_eq!(seen, [true, true, true, false, false], "nothing of it was taken");
    assert_eq!(entries(&session, "p", 0).await.len(), 2);
    let rest = Try { ids: vec![Some(9), None], ..half };
    assert_eq!(rest.ok(&session).await, 4);
    // More than fit into one call of a command.
    let many = Try { on: at("e1", 4), ids: (100..2_600).map(Some).collect(), ..Try::default() };
    assert_eq!(many.ok(&session).await, 2_504);
    let again = Try { on: at("e1", 2_504), ids: (2_599..5_000).map(Some).collect(), ..Try::default() };
    assert_eq!(again.by(&session).await.unwrap(), Appended::Taken(vec![0]));
}

#[tokio::test]
async fn ids_are_kept_by_number_and_age_within_a_bound() {
    let server = Server::start(Disk::None).await;
    let session = server.session("t").await;
    let rules = IdRules { bucket: 10, age_millis: 1_000, most: 240 };
    let mut on = None;
    let mut take = async |ids: std::ops::Range<u32>, now| {
        for id in ids {
            let seq = Try { on: on.clone(), ids: vec![Some(id)], now: Some(now), rules, ..Try::default() }
                .ok(&session)
                .await;
            on = at("e1", seq);
        }
    };
    let kept = async |ids: std::ops::Range<u32>| {
        let hashes: Vec<_> = ids.map(hash).collect();
        session.seen(&pipeline("p"), &hashes).await.unwrap().iter().filter(|seen| **seen).count()
    };
    // Eight buckets of ten are not enough for these: the oldest go, but the last sixty are always there.
    for round in 0..20 {
        take(round * 10..round * 10 + 10, i64::from(round) * 10_000).await;
        let to = round * 10 + 10;
        assert_eq!(kept(to.saturating_sub(60)..to).await, to.min(60) as usize, "in round {round}");
    }
    assert!(kept(0..200).await <= 80, "old ones have gone");
    // All of one moment: none is old enough, so they stay, until there are as many as there may be.
    take(1_000..1_200, 500_000).await;
    assert_eq!(kept(1_000..1_200).await, 200, "young ones stay beyond the number");
    take(1_200..1_600, 500_000).await;
    assert!(kept(1_000..1_600).await <= 240, "but not without a bound");
    assert_eq!(kept(1_540..1_600).await, 60, "the last are always there");
}

#[tokio::test]
async fn reads_tell_what_they_cannot_give() {
    let server = Server::start(Disk::None).await;
    let session = server.session("t").await;
    let (p, e1) = (pipeline("p"), epoch("e1"));
    assert_eq!(session.read(&p, Some(&e1), 0, 9).await.unwrap(), Found::Unknown);
    let ten = Try { ids: vec![None; 10], ..Try::default() };
    ten.ok(&session).await;
    let Found::Entries(page) = session.read(&p, Some(&e1), 3, 4).await.unwrap() else { panic!("no events") };
    assert_eq!(page.iter().map(|entry| entry.seq).collect::<Vec<_>>(), [4, 5, 6, 7]);
    assert_eq!(
        page.iter().map(|entry| &entry.payload).collect::<Vec<_>>(),
        ten.payloads()[3..7].iter().collect::<Vec<_>>()
    );
    let bytes: usize = page.iter().map(|entry| entry.name.len() + entry.payload.len()).sum();
    assert_eq!(session.extent(&p, &e1, 3, 7).await.unwrap(), Found::Bytes(bytes as u64));
    assert_eq!(session.extent(&p, &e1, 10, 99).await.unwrap(), Found::Bytes(0));
    assert_eq!(session.read(&p, Some(&e1), 10, 9).await.unwrap(), Found::Entries(Vec::new()));
    assert_eq!(session.read(&p, Some(&epoch("other")), 3, 4).await.unwrap(), Found::EpochChanged);

    let keep = (3, None);
    assert_eq!(session.write_state(&p, (&e1, 5), "{}", &[], keep).await.unwrap(), Written::Ok { first: 6 });
    assert_eq!(session.read(&p, Some(&e1), 4, 4).await.unwrap(), Found::Trimmed);
    assert_eq!(session.extent(&p, &e1, 4, 9).await.unwrap(), Found::Trimmed);
    assert_eq!(entries(&session, "p", 5).await.len(), 5, "what the state does not have is never trimmed");
    assert_eq!(session.write_state(&p, (&e1, 10), "{}", &[], keep).await.unwrap(), Written::Ok { first: 8 });
    assert_eq!(session.extent(&p, &e1, 8, 10).await.unwrap(), {
        let sizes =
            ten.payloads()[8..].iter().map(|payload| payload.len() + "file:queued".len()).sum::<usize>();
        Found::Bytes(sizes as u64)
    });
}

#[tokio::test]
async fn a_state_is_written_once_and_never_an_older_one() {
    let server = Server::start(Disk::None).await;
    let session = server.session("t").await;
    let (p, e1) = (pipeline("p"), epoch("e1"));
    assert_eq!(session.load(&p).await.unwrap(), None);
    Try { ids: vec![None; 5], ..Try::default() }.ok(&session).await;
    let write = async |seq, state: &str, files: &[(&str, Option<&str>)]| {
        session.write_state(&p, (&e1, seq), state, files, (100, None)).await.unwrap()
    };
    assert_eq!(write(6, "future", &[]).await, Written::Late, "there is no such position");
    assert_eq!(write(3, "three", &[("a", Some("1")), ("b", Some("1"))]).await, Written::Ok { first: 1 });
    assert_eq!(write(3, "again", &[("a", Some("2"))]).await, Written::Late);
    assert_eq!(write(2, "two", &[("a", None)]).await, Written::Late);
    assert_eq!(write(5, "five", &[("a", None), ("c", Some("1"))]).await, Written::Ok { first: 1 });
    let other = session.write_state(&p, (&epoch("e2"), 5), "", &[], (100, None)).await.unwrap();
    assert_eq!(other, Written::Moved);
    let mut loaded = session.load(&p).await.unwrap().unwrap();
    loaded.files.sort();
    let files = ["b", "c"].map(|id| (id.to_owned(), "1".to_owned())).to_vec();
    let (pipeline_type, state) = ("local_files".to_owned(), "five".to_owned());
    assert_eq!(
        loaded,
        Loaded { epoch: e1.clone(), seq: 5, begins: 1, pipeline_type, snap: 5, state, files, first: 1 }
    );
}

#[tokio::test]
async fn forgetting_leaves_nothing_and_is_told() {
    let server = Server::start(Disk::None).await;
    let session = server.session("t").await;
    let p = pipeline("p");
    let who = reporter("worker");
    Try { ids: vec![Some(1)], leases: vec![OfLease::Renew(Some(who.clone()), 60)], ..Try::default() }
        .ok(&session)
        .await;
    session.write_state(&p, (&epoch("e1"), 1), "{}", &[("a", Some("1"))], (9, None)).await.unwrap();
    assert!(!session.forget(&p, &at("e1", 2), 100).await.unwrap(), "not where it was seen");
    assert!(session.forget(&p, &at("e1", 1), 100).await.unwrap());
    assert!(session.forget(&p, &at("e1", 1), 100).await.unwrap(), "it is forgotten already");
    assert_eq!(session.load(&p).await.unwrap(), None);
    assert_eq!(session.seen(&p, &[hash(1)]).await.unwrap(), [false]);
    let keys: HashSet<String> = redis::from_redis_value(server.say(&["KEYS", "*"]).await).unwrap();
    let keys: HashSet<&str> = keys.iter().map(|key| key.rsplit_once("}:").unwrap().1).collect();
    assert_eq!(keys, HashSet::from(["life", "feed"]), "nothing of it is left");
    let shard = Keys::new("t", 2).unwrap().of(&p);
    let feed = server.say(&["XRANGE", &shard.feed(), "-", "+"]).await;
    let entries: Vec<(String, Vec<String>)> = redis::from_redis_value(feed).unwrap();
    let entries: Vec<_> = entries.iter().map(|(id, fields)| (id.as_str(), fields.join(" "))).collect();
    assert_eq!(entries, [("1-0", "p p s 1".to_owned()), ("2-0", "p p s 0".to_owned())]);
    assert_eq!(
        Try { opening: "e2", ids: vec![Some(1)], ..Try::default() }.ok(&session).await,
        1,
        "a new life"
    );
}

#[tokio::test]
async fn one_node_of_many_finds_a_reporter_lost() {
    let server = Server::start(Disk::None).await;
    let (a, b) = (server.session("t").await, server.session("t").await);
    let shard = a.keys().shard_of(&pipeline("p"));
    let who = reporter("worker");
    let tick = async |session: &Session, now| session.tick(shard, Some(now), 5_000, 100).await.unwrap();
    assert_eq!(tick(&a, 1_000).await, (true, vec![]), "nobody had looked before");
    let renew = |seconds| vec![OfLease::Renew(Some(who.clone()), seconds)];
    Try { leases: renew(10), now: Some(1_000), ..Try::default() }.ok(&a).await;
    for now in (2_000..=10_000).step_by(1_000) {
        assert_eq!(tick(&b, now).await, (false, vec![]));
    }
    let lost = vec![(pipeline("p"), Some(who.clone()))];
    assert_eq!(tick(&a, 11_000).await, (false, lost.clone()));
    assert_eq!(tick(&b, 11_000).await, (false, lost), "both see it");
    let ends = |now| Try {
        on: at("e1", 1),
        leases: vec![OfLease::Lapsed(Some(who.clone()))],
        now: Some(now),
        ..Try::default()
    };
    // It speaks by the other node, with nothing to append, before the end is written.
    let speaks = Try { on: at("e1", 1), ids: vec![], leases: renew(10), now: Some(11_100), ..Try::default() };
    assert_eq!(speaks.by(&b).await.unwrap(), Appended::Ok { seq: 1, snap: 0 });
    assert_eq!(ends(11_200).by(&a).await.unwrap(), Appended::Heard(vec![Some(who.clone())]));
    // Now it is silent. Both try at once.
    let (one, two) = (ends(22_000), ends(22_000));
    let (one, two) = tokio::join!(one.by(&a), two.by(&b));
    let results = [one.unwrap(), two.unwrap()];
    assert!(results.contains(&Appended::Ok { seq: 2, snap: 0 }), "{results:?}");
    assert!(results.contains(&Appended::Moved(at("e1", 2))), "{results:?}");
    assert_eq!(entries(&a, "p", 0).await.len(), 2);
}

#[tokio::test]
async fn the_last_to_leave_is_the_last() {
    let server = Server::start(Disk::None).await;
    let session = server.session("t").await;
    let (one, two) = (reporter("one"), reporter("two"));
    let leases = vec![
        OfLease::Renew(Some(one.clone()), 10),
        OfLease::Renew(Some(two.clone()), 10),
        OfLease::Renew(None, 10),
    ];
    Try { leases, ..Try::default() }.ok(&session).await;
    let leaves = |on, leases| Try { on, leases, ..Try::default() };
    let last = |who: &ReporterId| vec![OfLease::Alone(Some(who.clone())), OfLease::Leave(Some(who.clone()))];
    let Appended::Heard(mut others) = leaves(at("e1", 1), last(&one)).by(&session).await.unwrap() else {
        panic!("not alone")
    };
    others.sort();
    assert_eq!(others, [None, Some(two.clone())]);
    let both = vec![OfLease::Leave(Some(two.clone())), OfLease::Leave(None)];
    leaves(at("e1", 1), both).ok(&session).await;
    assert_eq!(leaves(at("e1", 2), last(&one)).ok(&session).await, 3);
    assert_eq!(leaves(at("e1", 3), last(&two)).ok(&session).await, 4, "nobody has a lease");
}

#[tokio::test]
async fn leases_begin_anew_after_nobody_looked() {
    let server = Server::start(Disk::None).await;
    let session = server.session("t").await;
    let shard = session.keys().shard_of(&pipeline("p"));
    session.tick(shard, Some(1_000), 5_000, 100).await.unwrap();
    Try { leases: vec![OfLease::Renew(None, 10)], now: Some(1_000), ..Try::default() }.ok(&session).await;
    let tick = async |now| session.tick(shard, Some(now), 5_000, 100).await.unwrap();
    assert_eq!(tick(60_000).await, (true, vec![]), "it could not be heard, so it is not lost");
    for now in (61_000..70_000).step_by(1_000) {
        assert_eq!(tick(now).await, (false, vec![]));
    }
    assert_eq!(tick(70_000).await, (false, vec![(pipeline("p"), None)]), "a whole lease later it is");
}

#[tokio::test]
async fn without_memory_nothing_is_done() {
    let server = Server::start(Disk::None).await;
    let session = server.session("t").await;
    Try { ids: vec![Some(1)], ..Try::default() }.ok(&session).await;
    server.say(&["CONFIG", "SET", "maxmemory", "1"]).await;
    let more = Try { on: at("e1", 1), ids: vec![Some(2); 1], ..Try::default() };
    assert!(matches!(more.by(&session).await, Err(Fault::Full(_))));
    assert_eq!(entries(&session, "p", 0).await.len(), 1, "it can be read");
    server.say(&["CONFIG", "SET", "maxmemory", "0"]).await;
    assert_eq!(session.seen(&pipeline("p"), &[hash(2)]).await.unwrap(), [false]);
    assert_eq!(more.ok(&session).await, 2);
}

#[tokio::test]
async fn the_feed_counts_without_holes_and_is_bounded() {
    let server = Server::start(Disk::None).await;
    let session = server.session("t").await;
    let mut on = None;
    for _ in 0..1_000 {
        let seq = Try { on: on.clone(), ids: vec![None; 2], feed: 100, ..Try::default() }.ok(&session).await;
        on = at("e1", seq);
    }
    // What appends nothing is not told.
    Try { on, ids: vec![], remember: vec![1], feed: 100, ..Try::default() }.ok(&session).await;
    let shard = Keys::new("t", 2).unwrap().of(&pipeline("p"));
    let length = number(&server.say(&["XLEN", &shard.feed()]).await).unwrap();
    assert!((100..=400).contains(&length), "{length}: about a hundred");
    let last = server.say(&["XREVRANGE", &shard.feed(), "+", "-", "COUNT", "400"]).await;
    let ids: Vec<(String, Vec<String>)> = redis::from_redis_value(last).unwrap();
    let ids: Vec<u64> = ids.iter().map(|(id, _)| id.split_once('-').unwrap().0.parse().unwrap()).collect();
    assert_eq!(ids, (1_001 - length..=1_000).rev().collect::<Vec<u64>>());
    assert_eq!(text(&server.say(&["HGET", &shard.life(), "feed"]).await).unwrap(), "1000");
}
