//! Several namespaces on one connection, and one that is left and entered again: each gets its own from when it has entered.

use std::time::Duration;

use serde_json::{Value, json};

use super::client::{Client, Over, Packet, seq};
use super::support::file;
use super::{Reporter, blob, hub};

/// The type of `p`, which is the namespace of the reference application.
const OWN: &str = "/local_files";

fn others(packets: &[Packet], namespace: &str) -> usize {
    packets.iter().filter(|packet| packet.namespace() != namespace).count()
}

/// Enters a namespace; nothing of it may come before it was told that it has. The library ignores who enters again before it is done
/// with the entry before, and that cannot be seen from here: then it asks again.
async fn enter_first(client: &mut Client, namespace: &str) {
    let packet = if namespace == "/" { "40".to_owned() } else { format!("40{namespace},") };
    client.send(&packet).await;
    let mut asked = 1;
    loop {
        let Ok(next) = tokio::time::timeout(Duration::from_secs(2), client.packet()).await else {
            assert!(asked < 5, "{namespace} is not entered, however often it is asked");
            asked += 1;
            client.send(&packet).await;
            continue;
        };
        match next {
            Packet::Entered(entered) if entered == namespace => return,
            packet => assert_ne!(packet.namespace(), namespace, "{packet:?} before it has entered"),
        }
    }
}

/// Leaves a namespace, and reads until nothing more can come of it.
async fn leave(client: &mut Client, namespace: &str, by: &str) {
    client.send(&if namespace == "/" { "41".to_owned() } else { format!("41{namespace},") }).await;
    client.ask(by, "ping", json!(0)).await;
    let (rest, _) = client.ask(by, "ping", json!(0)).await;
    assert_eq!(others(&rest, by), 0, "{rest:?}");
}

async fn again(over: &Over) {
    let (hub, mut reporter) = hub(over).await;
    let mut client = over.wide(hub.address).await;
    client.upgrade().await;
    client.enter("/").await;
    // It follows its type from when it has entered, without a word.
    for _ in 0..60 {
        enter_first(&mut client, OWN).await;
        let first = loop {
            match client.packet().await {
                packet if packet.namespace() == OWN => break packet,
                _ => {}
            }
        };
        assert!(matches!(first, Packet::Event(..)), "{first:?}");
        reporter.publish("p", json!([blob(10)])).await;
        leave(&mut client, OWN, "/").await;
    }
    // The same with the other, which is told only what it asks for.
    client.enter(OWN).await;
    for _ in 0..20 {
        let (_, answer) = client.ask("/", "subscribe", json!({ "pipeline_id": "p" })).await;
        assert_eq!(answer["pipelines"][0]["pipeline_id"], "p");
        leave(&mut client, "/", OWN).await;
        reporter.publish("p", json!([blob(10)])).await;
        enter_first(&mut client, "/").await;
        let (before, _) = client.ask("/", "ping", json!(0)).await;
        assert_eq!(before.len(), others(&before, "/"), "it has not subscribed yet: {before:?}");
    }
    hub.stop().await;
}

#[tokio::test]
async fn who_enters_again_gets_nothing_before_it_is_told() {
    again(&Over::Plain).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]

async fn who_enters_again_gets_nothing_before_it_is_told_where_tasks_run_beside_each_other() {
    again(&Over::Plain).await;
    again(&Over::tls()).await;
}

/// Events flow while one of two namespaces is left and entered again: the other has each once and in order.
async fn flowing(over: &Over) {
    let (hub, mut reporter) = hub(over).await;
    let mut client = over.wide(hub.address).await;
    client.upgrade().await;
    client.enter("/").await;
    client.enter(OWN).await;
    let (before, _) = client.ask("/", "subscribe", json!({ "pipeline_id": "p" })).await;
    let mut root: Vec<u64> = before.iter().filter_map(|packet| follows(packet, "/")).collect();
    let reported = tokio::spawn(async move {
        for number in 0..150 {
            reporter.publish("p", json!([blob(3_000), file("file:queued", &format!("f{number}"))])).await;
        }
        reporter
    });
    let (mut since, mut own) = (0, 0);
    while root.last() != Some(&301) {
        let packet = client.packet().await;
        match &packet {
            Packet::Event(name, ..) if name == OWN => own += 1,
            Packet::Event(..) => root.extend(follows(&packet, "/")),
            packet => panic!("{packet:?}"),
        }
        since += 1;
        if since > 15 {
            since = 0;
            client.send(&format!("41{OWN},")).await;
            let (before, _) = client.ask("/", "ping", json!(0)).await;
            root.extend(before.iter().filter_map(|packet| follows(packet, "/")));
            client.send(&format!("40{OWN},")).await;
            // From here until it has entered there is nothing of it.
            loop {
                match client.packet().await {
                    Packet::Entered(_) => break,
                    packet => {
                        assert_eq!(packet.namespace(), "/", "{packet:?} before it has entered");
                        root.extend(follows(&packet, "/"));
                    }
                }
            }
        }
    }
    assert_eq!(root, (1..=301).collect::<Vec<_>>());
    assert!(own > 0);
    drop::<Reporter>(reported.await.unwrap());
    hub.stop().await;
}

/// The `seq` of an event in a namespace.
fn follows(packet: &Packet, namespace: &str) -> Option<u64> {
    match packet {
        Packet::Event(name, _, data) if name == namespace => Some(seq(data)),
        _ => None,
    }
}

#[tokio::test]
async fn one_namespace_comes_and_goes_while_events_flow_to_another() {
    flowing(&Over::Plain).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn one_namespace_comes_and_goes_by_tls_while_events_flow_to_another() {
    flowing(&Over::tls()).await;
}

#[tokio::test]
async fn each_namespace_gets_its_own_packets() {
    let over = Over::Plain;
    let (hub, mut reporter) = hub(&over).await;
    let mut client = over.wide(hub.address).await;
    client.upgrade().await;
    client.enter(OWN).await;
    client.enter("/").await;
    client.ask("/", "subscribe", json!({ "pipeline_id": "p" })).await;
    reporter.publish("p", json!([file("file:queued", "a"), file("file:processing", "a")])).await;
    reporter.publish("q", json!([{ "event": "pipeline:online", "data": { "pipeline_type": "docs" } }])).await;
    let (before, _) = client.ask("/", "ping", json!(0)).await;
    let of = |namespace: &str| -> Vec<(&str, &Value)> {
        let events = before.iter().filter_map(|packet| match packet {
            Packet::Event(name, event, data) if name == namespace => {
                Some((event.as_str(), &data["file"]["id"]))
            }
            _ => None,
        });
        events.collect()
    };
    assert_eq!(of("/"), [("file:queued", &json!("a")), ("file:processing", &json!("a"))]);
    assert!(of(OWN).len() >= 2, "{before:?}");
    hub.stop().await;
}
