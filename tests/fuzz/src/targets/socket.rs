//! Packets of Engine.IO and Socket.IO over polling, from the frame to the commands: the whole path that a frame takes.

use std::time::Duration;

use http::StatusCode;
use serde_json::Value;

use super::hub::{World, with_hub};

pub(crate) fn run(input: &[u8]) {
    let Ok(packets) = std::str::from_utf8(input) else { return };
    // As a poll has them: one after another, a byte between them.
    let packets = packets.replace('\n', "\u{1e}");
    with_hub(|world| async move {
        let session = open(&world).await;
        let _ = world.post(&session, "40").await;
        let _ = world.post(&session, &packets).await;
        for _ in 0..4 {
            let poll = tokio::time::timeout(Duration::from_millis(100), world.get(&session)).await;
            let Ok((StatusCode::OK, _)) = poll else { break };
        }
        // Somebody else is served as if nothing had been.
        let session = open(&world).await;
        assert_eq!(world.post(&session, "40").await.0, StatusCode::OK);
        answered(&world, &session, "40{").await;
        let subscribe = "420[\"subscribe\",{\"pipeline_id\":\"p\"}]";
        assert_eq!(world.post(&session, subscribe).await.0, StatusCode::OK);
        answered(&world, &session, "430[{\"pipelines\":[{\"pipeline_id\":\"p\"").await;
        world.goes_on().await;
        world.hub.close(Duration::from_secs(1)).await;
        assert_eq!((world.hub.stats().connections, world.hub.stats().subscriptions), (0, 0));
    });
}

/// Polls until an answer comes: pings come when they like.
async fn answered(world: &World, session: &str, wanted: &str) {
    let mut seen = String::new();
    for _ in 0..3 {
        seen += &world.get(session).await.1;
        if seen.contains(wanted) {
            return;
        }
    }
    panic!("no {wanted} in {seen}");
}

async fn open(world: &World) -> String {
    let path = "/socket.io/?EIO=4&transport=polling";
    let (status, answer) = world.get(path).await;
    assert_eq!(status, StatusCode::OK, "{answer}");
    let open: Value = serde_json::from_str(&answer[1..]).unwrap();
    format!("{path}&sid={}", open["sid"].as_str().unwrap())
}
