//! The layer that a host puts around its application: Socket.IO with the hub's doors, and nothing else touched.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::body::{Body, to_bytes};
use axum::extract::connect_info::ConnectInfo;
use axum::response::{IntoResponse, Response};
use http::header::{CONNECTION, CONTENT_TYPE, SEC_WEBSOCKET_KEY, UPGRADE};
use http::{Extensions, HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode, Uri, Version};
use hyper::upgrade::OnUpgrade;
use ragpulse_protocol::{Code, Problem};
use socketioxide::layer::SocketIoLayer;
use tower::util::BoxCloneSyncService;
use tower::{Layer, Service, ServiceExt, service_fn};

use super::PATH;
use super::meter::{Meter, Meters};
use crate::address::ClientAddress;
use crate::doors::DoorsLayer;
use crate::limits::AtLimit;
use crate::metrics::Metrics;
use crate::metrics::table::{HandshakeCause, Outcome, Transport};
use crate::service::Wire;
use crate::transport::{Told, not_found, problem_response};

/// Answers Socket.IO's requests and passes all others on. Made by [`HubBuilder`](crate::HubBuilder).
#[derive(Clone)]
pub struct HubLayer {
    // Shared: a service is cloned for each request, and most are not for Socket.IO.
    socket: Arc<BoxCloneSyncService<Request<Body>, Response, Infallible>>,
}

impl HubLayer {
    pub(super) fn new(
        layer: SocketIoLayer,
        doors: DoorsLayer,
        meters: Arc<Meters>,
        metrics: Arc<Metrics>,
    ) -> Self {
        // What Socket.IO itself does not take is an address that does not exist.
        let rest = service_fn(|request: Request<Body>| async move {
            Ok::<Response, Infallible>(not_found(request.uri().clone()).await)
        });
        let socket = ServiceExt::<Request<Body>>::map_response(layer.layer(rest), |answer: Response<_>| {
            answer.map(Body::new)
        });
        let socket =
            service_fn(move |request: Request<Body>| metered(socket.clone(), meters.clone(), request));
        let socket = service_fn(move |request: Request<Body>| whole(socket.clone(), request));
        let socket = doors.layer(socket);
        let socket =
            service_fn(move |request: Request<Body>| counted(socket.clone(), metrics.clone(), request));
        Self { socket: Arc::new(BoxCloneSyncService::new(socket)) }
    }
}

/// Counts the handshakes that fail before there is a socket.
async fn counted<S>(socket: S, metrics: Arc<Metrics>, request: Request<Body>) -> Result<Response, Infallible>
where
    S: Service<Request<Body>, Response = Response, Error = Infallible>,
{
    let websocket = parameter(request.uri(), "transport") == Some("websocket");
    let opens = parameter(request.uri(), "sid").is_none() && request.method() == Method::GET;
    let mut answer = socket.oneshot(request).await?;
    if answer.status() == StatusCode::PAYLOAD_TOO_LARGE {
        let message = "A request of Engine.IO is smaller than this. Send less at once.";
        answer = problem_response(&Problem::new(Code::BodyTooLarge, message).at_limit("frame_bytes"));
    }
    let told = answer.extensions().get::<Told>().map(|Told(problem)| problem.clone());
    let cause = match told.as_ref().map(|problem| problem.code) {
        Some(Code::ForeignOrigin) => Some(HandshakeCause::Origin),
        Some(Code::ForeignHost) => Some(HandshakeCause::Host),
        _ if websocket && answer.status() != StatusCode::SWITCHING_PROTOCOLS => Some(HandshakeCause::Upgrade),
        _ if opens && answer.status().is_client_error() => Some(HandshakeCause::Upgrade),
        _ => None,
    };
    if let Some(problem) = told {
        metrics.problem(&problem);
    }
    if let Some(cause) = cause {
        let transport = if websocket { Transport::Websocket } else { Transport::Polling };
        metrics.handshake_failures.add(cause, 1);
        metrics.connection_attempts.add((transport, Outcome::Refused), 1);
    }
    Ok(answer)
}

/// Refuses what asks for a WebSocket and is no upgrade: Socket.IO looks at the other headers only, and what stands between
/// would get a 101 that it did not ask for.
async fn whole<S>(socket: S, request: Request<Body>) -> Result<Response, Infallible>
where
    S: Service<Request<Body>, Response = Response, Error = Infallible>,
{
    let over_websocket = parameter(request.uri(), "transport") == Some("websocket");
    if over_websocket && request.method() == Method::GET && !is_upgrade(&request) {
        return Ok(problem_response(&Problem::new(
            Code::InvalidRequest,
            "This asks for a WebSocket, and the headers `Upgrade: websocket` and `Connection: upgrade` of HTTP/1.1 are \
             not here. Let what stands before the hub pass them on.",
        )));
    }
    socket.oneshot(request).await
}

