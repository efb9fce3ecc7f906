//! The mark of answers that are given while the store does not answer: they are as things were then.
//!
//! *What it never does:* mark a refusal, or what a reporter is answered: that is not from memory.

use axum::extract::{Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::Response;
use axum::routing::MethodRouter;
use http::{HeaderValue, Method, StatusCode};

use crate::doors::STALE;
use crate::hub::Hub;

/// A route that is answered from memory.
pub(super) fn marked(hub: &Hub, route: MethodRouter<Hub>) -> MethodRouter<Hub> {
    route.layer(from_fn_with_state(hub.clone(), mark))
}

async fn mark(State(hub): State<Hub>, request: Request, next: Next) -> Response {
    let reads = request.method() != Method::POST;
    let mut answer = next.run(request).await;
    let is_served = answer.status().is_success() || answer.status() == StatusCode::NOT_MODIFIED;
    if reads
        && is_served
        && let Some(seconds) = hub.stale_seconds()
    {
        answer.headers_mut().insert(STALE, HeaderValue::from(seconds));
    }
    answer
}
