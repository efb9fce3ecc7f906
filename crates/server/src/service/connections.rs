//! Connections that can be cut: all at once when the server ends, and each by itself when its peer takes nothing.
//!
//! A WebSocket's stream lives in a task of the Socket.IO library that nobody can abort, and which waits for as long as a
//! write does. So the stream itself has to fail, in both directions: the library ends a connection on an error of a
//! read and only notes that of a write, and the task that reads has to be woken to see it.

mod frames;
mod line;

use std::collections::HashMap;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::extract::connect_info::Connected;
use axum::serve::{IncomingStream, Listener};
use bytes::Bytes;
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

pub(crate) use self::line::Pushed;
use self::line::{CLOSED, Line};
#[cfg(test)]
use super::STALLED;
use super::doorstep::Inlet;

/// The open connections of a server, and the hand that cuts them. Cheap to clone.
///
/// A host that runs its own listener puts it around that, and cuts what is left when its own deadline has passed:
///
/// ```no_run
/// # use std::time::Duration;
/// # use ragpulse_server::service::{Connections, STALLED, Wire};
/// # async fn run(listener: tokio::net::TcpListener, app: axum::Router, hub: ragpulse_server::Hub) {
/// let connections = Connections::new(STALLED);
/// let app = app.into_make_service_with_connect_info::<Wire>();
/// let server = tokio::spawn(axum::serve(connections.listen(listener), app).into_future());
/// // When the time has come:
/// hub.close(Duration::from_secs(5)).await;
/// server.abort();
/// connections.cut();
/// connections.gone().await;
/// # }
/// ```
#[derive(Clone)]
pub struct Connections(Arc<Inner>);

struct Inner {
    stalled: Duration,
    cut: CancellationToken,
    /// What is open, by a number of its own.
    open: Mutex<HashMap<u64, Arc<Line>>>,
    next: AtomicU64,
    count: watch::Sender<usize>,
}

impl Connections {
    /// Connections of which each is cut when its peer accepts no byte for `stalled` while there is something to write.
    pub fn new(stalled: Duration) -> Self {
        Self(Arc::new(Inner {
            stalled,
            cut: CancellationToken::new(),
            open: Mutex::default(),
            next: AtomicU64::new(0),
            count: watch::Sender::new(0),
        }))
    }

    /// Puts a stream among them.
    pub fn wrap(&self, stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static) -> Connection {
        let line = Line::new(Some(Box::new(stream)), self.0.stalled);
        let number = self.0.next.fetch_add(1, Ordering::Relaxed);
        self.0.count.send_modify(|count| *count += 1);
        self.0.open.lock().insert(number, line.clone());
        // After it can be found, so that a cut at this moment is not missed.
        if self.0.cut.is_cancelled() {
            line.cut();
        }
        Connection { place: Place { number, line, all: self.clone() }, inlet: None }
    }

    /// A listener whose connections are among them, for `axum::serve`.
    pub fn listen<L: Listener>(&self, listener: L) -> CuttableListener<L> {
        CuttableListener { listener, connections: self.clone() }
    }

    /// Cuts all of them, and those that come later: reads and writes fail, and who waits for one is woken.
    pub fn cut(&self) {
        self.0.cut.cancel();
        for line in self.0.open.lock().values() {
            line.cut();
        }
    }

    /// Ends when they are cut.
    pub(super) fn cut_token(&self) -> &CancellationToken {
        &self.0.cut
    }

    /// How many are open: accepted, and their descriptors not yet closed.
    pub fn open(&self) -> usize {
        *self.0.count.borrow()
    }

    /// Returns when none is open.
    pub async fn gone(&self) {
        // The sender is held by `self`, so this cannot fail.
        let _ = self.0.count.subscribe().wait_for(|count| *count == 0).await;
    }
}

impl std::fmt::Debug for Connections {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connections").field("open", &self.open()).finish_non_exhaustive()
    }
}

/// A place among the connections, given up after the stream is closed.
struct Place {
    number: u64,
    line: Arc<Line>,
    all: Connections,
}

impl Drop for Place {
    fn drop(&mut self) {
        // Others may hold the line; the descriptor goes with the connection.
        self.line.close();
        self.line.set_closed();
        self.all.0.open.lock().remove(&self.number);
        self.all.0.count.send_modify(|count| *count -= 1);
    }
}