fn is_upgrade(request: &Request<Body>) -> bool {
    let names = |header, token: &str| {
        let values = request.headers().get_all(header).iter().filter_map(|value| value.to_str().ok());
        values.flat_map(|value| value.split(',')).any(|one| one.trim().eq_ignore_ascii_case(token))
    };
    request.version() == Version::HTTP_11 && names(UPGRADE, "websocket") && names(CONNECTION, "upgrade")
}

/// Lets the meter of a session see by what its messages leave.
async fn metered<S>(
    socket: S,
    meters: Arc<Meters>,
    mut request: Request<Body>,
) -> Result<Response, Infallible>
where
    S: Service<Request<Body>, Response = Response, Error = Infallible>,
{
    let over_websocket = parameter(request.uri(), "transport") == Some("websocket");
    let session = parameter(request.uri(), "sid").map(str::to_owned);
    let wire = request.extensions().get::<ConnectInfo<Wire>>().map(|info| info.0.clone());
    let polls = !over_websocket && request.method() == Method::GET;
    let Some(session) = session else {
        let meter = if over_websocket { meters.of_wire(wire) } else { meters.of_polls() };
        request.extensions_mut().insert(meter.clone());
        let answer = socket.oneshot(of_its_own(request)).await?;
        if !polls || !answer.status().is_success() {
            return Ok(answer);
        }
        // The name of the session stands in the answer: a few bytes that are there already.
        let (parts, body) = answer.into_parts();
        let body = to_bytes(body, OPENING).await.unwrap_or_default();
        if let Some(session) = opened(&body) {
            meters.remember(&session, &meter);
        }
        return Ok(Response::from_parts(parts, Body::from(body)));
    };
    if over_websocket {
        meters.upgraded(&session, wire);
        request = of_its_own(request);
    }
    let answer = socket.oneshot(request).await?;
    if polls {
        meters.polled(&session);
    }
    Ok(answer)
}

/// The headers that Socket.IO itself reads.
const READ: [HeaderName; 2] = [SEC_WEBSOCKET_KEY, CONTENT_TYPE];

/// The request with copies of what is read of it, and nothing else. Socket.IO keeps the head of the request by which a
/// session began for as long as the session, and each part of a head holds on to the whole buffer that it was read into:
/// that would be half of what an idle connection costs.
fn of_its_own(request: Request<Body>) -> Request<Body> {
    let (mut head, body) = request.into_parts();
    let mut own = Request::new(body);
    *own.method_mut() = head.method;
    *own.version_mut() = head.version;
    // A URI that was parsed before can be parsed again.
    let address = head.uri.path_and_query().map_or("/", |address| address.as_str());
    *own.uri_mut() = address.parse().unwrap_or(head.uri);
    let mut headers = HeaderMap::new();
    for name in READ {
        let copied = head.headers.get(&name).map(|value| HeaderValue::from_bytes(value.as_bytes()));
        if let Some(Ok(value)) = copied {
            headers.insert(name, value);
        }
    }
    // A copy is as large as it has to be, and no larger.
    own.headers_mut().clone_from(&headers);
    let (from, to) = (&mut head.extensions, own.extensions_mut());
    keep::<OnUpgrade>(from, to);
    keep::<ClientAddress>(from, to);
    keep::<Arc<Meter>>(from, to);
    own
}

fn keep<T: Clone + Send + Sync + 'static>(from: &mut Extensions, to: &mut Extensions) {
    if let Some(kept) = from.remove::<T>() {
        to.insert(kept);
    }
}

fn parameter<'a>(uri: &'a Uri, name: &str) -> Option<&'a str> {
    let pairs = uri.query()?.split('&').filter_map(|pair| pair.split_once('='));
    pairs.into_iter().find(|(key, _)| *key == name).map(|(_, value)| value)
}

/// The most that the answer to the opening of a session has.
const OPENING: usize = 4_096;

/// The session that an answer opens: `0{"sid":"…",…}`.
fn opened(answer: &[u8]) -> Option<String> {
    #[derive(serde::Deserialize)]
    struct Open {
        sid: String,
    }
    let open: Open = serde_json::from_slice(answer.strip_prefix(b"0")?).ok()?;
    Some(open.sid)
}

impl<S> Layer<S> for HubLayer {
    type Service = HubService<S>;
    fn layer(&self, inner: S) -> Self::Service {
        HubService { socket: self.socket.clone(), inner }
    }
}

/// An application with Socket.IO before it.
#[derive(Clone)]
pub struct HubService<S> {
    socket: Arc<BoxCloneSyncService<Request<Body>, Response, Infallible>>,
    inner: S,
}

impl<S> Service<Request<Body>> for HubService<S>
where
    S: Service<Request<Body>>,
    S::Response: IntoResponse,
    S::Error: From<Infallible> + 'static,
    S::Future: Send + 'static,
{
    type Response = Response;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Response, S::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let path = request.uri().path();
        let ours = path.strip_prefix(PATH).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
        if ours {
            let answer = BoxCloneSyncService::clone(&self.socket).oneshot(request);
            Box::pin(async move { Ok(answer.await?) })
        } else {
            let answer = self.inner.call(request);
            Box::pin(async move { answer.await.map(IntoResponse::into_response) })
        }
    }
}
