//! The subscriber as its callers see it: a stream of updates, and the state folded from them.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::Stream;
use ragpulse_protocol::{PipelineId, PipelineStatus};
use tokio::sync::{mpsc, watch};

use super::builder::SubscriberBuilder;
use super::driver::Shared;
use super::update::{ConnectionStatus, Update};
use crate::token::Given;

/// Follows pipelines of a hub: a stream of [`Update`]s, and the state folded from them; see the [crate's example](crate).
///
/// The stream ends after the update that says so ([`ConnectionStatus::closed`]), which comes when the hub refuses for good,
/// every subscription has ended, or the subscriber was [closed](SubscriberHandle::close). It goes through everything else:
/// lost connections, restarts of the hub, networks that let no sockets through.
///
/// A consumer that is slow holds up the hub, and is brought up to date when it goes on. Dropping the subscriber ends it.
#[derive(Debug)]
#[must_use = "a subscriber that is dropped ends"]
pub struct Subscriber {
    updates: mpsc::Receiver<Update>,
    handle: SubscriberHandle,
}

/// Looks at, and closes, a [`Subscriber`] from elsewhere.
#[derive(Clone)]
pub struct SubscriberHandle {
    shared: Arc<Shared>,
}

impl std::fmt::Debug for SubscriberHandle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SubscriberHandle")
            .field("connection", &*self.shared.connection.borrow())
            .finish_non_exhaustive()
    }
}

impl Subscriber {
    /// Sets up a subscriber to the hub at `url`, such as `http://127.0.0.1:8103`.
    pub fn builder(url: impl Into<String>) -> SubscriberBuilder {
        SubscriberBuilder::new(url.into(), Given::Nothing)
    }

    /// As [`builder`](Self::builder), to the hub that `RAGPULSE_URL` names (default `http://127.0.0.1:8103`), with the
    /// token in `RAGPULSE_TOKEN`, or in the file that `RAGPULSE_TOKEN_FILE` names (a [`TokenFile`](crate::TokenFile)). Both
    /// at once are an error of the builder's last step.
    pub fn from_env() -> SubscriberBuilder {
        let (url, token) = crate::endpoint::from_env();
        SubscriberBuilder::new(url, token)
    }

    pub(crate) fn new(shared: Arc<Shared>, updates: mpsc::Receiver<Update>) -> Self {
        Self { updates, handle: SubscriberHandle { shared } }
    }

    /// The next update; `None` after the last one. Cancelling the wait loses nothing.
    pub async fn recv(&mut self) -> Option<Update> {
        self.updates.recv().await
    }

    /// The state of a pipeline; as [`SubscriberHandle::state`].
    pub fn state(&self, id: &PipelineId) -> Option<Arc<PipelineStatus>> {
        self.handle.state(id)
    }

    /// By what updates come, now and at each change.
    pub fn connection(&self) -> watch::Receiver<ConnectionStatus> {
        self.handle.connection()
    }

    /// Looks at, and closes, this subscriber from elsewhere.
    pub fn handle(&self) -> SubscriberHandle {
        self.handle.clone()
    }
}

impl Stream for Subscriber {
    type Item = Update;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Update>> {
        self.updates.poll_recv(cx)
    }
}

impl Drop for Subscriber {
    fn drop(&mut self) {
        self.handle.close();
    }
}

impl SubscriberHandle {
    /// The state of a pipeline as it was received, which is at or after the last update that was taken from the stream.
    /// `None` for one that is not followed or of which nothing is known. Copies the state if it changed since the last call.
    pub fn state(&self, id: &PipelineId) -> Option<Arc<PipelineStatus>> {
        self.shared.machine.lock().pipelines.state(id)
    }

    /// The pipelines that are followed, also those of which nothing is known yet.
    pub fn pipelines(&self) -> Vec<PipelineId> {
        self.shared.machine.lock().pipelines.ids().cloned().collect()
    }

    /// By what updates come, now and at each change.
    pub fn connection(&self) -> watch::Receiver<ConnectionStatus> {
        self.shared.connection.subscribe()
    }

    /// How long the socket's last ping took there and back. A ping goes every 5 s or so; `None` before the first answer, and
    /// while updates do not come by socket.
    pub fn latency(&self) -> Option<Duration> {
        self.shared.machine.lock().latency()
    }

    /// Ends the subscriber: it says goodbye to the hub, and its stream ends.
    pub fn close(&self) {
        self.shared.stop.notify_one();
    }
}
