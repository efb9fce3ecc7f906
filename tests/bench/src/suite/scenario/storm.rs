//! A storm of progress: 59,000 chunks of one file, each reported, and 100 viewers. What comes of it, whether its end is
//! exact, and how late the ends of other files are meanwhile.

use std::io::Write;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::Context;
use crate::AnyError;
use crate::suite::event::ONLINE;
use crate::suite::figures::{Spread, whole};
use crate::suite::http::Http;
use crate::suite::load::{busy, wait_for};
use crate::suite::process;
use crate::suite::readers::{Board, Readers};
use crate::suite::report::Target;
use crate::suite::server::Kind;

const CHUNKS: u64 = 59_000;
const VIEWERS: u64 = 100;
const BATCH: u64 = 100;
/// How many other files end a second.
const ENDS: f64 = 20.0;

struct Storm {
    /// Progress events that were delivered, of those that a plain relay would have delivered, in per cent.
    delivered: f64,
    p99: f64,
    seconds: f64,
    cpu: f64,
    generator: f64,
}

/// Runs storms on the hub.
pub(crate) fn run(context: &mut Context<'_>) -> Result<(), AnyError> {
    let title = format!("storm: {} progress events of one file, {VIEWERS} viewers", whole(CHUNKS));
    // In batches of 100: 2,000 events a second, quick 10,000.
    let between = context.length(Duration::from_millis(50), Duration::from_millis(10));
    let mut storms = Vec::new();
    for round in 0..context.rounds {
        context.tell(&title, round, Kind::Hub.name());
        let (storm, failures) = storm(context, between)?;
        for failure in failures {
            context.report.failure(format!("{title}, round {}: {failure}", round + 1));
        }
        context.busy(&title, Kind::Hub, storm.generator);
        storms.push(storm);
    }
    let of = |part: fn(&Storm) -> f64| Spread::of(storms.iter().map(part));
    let cells = vec![
        of(|storm| storm.delivered),
        of(|storm| storm.p99),
        of(|storm| storm.seconds),
        of(|storm| storm.cpu),
        of(|storm| storm.generator * 100.0),
    ];
    let columns =
        ["server", "% of naive deliveries", "p99 ms of other ends", "storm s", "CPU s", "generator busy"];
    context.rows(&title, &columns, vec![(Kind::Hub.name().to_owned(), cells)]);
    let what = "deliveries of a progress storm, of those of a plain relay".to_owned();
    context.target(Target::at_most(what, 2.0, " %"), of(|storm| storm.delivered));
    let what = "p99 of other files' ends during a progress storm".to_owned();
    context.target(Target::at_most(what, 100.0, " ms"), of(|storm| storm.p99));
    Ok(())
}

