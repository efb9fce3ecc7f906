//! A stand-in for a hub's ingest that answers what a test wants, and records what it was sent.
#![allow(dead_code, unreachable_pub)]

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::{Json, Router};
use parking_lot::Mutex;
use ragpulse_client::protocol::{Code, Problem};
use serde_json::{Value, json};

/// What to answer.
pub enum Reply {
    Good,
    Problem(Problem),
    /// Something that is no hub.
    Strange(StatusCode, &'static str),
    /// Takes the batch, but the answer comes too late.
    Late(Duration),
}

pub struct Request {
    pub pipeline: String,
    pub headers: HeaderMap,
    pub events: Vec<Value>,
}

#[derive(Default)]
struct Inner {
    requests: Vec<Request>,
    replies: VecDeque<Reply>,
    /// What is answered when no reply is left.
    otherwise: Option<Problem>,
}

#[derive(Clone, Default)]
pub struct FakeHub {
    inner: Arc<Mutex<Inner>>,
    pub url: String,
}

impl FakeHub {
    pub async fn start(replies: impl IntoIterator<Item = Reply>) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let hub = Self { url, ..Self::default() };
        hub.inner.lock().replies = replies.into_iter().collect();
        let app = Router::new()
            .route("/api/pipelines/{id}/events", axum::routing::post(take))
            .with_state(hub.clone());
        tokio::spawn(async move { axum::serve(listener, app).await });
        hub
    }

    /// From now on everything not scripted is refused so.
    pub fn otherwise(&self, problem: Option<Problem>) {
        self.inner.lock().otherwise = problem;
    }

    /// Runs a look at what was received.
    pub fn look<T>(&self, look: impl FnOnce(&[Request]) -> T) -> T {
        look(&self.inner.lock().requests)
    }

    /// The names of the events of each request, with their file or number.
    pub fn names(&self) -> Vec<Vec<String>> {
        self.look(|requests| {
            requests.iter().map(|request| request.events.iter().map(name).collect()).collect()
        })
    }

    /// Waits until a look finds what it wants.
    pub async fn until(&self, mut found: impl FnMut(&[Request]) -> bool) {
        let wait = async {
            while !self.look(&mut found) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        if tokio::time::timeout(Duration::from_secs(20), wait).await.is_err() {
            panic!("not seen in time; requests: {:?}", self.names());
        }
    }
}

fn name(event: &Value) -> String {
    let name = event["event"].as_str().unwrap_or("?");
    match (event["data"]["file"]["name"].as_str(), event["data"]["n"].as_u64()) {
        (Some(file), _) => format!("{name} {file}"),
        (None, Some(number)) => format!("{name} {number}"),
        (None, None) => name.to_owned(),
    }
}

async fn take(
    State(hub): State<FakeHub>,
    Path(pipeline): Path<String>,
    headers: HeaderMap,
    Json(events): Json<Vec<Value>>,
) -> Response {
    let count = events.len();
    let reply = {
        let mut inner = hub.inner.lock();
        inner.requests.push(Request { pipeline, headers, events });
        let otherwise = inner.otherwise.clone();
        inner.replies.pop_front().unwrap_or_else(|| otherwise.map_or(Reply::Good, Reply::Problem))
    };
    let good = json!({"accepted": count, "duplicates": 0, "conflated": 0, "epoch": "e", "seq": count});
    match reply {
        Reply::Good => Json(good).into_response(),
        Reply::Problem(problem) => {
            let status = StatusCode::from_u16(problem.status).unwrap();
            (status, [("content-type", "application/problem+json")], Json(problem).0.to_json())
                .into_response()
        }
        Reply::Strange(status, text) => (status, text).into_response(),
        Reply::Late(by) => {
            tokio::time::sleep(by).await;
            Json(good).into_response()
        }
    }
}

trait ToJson {
    fn to_json(&self) -> String;
}

impl ToJson for Problem {
    fn to_json(&self) -> String {
        serde_json::to_string(self).unwrap()
    }
}

/// A refusal with this code.
pub fn problem(code: Code) -> Problem {
    Problem::new(code, "as the test wants")
}
