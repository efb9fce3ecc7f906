//! The dashboard: a page and its parts, compiled in from crates/server/assets/page, where `cargo xtask gen` puts them.
//!
//! What may come in: any name of a part. What it never does: read a file; serve a name that was not built; send the page
//! without the policy that keeps foreign code out.

use std::fmt::Write;

use axum::Router;
use axum::extract::Path;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, IF_NONE_MATCH, REFERRER_POLICY,
    X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderMap, StatusCode};
use ragpulse_protocol::{Code, Problem};
use rust_embed::{EmbeddedFile, RustEmbed};
use tower_http::compression::CompressionLayer;

use super::only;
use crate::hub::Hub;
use crate::transport::problem_response;

/// Nothing but our own files, and no page may frame this one.
const POLICY: &str = "default-src 'self'; connect-src 'self' ws: wss:; img-src 'self' data:; base-uri 'none'; \
                      form-action 'none'; frame-ancestors 'none'";
/// Asked for again each time, and mostly answered by 304.
const ASK_AGAIN: &str = "no-cache";
/// The name holds a hash of the content, so what it names never changes.
const FOR_GOOD: &str = "public, max-age=31536000, immutable";

/// The contract over Socket.IO, and over HTTP.
const SOCKETS: &[u8] = include_bytes!("../../../../../bindings/asyncapi.yaml");
const ROUTES: &[u8] = include_bytes!("../../../../../bindings/openapi.yaml");

/// The page as it was built.
#[derive(RustEmbed)]
#[folder = "assets/page/"]
struct Page;

/// Adds the page at `/` and what it loads, and the contract for programs.
pub(super) fn routes(routes: Router<Hub>) -> Router<Hub> {
    let page = Router::new()
        .route("/", only(get(|headers: HeaderMap| async move { part("index.html", &headers) })))
        .route(
            "/assets/{name}",
            only(get(|Path(name): Path<String>, headers: HeaderMap| async move {
                part(&format!("assets/{name}"), &headers)
            })),
        )
        .route("/asyncapi.yaml", only(get(|| contract(SOCKETS))))
        .route("/openapi.yaml", only(get(|| contract(ROUTES))))
        .layer(CompressionLayer::new());
    routes.merge(page)
}

async fn contract(body: &'static [u8]) -> Response {
    let headers = [
        (CONTENT_TYPE, "application/yaml; charset=utf-8"),
        (CACHE_CONTROL, ASK_AGAIN),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    (headers, body).into_response()
}

/// One part of the page, or that it has not changed.
fn part(path: &str, headers: &HeaderMap) -> Response {
    let Some(file) = Page::get(path) else {
        return problem_response(&Problem::new(
            Code::NotFound,
            "The page has no such part; reload it, as the hub may have been updated.".to_owned(),
        ));
    };
    let tag = tag(&file);
    let own = [
        (CACHE_CONTROL, if is_hashed(path) { FOR_GOOD } else { ASK_AGAIN }),
        (CONTENT_SECURITY_POLICY, POLICY),
        (ETAG, tag.as_str()),
        (REFERRER_POLICY, "no-referrer"),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    let given = headers.get(IF_NONE_MATCH).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if given.split(',').any(|one| one.trim() == tag || one.trim() == "*") {
        return (StatusCode::NOT_MODIFIED, own).into_response();
    }
    (own, [(CONTENT_TYPE, kind(path))], file.data).into_response()
}

/// Weak, as the same content may be sent compressed.
fn tag(file: &EmbeddedFile) -> String {
    let mut tag = String::from("W/\"");
    for byte in &file.metadata.sha256_hash()[..12] {
        // Writing to a string does not fail.
        let _ = write!(tag, "{byte:02x}");
    }
    tag + "\""
}

/// Whether a part's name holds a hash: `assets/NAME-HASH.KIND`.
fn is_hashed(path: &str) -> bool {
    path.strip_prefix("assets/").is_some_and(|name| name.contains('-'))
}

fn kind(path: &str) -> &'static str {
    match path.rsplit('.').next() {
        Some("html") => "text/html; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("svg") => "image/svg+xml",
        Some("txt") => "text/plain; charset=utf-8",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_has_a_kind_and_the_page_names_each_script_and_style() {
        let page = Page::get("index.html").map(|file| String::from_utf8_lossy(&file.data).into_owned());
        let page = page.unwrap_or_default();
        assert!(page.starts_with("<!doctype html>"), "{page}");
        let parts: Vec<_> = Page::iter().collect();
        assert!(parts.iter().any(|path| path.ends_with(".js")), "{parts:?}");
        for path in parts {
            assert_ne!(kind(&path), "application/octet-stream", "{path}");
            if path.ends_with(".js") || path.ends_with(".css") {
                assert!(page.contains(&format!("\"./{path}\"")), "{path} is not named in the page");
                assert!(is_hashed(&path), "{path}");
            }
        }
        assert!(!page.contains("=\"/"), "addresses are relative, so that it may lie below any path");
    }
}
