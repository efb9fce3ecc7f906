//! Polls that bring nothing new: `GET /api/rag-status` answered 304 by the hub, beside the status server that is polled
//! today, which answers the whole state each time.

use std::io::{Read, Write};
use std::time::{Duration, Instant};

use mio::{Events, Interest, Poll, Token};

use super::Context;
use crate::AnyError;
use crate::suite::event::ONLINE;
use crate::suite::figures::{self, Spread};
use crate::suite::http::{self, Http};
use crate::suite::load::busy;
use crate::suite::process;
use crate::suite::report::Target;
use crate::suite::server::{Kind, Server};

/// Who is polled, and over how many connections: as many as there are on their way at once. Python's server lets few wait
/// to be taken in.
const POLLED: [(Kind, usize); 4] =
    [(Kind::Hub, 32), (Kind::Bare, 32), (Kind::Polled, 4), (Kind::PolledKept, 32)];

/// What a run of polls came to.
#[derive(Clone, Copy)]
struct Polls {
    per_second: f64,
    cpu: f64,
    generator: f64,
}

/// Runs all in turns.
pub(crate) fn run(context: &mut Context<'_>) -> Result<(), AnyError> {
    let title = "polls without news";
    let window = context.length(Duration::from_secs(5), Duration::from_secs(1));
    let mut results: [Vec<Polls>; POLLED.len()] = Default::default();
    for round in 0..context.rounds {
        for at in 0..POLLED.len() {
            let at = (at + round) % POLLED.len();
            let (kind, connections) = POLLED[at];
            context.tell(title, round, kind.name());
            let server = context.programs.start(kind)?;
            let tag = match kind {
                Kind::Hub => {
                    server.ready()?;
                    Some(prepare(&server)?)
                }
                Kind::Bare => Some("W/\"0123456789abcdef\"".to_owned()),
                _ => {
                    server.ready()?;
                    None
                }
            };
            let cores = context.programs.cores.of_generator();
            let polls = poll(&server, connections, kind == Kind::Polled, tag.as_deref(), window, cores)?;
            context.busy(title, kind, polls.generator);
            results[at].push(polls);
        }
    }
    let rows = POLLED.iter().zip(&results).map(|((kind, connections), polls)| {
        let cells = vec![
            Spread::of(polls.iter().map(|polls| polls.per_second)),
            Spread::of(polls.iter().map(|polls| polls.cpu)),
            Spread::of(polls.iter().map(|polls| polls.generator * 100.0)),
        ];
        (format!("{}, {connections} connections at a time", kind.name()), cells)
    });
    let rows = rows.collect();
    context.rows(title, &["server", "answers/s", "CPU µs/answer", "generator busy"], rows);
    let rates = |polls: &[Polls]| polls.iter().map(|polls| polls.per_second).collect::<Vec<_>>();
    let [hub, bare, polled, kept] = &results;
    for (peer, polls) in [(Kind::Polled, polled), (Kind::PolledKept, kept)] {
        let what = format!("304s a second, hub / {}", peer.name());
        let ratio = Spread::of(figures::ratios(&rates(hub), &rates(polls)));
        context.target(Target::at_least(what, 20.0, "×").asked(peer == Kind::Polled), ratio);
    }
    // No server answers more than this, so it says how much of the target there is room for.
    let what = format!("304s a second, {} / {}", Kind::Bare.name(), Kind::Polled.name());
    context.target(
        Target::at_least(what, 20.0, "×").asked(false),
        Spread::of(figures::ratios(&rates(bare), &rates(polled))),
    );
    Ok(())
}

/// Gives the hub as many files as the polled server has, and says by which tag they are known.
fn prepare(server: &Server) -> Result<String, AnyError> {
    let mut http = Http::to(&server.host)?;
    http.publish("bench", ONLINE)?;
    for number in 0..17 {
        let file =
            serde_json::json!({ "name": format!("document-{number}.pdf"), "id": format!("{number:032x}") });
        let event = |name: &str, data: serde_json::Value| {
            format!(
                "{}\n",
                serde_json::json!({ "event": name, "event_id": format!("{name}-{number}"), "data": data })
            )
        };
        http.publish("bench", event("file:processing", serde_json::json!({ "file": file })).as_bytes())?;
        let end = match number {
            0..10 => Some(("file:completed", serde_json::json!({ "file": file }))),
            10..15 => {
                Some(("file:failed", serde_json::json!({ "file": file, "error": { "message": "no text" } })))
            }
            _ => None,
        };
        if let Some((name, data)) = end {
            http.publish("bench", event(name, data).as_bytes())?;
        }
    }
    let (_, answer) = http.raw("/api/rag-status")?;
    let tag = answer.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("etag").then(|| value.trim().to_owned())
    });
    tag.ok_or_else(|| "the hub gives its state no tag".into())
}

