//! How long a start takes, with an empty store and with 100,000 events in it, and how soon 1,000 clients that come back
//! with their cursors have what they missed.

use std::path::Path;
use std::sync::atomic::Ordering;
use std::time::Instant;

use serde_json::json;

use super::Context;
use crate::AnyError;
use crate::suite::event::{ONLINE, Shape};
use crate::suite::figures::{Spread, whole};
use crate::suite::http::Http;
use crate::suite::load::wait_for;
use crate::suite::readers::{Board, Readers};
use crate::suite::server::{Kind, Programs, Server};

const PIPELINES: u64 = 20;
const EVENTS: u64 = 5_000;
const CLIENTS: u64 = 1_000;
/// How many events each client missed.
const MISSED: u64 = 100;

/// Measures starts in turns, then the resumes.
pub(crate) fn run(context: &mut Context<'_>) -> Result<(), AnyError> {
    let title = "start to first answer, ms".to_owned();
    let folder = tempfile::tempdir_in(&context.programs.built)?;
    let store = fill(context.programs, folder.path())?;
    let empty = context.interleaved(&title, |context, kind| {
        let start = Instant::now();
        let server = context.programs.start(kind)?;
        server.ready()?;
        Ok(start.elapsed().as_secs_f64() * 1_000.0)
    })?;
    let (mut full, mut resumed) = (Vec::new(), Vec::new());
    for round in 0..context.rounds {
        context.tell("start with 100,000 events, and resume", round, Kind::Hub.name());
        let start = Instant::now();
        let server = context.programs.start_hub(&store)?;
        server.ready()?;
        full.push(start.elapsed().as_secs_f64() * 1_000.0);
        let (seconds, failures) = resume(context, &server)?;
        resumed.push(seconds * 1_000.0);
        for failure in failures {
            context.report.failure(format!("resume, round {}: {failure}", round + 1));
        }
        server.end()?;
    }
    let mut rows: Vec<_> = empty
        .into_iter()
        .map(|(kind, times)| (format!("{}, nothing stored", kind.name()), vec![Spread::of(times)]))
        .collect();
    rows.push((format!("{}, 100,000 events", Kind::Hub.name()), vec![Spread::of(full)]));
    context.rows(&title, &["server", "ms"], rows);
    let what = format!("{} clients come back with cursors, {MISSED} events behind each", whole(CLIENTS));
    let each = resumed.iter().map(|ms| ms * 1_000.0 / (CLIENTS as f64));
    let cells = vec![Spread::of(resumed.iter().copied()), Spread::of(each)];
    context.rows(
        &what,
        &["server", "all have all, ms", "µs a client"],
        vec![(Kind::Hub.name().to_owned(), cells)],
    );
    Ok(())
}

/// A store with 100,000 events in 20 pipelines, of a hub that has ended well.
fn fill(programs: &Programs, folder: &Path) -> Result<String, AnyError> {
    let store = format!("sqlite:{}", folder.join("full.db").display());
    let server = programs.start_hub(&store)?;
    let mut http = Http::to(&server.host)?;
    let mut lines = Vec::new();
    for pipeline in 0..PIPELINES {
        // The last is the one of which the numbers are followed.
        let name = if pipeline + 1 == PIPELINES { "bench".to_owned() } else { format!("other-{pipeline}") };
        http.publish(&name, ONLINE)?;
        for first in (0..EVENTS).step_by(1_000) {
            lines.clear();
            for number in first..first + 1_000 {
                // Half of them are of files that are worked on and end.
                let file = format!("{{\"file\":{{\"name\":\"{}.pdf\"}}}}", number / 2);
                match (name.as_str(), number % 2) {
                    ("bench", _) => Shape::Custom.write(number, &mut lines),
                    (_, 0) => {
                        lines.extend(format!("{{\"event\":\"file:processing\",\"data\":{file}}}\n").bytes())
                    }
                    _ => lines.extend(format!("{{\"event\":\"file:completed\",\"data\":{file}}}\n").bytes()),
                }
            }
            http.publish(&name, &lines)?;
        }
    }
    drop(http);
    server.end()?;
    Ok(store)
}

/// Brings the clients back at once; how long it took, and what is wrong with what they were given.
fn resume(context: &Context<'_>, server: &Server) -> Result<(f64, Vec<String>), AnyError> {
    let (_, body) = Http::to(&server.host)?.get("/api/pipelines/bench/events")?;
    let head: serde_json::Value = serde_json::from_slice(&body)?;
    // What the hub adds at its start (the pipeline is offline, then not) is in the sequence as well.
    let place = first_numbered(server, &head["epoch"])? + EVENTS - 1 - MISSED;
    let cursors = json!({ "bench": { "epoch": head["epoch"], "seq": place } });
    let subscribe = json!(["subscribe", { "pipeline_id": "bench", "cursors": cursors }]).to_string();
    let board = Board::new(1, 1, EVENTS - MISSED);
    let mut readers = Readers::start(&board, context.programs.cores.of_generator().saturating_sub(1))?;
    let start = Instant::now();
    for _ in 0..CLIENTS {
        readers.open(&server.host, &subscribe)?;
    }
    readers.wait(0)?;
    let all = CLIENTS * MISSED;
    let arrived =
        wait_for(|| board.delivered.load(Ordering::Acquire) >= all, "not everybody got what they missed");
    let seconds = start.elapsed().as_secs_f64();
    let (states, twice) = (board.states.load(Ordering::Relaxed), board.twice.load(Ordering::Relaxed));
    let mut failures = board.failures();
    failures.extend(arrived.err().map(|error| error.to_string()));
    let seen = readers.finish()?;
    if states > 0 || twice > 0 || seen.skipped > 0 {
        failures.push(format!(
            "{} lost, {twice} doubled or swapped, {states} states in place of events",
            seen.skipped
        ));
    }
    Ok((seconds, failures))
}

/// The place of the first numbered event.
fn first_numbered(server: &Server, epoch: &serde_json::Value) -> Result<u64, AnyError> {
    let epoch = epoch.as_str().ok_or("the hub names no epoch")?;
    let path = format!("/api/pipelines/bench/events?epoch={epoch}&seq=0&limit=10");
    let (_, body) = Http::to(&server.host)?.get(&path)?;
    let answer: serde_json::Value = serde_json::from_slice(&body)?;
    let events = answer["events"].as_array().cloned().unwrap_or_default();
    let first = events.iter().find(|event| event["event"] == "x:bench");
    first.and_then(|event| event["data"]["seq"].as_u64()).ok_or_else(|| "the store lost its beginning".into())
}
