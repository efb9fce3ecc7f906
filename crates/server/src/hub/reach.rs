//! Reaching a cursor: who comes from another hub may have seen more than this one has followed to. That is no `ahead` yet: the log is asked
//! where the pipeline ends, and the room given a moment to get there. Only where several hubs share a log.
//!
//! *What it never does:* keep an answer back for long. A subscriber that cannot be judged keeps its cursor, hears nothing, and is judged as soon as
//! the log answers; so does a stream. A poll is held as long as it allows, and then refused.

use std::sync::Arc;
use std::time::Duration;

use ragpulse_protocol::command::SubscribedPipeline;
use ragpulse_protocol::{Code, Cursor, Problem};

use super::{Hub, Question, Room};

/// How long is waited for it at most.
const WITHIN: Duration = Duration::from_secs(1);
/// How long after that it is tried again.
pub(crate) const AGAIN: Duration = Duration::from_millis(250);

impl Hub {
    /// Whether a cursor may be of what this hub only does not know yet.
    pub(crate) fn may_be_behind(&self, room: &Room, cursor: Option<&Cursor>) -> bool {
        self.0.log.is_shared() && cursor.is_some_and(|cursor| !room.covers(cursor))
    }

    /// Waits until the room knows of what the cursor is of, or of all that the log has. `false` where that took too long, or the log does not
    /// answer.
    pub(crate) async fn reach(&self, room: &Room, cursor: &Cursor) -> bool {
        let mut head = room.head();
        let reached = async {
            let end = self.0.log.end(&room.id).await.ok()?;
            loop {
                head.borrow_and_update();
                let is_there = end.as_ref().map_or_else(|| !room.is_known(), |end| room.covers(end));
                if is_there || room.covers(cursor) {
                    return Some(());
                }
                head.changed().await.ok()?;
            }
        };
        tokio::time::timeout(WITHIN, reached).await.is_ok_and(|reached| reached.is_some())
    }

    /// Judges a subscriber whose cursor was beyond the room, at once or when that can be done. What is then left to ask the log.
    pub(super) async fn settle_beyond(
        &self,
        room: &Arc<Room>,
        outlet: u64,
        question: &Question,
    ) -> Result<SubscribedPipeline, Question> {
        if self.reach(room, &question.cursor).await {
            return self.rejoin(room, outlet, question);
        }
        let (hub, room, question) = (self.clone(), room.clone(), question.clone());
        // As far as is known all that it missed is yet to come.
        let answer = believed(&room);
        tokio::spawn(async move {
            let reached = async {
                while room.waits(outlet, &question) {
                    tokio::time::sleep(AGAIN).await;
                    if hub.reach(&room, &question.cursor).await {
                        break;
                    }
                }
            };
            tokio::select! {
                () = reached => {}
                () = hub.0.end.cancelled() => return,
            }
            if let Err(left) = hub.rejoin(&room, outlet, &question) {
                hub.settle_missed(&room, outlet, &left).await;
            }
        });
        Ok(answer)
    }

    fn rejoin(
        &self,
        room: &Arc<Room>,
        outlet: u64,
        question: &Question,
    ) -> Result<SubscribedPipeline, Question> {
        let Some(join) = room.rejoin(outlet, question, self.0.clock.now()) else {
            return Ok(believed(room));
        };
        if join.paused {
            self.continue_soon(room, outlet);
        }
        join.question.map_or(Ok(join.answer), Err)
    }
}

fn believed(room: &Room) -> SubscribedPipeline {
    SubscribedPipeline { pipeline_id: room.id.clone(), recovered: true, replayed: 0, reason: None }
}

/// What a poll is told that cannot be judged.
pub(crate) fn behind() -> Problem {
    Problem::new(
        Code::StoreUnavailable,
        "This hub has not followed the store as far as this cursor. Ask again in a moment, or another hub.",
    )
}
