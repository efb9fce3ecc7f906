//! The doors: which hosts and origins may come in, and from which address somebody comes. The same for HTTP, Engine.IO
//! polling and WebSocket, which CORS does not guard.

use std::net::IpAddr;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use futures_util::future::{Either, MapOk, Ready, TryFutureExt, ready};
use http::header::{AUTHORIZATION, CONTENT_TYPE, ETAG, HOST, IF_NONE_MATCH, ORIGIN, RETRY_AFTER};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Uri};
use ragpulse_protocol::{Code, Problem};
use tower::{Layer, Service};
use tower_http::cors::{AllowOrigin, CorsLayer};

use crate::address::Proxies;
use crate::config::Config;
use crate::request_id::REQUEST_ID;
use crate::transport::problem_response;

/// The header by which a reporter names itself.
pub(crate) const REPORTER: HeaderName = HeaderName::from_static("ragpulse-reporter");

/// The header by which a client that polls tells how it fares.
pub(crate) const CLIENT_STATUS: HeaderName = HeaderName::from_static("ragpulse-client-status");

/// The header that tells for how many seconds the store has not answered, and so how old an answer is.
pub(crate) const STALE: HeaderName = HeaderName::from_static("ragpulse-stale");

/// What the doors know.
#[derive(Debug)]
pub(crate) struct Doors {
    hosts: Vec<String>,
    origins: Vec<String>,
    /// Whether pages of loopback origins come in: only while there are no keys.
    loopback_origins: bool,
    proxies: Proxies,
}

impl Doors {
    pub(crate) fn new(config: &Config, has_keys: bool) -> Arc<Self> {
        Arc::new(Self {
            hosts: config.hosts.iter().map(|host| host.to_ascii_lowercase()).collect(),
            origins: config
                .origins
                .iter()
                .map(|origin| origin.trim_end_matches('/').to_ascii_lowercase())
                .collect(),
            loopback_origins: !has_keys,
            proxies: Proxies::new(&config.trusted_proxies),
        })
    }

    /// Whether a request may come in.
    pub(crate) fn check(&self, headers: &HeaderMap, uri: &Uri) -> Result<(), Problem> {
        let host = authority(headers, uri);
        let name = host.as_deref().map(host_name);
        // A second one is what somebody between could have gone by.
        let one = headers.get_all(HOST).iter().count() <= 1;
        if !one || !name.is_some_and(|name| self.is_own_host(name)) {
            let host = host.unwrap_or_default();
            return Err(Problem::new(
                Code::ForeignHost,
                format!("This hub does not go by the name '{host}'. The operator can add it: --host NAME."),
            ));
        }
        let mut origins = headers.get_all(ORIGIN).iter();
        let Some(origin) = origins.find(|origin| !self.allows_origin(origin, host.as_deref())) else {
            return Ok(());
        };
        Err(Problem::new(
            Code::ForeignOrigin,
            format!(
                "Pages of {} may not use this hub. The operator can add the origin: --cors-origin ORIGIN.",
                origin.to_str().unwrap_or("that origin")
            ),
        ))
    }

    fn is_own_host(&self, name: &str) -> bool {
        is_loopback(name) || self.hosts.iter().any(|own| own == "*" || own.eq_ignore_ascii_case(name))
    }

    fn allows_origin(&self, origin: &HeaderValue, host: Option<&str>) -> bool {
        let Ok(origin) = origin.to_str() else { return false };
        let origin = origin.to_ascii_lowercase();
        if self.origins.iter().any(|listed| listed == "*" || *listed == origin) {
            return true;
        }
        let Some((scheme, rest)) = origin.split_once("://") else { return false };
        // A proxy may end TLS before the hub, so the scheme of the hub's own address cannot be known.
        let default_port = if scheme == "https" { "443" } else { "80" };
        let same = host.is_some_and(|host| {
            host.eq_ignore_ascii_case(rest) || format!("{host}:{default_port}") == rest || {
                host.eq_ignore_ascii_case(&format!("{rest}:{default_port}"))
            }
        });
        same || (self.loopback_origins && is_loopback(host_name(rest)))
    }
}

fn authority(headers: &HeaderMap, uri: &Uri) -> Option<String> {
    // HTTP/2 has the authority in place of the header.
    let host = headers.get(HOST).and_then(|host| host.to_str().ok()).map(str::to_owned);
    host.or_else(|| uri.authority().map(ToString::to_string)).map(|host| host.to_ascii_lowercase())
}

