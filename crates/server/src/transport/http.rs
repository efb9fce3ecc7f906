//! HTTP: ingest, the reference's routes, and the same events as over Socket.IO for those who poll or stream.

mod admin;
mod dashboard;
mod events;
mod extract;
mod history;
mod ingest;
mod metrics;
mod reference;
mod stale;
mod stream;
#[cfg(test)]
#[allow(unreachable_pub, dead_code)]
mod table;
mod trace;

use axum::Router;
use axum::middleware::map_response;
use axum::response::Response;
use axum::routing::{MethodRouter, delete, get, post};
use http::HeaderValue;
use http::header::{CACHE_CONTROL, VARY, X_CONTENT_TYPE_OPTIONS};
use ragpulse_protocol::{Code, Problem};

use super::problem_response;
use crate::hub::Hub;

/// Every route.
pub(super) fn routes(hub: &Hub) -> Router {
    let routes = Router::new()
        .route("/health", only(get(admin::health)))
        .route("/ready", only(get(admin::ready)))
        .route("/api/rag-status", stale::marked(hub, only(get(reference::rag_status))))
        .route("/api/socket/info", only(get(reference::socket_info)))
        .route("/api/socket/test", only(post(reference::socket_test)))
        .route("/api/pipelines/{id}", only(delete(admin::forget)))
        .route(
            "/api/pipelines/{id}/events",
            stale::marked(hub, only(get(events::poll).post(ingest::publish))),
        )
        .route("/api/pipelines/{id}/stream", stale::marked(hub, only(get(stream::stream))))
        .route("/api/pipelines/{id}/files", stale::marked(hub, only(get(admin::files))))
        .route("/api/pipelines/{id}/history", only(get(history::history)));
    let routes =
        if hub.0.config.metrics { routes.route("/metrics", only(get(metrics::metrics))) } else { routes };
    let routes = if hub.0.authoriser.has_keys() { routes.layer(map_response(private)) } else { routes };
    let routes = if hub.0.config.dashboard { dashboard::routes(routes) } else { routes };
    routes.layer(map_response(as_said)).with_state(hub.clone())
}

/// An answer repeats what others have sent: no browser may take it for anything but what it says it is.
async fn as_said(mut answer: Response) -> Response {
    answer.headers_mut().insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    answer
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use axum::body::Body;
    use http::{Method, Request};
    use http_body_util::BodyExt;
    use tower::ServiceExt;

    use super::table::ROUTES;
    use crate::{Config, Hub};

    /// The addresses that the router is given, by its source.
    fn addresses() -> BTreeSet<&'static str> {
        let sources = [include_str!("http.rs"), include_str!("http/dashboard.rs")];
        let code = sources.into_iter().filter_map(|source| source.split("#[cfg(test)]\nmod tests").next());
        code.flat_map(|code| code.split("route(").skip(1))
            .filter_map(|rest| rest.trim_start().strip_prefix('"')?.split('"').next())
            .collect()
    }

    #[tokio::test]
    async fn the_table_names_every_route() {
        let named: BTreeSet<&str> = ROUTES.iter().map(|route| route.path).collect();
        assert_eq!(named, addresses());
        let config = Config { dashboard: true, metrics: true, ..Config::default() };
        let parts = Hub::builder().config(config).build().unwrap();
        for path in named {
            for method in [Method::GET, Method::POST, Method::DELETE, Method::PUT] {
                let address = path.replace("{id}", "p").replace("{name}", "x");
                let request = Request::builder().method(&method).uri(&address).header("host", "localhost");
                let answer =
                    parts.router.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
                let in_table =
                    ROUTES.iter().any(|route| route.path == path && route.method == method.as_str());
                assert_eq!(answer.status().as_u16() != 405, in_table, "{method} {path}");
                assert_eq!(answer.headers()["x-content-type-options"], "nosniff", "{method} {path}");
                if answer.status() == 404 {
                    let body = answer.into_body().collect().await.unwrap().to_bytes();
                    let text = String::from_utf8_lossy(&body);
                    assert!(!text.contains("There is nothing at"), "{method} {path}: {text}");
                }
            }
        }
    }
}
