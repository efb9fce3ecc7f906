//! Passes: what is held for somebody who is neither followed by a room nor asks again by themselves — a poll that waits, a
//! stream, the socket of a reporter — so that it ends when their right does.
//!
//! No timer is held for a pass: the [review](crate::hub) looks at all of them, and there are no more than connections.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use ragpulse_protocol::{PipelineId, Problem, Timestamp};
use tokio::sync::watch;

use super::act::Act;
use super::gate::Caller;
use crate::hub::Hub;

/// All passes of a hub.
#[derive(Default)]
pub(crate) struct Passes {
    held: Mutex<Held>,
}

#[derive(Default)]
struct Held {
    next: u64,
    by_number: HashMap<u64, Arc<Right>>,
}

/// What a pass is for.
struct Right {
    caller: Caller,
    /// What has to stay allowed; nothing for who is asked at each act.
    act: Option<(Act, PipelineId)>,
    /// How long after the end of the right it ends, in milliseconds.
    grace: i64,
    ended_at: Mutex<Option<Timestamp>>,
    over: watch::Sender<Option<Problem>>,
}

/// One pass, given back when it is dropped.
pub(crate) struct Pass {
    hub: Hub,
    number: u64,
    over: watch::Receiver<Option<Problem>>,
}

impl Passes {
    fn all(&self) -> Vec<Arc<Right>> {
        self.held.lock().by_number.values().cloned().collect()
    }
}

impl Hub {
    /// A pass that ends with the right to do this.
    pub(crate) fn pass(&self, caller: &Caller, act: Act, pipeline: &PipelineId) -> Pass {
        self.hold(caller, Some((act, pipeline.clone())), 0)
    }

    /// A pass that ends `grace` milliseconds after the token has.
    pub(crate) fn pass_until(&self, caller: &Caller, grace: i64) -> Pass {
        self.hold(caller, None, grace)
    }

    fn hold(&self, caller: &Caller, act: Option<(Act, PipelineId)>, grace: i64) -> Pass {
        let (sender, over) = watch::channel(None);
        let right = Right { caller: caller.clone(), act, grace, ended_at: Mutex::default(), over: sender };
        let mut held = self.0.passes.held.lock();
        held.next += 1;
        let number = held.next;
        held.by_number.insert(number, Arc::new(right));
        Pass { hub: self.clone(), number, over }
    }

    /// Ends the passes whose right has ended. `thorough`: also where it was narrowed, which only a change of keys does.
    pub(crate) fn review_passes(&self, thorough: bool) {
        let now = self.0.clock.now();
        for right in self.0.passes.all() {
            let act = right.act.as_ref().filter(|_| thorough);
            let Err(problem) = self.still(&right.caller, act.map(|(act, pipeline)| (*act, pipeline))) else {
                continue;
            };
            let mut ended_at = right.ended_at.lock();
            if ended_at.is_none() {
                let (act, pipeline) = right
                    .act
                    .as_ref()
                    .map_or(("report", None), |(act, pipeline)| (act.as_str(), Some(pipeline)));
                right.caller.entry(act, pipeline).denied(&problem);
            }
            let ended_at = *ended_at.get_or_insert(now);
            if now.millis_since(ended_at) >= right.grace {
                right.over.send_replace(Some(problem));
            }
        }
    }
}

impl Pass {
    /// Returns when the right has ended, with the reason.
    pub(crate) async fn over(&mut self) -> Problem {
        match self.over.wait_for(Option::is_some).await.map(|problem| problem.clone()) {
            Ok(Some(problem)) => problem,
            // Only a hub that is gone lets go of a right before its pass.
            _ => crate::hub::closing(),
        }
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        self.hub.0.passes.held.lock().by_number.remove(&self.number);
    }
}
