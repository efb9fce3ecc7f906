//! The line: one connection as those share it who write to it. The library that owns it writes through [`Connection`](super::Connection);
//! finished messages are put in line beside it, and go out between two frames of the library. Who comes first goes first.
//!
//! The lock is held for writes that do not wait. What the peer does not take yet is gone on with by the library's task that reads, or, once
//! that has ended, by the one that closes; and what the library itself writes waits for what was in line before it.
//!
//! *What it never does:* put anything into a frame of the library, wait, or keep more in line than it is told.

use std::collections::VecDeque;
use std::future::Future;
use std::io::{self, ErrorKind, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll, Wake, Waker, ready};
use std::time::Duration;

use bytes::{Buf, Bytes};
use futures_util::task::AtomicWaker;
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Sleep;

use super::frames::Frames;

/// How many messages are given to one write at most.
const SLICES: usize = 64;
/// A queue that was longer is given back to the allocator once it is empty: an idle connection is to be small.
const KEPT: usize = 32;
/// How often what is in line stands back for a write of the library that was announced. It comes at once; should it never, they go on.
const STANDS_BACK: u16 = 256;
/// What stands in the place of a count once the connection is closed.
pub(super) const CLOSED: u64 = u64::MAX;

/// What a connection runs over.
pub(super) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// One connection.
pub(super) struct Line {
    stalled: Duration,
    /// The stream takes several parts in one write.
    pub(super) is_vectored: bool,
    cut: AtomicBool,
    written: AtomicU64,
    /// Of these, what the library wrote.
    by_library: AtomicU64,
    reader: AtomicWaker,
    writer: AtomicWaker,
    io: Mutex<Io>,
}

/// What became of a message that was to be put in line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pushed {
    /// It waits, and whoever put it there has to see that it is [flushed](super::Wire::flush).
    Fresh,
    /// It waits with others, of which somebody takes care.
    Behind,
    /// As much waits as may; nothing was done.
    Full,
    /// The connection takes nothing any more.
    Closed,
}

struct Io {
    /// Until it is closed.
    stream: Option<Box<dyn Stream>>,
    frames: Frames,
    queue: VecDeque<Bytes>,
    /// The bytes of the queue.
    queued: usize,
    /// The first of the queue has gone in part, or was offered to the stream.
    in_first: bool,
    /// How many were ever put in line, and how many have gone.
    pushed: u64,
    gone: u64,
    /// The library has begun a write that the stream did not take. It has to come with the same bytes again: a stream may have them already.
    offered: bool,
    /// The library waits for those that were in line before it.
    turn: Option<u64>,
    /// How often others stood back since then.
    stood_back: u16,
    /// Somebody was told that there is something to flush, and has not done it yet.
    fresh: bool,
    /// The peer takes no more: the task that reads goes on once it does.
    blocked: bool,
    /// Something was written since the last flush.
    unflushed: bool,
    waiting: Option<Waiting>,
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

impl std::fmt::Debug for Line {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Line").field("written", &self.written()).finish_non_exhaustive()
    }
}

/// As the waker of a timer and of what is written: both tasks have to know.
impl Wake for Line {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.reader.wake();
        self.writer.wake();
    }
}

impl Line {
    pub(super) fn new(stream: Option<Box<dyn Stream>>, stalled: Duration) -> Arc<Self> {
        Arc::new(Self {
            stalled,
            is_vectored: stream.as_ref().is_some_and(|stream| stream.is_write_vectored()),
            cut: AtomicBool::new(false),
            written: AtomicU64::new(0),
            by_library: AtomicU64::new(0),
            reader: AtomicWaker::new(),
            writer: AtomicWaker::new(),
            io: Mutex::new(Io {
                stream,
                frames: Frames::default(),
                queue: VecDeque::new(),
                queued: 0,
                in_first: false,
                pushed: 0,
                gone: 0,
                offered: false,
                turn: None,
                stood_back: 0,
                fresh: false,
                blocked: false,
                unflushed: false,
                waiting: None,
            }),
        })
    }

