//! A hub in memory on a free port, until SIGTERM. On one thread, so that two runs with the same work do nearly the same.
//! See `cargo xtask instructions`.

use std::time::Duration;

use ragpulse_server::{Config, Hub, service};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut config = Config::default();
    config.metrics = true;
    let parts = Hub::builder().config(config).build()?;
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("A bare hub is at http://{}", listener.local_addr()?);
    let mut stop = signal(SignalKind::terminate())?;
    let stopped = async move {
        stop.recv().await;
    };
    service::serve(listener, parts, stopped, Duration::from_secs(5)).await?;
    Ok(())
}
