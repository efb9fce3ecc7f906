//! Connections that can be cut: all at once when the server ends, and each by itself when its peer takes nothing.
//!
//! A WebSocket's stream lives in a task of the Socket.IO library that nobody can abort, and which waits for as long as a
//! write does. So the stream itself has to fail, in both directions: the library ends a connection on an error of a
//! read and only notes that of a write, and the task that reads has to be woken to see it.

use std::collections::HashMap;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use axum::extract::connect_info::Connected;
use axum::serve::{IncomingStream, Listener};
use futures_util::task::AtomicWaker;
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::watch;
use tokio::time::Sleep;
use tokio_util::sync::CancellationToken;

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

/// What a connection shares with the hand that may cut it.
#[derive(Debug, Default)]
struct Line {
    cut: AtomicBool,
    written: AtomicU64,
    reader: AtomicWaker,
    writer: AtomicWaker,
}

impl Line {
    fn cut(&self) {
        self.cut.store(true, Ordering::SeqCst);
        self.reader.wake();
        self.writer.wake();
    }

    fn check(&self) -> io::Result<()> {
        if self.cut.load(Ordering::SeqCst) {
            return Err(io::Error::new(io::ErrorKind::ConnectionAborted, "the connection was cut"));
        }
        Ok(())
    }
}

/// As the waker of a timer: both tasks have to know.
impl Wake for Line {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.reader.wake();
        self.writer.wake();
    }
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
    pub fn wrap<S>(&self, stream: S) -> Connection<S> {
        let line = Arc::new(Line::default());
        let number = self.0.next.fetch_add(1, Ordering::Relaxed);
        self.0.count.send_modify(|count| *count += 1);
        self.0.open.lock().insert(number, line.clone());
        // After it can be found, so that a cut at this moment is not missed.
        if self.0.cut.is_cancelled() {
            line.cut();
        }
        let place = Place { number, line, all: self.clone() };
        Connection { stream, waiting: None, place, inlet: None }
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
        self.line.written.store(CLOSED, Ordering::Relaxed);
        self.all.0.open.lock().remove(&self.number);
        self.all.0.count.send_modify(|count| *count -= 1);
    }
}

/// A stream that can be cut. Made by [`Connections`].
pub struct Connection<S> {
    // In this order: the descriptor is closed before the place is given up.
    stream: S,
    waiting: Option<Waiting>,
    place: Place,
    inlet: Option<Inlet>,
}

/// Something that the peer has not accepted yet.
struct Waiting {
    /// Runs until that is too long.
    until: Pin<Box<Sleep>>,
    what: What,
}

/// What waits. That a plain socket has nothing to flush does not mean that it accepts more.
#[derive(Clone, Copy, PartialEq, Eq)]
enum What {
    Write,
    Flush,
}

impl<S> std::fmt::Debug for Connection<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connection").field("number", &self.place.number).finish_non_exhaustive()
    }
}

impl<S> Connection<S> {
    /// Keeps a place at the doorstep for as long as it is open: an upgraded one outlives who served it.
    pub(super) fn hold(&mut self, inlet: Inlet) {
        self.inlet = Some(inlet);
    }

    /// What has been written to this connection, in a form that the hub can look at.
    pub fn wire(&self) -> Wire {
        Wire(self.place.line.clone())
    }

    fn count(&self, result: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if let Poll::Ready(Ok(count)) = &result {
            self.place.line.written.fetch_add(*count as u64, Ordering::Relaxed);
        }
        result
    }

    /// Notes what came of a write or a flush, and has who waits for it woken when that takes too long.
    fn note<T>(&mut self, cx: &mut Context<'_>, what: What, result: &Poll<io::Result<T>>) -> io::Result<()> {
        if result.is_ready() {
            if self.waiting.as_ref().is_some_and(|waiting| what == What::Write || waiting.what == what) {
                self.waiting = None;
            }
            return Ok(());
        }
        let stalled = self.place.all.0.stalled;
        self.waiting.get_or_insert_with(|| Waiting { until: Box::pin(tokio::time::sleep(stalled)), what });
        self.place.line.writer.register(cx.waker());
        self.check_time()
    }