    pub(super) fn cut(&self) {
        self.cut.store(true, Ordering::SeqCst);
        self.reader.wake();
        self.writer.wake();
    }

    fn check(&self) -> io::Result<()> {
        if self.cut.load(Ordering::SeqCst) {
            return Err(io::Error::new(ErrorKind::ConnectionAborted, "the connection was cut"));
        }
        Ok(())
    }

    /// Closes the descriptor and lets go of what waits.
    pub(super) fn close(&self) {
        let mut io = self.io.lock();
        let closed = (io.stream.take(), io.waiting.take(), std::mem::take(&mut io.queue));
        (io.queued, io.in_first) = (0, false);
        drop(io);
        // Outside the lock: it may be more than a descriptor.
        drop(closed);
    }

    pub(super) fn written(&self) -> u64 {
        self.written.load(Ordering::Relaxed)
    }

    /// Of what was written, what the library wrote.
    pub(super) fn by_library(&self) -> u64 {
        self.by_library.load(Ordering::Relaxed)
    }

    /// After it is closed: beyond any count.
    pub(super) fn set_closed(&self) {
        self.written.store(CLOSED, Ordering::Relaxed);
        self.by_library.store(CLOSED, Ordering::Relaxed);
    }

    #[cfg(test)]
    pub(super) fn write_by_hand(&self, bytes: u64) {
        self.written.fetch_add(bytes, Ordering::Relaxed);
        self.by_library.fetch_add(bytes, Ordering::Relaxed);
    }

    /// The library is about to say that a namespace is entered; gives the number of that entry.
    pub(super) fn grant(&self, namespace: &str) -> Option<u64> {
        self.io.lock().frames.grant(namespace)
    }

    /// Whether messages may be put in line for who has entered a namespace with this number: `None` until it is known.
    pub(super) fn takes(&self, namespace: &str, entry: u64) -> Option<bool> {
        let io = self.io.lock();
        if io.stream.is_none() || io.frames.is_other() {
            return Some(false);
        }
        io.frames.has_entered(namespace, entry).then_some(true)
    }

    /// Puts a finished frame in line, unless so much waits there.
    pub(super) fn push(&self, frame: &Bytes, most_bytes: usize, most_messages: usize) -> Pushed {
        let mut io = self.io.lock();
        if io.stream.is_none() || io.frames.is_closing() || self.check().is_err() {
            return Pushed::Closed;
        }
        if io.frames.is_other() {
            // What the library writes is not understood any more: its client comes again, rather than to hear nothing.
            drop(io);
            self.cut();
            return Pushed::Closed;
        }
        if io.queued >= most_bytes || io.queue.len() >= most_messages {
            return Pushed::Full;
        }
        io.queue.push_back(frame.clone());
        io.queued += frame.len();
        io.pushed += 1;
        if io.blocked || std::mem::replace(&mut io.fresh, true) { Pushed::Behind } else { Pushed::Fresh }
    }

    /// Writes what is in line, as far as the peer takes it. Does not wait.
    pub(super) fn flush(self: &Arc<Self>) {
        let result = {
            let mut io = self.io.lock();
            io.fresh = false;
            if io.blocked || io.stream.is_none() {
                return;
            }
            let result = io.drain(self);
            io.blocked = result.is_pending();
            result
        };
        match result {
            Poll::Ready(Ok(())) => {}
            // It goes on with it, and has the clock run.
            Poll::Pending => self.reader.wake(),
            Poll::Ready(Err(error)) => {
                tracing::debug!(%error, "a connection takes nothing any more");
                self.cut();
            }
        }
    }

    pub(super) fn poll_read(
        self: &Arc<Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.check()?;
        let mut io = self.io.lock();
        let result = io.stream()?.poll_read(cx, buffer);
        if result.is_pending() {
            self.reader.register(cx.waker());
        }
        if io.blocked {
            io.go_on(self)?;
        }
        if io.waiting.is_some() {
            // TLS writes while it reads, and then it is this task alone that is told when there is room.
            self.writer.wake();
        }
        if result.is_pending() {
            // The task of the write may no longer be there to see that its time has run out.
            io.check_time(self)?;
        }
        result
    }

