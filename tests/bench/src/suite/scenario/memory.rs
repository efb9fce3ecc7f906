//! What a connection that only listens costs in memory, on all four servers.
//!
//! The memory is the proportional set (Pss) of the server and its children, before and after, each when it has settled. Some
//! connections are there before, so that what only the first of them needs is not counted.

use std::time::{Duration, Instant};

use super::Context;
use crate::AnyError;
use crate::suite::event::ONLINE;
use crate::suite::figures::{Spread, whole};
use crate::suite::http::Http;
use crate::suite::process;
use crate::suite::readers::{Board, Readers};
use crate::suite::report::Target;
use crate::suite::server::{Kind, Server};

const BEFORE: u64 = 100;

/// Connects, waits and compares.
pub(crate) fn run(context: &mut Context<'_>) -> Result<(), AnyError> {
    let count = 2_000;
    let title = format!("memory of an idle subscribed connection ({} of them)", whole(count));
    let results = context.interleaved(&title, |context, kind| {
        let server = context.programs.start(kind)?;
        Http::to(&server.host)?.publish("bench", ONLINE)?;
        let board = Board::new(1, 1, 0);
        let mut readers = Readers::start(&board, 1)?;
        let subscribe = r#"["subscribe",{"pipeline_id":"bench"}]"#;
        for _ in 0..BEFORE {
            readers.open(&server.host, subscribe)?;
        }
        readers.wait(0)?;
        let before = settled(&server);
        for _ in 0..count {
            readers.open(&server.host, subscribe)?;
        }
        readers.wait(0)?;
        let after = settled(&server);
        readers.finish()?;
        #[allow(clippy::cast_precision_loss)]
        let each = (after - before) / count as f64 / 1_000.0;
        Ok((each, before / 1e6))
    })?;
    let mut rows = Vec::new();
    for (kind, measured) in &results {
        let of = |part: fn(&(f64, f64)) -> f64| Spread::of(measured.iter().map(part));
        rows.push((kind.name().to_owned(), vec![of(|measured| measured.0), of(|measured| measured.1)]));
    }
    context.rows(&title, &["server", "kB a connection", "MB with 100"], rows);
    if let Some((_, hub)) = results.iter().find(|(kind, _)| *kind == Kind::Hub) {
        let hub = Spread::of(hub.iter().map(|measured| measured.0));
        context.target(
            Target::at_most("memory of an idle subscribed connection, hub".to_owned(), 22.0, " kB"),
            hub,
        );
    }
    Ok(())
}

/// The memory of a server when it no longer changes by more than half a per cent within half a second.
fn settled(server: &Server) -> f64 {
    let start = Instant::now();
    let mut last = process::memory(server.process());
    loop {
        std::thread::sleep(Duration::from_millis(500));
        let now = process::memory(server.process());
        if (now - last).abs() < last * 0.005 || start.elapsed() > Duration::from_secs(20) {
            return now;
        }
        last = now;
    }
}
