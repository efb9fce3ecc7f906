//! The subscribers: bare WebSockets, thousands of them on few threads, that check all that comes and read as little of it
//! as that takes.
//!
//! *What may come in:* whatever a server sends. *What it never does:* parse JSON, or let an event pass that came twice or
//! out of its turn.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use mio::{Events, Interest, Poll, Token};

use super::frames::{self, Finder, Frame, Mark};
use super::sequence::{Arrival, Sequence, Turns};
use crate::AnyError;

/// How many times of publication are remembered: more than are ever under way.
const REMEMBERED: usize = 1 << 18;
/// How many connections are being opened at a time.
const OPENING: u64 = 64;
const PATIENCE: Duration = Duration::from_secs(120);
/// The longest latency that is told apart, in microseconds.
const LONGEST: u64 = 600_000_000;

/// What publishers and subscribers know of each other.
pub(crate) struct Board {
    epoch: Instant,
    sent: Vec<AtomicU64>,
    /// Latencies are taken of events from this number on.
    pub(crate) measured_from: AtomicU64,
    pub(crate) turns: Turns,
    pub(crate) ready: AtomicU64,
    pub(crate) delivered: AtomicU64,
    pub(crate) bytes: AtomicU64,
    pub(crate) progress: AtomicU64,
    /// States that came: one for each subscription, and more where somebody fell behind.
    pub(crate) states: AtomicU64,
    pub(crate) twice: AtomicU64,
    failures: Mutex<Vec<String>>,
    stop: AtomicBool,
}

impl Board {
    pub(crate) fn new(pipelines: u64, shared_by: u64, first: u64) -> Arc<Self> {
        Arc::new(Self {
            epoch: Instant::now(),
            sent: (0..REMEMBERED).map(|_| AtomicU64::new(0)).collect(),
            measured_from: AtomicU64::new(u64::MAX),
            turns: Turns { pipelines, shared_by, first },
            ready: AtomicU64::new(0),
            delivered: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            progress: AtomicU64::new(0),
            states: AtomicU64::new(0),
            twice: AtomicU64::new(0),
            failures: Mutex::new(Vec::new()),
            stop: AtomicBool::new(false),
        })
    }

    /// Microseconds since the beginning.
    pub(crate) fn micros(&self, at: Instant) -> u64 {
        u64::try_from(at.saturating_duration_since(self.epoch).as_micros()).unwrap_or(u64::MAX)
    }

    /// Notes when an event was sent, before it is.
    pub(crate) fn sending(&self, number: u64, at: Instant) {
        self.slot(number).store(self.micros(at), Ordering::Release);
    }

    #[allow(clippy::cast_possible_truncation)]
    fn slot(&self, number: u64) -> &AtomicU64 {
        &self.sent[number as usize % REMEMBERED]
    }

    fn fail(&self, why: String) {
        let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        // The first few tell enough.
        if failures.len() < 5 {
            failures.push(why);
        }
    }