/// A connection, and what of an answer has come.
struct Connection {
    stream: mio::net::TcpStream,
    rest: Vec<u8>,
}

/// What is asked over and over, and by whom.
struct Polling<'a> {
    host: &'a str,
    request: String,
    expected: u16,
    /// Whether the server closes the connection after each answer.
    closes: bool,
    poll: Poll,
    answers: u64,
}

impl Polling<'_> {
    /// Connects, and asks.
    fn open(&self, number: usize) -> Result<Connection, AnyError> {
        let mut stream = std::net::TcpStream::connect(self.host)?;
        stream.set_nodelay(true)?;
        stream.write_all(self.request.as_bytes())?;
        stream.set_nonblocking(true)?;
        let mut stream = mio::net::TcpStream::from_std(stream);
        self.poll.registry().register(&mut stream, Token(number), Interest::READABLE)?;
        Ok(Connection { stream, rest: Vec::new() })
    }

    /// Reads what there is, and asks again after each answer; says whether a new connection is needed for that.
    fn take(&mut self, connection: &mut Connection, part: &mut [u8]) -> Result<bool, AnyError> {
        loop {
            let read = match connection.stream.read(part) {
                Ok(0) if self.closes => return Err("a connection was closed within an answer".into()),
                Ok(0) => return Err("a connection that is polled was closed".into()),
                Ok(read) => read,
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) => return Err(error.into()),
            };
            connection.rest.extend(&part[..read]);
            while let Some(head) = http::head(&connection.rest)? {
                let whole = head.body + head.length;
                if connection.rest.len() < whole {
                    break;
                }
                if head.status != self.expected {
                    return Err(
                        format!("a poll was answered {}, and not {}", head.status, self.expected).into()
                    );
                }
                connection.rest.drain(..whole);
                self.answers += 1;
                if self.closes {
                    return Ok(true);
                }
                connection.stream.write_all(self.request.as_bytes())?;
            }
            if read < part.len() {
                return Ok(false);
            }
        }
    }
}

/// Asks over and over on each connection, and counts what is answered as it should be.
#[allow(clippy::cast_precision_loss)]
fn poll(
    server: &Server,
    connections: usize,
    closes: bool,
    tag: Option<&str>,
    window: Duration,
    cores: usize,
) -> Result<Polls, AnyError> {
    let condition = tag.map(|tag| format!("if-none-match: {tag}\r\n")).unwrap_or_default();
    let request = format!("GET /api/rag-status HTTP/1.1\r\nhost: {}\r\n{condition}\r\n", server.host);
    let expected = if tag.is_some() { 304 } else { 200 };
    let mut polling =
        Polling { host: &server.host, request, expected, closes, poll: Poll::new()?, answers: 0 };
    let mut open = (0..connections).map(|number| polling.open(number)).collect::<Result<Vec<_>, _>>()?;
    let (mut events, mut part) = (Events::with_capacity(connections), vec![0; 64 * 1024]);
    let warm = window / 5;
    let mut measured = None;
    let start = Instant::now();
    while start.elapsed() < warm + window {
        if measured.is_none() && start.elapsed() >= warm {
            polling.answers = 0;
            measured = Some((process::cpu_seconds(server.process()), process::threads(), Instant::now()));
        }
        polling.poll.poll(&mut events, Some(Duration::from_millis(10)))?;
        for event in &events {
            let number = event.token().0;
            if polling.take(&mut open[number], &mut part)? {
                open[number] = polling.open(number)?;
            }
        }
    }
    let (cpu, threads, from) = measured.ok_or("nothing was measured")?;
    let took = from.elapsed();
    let answers = polling.answers as f64;
    Ok(Polls {
        per_second: answers / took.as_secs_f64(),
        cpu: (process::cpu_seconds(server.process()) - cpu) * 1e6 / answers,
        generator: busy(&threads, took, cores),
    })
}
