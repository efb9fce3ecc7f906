//! Help for a host that has nothing else to do than to serve a hub: tuned sockets, peers that are cut when they take
//! nothing, TLS, a bound on how many may come in, and a close that ends in time.
//!
//! A host with a listener of its own uses the parts: [`tune_listener`] and [`Connections`].

mod connections;
mod doorstep;
mod tls;

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::connect_info::ConnectInfo;
use http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;
use tower_http::timeout::TimeoutBody;

pub(crate) use connections::Pushed;
pub use connections::{Connection, Connections, CuttableListener, Wire};
pub use tls::{Tls, TlsError};

use self::doorstep::{Doorstep, Inlet};
use crate::hub::HubParts;
use crate::metrics::Metrics;
use crate::metrics::table::Limited;
use crate::transport::not_found;

/// How long a peer may leave data unacknowledged before the kernel cuts it.
const UNACKNOWLEDGED: Duration = Duration::from_secs(30);
/// How much unsent data the kernel keeps of a connection. Small, so that the hub sees who does not read.
const UNSENT_BYTES: u32 = 16 * 1024;
/// The most that is read of a head, and kept of a body that nobody reads yet.
const HEAD_BYTES: usize = 64 * 1024;
/// How long a peer may take nothing while there is something to write to it, unless a host says otherwise.
pub const STALLED: Duration = Duration::from_secs(30);
/// How long the head of a request, or the next part of its body, may take, unless a host says otherwise.
pub const REQUEST: Duration = Duration::from_secs(60);

/// Tunes a listening socket so that peers who stop reading are seen and cut. Accepted connections inherit it.
///
/// Without it the kernel takes megabytes before a buffer is full, and a peer that is gone keeps its connection.
/// [`Connections`] do the second part on every system, but see less of it: a byte in the kernel's buffer counts as taken.
///
/// # Errors
/// When the system refuses a setting. Off Linux nothing is set.
pub fn tune_listener(listener: &impl AsFd) -> io::Result<()> {
    #[cfg(target_os = "linux")]
    {
        let socket = socket2::SockRef::from(listener);
        socket.set_tcp_user_timeout(Some(UNACKNOWLEDGED))?;
        socket.set_tcp_notsent_lowat(UNSENT_BYTES)?;
    }
    #[cfg(not(target_os = "linux"))]
    let _ = listener;
    Ok(())
}

/// Serves a hub until `shutdown`, then closes it within `deadline` whatever the peers do, as a [`Server`] with its
/// defaults.
///
/// # Errors
/// When the listener fails.
pub async fn serve(
    listener: TcpListener,
    parts: HubParts,
    shutdown: impl Future<Output = ()> + Send + 'static,
    deadline: Duration,
) -> io::Result<()> {
    Server::default().serve(listener, parts, shutdown, deadline).await
}

/// How a hub is served.
#[derive(Debug, Clone, Default)]
#[must_use = "it does nothing until it serves"]
pub struct Server {
    stalled: Option<Duration>,
    request: Option<Duration>,
    tls: Option<Tls>,
}

impl Server {
    /// How long a peer may take nothing while there is something to write to it. Default: the hub's limit
    /// `stalled_seconds`, 30 s.
    pub fn stalled(mut self, limit: Duration) -> Self {
        self.stalled = Some(limit);
        self
    }

    /// How long a TLS handshake may take, the head of a request, from the connection or the answer before it, and the next
    /// part of a body. Default: the hub's limit `request_seconds`, 60 s.
    pub fn request(mut self, limit: Duration) -> Self {
        self.request = Some(limit);
        self
    }

    /// Speaks TLS. Default: plain.
    pub fn tls(mut self, tls: Tls) -> Self {
        self.tls = Some(tls);
        self
    }

