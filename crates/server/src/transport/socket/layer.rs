//! The layer that a host puts around its application: Socket.IO with the hub's doors, and nothing else touched.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http::Request;
use socketioxide::layer::SocketIoLayer;
use tower::util::BoxCloneSyncService;
use tower::{Layer, Service, ServiceExt, service_fn};

use super::PATH;
use crate::doors::DoorsLayer;
use crate::transport::not_found;

/// Answers Socket.IO's requests and passes all others on. Made by [`HubBuilder`](crate::HubBuilder).
#[derive(Clone)]
pub struct HubLayer {
    socket: BoxCloneSyncService<Request<Body>, Response, Infallible>,
}

impl HubLayer {
    pub(super) fn new(layer: SocketIoLayer, doors: DoorsLayer) -> Self {
        // What Socket.IO itself does not take is an address that does not exist.
        let rest = service_fn(|request: Request<Body>| async move {
            Ok::<Response, Infallible>(not_found(request.uri().clone()).await)
        });
        let socket = ServiceExt::<Request<Body>>::map_response(layer.layer(rest), |answer: Response<_>| {
            answer.map(Body::new)
        });
        Self { socket: BoxCloneSyncService::new(doors.layer(socket)) }
    }
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
    socket: BoxCloneSyncService<Request<Body>, Response, Infallible>,
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
            let answer = self.socket.clone().oneshot(request);
            Box::pin(async move { Ok(answer.await?) })
        } else {
            let answer = self.inner.call(request);
            Box::pin(async move { answer.await.map(IntoResponse::into_response) })
        }
    }
}
