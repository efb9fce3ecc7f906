//! The review: ends what goes on after the right to it has ended — subscriptions, held polls, streams, sockets of reporters.
//!
//! One task for all of them looks at each twice a second by the hub's clock, so nobody holds a timer of their own. Rights
//! that grow narrower without ending, which a change of keys does, are looked for only when a review is asked for.

use std::sync::Arc;
use std::time::Duration;

use super::{Hub, Inner};

/// The time between two looks.
const PERIOD: Duration = Duration::from_millis(500);
/// The time between two looks for sockets whose connection is gone.
const LEFT_BEHIND: Duration = Duration::from_secs(5);

/// Runs until the hub ends.
pub(super) async fn run(hub: Arc<Inner>) {
    let hub = Hub(hub);
    let mut begun = tokio::time::Instant::now();
    let mut tick = tokio::time::interval(PERIOD);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        let thorough = tokio::select! {
            () = hub.0.review.notified() => true,
            _ = tick.tick() => false,
            () = hub.0.end.cancelled() => return,
        };
        hub.review_passes(thorough);
        if let Some(socket) = hub.socket_end(crate::transport::SocketEnd::reviewer) {
            socket.review(thorough).await;
        }
        if begun.elapsed() >= LEFT_BEHIND {
            begun = tokio::time::Instant::now();
            hub.socket_end(crate::transport::SocketEnd::let_go_of_left_behind);
        }
    }
}
