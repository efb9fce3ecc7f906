//! When to stop: Ctrl-C, or a polite request of the system. And when to read again: SIGHUP.

/// Returns at the first SIGINT or SIGTERM.
pub(crate) async fn stop() {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        let terminate = async {
            match signal(SignalKind::terminate()) {
                Ok(mut terminate) => {
                    terminate.recv().await;
                }
                Err(_) => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = tokio::signal::ctrl_c() => {}
            () = terminate => {}
        }
    }
    #[cfg(not(unix))]
    let _ = tokio::signal::ctrl_c().await;
}

/// Does this at each SIGHUP, for as long as the process lives. Where there are no such signals, never.
pub(crate) fn on_hangup(mut act: impl FnMut() + Send + 'static) {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        match signal(SignalKind::hangup()) {
            Ok(mut hangup) => {
                tokio::spawn(async move {
                    while hangup.recv().await.is_some() {
                        act();
                    }
                });
            }
            Err(error) => tracing::error!(%error, "SIGHUP cannot be heard; keys are read at the start only"),
        }
    }
    #[cfg(not(unix))]
    drop(act);
}
