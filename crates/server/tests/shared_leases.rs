//! Leases where hubs share a log: whoever hears a reporter, all know it; whoever finds it silent, one says so.

#![allow(clippy::unwrap_used)]

mod support;

use std::time::Duration;

use ragpulse_protocol::PipelineId;
use ragpulse_server::log::{EventLog, OfLease};
use serde_json::json;
use support::file;
use support::nodes::{Nodes, heartbeat, nodes, nodes_with, offline, online_for};
use support::shared::Cut;

/// A pipeline with a lease of eight seconds and two files of one reporter, reported by the first hub.
async fn reported(nodes: &Nodes) {
    let events = json!([online_for(8), file("file:processing", "a"), file("file:queued", "b")]);
    nodes[0].publish("one", "p", events).await;
    nodes.pass(250).await;
}

fn id() -> PipelineId {
    PipelineId::new("p").unwrap()
}

async fn assert_all(nodes: &Nodes, liveness: &str) {
    for (number, node) in nodes.nodes.iter().enumerate().filter(|(_, node)| !node.log.is_cut()) {
        assert_eq!(node.liveness("p").await, liveness, "on hub {number}");
    }
}

const LOST: [&str; 3] = ["failed a Interrupted", "failed b Interrupted", "offline timeout"];

#[tokio::test(start_paused = true)]
async fn who_is_silent_is_late_everywhere_and_lost_once() {
    let nodes = nodes(3).await;
    reported(&nodes).await;
    nodes.pass(3_000).await;
    assert_all(&nodes, "live").await;
    nodes.pass(2_000).await;
    assert_all(&nodes, "late").await;
    nodes.pass(5_000).await;
    assert_all(&nodes, "lost").await;
    for node in &nodes.nodes {
        assert_eq!(node.story("p").await[3..], LOST);
    }
    let lapsed: u64 = nodes.nodes.iter().map(|node| node.hub.stats().leases_lapsed).sum();
    assert_eq!(lapsed, 1);
    assert!(nodes[0].log.leases(&id()).await.unwrap().is_empty());
}

#[tokio::test(start_paused = true)]
async fn who_is_heard_by_one_hub_is_late_on_none() {
    let nodes = nodes(3).await;
    reported(&nodes).await;
    for _ in 0..20 {
        nodes.pass(1_500).await;
        nodes[2].publish("one", "p", heartbeat()).await;
        assert_all(&nodes, "live").await;
    }
    assert_eq!(nodes[1].story("p").await.len(), 3, "a heartbeat is no event");
}

#[tokio::test(start_paused = true)]
async fn heartbeats_are_written_seldom_and_count_in_full() {
    let nodes = nodes(2).await;
    nodes[0].publish("one", "p", online_for(8)).await;
    let before = nodes[0].log.journal().await.len();
    for _ in 0..80 {
        nodes.pass(250).await;
        nodes[0].publish("one", "p", heartbeat()).await;
    }
    let written = nodes[0].log.journal().await.len() - before;
    assert!((8..=11).contains(&written), "every two seconds of twenty, not {written} times");
    // The last of them was not written at once, and still its lease is a whole one.
    nodes.pass(7_500).await;
    assert_all(&nodes, "late").await;
    nodes.pass(4_000).await;
    assert_all(&nodes, "lost").await;
}

#[tokio::test(start_paused = true)]
async fn a_silent_reporters_files_end_while_another_is_heard_elsewhere() {
    let nodes = nodes(2).await;
    reported(&nodes).await;
    nodes[1].publish("two", "p", file("file:processing", "c")).await;
    for _ in 0..10 {
        nodes.pass(1_000).await;
        nodes[1].publish("two", "p", heartbeat()).await;
    }
    assert_eq!(nodes[0].story("p").await[4..], ["failed a Interrupted"]);
    assert_all(&nodes, "live").await;
    // With the last one goes what waits, too.
    nodes[0].publish("two", "p", offline()).await;
    let story = nodes[0].story("p").await;
    assert_eq!(story[5..], ["failed b Interrupted", "failed c Interrupted", "offline normal_shutdown"]);
}