/// A stream that can be cut, and beside which finished messages can be [put in line](Wire). Made by [`Connections`].
pub struct Connection {
    place: Place,
    inlet: Option<Inlet>,
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connection").field("number", &self.place.number).finish_non_exhaustive()
    }
}

impl Connection {
    /// Keeps a place at the doorstep for as long as it is open: an upgraded one outlives who served it.
    pub(super) fn hold(&mut self, inlet: Inlet) {
        self.inlet = Some(inlet);
    }

    /// What the hub has of this connection.
    pub fn wire(&self) -> Wire {
        Wire(self.place.line.clone())
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.place.line.poll_read(cx, buffer)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.place.line.poll_write(cx, &[io::IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.place.line.poll_write(cx, bytes)
    }

    fn is_write_vectored(&self) -> bool {
        self.place.line.is_vectored
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.place.line.poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.place.line.poll_shutdown(cx)
    }
}

/// A listener whose connections can be cut. Made by [`Connections::listen`].
#[derive(Debug)]
pub struct CuttableListener<L> {
    listener: L,
    connections: Connections,
}

impl<L: Listener> Listener for CuttableListener<L>
where
    L::Io: 'static,
{
    type Io = Connection;
    type Addr = L::Addr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        let (stream, address) = self.listener.accept().await;
        (self.connections.wrap(stream), address)
    }

    fn local_addr(&self) -> io::Result<Self::Addr> {
        self.listener.local_addr()
    }
}

/// A connection as the hub has it: how much has been written to it, and where finished messages are put in line.
///
/// The hub looks for it as `ConnectInfo<Wire>` in the extensions of a request. Where it is there, what waits for a socket is
/// bounded in bytes too, and not only in messages, and a delivery costs less: it goes to the connection without a way
/// through the tasks of the Socket.IO library.
#[derive(Debug, Clone)]
pub struct Wire(Arc<Line>);

impl Wire {
    /// Whether the connection is closed: nothing goes over it any more.
    pub fn is_closed(&self) -> bool {
        self.written() == CLOSED
    }

    /// Bytes written so far; beyond any count once it is closed.
    pub fn written(&self) -> u64 {
        self.0.written()
    }

    /// Of the bytes written so far, those that the library wrote; beyond any count once it is closed.
    pub(crate) fn by_library(&self) -> u64 {
        self.0.by_library()
    }

    /// The library is about to tell the client that it has entered a namespace; gives the number of that entry, by which
    /// [`takes`](Self::takes) is asked. `None` where it is not counted.
    pub(crate) fn grant(&self, namespace: &str) -> Option<u64> {
        self.0.grant(namespace)
    }

    /// Whether messages may be put in line for who has this entry to a namespace: from when its client was told of it. `None` until it was;
    /// `Some(false)` where it never will be, as this is no WebSocket.
    pub(crate) fn takes(&self, namespace: &str, entry: u64) -> Option<bool> {
        self.0.takes(namespace, entry)
    }

    /// Fails both ways from now on.
    pub(crate) fn cut(&self) {
        self.0.cut();
    }

    /// Puts a finished frame in line, unless so many bytes or messages wait there.
    pub(crate) fn push(&self, frame: &Bytes, most_bytes: usize, most_messages: usize) -> Pushed {
        self.0.push(frame, most_bytes, most_messages)
    }

    /// Writes what is in line, as far as the peer takes it at once. The rest goes by itself.
    pub(crate) fn flush(&self) {
        self.0.flush();
    }

    /// One that the test closes.
    #[cfg(test)]
    pub(crate) fn closable() -> (Self, impl FnOnce()) {
        let line = Line::new(None, STALLED);
        let of = line.clone();
        (Self(line), move || of.set_closed())
    }

    /// One to which the test writes.
    #[cfg(test)]
    pub(crate) fn manual() -> (Self, impl Fn(u64)) {
        let line = Line::new(None, STALLED);
        let of = line.clone();
        (Self(line), move |bytes| of.write_by_hand(bytes))
    }
}

impl<L: Listener> Connected<IncomingStream<'_, CuttableListener<L>>> for Wire
where
    L::Io: 'static,
{
    fn connect_info(stream: IncomingStream<'_, CuttableListener<L>>) -> Self {
        stream.io().wire()
    }
}

#[cfg(test)]
mod tests;