/// The name of an authority, without its port and without the brackets of an IPv6 address.
fn host_name(authority: &str) -> &str {
    if let Some(rest) = authority.strip_prefix('[') {
        return rest.split(']').next().unwrap_or(rest);
    }
    match authority.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|digit| digit.is_ascii_digit()) => name,
        _ => authority,
    }
}

fn is_loopback(name: &str) -> bool {
    let name = name.trim_end_matches('.');
    name.eq_ignore_ascii_case("localhost")
        || name.to_ascii_lowercase().ends_with(".localhost")
        || name.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// The answers a browser of an allowed origin needs.
fn cors(doors: Arc<Doors>) -> CorsLayer {
    let allowed = AllowOrigin::predicate(move |origin, parts| {
        let host = authority(&parts.headers, &parts.uri);
        doors.allows_origin(origin, host.as_deref())
    });
    CorsLayer::new()
        .allow_origin(allowed)
        .allow_methods([Method::GET, Method::POST, Method::DELETE])
        .allow_headers([
            AUTHORIZATION,
            CONTENT_TYPE,
            IF_NONE_MATCH,
            REPORTER,
            CLIENT_STATUS,
            REQUEST_ID,
            HeaderName::from_static("last-event-id"),
        ])
        .expose_headers([ETAG, REQUEST_ID, RETRY_AFTER, STALE])
        .max_age(std::time::Duration::from_secs(600))
}

/// Puts the doors, and the headers that go with them, before a service.
#[derive(Clone)]
pub(crate) struct DoorsLayer(pub(crate) Arc<Doors>);

impl<S> Layer<S> for DoorsLayer {
    type Service = tower_http::cors::Cors<Guarded<S>>;
    fn layer(&self, inner: S) -> Self::Service {
        cors(self.0.clone()).layer(Guarded { doors: self.0.clone(), inner })
    }
}

/// A service behind the doors.
#[derive(Clone)]
pub(crate) struct Guarded<S> {
    doors: Arc<Doors>,
    inner: S,
}

impl<S> Service<Request<Body>> for Guarded<S>
where
    S: Service<Request<Body>>,
    S::Response: IntoResponse,
    S::Future: Send + 'static,
{
    type Response = Response;
    type Error = S::Error;
    type Future = Either<Ready<Result<Response, S::Error>>, MapOk<S::Future, fn(S::Response) -> Response>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        if let Some(client) = self.doors.proxies.client(request.extensions(), request.headers()) {
            request.extensions_mut().insert(client);
        }
        match self.doors.check(request.headers(), request.uri()) {
            Ok(()) => {
                Either::Right(self.inner.call(request).map_ok(IntoResponse::into_response as fn(_) -> _))
            }
            Err(problem) => Either::Left(ready(Ok(problem_response(&problem)))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(config: &Config, has_keys: bool, host: &str, origin: Option<&str>) -> Result<(), Code> {
        let mut headers = HeaderMap::new();
        headers.insert(HOST, host.parse().unwrap());
        if let Some(origin) = origin {
            headers.insert(ORIGIN, origin.parse().unwrap());
        }
        Doors::new(config, has_keys).check(&headers, &Uri::from_static("/")).map_err(|problem| problem.code)
    }

    #[test]
    fn hosts_are_loopback_or_listed() {
        let mut config = Config::default();
        for host in ["localhost:8103", "127.0.0.1", "127.1.2.3:1", "[::1]:8103", "app.localhost"] {
            assert_eq!(check(&config, false, host, None), Ok(()), "{host}");
        }
        for host in ["example.com", "127.0.0.1.example.com", "localhost.example.com:8103", "10.0.0.1"] {
            assert_eq!(check(&config, false, host, None), Err(Code::ForeignHost), "{host}");
        }
        config.hosts = vec!["Status.Example".to_owned()];
        assert_eq!(check(&config, false, "status.example:443", None), Ok(()));
    }

    #[test]
    fn origins_are_same_listed_or_loopback_without_keys() {
        let mut config = Config { hosts: vec!["status.example".to_owned()], ..Config::default() };
        let host = "status.example";
        assert_eq!(check(&config, true, host, Some("https://status.example")), Ok(()));
        assert_eq!(check(&config, true, "status.example:8103", Some("http://status.example:8103")), Ok(()));
        assert_eq!(check(&config, false, host, Some("http://localhost:3000")), Ok(()));
        for foreign in
            ["http://localhost:3000", "https://evil.example", "null", "https://status.example.evil"]
        {
            assert_eq!(check(&config, true, host, Some(foreign)), Err(Code::ForeignOrigin), "{foreign}");
        }
        config.origins = vec!["https://app.example/".to_owned()];
        assert_eq!(check(&config, true, host, Some("https://app.example")), Ok(()));
    }
}
