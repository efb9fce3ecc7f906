//! Runs foreign code (parsers, splitters) so that its panic, its recursion or its endless loop is one file's failure.
//!
//! Comes in: a closure over one file's bytes. It gets a thread of its own with a big stack and a limited time. Never:
//! a wait without end, an unbounded number of threads that were given up, or a backtrace on the user's terminal.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError, SyncSender, TrySendError};
use std::sync::{Arc, Once};
use std::time::{Duration, Instant};

use crate::event::Unit;
use crate::open_file::Tick;
use crate::shutdown::Shutdown;

/// Parsers recurse over nested input; only touched pages cost memory.
const STACK: usize = 64 << 20;
/// Threads that ran out of time cannot be stopped, only forgotten: no more than this many.
const MAX_ABANDONED: usize = 8;
/// How often a wait looks at the shutdown switch.
const SLICE: Duration = Duration::from_millis(50);

thread_local! {
    static GUARDED: Cell<bool> = const { Cell::new(false) };
    static CAPTURED: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Why guarded code gave no answer.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum GuardError {
    /// It panicked: what with and where.
    Panicked(String),
    /// It took too long.
    TimedOut(Duration),
    /// The run is to stop.
    Interrupted,
    /// Too many threads that ran out of time are still running.
    Overloaded,
    /// No thread could be had.
    Spawn(String),
}

/// What a parser may ask and tell while it works.
pub struct ParseContext {
    cancelled: Arc<AtomicBool>,
    max_text: usize,
    progress: Box<dyn Fn(Tick) + Send>,
}

impl ParseContext {
    /// Tells how far the parser is. Cheap; may be called for every page.
    pub fn progress(&self, current: u64, total: u64, unit: Unit) {
        (self.progress)(Tick { current, total, unit });
    }

    /// Whether nobody waits for the answer any more. A parser that looks now and then frees its thread early.
    pub fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::Relaxed)
    }

    /// More text than this, in bytes, is not wanted.
    pub fn max_text(&self) -> usize {
        self.max_text
    }
}

/// Runs closures under guard. One per run of the pipeline, shared by its workers.
pub(crate) struct Guard {
    timeout: Duration,
    max_text: usize,
    shutdown: Shutdown,
    abandoned: Arc<AtomicUsize>,
}

enum Message<T> {
    Progress(Tick),
    Done(Result<T, String>),
}

impl Guard {
    pub(crate) fn new(timeout: Duration, max_text: usize, shutdown: Shutdown) -> Self {
        silence_guarded_panics();
        Self { timeout, max_text, shutdown, abandoned: Arc::default() }
    }

    /// Runs `job` and waits for it, handing its progress to `on_tick` on the calling thread.
    pub(crate) fn run<T: Send + 'static>(
        &self,
        on_tick: &mut dyn FnMut(Tick),
        job: impl FnOnce(&ParseContext) -> T + Send + 'static,
    ) -> Result<T, GuardError> {
        if self.abandoned.load(Ordering::SeqCst) >= MAX_ABANDONED {
            return Err(GuardError::Overloaded);
        }
        let (to, from) = mpsc::sync_channel::<Message<T>>(16);
        let cancelled = Arc::new(AtomicBool::new(false));
        let context = ParseContext {
            cancelled: Arc::clone(&cancelled),
            max_text: self.max_text,
            progress: progress_into(to.clone()),
        };
        // Settles who counts the thread: both sides swap, the second one knows of the first.
        let left = Arc::new(AtomicBool::new(false));
        let (their_left, abandoned) = (Arc::clone(&left), Arc::clone(&self.abandoned));
        std::thread::Builder::new()
            .name("parser".into())
            .stack_size(STACK)
            .spawn(move || {
                GUARDED.set(true);
                let done = catch_unwind(AssertUnwindSafe(|| job(&context))).map_err(|p| describe(&*p));
                // Blocks only while the caller reads; fails at once when it has gone.
                let _ = to.send(Message::Done(done));
                if their_left.swap(true, Ordering::SeqCst) {
                    abandoned.fetch_sub(1, Ordering::SeqCst);
                }
            })
            .map_err(|e| GuardError::Spawn(e.to_string()))?;

        let deadline = Instant::now() + self.timeout;
        let why = loop {
            let now = Instant::now();
            if self.shutdown.is_triggered() {
                break GuardError::Interrupted;
            }
            if now >= deadline {
                break GuardError::TimedOut(self.timeout);
            }
            match from.recv_timeout(SLICE.min(deadline - now)) {
                Ok(Message::Progress(tick)) => on_tick(tick),
                Ok(Message::Done(done)) => return done.map_err(GuardError::Panicked),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => {
                    return Err(GuardError::Panicked("the parser's thread ended without an answer".into()));
                }
            }
        };
        cancelled.store(true, Ordering::Relaxed);
        self.abandoned.fetch_add(1, Ordering::SeqCst);
        if left.swap(true, Ordering::SeqCst) {
            self.abandoned.fetch_sub(1, Ordering::SeqCst);
        }
        Err(why)
    }
}

