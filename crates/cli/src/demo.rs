//! `ragpulse demo`: a hub, and a real ingestion pipeline over a folder that reports to it over the wire.

mod report;
mod show;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use ragpulse_client::Reporter;
use ragpulse_demo_pipeline::{Config, Mode, Pipeline, Shutdown};
use tokio::net::TcpListener;

use crate::failure::Failure;
use crate::line::plain;
use crate::serve::{AdviceOptions, DoorOptions, address_of, bind, build, config};
use crate::signals;

/// How long the last events may take on their way, and the hub to close.
const CLOSE_WITHIN: Duration = Duration::from_secs(5);
/// The pipeline's name, which is also what the reference application calls its own.
const PIPELINE: (&str, &str) = ("local-files-pipeline", "local_files");

#[derive(Args)]
pub(crate) struct Options {
    /// The folder. Default: the repository around the present folder, or else the present folder.
    dir: Option<PathBuf>,
    /// Where to listen. Default 127.0.0.1:8103, or a free port when that one is taken.
    #[arg(long)]
    listen: Option<SocketAddr>,
    /// Where chunks and vectors are kept. Default: a new place each time, removed at the end.
    #[arg(long)]
    index: Option<PathBuf>,
    /// Go over the folder once and stop, in place of watching it.
    #[arg(long)]
    once: bool,
    /// Search the index at the end of a run with --once, and print what is nearest.
    #[arg(long, requires = "once", value_name = "TEXT")]
    search: Option<String>,
    /// Seconds between two looks at the whole folder, beside watching it.
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    check_interval: u64,
    #[command(flatten)]
    advice: AdviceOptions,
}

pub(crate) async fn run(options: Options) -> Result<(), Failure> {
    let root = match &options.dir {
        Some(dir) => dir.clone(),
        None => repository()?,
    };
    let scratch =
        tempfile::tempdir().map_err(|error| Failure::new(format!("no place for the index: {error}")))?;
    let index = options.index.clone().unwrap_or_else(|| scratch.path().join("index.sqlite"));
    let mut settings = Config::new(root, index);
    settings.mode = if options.once { Mode::Once } else { Mode::Watch };
    settings.check_interval = Duration::from_secs(options.check_interval);
    let pipeline = Pipeline::new(settings).map_err(|error| {
        Failure::new(format!("{error}; name a folder that can be read: `ragpulse demo DIR`"))
    })?;

    let listener = listen(options.listen).await?;
    let address = address_of(&listener)?;
    let parts = build(config(&DoorOptions::default(), options.advice))?;
    let (stop_hub, hub_stopped) = tokio::sync::oneshot::channel::<()>();
    let hub = tokio::spawn(ragpulse_server::service::serve(
        listener,
        parts,
        async {
            let _ = hub_stopped.await;
        },
        CLOSE_WITHIN,
    ));
    println!("{}", plain(&format!("RagPulse demo: {}", pipeline.root().display())));
    println!("  dashboard   http://{address}/");
    println!("  terminal    ragpulse watch http://{address}");
    if !options.once {
        println!("  Ctrl-C ends it");
    }

    let reporter = Reporter::builder(format!("http://{address}"))
        .pipeline(PIPELINE.0, PIPELINE.1)
        .build()
        .map_err(|error| Failure::new(error.to_string()))?;
    let shutdown = Shutdown::new();
    let show = Arc::new(show::Show::new(options.once));
    let mut work = {
        let (sink, shutdown) = (report::Adapter::new(reporter.blocking(), show.clone()), shutdown.clone());
        // A thread of its own: the pipeline blocks, on files as on a full queue.
        tokio::task::spawn_blocking(move || {
            let result = pipeline.run(Arc::new(sink), &shutdown);
            (pipeline, result)
        })
    };
    let finished = tokio::select! {
        finished = &mut work => Some(finished),
        () = signals::stop() => None,
    };
    shutdown.trigger();
    let finished = match finished {
        Some(finished) => finished,
        None => work.await,
    };
    show.finish();
    let closed = reporter.close(CLOSE_WITHIN).await;
    let _ = stop_hub.send(());
    let _ = hub.await;
    let (pipeline, result) =
        finished.map_err(|error| Failure::new(format!("the pipeline broke: {error}")))?;
    let summary = result.map_err(|error| Failure::new(format!("the pipeline stopped: {error}")))?;
    println!(
        "{} completed, {} failed, {} skipped, {} deleted; {} chunks with their vectors",
        summary.completed, summary.failed, summary.skipped, summary.deleted, summary.chunks
    );
    if let Some(text) = &options.search {
        search(&pipeline, text)?;
    }
    closed.map_err(|error| Failure::new(format!("the last events did not reach the hub: {error}")))
}

fn search(pipeline: &Pipeline, text: &str) -> Result<(), Failure> {
    let hits = pipeline
        .store()
        .search(text, 5)
        .map_err(|error| Failure::new(format!("the index cannot be searched: {error}")))?;
    for hit in hits {
        let first = hit.text.lines().find(|line| !line.trim().is_empty()).unwrap_or_default();
        let first: String = first.chars().filter(|c| !c.is_control()).take(80).collect();
        println!("{}", plain(&format!("  {:.3}  {}  {first}", hit.score, hit.path)));
    }
    Ok(())
}

/// The repository around the present folder, so that `demo` has something to show wherever it is tried.
fn repository() -> Result<PathBuf, Failure> {
    let here = std::env::current_dir()
        .map_err(|error| Failure::new(format!("the present folder cannot be read: {error}")))?;
    let around = here.ancestors().find(|folder| folder.join(".git").exists()).map(PathBuf::from);
    Ok(around.unwrap_or(here))
}

async fn listen(wanted: Option<SocketAddr>) -> Result<TcpListener, Failure> {
    if let Some(address) = wanted {
        if !address.ip().is_loopback() {
            return Err(Failure::usage(
                "--listen: the demo asks nobody who they are; take a loopback address",
            ));
        }
        return bind(address).await;
    }
    match bind(SocketAddr::from(([127, 0, 0, 1], 8103))).await {
        Ok(listener) => Ok(listener),
        Err(_) => bind(SocketAddr::from(([127, 0, 0, 1], 0))).await,
    }
}
