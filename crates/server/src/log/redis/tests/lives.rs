//! What a server may lose, and how a session tells.

use super::super::call::{Appended, Found};
use super::super::keys::Keys;
use super::super::reply::Fault;
use super::super::session::{Opened, Session};
use super::server::{Disk, Server};
use super::{Try, at, epoch, pipeline};

fn token(session: &Session) -> String {
    session.life(session.keys().shard_of(&pipeline("p"))).unwrap().token.clone()
}

fn opened(session: &Session) -> Opened {
    session.life(session.keys().shard_of(&pipeline("p"))).unwrap().how
}

#[tokio::test]
async fn who_comes_next_finds_the_same_life() {
    let server = Server::start(Disk::None).await;
    let first = server.session("t").await;
    let second = server.session("t").await;
    assert_eq!((opened(&first), opened(&second)), (Opened::Begun, Opened::Same));
    assert_eq!(token(&first), token(&second));
    assert_ne!(token(&first), token(&server.session("u").await), "another store");
}

#[tokio::test]
async fn a_restart_that_lost_nothing_keeps_the_epoch() {
    let mut server = Server::start(Disk::Always).await;
    let before = server.session("t").await;
    assert_eq!(Try { ids: vec![Some(1), None], ..Try::default() }.ok(&before).await, 2);
    server.kill();
    server.start_again().await;
    let fault = Try { on: at("e1", 2), ..Try::default() }.by(&before).await.unwrap_err();
    assert!(matches!(fault, Fault::Gone(_)), "{fault:?}: its connection ended with the server");
    let after = server.session("t").await;
    assert_eq!((opened(&after), token(&after)), (Opened::Kept, token(&before)));
    assert_eq!(Try { on: at("e1", 2), ..Try::default() }.ok(&after).await, 3);
    let again = Try { on: at("e1", 3), ids: vec![Some(1)], ..Try::default() }.by(&after).await.unwrap();
    assert_eq!(again, Appended::Taken(vec![0]), "ids outlive it too");
}

#[tokio::test]
async fn a_restart_that_may_have_lost_something_begins_new_epochs() {
    let mut server = Server::start(Disk::EverySecond).await;
    let before = server.session("t").await;
    Try { ids: vec![None; 5], ..Try::default() }.ok(&before).await;
    // Written out by the system's grace: what a restart finds does not depend on the second.
    server.stop().await;
    server.start_again().await;
    let after = server.session("t").await;
    assert_eq!(opened(&after), Opened::Renewed);
    let new = token(&after);
    assert_ne!(new, token(&before));
    let moved = Try { on: at("e1", 5), ..Try::default() }.by(&after).await.unwrap();
    assert_eq!(moved, Appended::Moved(at(&new, 5)), "the count goes on, in a new epoch");
    assert_eq!(Try { on: at(&new, 5), ..Try::default() }.ok(&after).await, 6);
    let p = pipeline("p");
    assert_eq!(after.read(&p, Some(&epoch("e1")), 2, 9).await.unwrap(), Found::EpochChanged);
    assert_eq!(after.read(&p, Some(&epoch(&new)), 2, 9).await.unwrap(), Found::Trimmed);
    let Found::Entries(rest) = after.read(&p, Some(&epoch(&new)), 5, 9).await.unwrap() else {
        panic!("no events")
    };
    assert_eq!(rest.len(), 1);
    let Found::Entries(all) = after.read(&p, None, 0, 9).await.unwrap() else { panic!("no events") };
    assert_eq!(all.len(), 6, "to fold, or look up, what there is");
}

#[tokio::test]
async fn a_server_without_a_disk_begins_with_nothing() {
    let mut server = Server::start(Disk::None).await;
    let before = server.session("t").await;
    Try::default().ok(&before).await;
    server.kill();
    server.start_again().await;
    let after = server.session("t").await;
    assert_eq!(opened(&after), Opened::Begun);
    assert_ne!(token(&after), token(&before));
    assert_eq!(after.read(&pipeline("p"), None, 0, 9).await.unwrap(), Found::Unknown);
}

