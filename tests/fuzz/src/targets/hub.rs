//! A hub for one input: fresh, without a listener, and with time that stands still until everybody waits.

use axum::Router;
use axum::body::Body;
use http::{Method, Request, StatusCode};
use http_body_util::BodyExt;
use ragpulse_protocol::Timestamp;
use ragpulse_server::clock::ManualClock;
use ragpulse_server::{Config, Hub};
use serde_json::{Value, json};
use tower::ServiceExt;

pub(super) struct World {
    pub(super) app: Router,
    pub(super) hub: Hub,
}

/// Runs something on a hub of its own that knows one pipeline, `p`.
pub(super) fn with_hub<F: Future>(work: impl FnOnce(World) -> F) -> F::Output {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
    runtime.block_on(async {
        let mut config = Config::default();
        config.dashboard = true;
        // Small, so that few bytes reach them.
        config.limits.body_bytes = 4_096;
        config.limits.event_bytes = 1_024;
        config.limits.batch_events = 8;
        config.limits.open_files = 4;
        config.limits.ended_files = 4;
        config.limits.pipelines = 4;
        config.limits.held_pipelines = 4;
        config.limits.reporters = 2;
        config.limits.subscriptions = 4;
        config.limits.ring_events = 4;
        config.limits.log_events = 6;
        let clock = ManualClock::new(Timestamp::from_millis(1_800_000_000_000));
        let parts = Hub::builder().config(config).clock(clock).build().unwrap();
        let world = World { app: parts.router.layer(parts.layer), hub: parts.hub };
        let online = json!({ "event": "pipeline:online", "data": { "pipeline_type": "local_files" } });
        let (status, answer) = world.post("/api/pipelines/p/events", &online.to_string()).await;
        assert_eq!(status, StatusCode::OK, "{answer}");
        work(world).await
    })
}

impl World {
    pub(super) async fn get(&self, path: &str) -> (StatusCode, String) {
        self.ask(Method::GET, path, "", String::new()).await
    }

    pub(super) async fn post(&self, path: &str, body: &str) -> (StatusCode, String) {
        self.ask(Method::POST, path, "application/json", body.to_owned()).await
    }

    async fn ask(&self, method: Method, path: &str, kind: &str, body: String) -> (StatusCode, String) {
        let request = Request::builder().method(method).uri(path).header("host", "localhost");
        let request = request.header("content-type", kind).body(Body::from(body)).unwrap();
        let answer = self.app.clone().oneshot(request).await.unwrap();
        let status = answer.status();
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }

    /// JSON that must be there.
    pub(super) async fn value(&self, path: &str) -> Value {
        let (status, body) = self.get(path).await;
        assert_eq!(status, StatusCode::OK, "{path}: {body}");
        serde_json::from_str(&body).unwrap()
    }

    /// The hub still takes and gives.
    pub(super) async fn goes_on(&self) {
        let event = json!({ "event": "x:after", "data": {} });
        let (status, answer) = self.post("/api/pipelines/after/events", &event.to_string()).await;
        // As many pipelines as there may be are no harm.
        assert!(matches!(status.as_u16(), 404 | 429), "{status}: {answer}");
        assert_eq!(self.get("/health").await.0, StatusCode::OK);
    }
}