    pub(super) fn poll_write(
        self: &Arc<Self>,
        cx: &mut Context<'_>,
        bytes: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.check()?;
        let mut io = self.io.lock();
        if io.has_to_wait() {
            let result = io.drain(self);
            io.blocked = result.is_pending();
            let what = io.what_waits();
            io.note(self, cx, what, &result)?;
            ready!(result)?;
        }
        let both = Waker::from(self.clone());
        let result = write(io.stream()?, &mut Context::from_waker(&both), bytes);
        io.offered = result.is_pending();
        io.note(self, cx, What::Write, &result)?;
        let count = ready!(result)?;
        self.written.fetch_add(count as u64, Ordering::Relaxed);
        self.by_library.fetch_add(count as u64, Ordering::Relaxed);
        (io.turn, io.stood_back) = (None, 0);
        let mut left = count;
        for part in bytes {
            let here = left.min(part.len());
            io.frames.pass(&part[..here]);
            left -= here;
        }
        if io.frames.is_closing() {
            io.queue.clear();
            io.queued = 0;
        } else if !io.queue.is_empty() && !io.blocked && io.frames.is_between() {
            // It was this frame that they waited for.
            io.go_on(self)?;
            if io.blocked {
                self.reader.wake();
            }
        }
        Poll::Ready(Ok(count))
    }

    pub(super) fn poll_flush(self: &Arc<Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.check()?;
        let mut io = self.io.lock();
        let both = Waker::from(self.clone());
        let result = io.stream()?.poll_flush(&mut Context::from_waker(&both));
        io.note(self, cx, What::Flush, &result)?;
        result
    }

    pub(super) fn poll_shutdown(self: &Arc<Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.check()?;
        let mut io = self.io.lock();
        let both = Waker::from(self.clone());
        let result = io.stream()?.poll_shutdown(&mut Context::from_waker(&both));
        io.note(self, cx, What::Flush, &result)?;
        result
    }
}