#[tokio::test]
async fn a_flush_is_noticed_by_the_next_call() {
    let server = Server::start(Disk::None).await;
    let before = server.session("t").await;
    Try::default().ok(&before).await;
    server.say(&["FLUSHALL"]).await;
    assert_eq!(Try { on: at("e1", 1), ..Try::default() }.by(&before).await, Err(Fault::NewLife));
    assert_eq!(before.read(&pipeline("p"), None, 0, 1).await, Err(Fault::NewLife));
    let after = server.session("t").await;
    assert_eq!(opened(&after), Opened::Begun);
    assert_eq!(Try::default().by(&before).await, Err(Fault::NewLife), "who did not open it again stays out");
    assert_eq!(Try::default().ok(&after).await, 1);
}

#[tokio::test]
async fn scripts_are_not_sent_to_a_server_that_does_not_know_them() {
    let server = Server::start(Disk::None).await;
    let before = server.session("t").await;
    server.say(&["SCRIPT", "FLUSH"]).await;
    assert_eq!(Try::default().by(&before).await, Err(Fault::NewLife));
    let after = server.session("t").await;
    assert_eq!((opened(&after), token(&after)), (Opened::Same, token(&before)), "it was the same server");
    assert_eq!(Try::default().ok(&before).await, 1, "and so what was there before may go on");
}

#[tokio::test]
async fn an_operator_begins_new_lives() {
    let server = Server::start(Disk::Always).await;
    let before = server.session("t").await;
    Try::default().ok(&before).await;
    let after = server.try_session("t", true).await.unwrap();
    assert_eq!(opened(&after), Opened::Renewed);
    assert_eq!(Try { on: at("e1", 1), ..Try::default() }.by(&before).await, Err(Fault::NewLife));
}

#[tokio::test]
async fn of_many_nodes_one_renews() {
    let mut server = Server::start(Disk::EverySecond).await;
    let before = server.session("t").await;
    Try::default().ok(&before).await;
    server.stop().await;
    server.start_again().await;
    let opening = (0..8).map(|_| server.session("t"));
    let sessions = futures_util::future::join_all(opening).await;
    let renewed = sessions.iter().filter(|session| opened(session) == Opened::Renewed).count();
    assert_eq!(renewed, 1);
    assert!(sessions.iter().all(|session| token(session) == token(&sessions[0])));
}

#[tokio::test]
async fn a_promoted_replica_begins_new_epochs_however_it_writes() {
    let mut main = Server::start(Disk::Always).await;
    let before = main.session("t").await;
    Try { ids: vec![None; 3], ..Try::default() }.ok(&before).await;
    let port = main.port().to_string();
    let replica = Server::with(Disk::Always, &["--replicaof", "127.0.0.1", &port]).await;
    let shard = Keys::new("t", 2).unwrap().of(&pipeline("p"));
    // It has all of it once it has followed.
    while replica.say(&["XLEN", &shard.events(&pipeline("p"))]).await != redis::Value::Int(3) {
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    let refused = replica.try_session("t", false).await.unwrap_err();
    assert!(matches!(refused, Fault::Gone(_)), "{refused:?}: a replica takes no writes");
    main.kill();
    replica.say(&["REPLICAOF", "NO", "ONE"]).await;
    let after = replica.session("t").await;
    assert_eq!(opened(&after), Opened::Renewed);
    let moved = Try { on: at("e1", 3), ..Try::default() }.by(&after).await.unwrap();
    assert_eq!(moved, Appended::Moved(at(&token(&after), 3)));
}

#[tokio::test]
async fn a_store_that_was_made_otherwise_is_left_alone() {
    let server = Server::start(Disk::None).await;
    let _two_shards = server.session("t").await;
    let fault = Session::open(&server.client(), &Keys::new("t", 4).unwrap(), true).await.unwrap_err();
    assert!(matches!(fault, Fault::Unfit(_)), "{fault:?}");
}
