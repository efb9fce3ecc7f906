//! A request over HTTP, any at all: `GET /path?query`, headers, an empty line, the body.

use std::time::Duration;

use axum::body::Body;
use http::{HeaderName, HeaderValue, Method, Request, Uri};
use http_body_util::BodyExt;
use ragpulse_protocol::http::{EventsAnswer, FilesPage, RagStatus};
use ragpulse_protocol::{PipelineId, PipelineStatus, Problem, ServerMessage, Session, Verdict};
use serde_json::Value;
use tower::ServiceExt;

use super::hub::{World, with_hub};
use super::is_short;

pub(crate) fn run(input: &[u8]) {
    // An input may hold several, after a line of its own.
    let requests: Vec<_> = pieces(input).iter().filter_map(|piece| request(piece)).take(8).collect();
    if requests.is_empty() {
        return;
    }
    with_hub(|world| async move {
        for request in requests {
            answered(&world, request).await;
        }
        let known = world.hub.pipelines();
        for pipeline in &known {
            is_whole(&world, pipeline).await;
        }
        let status: RagStatus = serde_json::from_value(world.value("/api/rag-status").await).unwrap();
        assert_eq!(status.pipelines.len(), known.len());
        world.goes_on().await;
    });
}

const BETWEEN: &[u8] = b"\n----\n";

fn pieces(input: &[u8]) -> Vec<&[u8]> {
    let mut rest = input;
    let mut pieces = Vec::new();
    while let Some(at) = rest.windows(BETWEEN.len()).position(|window| window == BETWEEN) {
        pieces.push(&rest[..at]);
        rest = &rest[at + BETWEEN.len()..];
    }
    pieces.push(rest);
    pieces
}

fn request(input: &[u8]) -> Option<Request<Body>> {
    let end = input.windows(2).position(|window| window == b"\n\n");
    let (head, body) = end.map_or((input, &b""[..]), |at| (&input[..at], &input[at + 2..]));
    let mut lines = std::str::from_utf8(head).ok()?.lines();
    let (method, uri) = lines.next()?.split_once(' ')?;
    let mut request = Request::new(Body::from(body.to_vec()));
    *request.method_mut() = Method::from_bytes(method.as_bytes()).ok()?;
    *request.uri_mut() = uri.parse::<Uri>().ok()?;
    request.headers_mut().insert("host", HeaderValue::from_static("localhost"));
    for line in lines {
        let (name, value) = line.split_once(": ")?;
        request.headers_mut().append(HeaderName::from_bytes(name.as_bytes()).ok()?, value.parse().ok()?);
    }
    Some(request)
}

async fn answered(world: &World, request: Request<Body>) {
    let shown = format!("{} {}", request.method(), request.uri());
    let has_body = request.method() != Method::HEAD;
    let answer = world.app.clone().oneshot(request).await.unwrap();
    assert_ne!(answer.status().as_u16(), 500, "{shown}");
    let kind = answer.headers().get("content-type").and_then(|value| value.to_str().ok()).unwrap_or_default();
    let (is_problem, is_stream) = (kind == "application/problem+json", kind.starts_with("text/event-stream"));
    if is_stream {
        let mut body = answer.into_body();
        for _ in 0..8 {
            let Ok(Some(part)) = tokio::time::timeout(Duration::from_secs(1), body.frame()).await else {
                break;
            };
            part.unwrap();
        }
        return;
    }
    let body = answer.into_body().collect().await.unwrap().to_bytes();
    if !has_body {
        assert!(body.is_empty(), "{shown}");
    } else if is_problem {
        is_short(&serde_json::from_slice::<Problem>(&body).unwrap());
    }
}

/// What the hub serves of a pipeline: its events fold to its state, and all else can be read.
async fn is_whole(world: &World, pipeline: &PipelineId) {
    let state: PipelineStatus = world.hub.state(pipeline).unwrap();
    let of = |path: &str| format!("/api/pipelines/{pipeline}/{path}");
    let mut session = Session::new();
    let mut cursor = String::new();
    for _ in 0..32 {
        let answer: Value = world.value(&of(&format!("events?limit=3{cursor}"))).await;
        cursor = format!("&epoch={}&seq={}", state.epoch, answer["seq"]);
        match serde_json::from_value(answer).unwrap() {
            EventsAnswer::Snapshot(answer) => {
                let verdict = session.handle(&ServerMessage::Snapshot(answer.snapshot)).verdict;
                assert_eq!(verdict, Verdict::Replace);
                // From the beginning, where it is still there.
                cursor = format!("&epoch={}&seq={}", state.epoch, state.seq.saturating_sub(6));
            }
            EventsAnswer::Events(page) => {
                for event in page.events {
                    let message = ServerMessage::from_value(&event.event, event.data).unwrap();
                    assert_ne!(session.handle(&message).verdict, Verdict::Resync);
                }
                if page.up_to_date {
                    break;
                }
            }
        }
    }
    assert_eq!(session.state(), Some(&state), "what a subscriber folds is what the hub has");
    let text = serde_json::to_string(&state).unwrap();
    assert_eq!(serde_json::from_str::<PipelineStatus>(&text).unwrap(), state);
    let _: FilesPage = serde_json::from_value(world.value(&of("files?limit=2")).await).unwrap();
    answered(world, request(format!("GET {}", of("stream")).as_bytes()).unwrap()).await;
}