#[allow(clippy::cast_precision_loss)]
fn storm(context: &Context<'_>, between: Duration) -> Result<(Storm, Vec<String>), AnyError> {
    let server = context.programs.start(Kind::Hub)?;
    let mut http = Http::to(&server.host)?;
    http.publish("bench", ONLINE)?;
    http.publish("bench", b"{\"event\":\"file:processing\",\"data\":{\"file\":{\"name\":\"book.pdf\"},\"processing_stage\":\"embedding\"}}\n")?;
    let board = Board::new(1, 1, 0);
    let mut readers = Readers::start(&board, context.programs.cores.of_generator().saturating_sub(1))?;
    for _ in 0..VIEWERS {
        readers.open(&server.host, r#"["subscribe",{"pipeline_id":"bench"}]"#)?;
    }
    readers.wait(0)?;
    board.measured_from.store(0, Ordering::Relaxed);
    let cpu = process::cpu_seconds(server.process());
    let threads = process::threads();
    let start = Instant::now();
    let over = AtomicBool::new(false);
    let other = std::thread::scope(|scope| {
        let over = &over;
        let (board, host) = (&board, &server.host);
        let others = scope.spawn(move || ends(board, host, over).map_err(|error| error.to_string()));
        let stormed = chunks(&mut http, between);
        over.store(true, Ordering::Release);
        let ended = others.join().map_err(|_| "the other reporter panicked".to_owned())?;
        stormed.map_err(|error| error.to_string())?;
        ended
    })?;
    let took = start.elapsed();
    // What is held of the last progress goes out by itself, and at the latest when the file ends.
    let ended = format!(
        "{{\"event\":\"file:completed\",\"data\":{{\"file\":{{\"name\":\"book.pdf\"}},\"bench_n\":{other}}}}}\n"
    );
    std::thread::sleep(Duration::from_millis(500));
    let before_end = file_of_book(&server.host)?;
    board.sending(other, Instant::now());
    http.publish("bench", ended.as_bytes())?;
    let expected = (other + 1) * VIEWERS;
    let arrived = wait_for(|| board.delivered.load(Ordering::Acquire) >= expected, "not every end arrived");
    let cpu = process::cpu_seconds(server.process()) - cpu;
    let generator = busy(&threads, took, context.programs.cores.of_generator());
    let progress = board.progress.load(Ordering::Relaxed);
    let states = board.states.load(Ordering::Relaxed);
    let twice = board.twice.load(Ordering::Relaxed);
    let mut failures = board.failures();
    failures.extend(arrived.err().map(|error| error.to_string()));
    let seen = readers.finish()?;
    if seen.skipped > 0 || twice > 0 || states != VIEWERS {
        let skipped = seen.skipped;
        failures.push(format!(
            "{skipped} lost, {twice} doubled or swapped, {} states too many",
            states - VIEWERS
        ));
    }
    let behind = seen.last_progress.iter().filter(|last| **last != CHUNKS).count();
    if behind > 0 {
        failures.push(format!("{behind} viewers did not see the last progress"));
    }
    if before_end["current"] != CHUNKS || before_end["bench_p"].as_u64().is_some_and(|last| last != CHUNKS) {
        failures.push(format!("the state after the storm is not exact: {before_end}"));
    }
    let storm = Storm {
        delivered: progress as f64 * 100.0 / (CHUNKS * VIEWERS) as f64,
        p99: seen.latencies.value_at_quantile(0.99) as f64 / 1_000.0,
        seconds: took.as_secs_f64(),
        cpu,
        generator,
    };
    Ok((storm, failures))
}

/// Reports every chunk.
#[allow(clippy::cast_precision_loss)]
fn chunks(http: &mut Http, between: Duration) -> Result<(), AnyError> {
    let start = Instant::now();
    let mut lines = Vec::new();
    for (batch, first) in (1..=CHUNKS).step_by(usize::try_from(BATCH)?).enumerate() {
        let due = start + between * u32::try_from(batch)?;
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        lines.clear();
        for chunk in first..(first + BATCH).min(CHUNKS + 1) {
            let progress = chunk as f64 / CHUNKS as f64;
            writeln!(
                lines,
                "{{\"event\":\"file:progress\",\"event_id\":\"p-{chunk}\",\"data\":{{\"file\":{{\"name\":\"book.pdf\"}},\
                 \"processing_stage\":\"embedding\",\"progress\":{progress},\"current\":{chunk},\"total\":{CHUNKS},\
                 \"unit\":\"chunks\",\"bench_p\":{chunk}}}}}"
            )?;
        }
        http.publish("bench", &lines)?;
    }
    Ok(())
}

/// Ends other files at a steady rate until the storm is over; says how many.
fn ends(board: &Board, host: &str, over: &AtomicBool) -> Result<u64, AnyError> {
    let mut http = Http::to(host)?;
    let start = Instant::now();
    let mut number = 0_u64;
    while !over.load(Ordering::Acquire) {
        #[allow(clippy::cast_precision_loss)]
        let due = start + Duration::from_secs_f64(number as f64 / ENDS);
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        let file = format!("\"file\":{{\"name\":\"small-{number}.txt\"}}");
        http.publish("bench", format!("{{\"event\":\"file:processing\",\"data\":{{{file}}}}}\n").as_bytes())?;
        board.sending(number, Instant::now());
        let end = format!("{{\"event\":\"file:completed\",\"data\":{{{file},\"bench_n\":{number}}}}}\n");
        http.publish("bench", end.as_bytes())?;
        number += 1;
    }
    Ok(number)
}

/// The file of the storm as the hub's state has it.
fn file_of_book(host: &str) -> Result<serde_json::Value, AnyError> {
    let (_, body) = Http::to(host)?.get("/api/pipelines/bench/events")?;
    let answer: serde_json::Value = serde_json::from_slice(&body)?;
    let files = answer["snapshot"]["files"].as_array().cloned().unwrap_or_default();
    let book =
        files.into_iter().find(|file| file["file"]["name"] == "book.pdf" || file["name"] == "book.pdf");
    book.ok_or_else(|| "the hub's state does not have the file of the storm".into())
}
