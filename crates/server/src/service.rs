//! Help for a host that has nothing else to do than to serve a hub: tuned sockets, and a close that ends in time.

use std::future::Future;
use std::io;
use std::os::fd::AsFd;
use std::time::Duration;

use axum::serve::ListenerExt;
use tokio::net::TcpListener;

use crate::hub::HubParts;
use crate::transport::not_found;

/// How long a peer may leave data unacknowledged before the kernel cuts it.
const UNACKNOWLEDGED: Duration = Duration::from_secs(30);
/// How much unsent data the kernel keeps of a connection. Small, so that the hub sees who does not read.
const UNSENT_BYTES: u32 = 16 * 1024;

/// Tunes a listening socket so that peers who stop reading are seen and cut. Accepted connections inherit it.
///
/// Without it the kernel takes megabytes before a buffer is full, and a peer that is gone keeps its connection.
///
/// # Errors
/// When the system refuses a setting. Off Linux nothing is set.
pub fn tune_listener(listener: &impl AsFd) -> io::Result<()> {
    #[cfg(target_os = "linux")]
    {
        let socket = socket2::SockRef::from(listener);
        socket.set_tcp_user_timeout(Some(UNACKNOWLEDGED))?;
        socket.set_tcp_notsent_lowat(UNSENT_BYTES)?;
    }
    #[cfg(not(target_os = "linux"))]
    let _ = listener;
    Ok(())
}

/// Serves a hub until `shutdown`, then closes it within `deadline` whatever the peers do.
///
/// # Errors
/// When the listener fails.
pub async fn serve(
    listener: TcpListener,
    parts: HubParts,
    shutdown: impl Future<Output = ()> + Send + 'static,
    deadline: Duration,
) -> io::Result<()> {
    if let Err(error) = tune_listener(&listener) {
        tracing::warn!(%error, "the listener could not be tuned; peers that stop reading are seen late");
    }
    let HubParts { router, layer, hub } = parts;
    let app = router.fallback(not_found).layer(layer);
    let listener = listener.tap_io(|stream| {
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "TCP_NODELAY was not set");
        }
    });
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let server = tokio::spawn(
        axum::serve(listener, app)
            .with_graceful_shutdown(async move {
                let _ = stopped.await;
            })
            .into_future(),
    );
    let abort = server.abort_handle();
    tokio::pin!(server);
    tokio::select! {
        result = &mut server => return result.unwrap_or_else(|error| Err(io::Error::other(error))),
        () = shutdown => {}
    }
    let started = tokio::time::Instant::now();
    let _ = stop.send(());
    hub.close(deadline).await;
    let left = deadline.saturating_sub(started.elapsed());
    match tokio::time::timeout(left, &mut server).await {
        Ok(result) => result.unwrap_or_else(|error| Err(io::Error::other(error))),
        Err(_) => {
            // Nothing more is accepted. Whoever has not gone by now goes with the process, or when the kernel gives up
            // on what it has not acknowledged.
            abort.abort();
            Ok(())
        }
    }
}