    /// Cuts the connection where its peer has taken nothing for too long. To be called when wakers are registered: a
    /// cut before that woke nobody.
    fn check_time(&mut self) -> io::Result<()> {
        let line = &self.place.line;
        if let Some(waiting) = &mut self.waiting {
            let both = Waker::from(line.clone());
            if waiting.until.as_mut().poll(&mut Context::from_waker(&both)).is_ready() {
                tracing::debug!(stalled = ?self.place.all.0.stalled, "a peer takes nothing and is cut");
                line.cut();
            }
        }
        line.check()
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Connection<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.place.line.check()?;
        let result = Pin::new(&mut self.stream).poll_read(cx, buffer);
        if result.is_pending() {
            self.place.line.reader.register(cx.waker());
            // The task of the write may no longer be there to see that its time has run out.
            self.check_time()?;
        }
        result
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Connection<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.place.line.check()?;
        let result = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.note(cx, What::Write, &result)?;
        self.count(result)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.place.line.check()?;
        let result = Pin::new(&mut self.stream).poll_write_vectored(cx, bytes);
        self.note(cx, What::Write, &result)?;
        self.count(result)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.place.line.check()?;
        let result = Pin::new(&mut self.stream).poll_flush(cx);
        self.note(cx, What::Flush, &result)?;
        result
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.place.line.check()?;
        let result = Pin::new(&mut self.stream).poll_shutdown(cx);
        self.note(cx, What::Flush, &result)?;
        result
    }
}

/// A listener whose connections can be cut. Made by [`Connections::listen`].
#[derive(Debug)]
pub struct CuttableListener<L> {
    listener: L,
    connections: Connections,
}

impl<L: Listener> Listener for CuttableListener<L> {
    type Io = Connection<L::Io>;
    type Addr = L::Addr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        let (stream, address) = self.listener.accept().await;
        (self.connections.wrap(stream), address)
    }

    fn local_addr(&self) -> io::Result<Self::Addr> {
        self.listener.local_addr()
    }
}

/// How much has been written to a connection.
///
/// The hub looks for it as `ConnectInfo<Wire>` in the extensions of a request. Where it is there, what waits in the
/// buffer of a socket is bounded in bytes too, and not only in messages.
#[derive(Debug, Clone)]
pub struct Wire(Arc<Line>);

/// What stands in the place of a count once the connection is closed.
const CLOSED: u64 = u64::MAX;

impl Wire {
    /// Whether the connection is closed: nothing goes over it any more.
    pub fn is_closed(&self) -> bool {
        self.written() == CLOSED
    }

    /// Bytes written so far; beyond any count once it is closed.
    pub fn written(&self) -> u64 {
        self.0.written.load(Ordering::Relaxed)
    }

    /// One that the test closes.
    #[cfg(test)]
    pub(crate) fn closable() -> (Self, impl FnOnce()) {
        let line = Arc::new(Line::default());
        let of = line.clone();
        (Self(line), move || of.written.store(CLOSED, Ordering::Relaxed))
    }

    /// One to which the test writes.
    #[cfg(test)]
    pub(crate) fn manual() -> (Self, impl Fn(u64)) {
        let line = Arc::new(Line::default());
        let of = line.clone();
        (Self(line), move |bytes| {
            of.written.fetch_add(bytes, Ordering::Relaxed);
        })
    }
}

impl<L: Listener> Connected<IncomingStream<'_, CuttableListener<L>>> for Wire {
    fn connect_info(stream: IncomingStream<'_, CuttableListener<L>>) -> Self {
        stream.io().wire()
    }
}

#[cfg(test)]
mod tests;
