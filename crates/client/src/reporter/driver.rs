//! The task behind a reporter: asks the machine what to do, does it, and tells the answer.
//!
//! The spool is read, and told what was settled, on a thread that may block: after a long outage that means to fetch
//! megabytes from a disk, and to delete files. It costs microseconds for each batch.
//!
//! *What it never does:* decide anything, or hold a lock while it waits.

use std::sync::Arc;
use std::time::Duration;

use reqwest::Url;

use super::outcome::{Action, Answer};
use super::shared::{Shared, timestamp};
use crate::endpoint::Endpoint;

/// Where batches go.
pub(crate) struct Sender {
    pub(crate) endpoint: Endpoint,
    pub(crate) client: reqwest::Client,
    pub(crate) url: Url,
    pub(crate) reporter_id: String,
}

impl Sender {
    async fn send(&self, body: String) -> Answer {
        let request = self
            .client
            .post(self.url.clone())
            .header("content-type", "application/json")
            .header("ragpulse-reporter", &self.reporter_id)
            .body(body);
        self.endpoint.ask(request).await
    }
}

/// Whoever waits must learn that nobody sends any more, also when the runtime ends the task.
struct Ending(Arc<Shared>);

impl Drop for Ending {
    fn drop(&mut self) {
        self.0.machine.lock().close(Duration::ZERO);
        // With a deadline in the past this only stops.
        let _ = self.0.machine.lock().next(self.0.now());
        self.0.let_go_of_spool();
        self.0.tell();
        self.0.make_room();
    }
}

/// The task. What is to happen at its end happens also if the runtime ends before it ever ran.
pub(crate) fn drive(shared: Arc<Shared>, sender: Sender) -> impl Future<Output = ()> + Send + 'static {
    let ending = Ending(shared);
    async move { run(&ending.0, &sender).await }
}

async fn run(shared: &Arc<Shared>, sender: &Sender) {
    loop {
        let action = shared.machine.lock().next(shared.now());
        // That it has stopped is told at the very end: who waits for it may then use the spool.
        if action != Action::Stop {
            shared.tell();
        }
        match action {
            Action::Stop => break,
            Action::Wait(until) => {
                tokio::select! {
                    () = shared.wake.notified() => {}
                    () = sleep_until(shared, until) => {}
                }
            }
            Action::Send(body) => {
                let Some(answer) = until_given_up(shared, sender.send(body)).await else { continue };
                let aside = shared.machine.lock().answered(answer, shared.now(), timestamp());
                if let Some(aside) = aside {
                    shared.reject(aside);
                }
                if shared.has_spool() {
                    on_thread(shared, Shared::settle_spool).await;
                }
                shared.make_room();
            }
            Action::Refill { events, bytes } => {
                on_thread(shared, move |shared| shared.refill(events, bytes)).await;
                shared.make_room();
            }
            Action::EndOrphans => on_thread(shared, Shared::end_orphans).await,
        }
    }
}

/// Does what may block. If the runtime ends it is not done: the spool has everything, and nobody sends any more.
async fn on_thread(shared: &Arc<Shared>, work: impl FnOnce(&Shared) + Send + 'static) {
    let shared = Arc::clone(shared);
    if let Err(error) = tokio::task::spawn_blocking(move || work(&shared)).await {
        tracing::debug!("the spool was not looked at: {error}");
    }
}

/// Waits for an answer, but no longer than closing allows.
async fn until_given_up(shared: &Shared, sending: impl Future<Output = Answer>) -> Option<Answer> {
    let mut sending = std::pin::pin!(sending);
    loop {
        let give_up_at = shared.machine.lock().give_up_at();
        tokio::select! {
            answer = &mut sending => return Some(answer),
            () = shared.wake.notified() => shared.tell(),
            () = sleep_until(shared, give_up_at) => return None,
        }
    }
}

async fn sleep_until(shared: &Shared, until: Option<Duration>) {
    match until {
        Some(until) => tokio::time::sleep_until(shared.started + until).await,
        None => std::future::pending().await,
    }
}
