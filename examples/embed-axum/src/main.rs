//! Runs the application at 127.0.0.1:3000.
//!
//! ```sh
//! cargo run -p embed-axum &
//! curl -d 'one text' 'http://127.0.0.1:3000/ingest?name=a.txt'
//! curl 'http://127.0.0.1:3000/api/rag-status'
//! ```

use std::time::Duration;

use ragpulse_server::service::{self, Connections, STALLED, Wire};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (app, hub) = embed_axum::app().await?;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:3000").await?;
    // Peers that stop reading are seen and cut, as in a hub of its own.
    service::tune_listener(&listener)?;
    let connections = Connections::new(STALLED);
    println!("listening at http://{}", listener.local_addr()?);
    let app = app.into_make_service_with_connect_info::<Wire>();
    axum::serve(connections.listen(listener), app)
        .with_graceful_shutdown(async move {
            let _ = tokio::signal::ctrl_c().await;
            hub.close(Duration::from_secs(5)).await;
            // Answers that are under way get a moment; who takes nothing does not keep the server.
            tokio::spawn(async move {
                tokio::time::sleep(Duration::from_secs(1)).await;
                connections.cut();
            });
        })
        .await?;
    Ok(())
}