/// Progress must not hold a parser up: when the caller is behind, the newest is left out, and the next one tells more.
fn progress_into<T: Send + 'static>(to: SyncSender<Message<T>>) -> Box<dyn Fn(Tick) + Send> {
    Box::new(move |tick| match to.try_send(Message::Progress(tick)) {
        Ok(()) | Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => {}
    })
}

/// What a panic said, with its place if the hook has seen it.
fn describe(payload: &(dyn Any + Send)) -> String {
    CAPTURED.take().unwrap_or_else(|| payload_text(payload).to_owned())
}

/// The text of a panic's payload.
pub(crate) fn payload_text(payload: &(dyn Any + Send)) -> &str {
    payload
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| payload.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("panic without a message")
}

/// Panics of guarded threads are expected and reported as failures: printing them too would flood the terminal.
/// All other threads keep the hook that was set before.
fn silence_guarded_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if !GUARDED.get() {
                return before(info);
            }
            let place = info.location().map_or_else(String::new, |l| {
                // The last three parts name crate, folder and file; the rest is where the crate was unpacked.
                let path: Vec<&str> = l.file().rsplit(['/', '\\']).take(3).collect();
                format!(" at {}:{}", path.into_iter().rev().collect::<Vec<_>>().join("/"), l.line())
            });
            CAPTURED.set(Some(format!("{}{place}", payload_text(info.payload()))));
        }));
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guard(timeout: u64) -> (Guard, Shutdown) {
        let shutdown = Shutdown::new();
        (Guard::new(Duration::from_millis(timeout), 1 << 20, shutdown.clone()), shutdown)
    }

    #[test]
    fn an_answer_and_its_progress_come_through() {
        let mut seen = 0;
        let got = guard(5_000).0.run(&mut |t| seen += t.current, |cx| {
            cx.progress(1, 2, Unit::Pages);
            cx.progress(2, 2, Unit::Pages);
            7
        });
        assert_eq!((got, seen), (Ok(7), 3));
    }

    #[test]
    fn a_panic_is_told_with_its_place() {
        let got = guard(5_000).0.run(&mut |_| {}, |_| -> u8 { panic!("bad page {}", 3) });
        let Err(GuardError::Panicked(text)) = got else { panic!("{got:?}") };
        assert!(text.starts_with("bad page 3 at ") && text.contains("guard.rs:"), "{text}");
    }

    #[test]
    fn deep_recursion_has_room() {
        fn down(n: u64) -> u64 {
            let pad = std::hint::black_box([n; 16]);
            if n == 0 { 0 } else { 1 + down(n - 1) + pad[3] - n }
        }
        assert_eq!(guard(60_000).0.run(&mut |_| {}, |_| down(100_000)), Ok(100_000));
    }

    #[test]
    fn threads_that_run_out_of_time_are_counted_and_come_back() {
        let (guard, _) = guard(20);
        let (release, wait) = mpsc::channel::<()>();
        let wait = Arc::new(parking_lot::Mutex::new(wait));
        for _ in 0..MAX_ABANDONED {
            let wait = Arc::clone(&wait);
            let got = guard.run(&mut |_| {}, move |_| wait.lock().recv().is_ok());
            assert_eq!(got, Err(GuardError::TimedOut(Duration::from_millis(20))));
        }
        assert_eq!(guard.run(&mut |_| {}, |_| ()), Err(GuardError::Overloaded));
        drop(release);
        let deadline = Instant::now() + Duration::from_secs(10);
        while guard.abandoned.load(Ordering::SeqCst) > 0 {
            assert!(Instant::now() < deadline, "threads not counted back");
            std::thread::yield_now();
        }
        assert_eq!(guard.run(&mut |_| {}, |_| 1), Ok(1));
    }

    #[test]
    fn shutdown_ends_the_wait() {
        let (guard, shutdown) = guard(60_000);
        let got = guard.run(&mut |_| {}, move |cx| {
            shutdown.trigger();
            while !cx.is_cancelled() {
                std::thread::yield_now();
            }
        });
        assert_eq!(got, Err(GuardError::Interrupted));
    }
}
