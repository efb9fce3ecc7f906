//! How fast one socket may speak: all its messages together, whatever they ask for.

use parking_lot::Mutex;
use ragpulse_protocol::Problem;

use crate::hub::Hub;
use crate::limits::exceeded;
use crate::limits::rate::Level;

/// The pace of one socket.
pub(super) struct Pace {
    hub: Hub,
    level: Mutex<Level>,
}

impl Pace {
    pub(super) fn new(hub: &Hub) -> Self {
        Self { hub: hub.clone(), level: Mutex::default() }
    }

    /// Counts one message.
    ///
    /// # Errors
    /// That it is one too many.
    pub(super) fn check(&self) -> Result<(), Problem> {
        let now = self.hub.0.clock.steady();
        if self.hub.0.socket_rate.take(&mut self.level.lock(), 1, now) {
            return Ok(());
        }
        let most = self.hub.0.config.limits.socket_messages_per_second;
        Err(exceeded(
            "socket_messages_per_second",
            format!(
                "A socket sends at most {most} messages a second, and this one sends more. Wait a second."
            ),
        ))
    }
}
