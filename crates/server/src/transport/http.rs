//! HTTP: ingest, the reference's routes, and the same events as over Socket.IO for those who poll or stream.

mod admin;
mod dashboard;
mod events;
mod extract;
mod history;
mod ingest;
mod metrics;
mod reference;
mod stream;
mod trace;

use axum::Router;
use axum::middleware::map_response;
use axum::response::Response;
use axum::routing::{MethodRouter, delete, get, post};
use http::HeaderValue;
use http::header::{CACHE_CONTROL, VARY};
use ragpulse_protocol::{Code, Problem};

use super::problem_response;
use crate::hub::Hub;

/// Every route.
pub(super) fn routes(hub: &Hub) -> Router {
    let routes = Router::new()
        .route("/health", only(get(admin::health)))
        .route("/ready", only(get(admin::ready)))
        .route("/api/rag-status", only(get(reference::rag_status)))
        .route("/api/socket/info", only(get(reference::socket_info)))
        .route("/api/socket/test", only(post(reference::socket_test)))
        .route("/api/pipelines/{id}", only(delete(admin::forget)))
        .route("/api/pipelines/{id}/events", only(get(events::poll).post(ingest::publish)))
        .route("/api/pipelines/{id}/stream", only(get(stream::stream)))
        .route("/api/pipelines/{id}/files", only(get(admin::files)))
        .route("/api/pipelines/{id}/history", only(get(history::history)));
    let routes =
        if hub.0.config.metrics { routes.route("/metrics", only(get(metrics::metrics))) } else { routes };
    let routes = if hub.0.authoriser.has_keys() { routes.layer(map_response(private)) } else { routes };
    let routes = if hub.0.config.dashboard { dashboard::routes(routes) } else { routes };
    routes.with_state(hub.clone())
}

/// Gives every request an id, and counts the answers.
pub(super) fn traced(routes: Router, hub: &Hub) -> Router {
    routes.layer(axum::middleware::from_fn_with_state(hub.clone(), trace::around))
}

/// What is answered to one token is for nobody else: no shared cache may keep it, and no cache may take it for another's.
async fn private(mut answer: Response) -> Response {
    let headers = answer.headers_mut();
    let given = headers.get(CACHE_CONTROL).and_then(|value| value.to_str().ok()).unwrap_or("no-store");
    if !given.contains("private")
        && let Ok(value) = HeaderValue::from_str(&format!("private, {given}"))
    {
        headers.insert(CACHE_CONTROL, value);
    }
    headers.append(VARY, HeaderValue::from_static("authorization"));
    answer
}

/// Answers other methods with a problem, too.
fn only(route: MethodRouter<Hub>) -> MethodRouter<Hub> {
    route.fallback(method_not_allowed)
}

async fn method_not_allowed(method: http::Method, uri: http::Uri) -> Response {
    problem_response(&Problem::new(Code::MethodNotAllowed, format!("{} does not take {method}.", uri.path())))
}