#[tokio::test(start_paused = true)]
async fn all_who_are_silent_at_once_end_together() {
    let nodes = nodes(2).await;
    reported(&nodes).await;
    nodes[1].publish("two", "p", file("file:processing", "c")).await;
    nodes[1].publish("", "p", file("file:processing", "d")).await;
    nodes.pass(12_000).await;
    assert_all(&nodes, "lost").await;
    let mut story = nodes[0].story("p").await.split_off(5);
    assert_eq!(story.pop().unwrap(), "offline timeout");
    story.sort();
    assert_eq!(story, ["a", "b", "c", "d"].map(|id| format!("failed {id} Interrupted")));
}

#[tokio::test(start_paused = true)]
async fn who_leaves_by_another_hub_than_it_came_by_has_left() {
    let nodes = nodes(2).await;
    reported(&nodes).await;
    nodes[0].publish("two", "p", heartbeat()).await;
    let receipt = nodes[1].publish("one", "p", offline()).await;
    assert_eq!(
        [&receipt["accepted"], &receipt["conflated"]],
        [0, 1],
        "another one reports, by the other hub"
    );
    assert_eq!(nodes[1].story("p").await[3..], ["failed a Interrupted"]);
    // The first hub heard the one that left only a moment ago.
    let receipt = nodes[0].publish("two", "p", offline()).await;
    assert_eq!([&receipt["accepted"], &receipt["conflated"]], [1, 0]);
    assert_all(&nodes, "offline").await;
}

#[tokio::test(start_paused = true)]
async fn the_last_two_leave_at_once_and_one_end_is_told() {
    let nodes = nodes(2).await;
    nodes[0].publish("one", "p", json!([online_for(8), file("file:queued", "a")])).await;
    nodes[1].publish("two", "p", heartbeat()).await;
    for node in &nodes.nodes {
        node.log.hold();
    }
    // Each sees the other one stay, and plans to leave.
    let leave = |number: usize, who: &'static str| {
        let node = nodes.nodes[number].clone();
        tokio::spawn(async move { node.publish(who, "p", offline()).await })
    };
    let (one, two) = (leave(0, "one"), leave(1, "two"));
    nodes.pass(250).await;
    for node in &nodes.nodes {
        node.log.let_go();
    }
    assert_eq!((&one.await.unwrap()["conflated"], &two.await.unwrap()["conflated"]), (&json!(1), &json!(1)));
    nodes.pass(250).await;
    assert_all(&nodes, "offline").await;
    assert_eq!(nodes[0].story("p").await[2..], ["failed a Interrupted", "offline normal_shutdown"]);
}

#[tokio::test(start_paused = true)]
async fn what_nobody_reports_for_ends_though_the_hub_that_should_end_it_is_gone() {
    let nodes = nodes(3).await;
    nodes[0].publish("one", "p", online_for(8)).await;
    nodes[1].publish("two", "p", heartbeat()).await;
    for node in &nodes.nodes[..2] {
        node.log.hold();
    }
    for (number, who) in [(0, "one"), (1, "two")] {
        let node = nodes.nodes[number].clone();
        tokio::spawn(async move { node.publish(who, "p", offline()).await });
    }
    nodes.pass(250).await;
    // Both have left, and neither hub gets to know it.
    for node in &nodes.nodes[..2] {
        node.log.cut(Cut::After);
    }
    nodes.pass(250).await;
    assert!(nodes[2].log.leases(&id()).await.unwrap().is_empty());
    assert_eq!(nodes[2].liveness("p").await, "live");
    nodes.pass(8_000).await;
    assert_eq!(nodes[2].story("p").await, ["online", "offline normal_shutdown"]);
}

