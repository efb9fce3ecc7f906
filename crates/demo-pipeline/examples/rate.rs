//! Measures the pipeline: makes a folder of small files, ingests it once, again unchanged, and searches it.
//!
//! `cargo run --release -p ragpulse-demo-pipeline --example rate -- [FILES] [WORKERS]`

use std::error::Error;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use ragpulse_demo_pipeline::{Config, Mode, Pipeline, PipelineEvent, Shutdown, Sink};

const WORDS: [&str; 24] = [
    "stork", "chimney", "meadow", "river", "signal", "pipeline", "vector", "chunk", "morning", "harbour",
    "engine", "letter", "window", "market", "forest", "bridge", "copper", "garden", "voyage", "lantern",
    "thunder", "paper", "mirror", "planet",
];

fn text(seed: usize, words: usize) -> String {
    let mut state = seed as u64 + 1;
    let mut out = String::new();
    for n in 0..words {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        out.push_str(WORDS[(state >> 33) as usize % WORDS.len()]);
        out.push_str(if n % 12 == 11 { ".\n" } else { " " });
    }
    out
}

fn run(
    root: &Path,
    store: &Path,
    workers: Option<usize>,
) -> Result<(usize, Duration, Pipeline), Box<dyn Error>> {
    let mut config = Config::new(root, store);
    config.mode = Mode::Once;
    if let Some(workers) = workers {
        config.workers = workers;
    }
    let events = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&events);
    let sink: Arc<dyn Sink> = Arc::new(move |_: PipelineEvent| {
        counter.fetch_add(1, Ordering::Relaxed);
    });
    let pipeline = Pipeline::new(config)?;
    let began = Instant::now();
    let summary = pipeline.run(sink, &Shutdown::new())?;
    let took = began.elapsed();
    println!("  {summary:?}");
    Ok((events.load(Ordering::Relaxed), took, pipeline))
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let files: usize = args.next().map_or(Ok(2_000), |a| a.parse())?;
    let workers = args.next().map(|a| a.parse()).transpose()?;
    let dir = tempfile::tempdir()?;
    let (root, store) = (dir.path().join("in"), dir.path().join("store.db"));
    for n in 0..files {
        let folder = root.join(format!("{:02}", n % 50));
        std::fs::create_dir_all(&folder)?;
        let body = text(n, 100 + n % 400);
        match n % 4 {
            0 => std::fs::write(folder.join(format!("{n}.md")), format!("# Note {n}\n\n{body}"))?,
            1 => std::fs::write(folder.join(format!("{n}.html")), format!("<h1>Note {n}</h1><p>{body}</p>"))?,
            _ => std::fs::write(folder.join(format!("{n}.txt")), format!("Note {n}\n{body}"))?,
        }
    }
    for what in ["new", "unchanged"] {
        let (events, took, pipeline) = run(&root, &store, workers)?;
        let rate = |n: usize| n as f64 / took.as_secs_f64();
        println!(
            "{what}: {files} files, {events} events in {took:.2?}: {:.0} files/s, {:.0} events/s",
            rate(files),
            rate(events)
        );
        let (stored, chunks) = pipeline.store().counts()?;
        let began = Instant::now();
        let hits = pipeline.store().search("stork on the chimney", 5)?;
        println!(
            "  {stored} files, {chunks} chunks stored; search: {} hits in {:.2?}",
            hits.len(),
            began.elapsed()
        );
    }
    let big = dir.path().join("big");
    std::fs::create_dir(&big)?;
    std::fs::write(big.join("big.txt"), text(7, 1_400_000))?;
    std::fs::write(big.join("line.json"), text(8, 600_000).replace('\n', " "))?;
    let (events, took, _) = run(&big, &dir.path().join("big.db"), workers)?;
    println!("a text of about 10 MB and a line of about 4 MB: {events} events in {took:.2?}");
    Ok(())
}