    pub(crate) fn failures(&self) -> Vec<String> {
        self.failures.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// What the subscribers have seen in the end.
pub(crate) struct Seen {
    pub(crate) latencies: Histogram<u64>,
    /// Of each subscription, how many numbers of its pipeline it is past.
    pub(crate) up_to: Vec<u64>,
    /// Numbers that others came before of, which is to say lost, or swapped.
    pub(crate) skipped: u64,
    /// Of each socket, the last progress.
    pub(crate) last_progress: Vec<u64>,
}

/// Subscribers that follow.
pub(crate) struct Readers {
    board: Arc<Board>,
    threads: Vec<JoinHandle<Result<Seen, String>>>,
    inlets: Vec<mpsc::Sender<Connection>>,
    opened: u64,
}

impl Readers {
    /// Starts their threads; nobody is connected yet.
    pub(crate) fn start(board: &Arc<Board>, threads: usize) -> Result<Self, AnyError> {
        let (mut handles, mut inlets) = (Vec::new(), Vec::new());
        for number in 0..threads.max(1) {
            let (inlet, outlet) = mpsc::channel();
            let board = board.clone();
            let poll = Poll::new()?;
            let name = format!("reader-{number}");
            handles.push(std::thread::Builder::new().name(name).spawn(move || {
                let seen = read(&board, poll, &outlet);
                if let Err(error) = &seen {
                    board.fail(error.clone());
                }
                seen
            })?);
            inlets.push(inlet);
        }
        Ok(Self { board: board.clone(), threads: handles, inlets, opened: 0 })
    }

    /// Connects one more, which says `subscribe` once it may.
    pub(crate) fn open(&mut self, host: &str, subscribe: &str) -> Result<(), AnyError> {
        self.wait(OPENING)?;
        let mut stream = TcpStream::connect(host)?;
        stream.set_nodelay(true)?;
        stream.write_all(frames::upgrade(host).as_bytes())?;
        stream.set_nonblocking(true)?;
        let connection = Connection {
            stream: mio::net::TcpStream::from_std(stream),
            rest: Vec::new(),
            phase: Phase::Upgrading,
            subscribe: frames::text(&format!("420{subscribe}")),
            number: self.opened,
            sequence: Sequence::default(),
            open: true,
        };
        let inlet = &self.inlets[usize::try_from(self.opened)? % self.inlets.len()];
        inlet.send(connection).map_err(|_| self.board.failures().join("; "))?;
        self.opened += 1;
        Ok(())
    }

    /// Waits until no more than so many have not heard from their pipeline.
    pub(crate) fn wait(&self, most: u64) -> Result<(), AnyError> {
        let start = Instant::now();
        while self.opened.saturating_sub(self.board.ready.load(Ordering::Acquire)) > most {
            let failures = self.board.failures();
            if !failures.is_empty() {
                return Err(failures.join("; ").into());
            }
            if start.elapsed() > PATIENCE {
                return Err("the subscribers do not get their first state".into());
            }
            std::thread::sleep(Duration::from_micros(200));
        }
        Ok(())
    }

    /// Closes all.
    pub(crate) fn finish(self) -> Result<Seen, AnyError> {
        self.board.stop.store(true, Ordering::Release);
        let mut all: Option<Seen> = None;
        for thread in self.threads {
            let seen = thread.join().map_err(|_| "a reader panicked")??;
            match &mut all {
                None => all = Some(seen),
                Some(all) => {
                    all.latencies.add(&seen.latencies)?;
                    all.up_to.extend(seen.up_to);
                    all.skipped += seen.skipped;
                    all.last_progress.extend(seen.last_progress);
                }
            }
        }
        all.ok_or_else(|| "there are no readers".into())
    }
}

enum Phase {
    Upgrading,
    Opening,
    Following,
}

struct Connection {
    stream: mio::net::TcpStream,
    /// The beginning of a frame that is not whole.
    rest: Vec<u8>,
    phase: Phase,
    subscribe: Vec<u8>,
    number: u64,
    sequence: Sequence,
    open: bool,
}

/// What one pass over the sockets adds up to.
#[derive(Default)]
struct Sums {
    delivered: u64,
    bytes: u64,
    progress: u64,
    states: u64,
    skipped: u64,
}

fn read(board: &Board, mut poll: Poll, inlet: &mpsc::Receiver<Connection>) -> Result<Seen, String> {
    let text = |error: io::Error| error.to_string();
    let mut list: Vec<Connection> = Vec::new();
    let mut events = Events::with_capacity(1024);
    let mut buffer = vec![0; 256 * 1024];
    let mut reader = Reader {
        board,
        finder: Finder::new(),
        latencies: Histogram::new_with_bounds(1, LONGEST, 3).map_err(|error| error.to_string())?,
        sums: Sums::default(),
    };
    let mut skipped = 0;
    while !board.stop.load(Ordering::Acquire) {
        while let Ok(mut connection) = inlet.try_recv() {
            poll.registry()
                .register(&mut connection.stream, Token(list.len()), Interest::READABLE)
                .map_err(text)?;
            list.push(connection);
        }
        match poll.poll(&mut events, Some(Duration::from_millis(2))) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            other => other.map_err(text)?,
        }
        for event in &events {
            if let Some(connection) = list.get_mut(event.token().0)
                && connection.open
            {
                reader.take(connection, &mut buffer)?;
            }
        }
        let sums = std::mem::take(&mut reader.sums);
        board.bytes.fetch_add(sums.bytes, Ordering::Relaxed);
        board.progress.fetch_add(sums.progress, Ordering::Relaxed);
        board.states.fetch_add(sums.states, Ordering::Relaxed);
        board.delivered.fetch_add(sums.delivered, Ordering::Release);
        skipped += sums.skipped;
    }
    Ok(Seen {
        latencies: reader.latencies,
        up_to: list.iter().flat_map(|connection| connection.sequence.next.iter().copied()).collect(),
        skipped,
        last_progress: list.iter().map(|connection| connection.sequence.last_progress).collect(),
    })
}

struct Reader<'a> {
    board: &'a Board,
    finder: Finder,
    latencies: Histogram<u64>,
    sums: Sums,
}