    /// Serves a hub until `shutdown`, then closes it, and returns within `deadline` whatever the peers do. No connection
    /// is open then.
    ///
    /// # Errors
    /// When the listener fails.
    pub async fn serve(
        self,
        listener: TcpListener,
        parts: HubParts,
        shutdown: impl Future<Output = ()> + Send,
        deadline: Duration,
    ) -> io::Result<()> {
        if let Err(error) = tune_listener(&listener) {
            tracing::warn!(%error, "the listener could not be tuned; peers that stop reading are seen late");
        }
        let HubParts { router, layer, hub } = parts;
        let app = router.fallback(not_found).layer(layer);
        let seconds = |own: Option<Duration>, seconds: u32| {
            own.unwrap_or_else(|| Duration::from_secs(u64::from(seconds)))
        };
        let limits = &hub.0.config.limits;
        let connections = Connections::new(seconds(self.stalled, limits.stalled_seconds));
        let line = Line {
            request: seconds(self.request, limits.request_seconds),
            tls: self.tls,
            app,
            connections: connections.clone(),
            closing: CancellationToken::new(),
            metrics: hub.0.metrics.clone(),
        };
        let doorstep = Doorstep::new(&hub.0.config, &hub.0.metrics);
        // Also when this future is dropped: then nobody waits, and everybody goes.
        let _cut = CutOnDrop(&connections);
        tokio::pin!(shutdown);
        loop {
            let (stream, address) = tokio::select! {
                accepted = listener.accept() => match accepted {
                    Ok(accepted) => accepted,
                    Err(error) => {
                        tokio::select! {
                            () = refused(&error) => continue,
                            () = &mut shutdown => break,
                        }
                    }
                },
                () = &mut shutdown => break,
            };
            match doorstep.enter(address.ip()) {
                Ok(inlet) => drop(tokio::spawn(line.clone().serve(stream, address, inlet))),
                Err(problem) if line.tls.is_some() => drop((stream, problem)),
                Err(problem) => doorstep.refuse(stream, &problem),
            }
        }
        let started = tokio::time::Instant::now();
        drop(listener);
        line.closing.cancel();
        // What is left after the cut is not I/O but work: a moment for that.
        let last = (deadline / 4).min(Duration::from_secs(1));
        hub.close(deadline.saturating_sub(last)).await;
        let left = deadline.saturating_sub(last).saturating_sub(started.elapsed());
        if tokio::time::timeout(left, connections.gone()).await.is_err() {
            tracing::info!(open = connections.open(), "who has not gone by itself is cut");
            connections.cut();
            let left = deadline.saturating_sub(started.elapsed());
            let _ = tokio::time::timeout(left, connections.gone()).await;
        }
        Ok(())
    }
}

/// What each connection is served with.
#[derive(Clone)]
struct Line {
    request: Duration,
    tls: Option<Tls>,
    app: Router,
    connections: Connections,
    closing: CancellationToken,
    metrics: Arc<Metrics>,
}

impl Line {
    /// Serves one connection to its end.
    async fn serve(self, stream: TcpStream, address: SocketAddr, inlet: Inlet) {
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "TCP_NODELAY was not set");
        }
        let Some(tls) = &self.tls else { return self.speak(stream, address, inlet).await };
        let shaken = tokio::select! {
            shaken = tokio::time::timeout(self.request, tls.accept(stream)) => shaken,
            () = self.connections.cut_token().cancelled() => return,
            () = self.closing.cancelled() => return,
        };
        match shaken {
            Ok(Ok(stream)) => self.speak(stream, address, inlet).await,
            Ok(Err(error)) => tracing::debug!(%error, %address, "a TLS handshake failed"),
            Err(_) => self.too_slow(),
        }
    }

    fn too_slow(&self) {
        self.metrics.limited.add(Limited::RequestSeconds, 1);
    }

    async fn speak<S>(self, stream: S, address: SocketAddr, inlet: Inlet)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let Self { request, app, connections, closing, .. } = self.clone();
        let mut stream = connections.wrap(stream);
        stream.hold(inlet);
        let wire = stream.wire();
        let asked = Arc::new(AtomicBool::new(false));
        let has_asked = asked.clone();
        let service = hyper::service::service_fn(move |asks: Request<Incoming>| {
            has_asked.store(true, Ordering::Relaxed);
            let mut asks = asks.map(|body| Body::new(TimeoutBody::new(request, body)));
            asks.extensions_mut().insert(ConnectInfo(wire.clone()));
            asks.extensions_mut().insert(ConnectInfo(address));
            let answer = app.clone().oneshot(asks);
            async move { Ok::<_, Infallible>(answer.await.unwrap_or_else(|never| match never {})) }
        });
        let serving = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(request)
            .max_buf_size(HEAD_BYTES)
            .serve_connection(TokioIo::new(stream), service)
            .with_upgrades();
        tokio::pin!(serving);
        let mut told = false;
        loop {
            tokio::select! {
                result = serving.as_mut() => {
                    if let Err(error) = result {
                        // One that rests after its requests is not slow.
                        if error.is_timeout() && !asked.load(Ordering::Relaxed) {
                            self.too_slow();
                        }
                        tracing::trace!(%error, "a connection ended in an error");
                    }
                    return;
                }
                () = closing.cancelled(), if !told => {
                    told = true;
                    serving.as_mut().graceful_shutdown();
                }
                // Whatever a handler waits for, and also where bytes that were read already keep an error from being seen.
                () = connections.cut_token().cancelled() => return,
            }
        }
    }
}

/// Cuts what is open when a server ends, however it ends.
struct CutOnDrop<'a>(&'a Connections);

impl Drop for CutOnDrop<'_> {
    fn drop(&mut self) {
        self.0.cut();
    }
}

/// A connection could not be accepted. Some errors are of that connection only; others, such as that there are no more
/// descriptors, need time.
async fn refused(error: &io::Error) {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    if !matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset) {
        tracing::error!(%error, "a connection could not be accepted");
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}
