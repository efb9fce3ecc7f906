//! The end of a subscriber's right: every subscription is ended by `subscription:ended` with the code, and then nothing more
//! is sent to it, until it brings a new token and subscribes again. One that brings none leaves after a minute.
//!
//! *What it never does:* hold a timer of its own; let a join that is under way by the old right stay.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;
use ragpulse_protocol::message::SubscriptionEnded;
use ragpulse_protocol::{Code, PipelineId, Problem, Timestamp};
use serde_json::value::to_raw_value;

use super::peer::{Peer, Peers, Who};
use crate::auth::{Act, Caller};
use crate::hub::{Outlet, Room, Sent};

/// How long a socket stays after its right has ended, in milliseconds: time to bring a new token.
pub(super) const GRACE_MILLIS: i64 = 60_000;

/// What becomes of a peer's right.
#[derive(Default)]
pub(super) struct Rights {
    /// Whoever joins and whoever ends hold this, so that nothing is joined by a right that is being ended.
    pub(super) turn: Mutex<()>,
    /// The right has ended. Looked at for each message, so it is no lock.
    cut: AtomicBool,
    state: Mutex<Ended>,
    /// How many new tokens were brought, and the last of them that counts: where one takes longer to be made out than the
    /// next, it is the later that holds.
    refreshes: Mutex<(u64, u64)>,
}

#[derive(Default)]
struct Ended {
    since: Option<Timestamp>,
    /// What is still to be told, where the buffer was full. At most one for each subscription.
    owed: VecDeque<SubscriptionEnded>,
}

impl Rights {
    /// Whether the right has ended.
    pub(super) fn are_cut(&self) -> bool {
        self.cut.load(Ordering::Acquire)
    }

    /// The number of a token that is being made out.
    pub(super) fn next_refresh(&self) -> u64 {
        let mut refreshes = self.refreshes.lock();
        refreshes.0 += 1;
        refreshes.0
    }
}

impl Peer {
    /// Ends everything, as the right to it has ended.
    fn end_all(&self, problem: &Problem, now: Timestamp) {
        let _turn = self.rights.turn.lock();
        self.rights.cut.store(true, Ordering::Release);
        self.rights.state.lock().since = Some(now);
        let registry = &self.hub.0.registry;
        let follows = std::mem::take(&mut *self.follows.lock());
        for scope in &follows.scopes {
            registry.unfollow(scope, self.id());
        }
        let rooms: Vec<Arc<Room>> = if follows.scopes.is_empty() {
            follows.pipelines.iter().filter_map(|id| registry.get(id)).collect()
        } else {
            // Rooms of a scope are joined from the tail, which does not note them here; one that was about to be is
            // among them.
            registry.after_reveals();
            registry.followed_by(self.id())
        };
        let ended = rooms.into_iter().filter(|room| room.leave(self.id())).map(|room| room.id.clone());
        self.owe(ended, problem.code);
        self.caller().entry("follow", None).denied(problem);
    }

    /// Ends what this right does not name, and shows of the rest what it lets see.
    fn narrow(&self, caller: &Caller) {
        let _turn = self.rights.turn.lock();
        // A pipeline that was about to be joined by the old right is among those that are followed.
        self.hub.0.registry.after_reveals();
        for room in self.hub.0.registry.followed_by(self.id()) {
            if self.hub.0.authoriser.allows(&caller.who, Act::View, Some(&room.id)) {
                room.set_audience(self.id(), self.hub.audience(&caller.who, &room.id));
            } else {
                room.leave(self.id());
                self.follows.lock().pipelines.remove(&room.id);
                self.owe([room.id.clone()], Code::Forbidden);
            }
        }
    }

    /// Takes a new token, unless a later one has been taken.
    pub(super) fn renew(&self, number: u64, caller: Caller) {
        {
            let mut refreshes = self.rights.refreshes.lock();
            if number < refreshes.1 {
                return;
            }
            refreshes.1 = number;
            // From here on nothing new is followed by the old right; what is followed is looked through, held ids too.
            self.socket.extensions.insert(Who(caller.clone()));
        }
        self.narrow(&caller);
        self.rights.state.lock().since = None;
        self.rights.cut.store(false, Ordering::Release);
    }

    fn owe(&self, pipelines: impl IntoIterator<Item = PipelineId>, code: Code) {
        let owed = pipelines.into_iter().map(|pipeline_id| SubscriptionEnded { pipeline_id, code });
        self.rights.state.lock().owed.extend(owed);
        self.pay();
    }

    /// Tells what is to be told, as far as there is room.
    fn pay(&self) {
        let mut state = self.rights.state.lock();
        while let Some(ended) = state.owed.front() {
            let Ok(payload) = to_raw_value(ended) else { return };
            match self.tell("subscription:ended", &payload) {
                Sent::Buffered => drop(state.owed.pop_front()),
                Sent::Full => return,
                Sent::Gone => state.owed.clear(),
            }
        }
    }

    fn review(&self, thorough: bool) {
        let now = self.hub.0.clock.now();
        let caller = self.caller();
        match self.hub.standing(&caller.who) {
            Ok(()) if thorough => self.narrow(&caller),
            Ok(()) => {}
            Err(problem) if !self.rights.are_cut() => self.end_all(&problem, now),
            Err(_) => {}
        }
        self.pay();
        let since = self.rights.state.lock().since;
        if since.is_some_and(|since| now.millis_since(since) >= GRACE_MILLIS) {
            let _ = self.socket.clone().disconnect();
        }
    }
}

/// What looks through the rights of all subscribers.
pub(crate) struct Reviewer(pub(super) Arc<Peers>);

impl Reviewer {
    /// Ends what is no longer allowed. `thorough`: also single pipelines that a right which stands no longer names.
    pub(crate) async fn review(&self, thorough: bool) {
        for (number, peer) in self.0.all().into_iter().enumerate() {
            peer.review(thorough);
            if number % 256 == 255 || thorough {
                tokio::task::yield_now().await;
            }
        }
    }
}
