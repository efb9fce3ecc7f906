//! The dashboard: a page and its parts, compiled in.

use axum::Router;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
};

use super::only;
use crate::hub::Hub;

/// Nothing but our own files, and no page may frame this one.
const POLICY: &str = "default-src 'self'; connect-src 'self' ws: wss:; img-src 'self' data:; base-uri 'none'; \
                      form-action 'none'; frame-ancestors 'none'";

macro_rules! assets {
    ($routes:expr, $($path:literal => $file:literal, $kind:literal;)*) => {
        $routes$(.route(
            $path,
            only(get(|| async { asset(include_bytes!(concat!("../../../assets/", $file)), $kind) })),
        ))*
    };
}

/// Adds the page at `/` and what it loads, and the contract for programs.
pub(super) fn routes(routes: Router<Hub>) -> Router<Hub> {
    let routes = routes.route(
        "/asyncapi.yaml",
        only(get(|| async {
            asset(include_bytes!("../../../../../bindings/asyncapi.yaml"), "application/yaml; charset=utf-8")
        })),
    );
    assets! { routes,
        "/" => "index.html", "text/html; charset=utf-8";
        "/assets/app.css" => "app.css", "text/css; charset=utf-8";
        "/assets/app.js" => "app.js", "text/javascript; charset=utf-8";
        "/assets/connection.js" => "connection.js", "text/javascript; charset=utf-8";
        "/assets/format.js" => "format.js", "text/javascript; charset=utf-8";
        "/assets/icon.svg" => "icon.svg", "image/svg+xml";
        "/assets/rates.js" => "rates.js", "text/javascript; charset=utf-8";
        "/assets/reducer.js" => "reducer.js", "text/javascript; charset=utf-8";
        "/assets/view.js" => "view.js", "text/javascript; charset=utf-8";
        "/assets/socket.io.esm.min.js" => "socket.io.esm.min.js", "text/javascript; charset=utf-8";
    }
}

fn asset(body: &'static [u8], kind: &'static str) -> Response {
    let headers = [
        (CONTENT_TYPE, kind),
        (CACHE_CONTROL, "no-cache"),
        (CONTENT_SECURITY_POLICY, POLICY),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (REFERRER_POLICY, "no-referrer"),
    ];
    (headers, body).into_response()
}
