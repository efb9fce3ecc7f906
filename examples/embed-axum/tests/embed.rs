//! The example does what it shows: its own routes, the hub's beside them, and every file ends.
#![allow(clippy::unwrap_used)]

use std::time::Duration;

use ragpulse_client::{Subscriber, What};
use ragpulse_protocol::{Event, FileState, PipelineId};

#[tokio::test]
async fn the_application_and_the_hub_live_side_by_side() {
    let (app, hub) = embed_axum::app().await.unwrap();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(axum::serve(listener, app).into_future());
    let http = reqwest::Client::builder().no_proxy().build().unwrap();

    // Its own route is its own, the hub's are beside it.
    assert_eq!(http.get(&url).send().await.unwrap().text().await.unwrap(), "an application with a hub in it");
    assert_eq!(http.get(format!("{url}/health")).send().await.unwrap().text().await.unwrap(), "OK");
    assert_eq!(http.get(format!("{url}/nowhere")).send().await.unwrap().status(), 404);

    let mut subscriber = Subscriber::builder(&url).pipeline("uploads").connect().unwrap();
    let post =
        |name: &str, body: &'static str| http.post(format!("{url}/ingest?name={name}")).body(body).send();
    assert_eq!(post("a.txt", "one\n\ntwo").await.unwrap().status(), 200);
    assert_eq!(post("b.txt", "  ").await.unwrap().status(), 200);
    assert_eq!(post("c.txt", "a\0b").await.unwrap().status(), 422);
    assert_eq!(post("d.txt", "leave").await.unwrap().status(), 500);

    // The subscriber comes to the end of the last file, by a snapshot or by events.
    let id = PipelineId::new("uploads").unwrap();
    let all_ended = |handle: &Subscriber| {
        handle.state(&id).is_some_and(|state| state.counts.total() == 4 && state.counts.processing == 0)
    };
    tokio::time::timeout(Duration::from_secs(20), async {
        while !all_ended(&subscriber) {
            let update = subscriber.recv().await.unwrap();
            if let What::Event(event) = update.what {
                assert!(!matches!(*event, Event::Other(_)), "{event:?}");
            }
        }
    })
    .await
    .expect("every file ends");
    let state = subscriber.state(&id).unwrap();
    let file = |name: &str| state.files.get(name).unwrap().clone();
    assert_eq!(file("a.txt").state, FileState::Completed);
    assert_eq!(file("a.txt").results.unwrap().chunks_created, Some(2));
    assert_eq!(file("b.txt").state, FileState::Skipped);
    assert_eq!(file("c.txt").error.unwrap().message, "it holds a NUL");
    assert_eq!(file("d.txt").error.unwrap().kind, "Interrupted");
    assert_eq!(*state, hub.state(&id).unwrap(), "the subscriber has the hub's own state");
    hub.close(Duration::from_secs(5)).await;
}
