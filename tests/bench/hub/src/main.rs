//! A hub without doors of its own on a free port, until SIGTERM. See `cargo xtask instructions`.
//!
//! On one thread, so that two runs with the same work do nearly the same; on as many as `RAGPULSE_BARE_THREADS` says
//! where that is set. In memory, or with `--store sqlite:PATH`.

use std::sync::Arc;
use std::time::Duration;

use ragpulse_server::log::SqliteLog;
use ragpulse_server::log::sqlite::SqliteOptions;
use ragpulse_server::{Config, Hub, service};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let threads = std::env::var("RAGPULSE_BARE_THREADS").ok().and_then(|threads| threads.parse().ok());
    let runtime = match threads {
        None => tokio::runtime::Builder::new_current_thread().enable_all().build()?,
        Some(threads) => {
            tokio::runtime::Builder::new_multi_thread().worker_threads(threads).enable_all().build()?
        }
    };
    runtime.block_on(run())
}

async fn run() -> Result<(), Box<dyn std::error::Error>> {
    let mut config = Config::default();
    config.metrics = true;
    let store = std::env::args().skip_while(|argument| argument != "--store").nth(1);
    let builder = Hub::builder().config(config);
    let parts = match store.as_deref().and_then(|store| store.strip_prefix("sqlite:")) {
        None => builder.build()?,
        Some(path) => builder.log(Arc::new(SqliteLog::open(SqliteOptions::new(path))?)).open().await?,
    };
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("A bare hub is at http://{}", listener.local_addr()?);
    let mut stop = signal(SignalKind::terminate())?;
    let stopped = async move {
        stop.recv().await;
    };
    service::serve(listener, parts, stopped, Duration::from_secs(5)).await?;
    Ok(())
}
