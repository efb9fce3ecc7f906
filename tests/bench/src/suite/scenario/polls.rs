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

const CONNECTIONS: usize = 32;

/// What a run of polls came to.
struct Polls {
    per_second: f64,
    cpu: f64,
    generator: f64,
}

/// Runs both in turns.
pub(crate) fn run(context: &mut Context<'_>) -> Result<(), AnyError> {
    let title = format!("polls without news, {CONNECTIONS} connections");
    let window = context.length(Duration::from_secs(5), Duration::from_secs(1));
    let (mut hub, mut python) = (Vec::new(), Vec::new());
    for round in 0..context.rounds {
        for kind in [Kind::Hub, Kind::Polled] {
            context.tell(&title, round, kind.name());
            let server = context.programs.start(kind)?;
            server.ready()?;
            let tag = if kind == Kind::Hub { Some(prepare(&server)?) } else { None };
            let polls = poll(&server, tag.as_deref(), window, context.programs.cores.of_generator())?;
            context.busy(&title, kind, polls.generator);
            if kind == Kind::Hub { &mut hub } else { &mut python }.push(polls);
        }
    }
    let row = |kind: Kind, polls: &[Polls]| {
        let cells = vec![
            Spread::of(polls.iter().map(|polls| polls.per_second)),
            Spread::of(polls.iter().map(|polls| polls.cpu)),
        ];
        (kind.name().to_owned(), cells)
    };
    let rows = vec![row(Kind::Hub, &hub), row(Kind::Polled, &python)];
    context.rows(&title, &["server", "answers/s", "CPU µs/answer"], rows);
    let rates = |polls: &[Polls]| polls.iter().map(|polls| polls.per_second).collect::<Vec<_>>();
    let ratio = Spread::of(figures::ratios(&rates(&hub), &rates(&python)));
    context
        .target(Target::at_least("304s a second, hub / Python's http.server".to_owned(), 20.0, "×"), ratio);
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

/// Asks over and over on each connection, and counts what is answered as it should be.
#[allow(clippy::cast_precision_loss)]
fn poll(server: &Server, tag: Option<&str>, window: Duration, cores: usize) -> Result<Polls, AnyError> {
    let condition = tag.map(|tag| format!("if-none-match: {tag}\r\n")).unwrap_or_default();
    let request = format!("GET /api/rag-status HTTP/1.1\r\nhost: {}\r\n{condition}\r\n", server.host);
    let expected = if tag.is_some() { 304 } else { 200 };
    let mut poll = Poll::new()?;
    let mut streams = Vec::new();
    for number in 0..CONNECTIONS {
        let mut stream = std::net::TcpStream::connect(&server.host)?;
        stream.set_nodelay(true)?;
        stream.write_all(request.as_bytes())?;
        stream.set_nonblocking(true)?;
        let mut stream = mio::net::TcpStream::from_std(stream);
        poll.registry().register(&mut stream, Token(number), Interest::READABLE)?;
        streams.push((stream, Vec::<u8>::new()));
    }
    let (mut events, mut part) = (Events::with_capacity(CONNECTIONS), vec![0; 64 * 1024]);
    let mut answers = 0_u64;
    let warm = window / 5;
    let mut measured = None;
    let start = Instant::now();
    while start.elapsed() < warm + window {
        if measured.is_none() && start.elapsed() >= warm {
            answers = 0;
            measured = Some((process::cpu_seconds(server.process()), process::threads(), Instant::now()));
        }
        poll.poll(&mut events, Some(Duration::from_millis(10)))?;
        for event in &events {
            let (stream, rest) = &mut streams[event.token().0];
            loop {
                let read = match stream.read(&mut part) {
                    Ok(0) => return Err("a connection that is polled was closed".into()),
                    Ok(read) => read,
                    Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => break,
                    Err(error) => return Err(error.into()),
                };
                rest.extend(&part[..read]);
                while let Some(head) = http::head(rest)? {
                    let whole = head.body + head.length;
                    if rest.len() < whole {
                        break;
                    }
                    if head.status != expected {
                        return Err(format!("a poll was answered {}, and not {expected}", head.status).into());
                    }
                    rest.drain(..whole);
                    answers += 1;
                    stream.write_all(request.as_bytes())?;
                }
                if read < part.len() {
                    break;
                }
            }
        }
    }
    let (cpu, threads, from) = measured.ok_or("nothing was measured")?;
    let took = from.elapsed();
    Ok(Polls {
        per_second: answers as f64 / took.as_secs_f64(),
        cpu: (process::cpu_seconds(server.process()) - cpu) * 1e6 / answers as f64,
        generator: busy(&threads, took, cores),
    })
}