/// Writes these parts. Mostly it is one, which the system takes a little faster so.
fn write(
    stream: Pin<&mut dyn Stream>,
    cx: &mut Context<'_>,
    parts: &[IoSlice<'_>],
) -> Poll<io::Result<usize>> {
    match parts {
        [one] => stream.poll_write(cx, one),
        some => stream.poll_write_vectored(cx, some),
    }
}

impl Io {
    fn stream(&mut self) -> io::Result<Pin<&mut dyn Stream>> {
        match &mut self.stream {
            Some(stream) => Ok(Pin::new(&mut **stream)),
            None => Err(io::Error::new(ErrorKind::NotConnected, "the connection is closed")),
        }
    }

    /// Whether the library has to let others go before it: what has begun, and between two frames what was there first.
    fn has_to_wait(&mut self) -> bool {
        if self.queue.is_empty() || !self.frames.is_between() {
            return false;
        }
        let turn = *self.turn.get_or_insert(self.pushed);
        self.in_first || self.gone < turn
    }

    /// Goes on with what the peer did not take, or what had to wait for a frame of the library.
    fn go_on(&mut self, line: &Arc<Line>) -> io::Result<()> {
        match self.drain(line) {
            Poll::Ready(result) => {
                // Where a frame of the library is under way nothing was done: its clock runs on.
                self.blocked = false;
                result
            }
            Poll::Pending => {
                self.blocked = true;
                let what = self.what_waits();
                self.settle::<()>(line, what, &Poll::Pending);
                Ok(())
            }
        }
    }

    /// What it is of that in line that waits. TLS may have taken all of it and not have sent it yet.
    fn what_waits(&self) -> What {
        if self.queue.is_empty() { What::Flush } else { What::Write }
    }

    /// Writes what is in line, if this is a place for it. Of both tasks of the library, who can go on is woken.
    fn drain(&mut self, line: &Arc<Line>) -> Poll<io::Result<()>> {
        line.check()?;
        let both = Waker::from(line.clone());
        let cx = &mut Context::from_waker(&both);
        while !self.queue.is_empty() && !self.offered && (self.in_first || self.frames.is_between()) {
            let most = self.before_the_library();
            if most == 0 {
                // Its turn: else a peer that is slow would never get what the library sends, pings among it.
                line.writer.wake();
                break;
            }
            let Some(stream) = &mut self.stream else { break };
            let mut slices = [IoSlice::new(&[]); SLICES];
            let waiting = self.queue.iter().zip(&mut slices).take(most);
            let count = waiting.map(|(frame, slice)| *slice = IoSlice::new(frame)).count();
            let written = write(Pin::new(&mut **stream), cx, &slices[..count]);
            // Like what the library offers: the stream may have begun with it.
            self.in_first |= written.is_pending();
            let written = ready!(written)?;
            if written == 0 {
                return Poll::Ready(Err(ErrorKind::WriteZero.into()));
            }
            line.written.fetch_add(written as u64, Ordering::Relaxed);
            self.unflushed = true;
            // The peer took something.
            self.waiting = None;
            self.let_go(written);
        }
        if self.queue.is_empty() && self.queue.capacity() > KEPT {
            self.queue = VecDeque::new();
        }
        if self.unflushed
            && let Some(stream) = &mut self.stream
        {
            ready!(Pin::new(&mut **stream).poll_flush(cx))?;
            self.unflushed = false;
            self.waiting.take_if(|waiting| waiting.what == What::Flush);
        }
        Poll::Ready(Ok(()))
    }

    /// How many of those in line may go now; none where it is the library's turn.
    fn before_the_library(&mut self) -> usize {
        let Some(turn) = self.turn else { return SLICES };
        let before = usize::try_from(turn.saturating_sub(self.gone)).unwrap_or(SLICES).min(SLICES);
        if before > 0 || self.in_first {
            return before.max(1);
        }
        self.stood_back += 1;
        if self.stood_back > STANDS_BACK {
            (self.turn, self.stood_back) = (None, 0);
            return SLICES;
        }
        0
    }

    /// So many bytes of the queue have gone.
    fn let_go(&mut self, mut written: usize) {
        self.queued -= written;
        while let Some(first) = self.queue.front_mut() {
            if written < first.len() {
                first.advance(written);
                self.in_first |= written > 0;
                return;
            }
            written -= first.len();
            self.in_first = false;
            self.gone += 1;
            self.queue.pop_front();
        }
    }

    /// Notes what came of a write or a flush of the library, and has who waits for it woken when there is room, or when that takes too
    /// long.
    fn note<T>(
        &mut self,
        line: &Arc<Line>,
        cx: &mut Context<'_>,
        what: What,
        result: &Poll<io::Result<T>>,
    ) -> io::Result<()> {
        if result.is_pending() {
            line.writer.register(cx.waker());
        }
        self.settle(line, what, result);
        if result.is_pending() { self.check_time(line) } else { Ok(()) }
    }

    /// Has the clock run while the peer takes nothing.
    fn settle<T>(&mut self, line: &Line, what: What, result: &Poll<io::Result<T>>) {
        if result.is_ready() {
            if self.waiting.as_ref().is_some_and(|waiting| what == What::Write || waiting.what == what) {
                self.waiting = None;
            }
            return;
        }
        let stalled = line.stalled;
        self.waiting.get_or_insert_with(|| Waiting { until: Box::pin(tokio::time::sleep(stalled)), what });
    }

    /// Cuts the connection where its peer has taken nothing for too long. To be called when wakers are registered: a
    /// cut before that woke nobody.
    fn check_time(&mut self, line: &Arc<Line>) -> io::Result<()> {
        if let Some(waiting) = &mut self.waiting {
            let both = Waker::from(line.clone());
            if waiting.until.as_mut().poll(&mut Context::from_waker(&both)).is_ready() {
                tracing::debug!(stalled = ?line.stalled, "a peer takes nothing and is cut");
                line.cut();
            }
        }
        line.check()
    }
}
