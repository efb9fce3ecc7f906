//! Lengths at which the head of a frame grows, and a state that is larger than sixteen bits tell.

use serde_json::json;

use super::client::{Client, Over, Packet, seq};
use super::support::{file, online};
use super::{blob, hub};

async fn subscribed(over: &Over, hub: &super::TestHub, pipeline: &str) -> (Client, Vec<Packet>) {
    let mut client = over.wide(hub.address).await;
    client.upgrade().await;
    client.enter("/").await;
    let (before, _) = client.ask("/", "subscribe", json!({ "pipeline_id": pipeline })).await;
    (client, before)
}

async fn sizes(over: &Over) {
    let (hub, mut reporter) = hub(over).await;
    let (mut client, _) = subscribed(over, &hub, "p").await;
    // The last of these has a `seq` of two digits, as those have that follow.
    reporter.publish("p", json!(vec![blob(0); 9])).await;
    let mut own = 0;
    for _ in 0..9 {
        client.packet().await;
        own = client.last;
    }
    for (at, length) in (11..).zip([65_534, 65_535, 65_536, 65_537, 126 + own]) {
        reporter.publish("p", json!([blob(length - own)])).await;
        let Packet::Event(_, _, data) = client.packet().await else { panic!("no event") };
        assert_eq!((seq(&data), data["text"].as_str().unwrap().len()), (at, length - own));
        assert_eq!(client.last, length, "the frame is as long as was meant");
    }
    // What is said in few words.
    let (_, closing) = tokio::join!(hub.hub.close(std::time::Duration::from_secs(2)), client.packet());
    assert!(matches!(&closing, Packet::Event(_, name, _) if name == "hub:closing"), "{closing:?}");
    assert!(client.last < 126);
    hub.stop().await;
}

#[tokio::test]
async fn a_frame_is_whole_at_each_length_at_which_its_head_grows() {
    sizes(&Over::Plain).await;
}

#[tokio::test]
async fn a_frame_is_whole_by_tls_at_each_length_at_which_its_head_grows() {
    sizes(&Over::tls()).await;
}

async fn large_state(over: &Over) {
    let (hub, mut reporter) = hub(over).await;
    let mut batch = vec![online()];
    for number in 0..600 {
        batch.push(file("file:processing", &format!("a-file-with-a-name-of-some-length-{number:04}")));
    }
    reporter.publish("large", json!(batch)).await;
    let state = hub.hub.state(&"large".parse().unwrap()).unwrap();
    for _ in 0..3 {
        let (mut client, before) = subscribed(over, &hub, "large").await;
        let [Packet::Event(of, name, data)] = &before[..] else { panic!("{} packets", before.len()) };
        assert_eq!((of.as_str(), name.as_str()), ("/", "pipeline:status"));
        assert!(data.to_string().len() > 65_536, "{} bytes", data.to_string().len());
        assert_eq!(data["files_processing"], serde_json::to_value(&state).unwrap()["files_processing"]);
        // And what comes after it.
        reporter.publish("large", json!([blob(10)])).await;
        let Packet::Event(_, _, event) = client.packet().await else { panic!("no event") };
        assert_eq!(seq(&event), seq(data) + 1);
    }
    hub.stop().await;
}

#[tokio::test]
async fn a_state_of_more_than_sixteen_bits_arrives_as_it_is() {
    large_state(&Over::Plain).await;
    large_state(&Over::tls()).await;
}