#[tokio::test(start_paused = true)]
async fn who_left_by_a_hub_that_was_killed_before_it_could_answer_has_left() {
    for how in [Cut::Before, Cut::After] {
        let nodes = nodes(2).await;
        nodes[0].publish("one", "p", online_for(8)).await;
        nodes[0].publish("two", "p", heartbeat()).await;
        nodes[1].log.hold();
        let node = nodes.nodes[1].clone();
        let left = tokio::spawn(async move { node.publish("two", "p", offline()).await });
        nodes.pass(250).await;
        nodes[1].log.cut(how);
        nodes.pass(2_250).await;
        assert!(!left.is_finished(), "nobody answers it");
        // Whether the other one is the last is what the log says, and not what was heard here.
        let receipt = nodes[0].publish("one", "p", offline()).await;
        let story = nodes[0].story("p").await;
        if how == Cut::After {
            assert_eq!([&receipt["accepted"], &receipt["conflated"]], [1, 0]);
            assert_eq!(story, ["online", "offline normal_shutdown"]);
        } else {
            assert_eq!([&receipt["accepted"], &receipt["conflated"]], [0, 1]);
            assert_eq!(story, ["online"], "it was never taken that the second one leaves");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_end_that_was_planned_and_never_appended_is_told_by_another() {
    for how in [Cut::Before, Cut::After] {
        for count in [2, 3] {
            let nodes = nodes(count).await;
            reported(&nodes).await;
            nodes.pass(7_000).await;
            for node in &nodes.nodes {
                node.log.hold();
            }
            // All plan it.
            nodes.pass(3_000).await;
            assert_eq!(nodes[0].story("p").await.len(), 3);
            nodes[0].log.cut(how);
            nodes.pass(1_000).await;
            let told = if how == Cut::After { 6 } else { 3 };
            assert_eq!(nodes[1].story("p").await.len(), told, "{how:?}");
            nodes.nodes[1..].iter().for_each(|node| node.log.let_go());
            nodes.pass(3_000).await;
            assert_all(&nodes, "lost").await;
            assert_eq!(nodes[1].story("p").await[3..], LOST);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn who_speaks_when_its_end_is_planned_is_not_lost() {
    let nodes = nodes(2).await;
    reported(&nodes).await;
    nodes.pass(6_000).await;
    // The second hub does not look, so it is the first that plans the end.
    nodes[1].log.be_silent(1);
    nodes[0].log.hold();
    nodes.pass(4_000).await;
    nodes[1].log.be_silent(0);
    nodes[1].publish("one", "p", heartbeat()).await;
    nodes[0].log.let_go();
    nodes.pass(2_000).await;
    assert_eq!(nodes[0].story("p").await.len(), 3);
    assert_all(&nodes, "live").await;
}

#[tokio::test(start_paused = true)]
async fn who_comes_when_the_last_one_is_about_to_leave_keeps_the_pipeline() {
    let nodes = nodes(2).await;
    reported(&nodes).await;
    nodes[0].log.hold();
    let node = nodes.nodes[0].clone();
    let left = tokio::spawn(async move { node.publish("one", "p", offline()).await });
    nodes.pass(250).await;
    // It is planned as the last one. The other is no event, so the position is still the same.
    nodes[1].publish("two", "p", heartbeat()).await;
    nodes[0].log.let_go();
    let receipt = left.await.unwrap();
    assert_eq!([&receipt["accepted"], &receipt["conflated"]], [0, 1]);
    assert_eq!(nodes[1].story("p").await[3..], ["failed a Interrupted"]);
    assert_all(&nodes, "live").await;
}

#[tokio::test(start_paused = true)]
async fn the_limit_of_reporters_counts_those_of_all_hubs() {
    let nodes = nodes_with(2, |config| config.limits.reporters = 2).await;
    nodes[0].publish("one", "p", online_for(8)).await;
    nodes[1].publish("two", "p", heartbeat()).await;
    let (status, problem) = nodes[0].try_publish("three", "p", heartbeat()).await;
    assert_eq!((status, problem["code"].as_str()), (429, Some("limit_exceeded")));
    nodes[0].publish("two", "p", heartbeat()).await;
    nodes[0].publish("two", "p", offline()).await;
    nodes[1].publish("three", "p", heartbeat()).await;
}

#[tokio::test(start_paused = true)]
async fn nobody_is_lost_for_a_time_in_which_there_was_no_hub() {
    let nodes = nodes(2).await;
    reported(&nodes).await;
    nodes.pass(1_000).await;
    for node in &nodes.nodes {
        node.log.be_silent(1);
    }
    nodes.pass(60_000).await;
    for node in &nodes.nodes {
        node.log.be_silent(0);
    }
    nodes.pass(7_500).await;
    assert_eq!(nodes[0].story("p").await.len(), 3, "all leases have begun anew");
    nodes.pass(3_000).await;
    assert_eq!(nodes[1].story("p").await[3..], LOST);
}

#[tokio::test(start_paused = true)]
async fn a_hub_that_starts_later_knows_who_reports() {
    let nodes = nodes(2).await;
    reported(&nodes).await;
    nodes[1].publish("two", "p", heartbeat()).await;
    let log = nodes[0].log.another();
    let late = support::nodes::Node::on(log, nodes.clock.clone(), |_| {}).await;
    let receipt = late.publish("one", "p", offline()).await;
    assert_eq!([&receipt["accepted"], &receipt["conflated"]], [0, 1]);
    assert_eq!(late.story("p").await[3..], ["failed a Interrupted"], "it knows whose file it was");
    for _ in 0..10 {
        nodes.pass(1_000).await;
        nodes[1].publish("two", "p", heartbeat()).await;
    }
    assert_eq!(late.liveness("p").await, "live");
    assert_eq!(late.story("p").await.len(), 4);
}

#[tokio::test(start_paused = true)]
async fn what_another_hub_appends_is_not_forgotten_unseen() {
    let nodes = nodes(2).await;
    reported(&nodes).await;
    nodes[0].log.hold();
    let node = nodes.nodes[0].clone();
    let forgotten = tokio::spawn(async move {
        let request = http::Request::delete("/api/pipelines/p").header("host", "localhost");
        node.ask(request.body(axum::body::Body::empty()).unwrap()).await.status()
    });
    nodes.pass(250).await;
    // It was planned on what is no longer the end.
    nodes[1].publish("one", "p", file("file:completed", "a")).await;
    nodes[0].log.let_go();
    assert_eq!(forgotten.await.unwrap(), 204);
    nodes.pass(250).await;
    for node in &nodes.nodes {
        assert_eq!(node.get("/api/pipelines/p/files").await.status(), 404);
    }
    let order: Vec<_> = nodes[0].log.journal().await.iter().map(|entry| (entry.hub, entry.seq)).collect();
    assert_eq!(order, [(0, 3), (1, 4), (0, 5)], "the other's event, and then that it is removed");
    let (status, problem) = nodes[1].try_publish("one", "p", heartbeat()).await;
    assert_eq!((status, problem["code"].as_str()), (404, Some("unknown_pipeline")));
}

#[tokio::test(start_paused = true)]
async fn a_hub_that_closes_writes_what_it_heard() {
    let nodes = nodes(2).await;
    nodes[0].publish("one", "p", online_for(8)).await;
    nodes.pass(1_000).await;
    nodes[0].publish("one", "p", heartbeat()).await;
    nodes[0].hub.close(Duration::from_secs(1)).await;
    let journal = nodes[1].log.journal().await;
    assert_eq!(journal.len(), 2);
    assert!(matches!(journal[1].leases[..], [OfLease::Renew(Some(_), 8)]), "{journal:?}");
}