impl Reader<'_> {
    /// Reads what a socket has. As it is told of only once, all of it.
    fn take(&mut self, connection: &mut Connection, buffer: &mut [u8]) -> Result<(), String> {
        loop {
            let read = match connection.stream.read(buffer) {
                Ok(0) => {
                    connection.open = false;
                    self.board.fail(format!("subscriber {} was cut", connection.number));
                    return Ok(());
                }
                Ok(read) => read,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(format!("subscriber {}: {error}", connection.number)),
            };
            let now = self.board.micros(Instant::now());
            if connection.rest.is_empty() {
                let used = self.frames(connection, &buffer[..read], now)?;
                connection.rest.extend(&buffer[used..read]);
            } else {
                let mut rest = std::mem::take(&mut connection.rest);
                rest.extend(&buffer[..read]);
                let used = self.frames(connection, &rest, now)?;
                rest.drain(..used);
                connection.rest = rest;
            }
            // What is less than there was room for was all there is: the next that comes is told of again.
            if read < buffer.len() {
                return Ok(());
            }
        }
    }

    /// Goes through what is whole, and says how much that was.
    fn frames(&mut self, connection: &mut Connection, bytes: &[u8], now: u64) -> Result<usize, String> {
        let mut at = 0;
        if matches!(connection.phase, Phase::Upgrading) {
            let Some(end) = frames::upgraded(bytes)? else { return Ok(0) };
            connection.phase = Phase::Opening;
            at = end;
        }
        while let Some((frame, length)) = frames::first(&bytes[at..])? {
            at += length;
            match frame {
                Frame::Text(text) => {
                    self.sums.bytes += length as u64;
                    self.text(connection, text, now)?;
                }
                Frame::Ping(payload) => say(connection, &frames::pong(payload))?,
                Frame::Close => {
                    connection.open = false;
                    self.board.fail(format!("subscriber {} was sent away", connection.number));
                }
            }
        }
        Ok(at)
    }

    fn text(&mut self, connection: &mut Connection, text: &[u8], now: u64) -> Result<(), String> {
        match text {
            [b'4', b'2', event @ ..] => {
                if matches!(connection.phase, Phase::Opening) {
                    connection.phase = Phase::Following;
                    self.board.ready.fetch_add(1, Ordering::AcqRel);
                }
                self.event(connection, event, now);
                Ok(())
            }
            // Engine.IO is open: connect to the namespace. The namespace is open: subscribe. A ping: pong.
            [b'0', ..] => say(connection, &frames::text("40")),
            [b'4', b'0', ..] => {
                let subscribe = std::mem::take(&mut connection.subscribe);
                say(connection, &subscribe)
            }
            [b'2', ..] => say(connection, &frames::text("3")),
            [b'4', b'4', why @ ..] => Err(format!("not let in: {}", String::from_utf8_lossy(why))),
            [b'4', b'3', ..] if memchr::memmem::find(text, b"\"error\"").is_some() => {
                Err(format!("not subscribed: {}", String::from_utf8_lossy(text)))
            }
            _ => Ok(()),
        }
    }

    fn event(&mut self, connection: &mut Connection, event: &[u8], now: u64) {
        let number = match self.finder.find(event) {
            Some(Mark::Number(number)) => number,
            Some(Mark::Progress(number)) => {
                self.sums.progress += 1;
                if !connection.sequence.progress(number) {
                    self.board.twice.fetch_add(1, Ordering::Relaxed);
                }
                return;
            }
            None => {
                if event.starts_with(b"[\"pipeline:status\"") {
                    self.sums.states += 1;
                }
                return;
            }
        };
        let board = self.board;
        match connection.sequence.number(number, &board.turns) {
            Arrival::Twice => {
                board.twice.fetch_add(1, Ordering::Relaxed);
                return;
            }
            Arrival::New { skipped } => self.sums.skipped += skipped,
        }
        self.sums.delivered += 1;
        if number >= board.measured_from.load(Ordering::Relaxed) {
            let sent = board.slot(number).load(Ordering::Acquire);
            self.latencies.saturating_record(now.saturating_sub(sent).max(1));
        }
    }
}

/// Says something short. A socket on which nothing waits takes it at once.
fn say(connection: &mut Connection, frame: &[u8]) -> Result<(), String> {
    connection.stream.write_all(frame).map_err(|error| format!("subscriber {}: {error}", connection.number))
}
