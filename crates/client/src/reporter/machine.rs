//! What a reporter does next, decided without I/O: time is passed in, and what to send comes out.
//!
//! | phase | what happens there |
//! |---|---|
//! | `Ready` | sends the next batch if anything waits, a heartbeat if it is due, and otherwise waits |
//! | `UnderWay` | one batch, or one heartbeat, is on its way; nothing else is sent |
//! | `Backoff` | the last try failed; nothing is sent before its time |
//! | `Closed` | for ever |
//!
//! *What may come in:* events at any time, answers of any kind. *What it never does:* read a clock, wait, have two
//! batches under way, or forget an event that must arrive before the hub took or refused that very event.

use std::time::Duration;

use ragpulse_protocol::command::PublishReceipt;
use ragpulse_protocol::{Object, Problem, Timestamp};

use super::encode::{Encoder, MAX_BYTES, heartbeat};
use super::files::OpenFiles;
use super::outcome::{Action, Answer, Refusal, SetAside, Standing, Totals};
use super::queue::{Effect, Item, Pushed, Queue};
use crate::backoff::Backoff;
use crate::endpoint::BadAnswer;

/// The most events in one batch.
pub(crate) const MAX_BATCH: usize = 500;
/// The longest wait between two tries while closing.
const CLOSING_RETRY: Duration = Duration::from_millis(250);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Ready,
    UnderWay { heartbeat: bool },
    Backoff { until: Duration },
    Closed,
}

pub(crate) struct Machine {
    pub(crate) queue: Queue,
    pub(crate) encoder: Encoder,
    pub(crate) totals: Totals,
    backoff: Backoff,
    phase: Phase,
    standing: Standing,
    files: OpenFiles,
    /// The fields of the last `pipeline:online` that arrived.
    online_fields: Option<Object>,
    /// By what arrived: whether the hub counts on this reporter's lease.
    online: bool,
    /// By what was reported: whether an `offline` is owed at the end.
    owes_offline: bool,
    heartbeat_every: Duration,
    last_arrival: Duration,
    /// Whether the last refusal was answered by re-opening the pipeline.
    reopened: bool,
    /// Smaller after the hub found a batch too large or could not say what is wrong in it.
    batch: usize,
    close_by: Option<Duration>,
}

impl Machine {
    pub(crate) fn new(queue: Queue, encoder: Encoder, backoff: Backoff, heartbeat_every: Duration) -> Self {
        Self {
            queue,
            encoder,
            totals: Totals::default(),
            backoff,
            phase: Phase::Ready,
            standing: Standing::Idle,
            files: OpenFiles::default(),
            online_fields: None,
            online: false,
            owes_offline: false,
            heartbeat_every,
            last_arrival: Duration::ZERO,
            reopened: false,
            batch: MAX_BATCH,
            close_by: None,
        }
    }

    pub(crate) fn standing(&self) -> &Standing {
        &self.standing
    }

    pub(crate) fn is_closing(&self) -> bool {
        self.close_by.is_some() || self.phase == Phase::Closed
    }

    /// Why the hub refuses everything, if it does.
    pub(crate) fn refusal(&self) -> Option<&Problem> {
        match &self.standing {
            Standing::Refused { problem, .. } => Some(problem),
            _ => None,
        }
    }

    /// Takes an event. Past the bounds if `force`.
    pub(crate) fn push(&mut self, item: Item, force: bool) -> Pushed {
        let owes_offline = !matches!(item.effect, Effect::Offline);
        let pushed = self.queue.push(item, force);
        if matches!(pushed, Pushed::Queued) {
            self.owes_offline = owes_offline;
        }
        pushed
    }

    /// Sends what there is and `pipeline:offline` after it, until `by`. An earlier deadline stands.
    pub(crate) fn close(&mut self, offline: Option<Item>, by: Duration) {
        if self.is_closing() {
            self.close_by = self.close_by.map(|earlier| earlier.min(by));
            return;
        }
        if let Some(item) = offline.filter(|_| self.owes_offline) {
            self.push(item, true);
        }
        self.close_by = Some(by);
    }

    /// When a try that is under way has to be given up.
    pub(crate) fn give_up_at(&self) -> Option<Duration> {
        self.close_by
    }

    /// What to do now.
    pub(crate) fn next(&mut self, now: Duration) -> Action {
        if self.close_by.is_some_and(|by| by <= now) {
            self.stop();
        }
        match self.phase {
            Phase::Closed => Action::Stop,
            Phase::UnderWay { .. } => Action::Wait(self.close_by),
            Phase::Backoff { until } if until > now => {
                // Closing shortens the wait: what is left of the deadline is better spent trying.
                let until = if self.is_closing() { until.min(now + CLOSING_RETRY) } else { until };
                self.phase = Phase::Backoff { until };
                Action::Wait(Some(self.close_by.map_or(until, |by| by.min(until))))
            }
            Phase::Backoff { .. } | Phase::Ready => self.ready(now),
        }
    }

    fn ready(&mut self, now: Duration) -> Action {
        self.phase = Phase::Ready;
        let mut body = String::from("[");
        for item in self.queue.take(self.batch, MAX_BYTES) {
            if body.len() > 1 {
                body.push(',');
            }
            body.push_str(&item.json);
        }
        if body.len() > 1 {
            body.push(']');
            self.phase = Phase::UnderWay { heartbeat: false };
            return Action::Send(body);
        }
        if self.is_closing() {
            self.stop();
            return Action::Stop;
        }
        if !self.online {
            return Action::Wait(None);
        }
        let due = self.last_arrival + self.heartbeat_every;
        if due > now {
            return Action::Wait(Some(due));
        }
        self.phase = Phase::UnderWay { heartbeat: true };
        Action::Send(format!("[{}]", heartbeat()))
    }

    fn stop(&mut self) {
        self.phase = Phase::Closed;
        self.standing = Standing::Closed;
    }

    /// The answer to what was under way. `time` is for events that re-open the pipeline. Gives back what was set aside.
    pub(crate) fn answered(&mut self, answer: Answer, now: Duration, time: Timestamp) -> Option<SetAside> {
        let Phase::UnderWay { heartbeat } = self.phase else { return None };
        self.phase = Phase::Ready;
        match answer {
            Ok(receipt) => {
                self.arrived(&receipt, now);
                None
            }
            Err(BadAnswer::Problem { problem, retry_after }) => {
                self.refused(*problem, retry_after, heartbeat, now, time)
            }
            Err(BadAnswer::Strange { status, retry_after, ref text }) => {
                let cause = format!("no hub's answer came from this address: status {status}, {text:?}");
                self.retry(cause, retry_after, now);
                None
            }
            Err(BadAnswer::Unreachable(cause)) => {
                self.retry(cause, None, now);
                None
            }
        }
    }

    fn arrived(&mut self, receipt: &PublishReceipt, now: Duration) {
        self.backoff.reset();
        self.standing = Standing::Connected;
        self.last_arrival = now;
        self.reopened = false;
        // Back to full size slowly, or a hub with smaller limits would refuse every other batch.
        self.batch = MAX_BATCH.min(self.batch + 10);
        self.totals.accepted += receipt.accepted;
        self.totals.duplicates += receipt.duplicates;
        self.totals.conflated += receipt.conflated;
        for item in self.queue.settle() {
            self.online = true;
            match item.effect {
                Effect::Online(fields) => self.online_fields = Some(fields),
                Effect::Offline => {
                    self.online = false;
                    self.files.clear();
                }
                Effect::Begin { file, data } => self.files.begin(file, data),
                Effect::End { file } => self.files.end(&file),
                Effect::Progress { .. } | Effect::Other => {}
            }
        }
    }

    fn refused(
        &mut self,
        problem: Problem,
        retry_after: Option<Duration>,
        heartbeat: bool,
        now: Duration,
        time: Timestamp,
    ) -> Option<SetAside> {
        match Refusal::of(&problem) {
            Refusal::Passing => self.retry(problem.to_string(), retry_after, now),
            Refusal::Forgotten => {
                self.queue.give_back();
                let items = self.encoder.reopening(self.online_fields.as_ref(), self.files.fields(), time);
                self.queue.reopen(items);
                // Once at once; a hub that goes on forgetting is not to be asked without a pause.
                if std::mem::replace(&mut self.reopened, true) {
                    self.retry(problem.to_string(), retry_after, now);
                }
            }
            Refusal::Everything => self.refuse_all(problem, now),
            // A heartbeat has no content to be wrong.
            Refusal::Event(_) | Refusal::Batch if heartbeat => self.refuse_all(problem, now),
            Refusal::Event(index) if index < self.queue.under_way() => {
                return self.set_aside(index, problem);
            }
            Refusal::Event(_) | Refusal::Batch if self.queue.under_way() == 1 => {
                return self.set_aside(0, problem);
            }
            Refusal::Event(_) | Refusal::Batch => {
                self.batch = (self.queue.under_way() / 2).max(1);
                self.queue.give_back();
            }
        }
        None
    }

    fn set_aside(&mut self, index: usize, problem: Problem) -> Option<SetAside> {
        let item = self.queue.set_aside(index)?;
        self.totals.rejected += 1;
        self.backoff.reset();
        self.standing = Standing::Connected;
        Some(SetAside { item, problem })
    }

    fn retry(&mut self, cause: String, retry_after: Option<Duration>, now: Duration) {
        self.queue.give_back();
        let asked = retry_after.map_or(Duration::ZERO, |asked| self.backoff.spread(asked));
        self.phase = Phase::Backoff { until: now + self.backoff.fail().max(asked) };
        let since = match self.standing {
            Standing::Retrying { since, .. } => since,
            _ => now,
        };
        self.standing = Standing::Retrying { since, failures: self.backoff.failures(), cause };
    }

    fn refuse_all(&mut self, problem: Problem, now: Duration) {
        let since = match self.standing {
            Standing::Refused { since, .. } => since,
            _ => now,
        };
        self.retry(String::new(), None, now);
        self.standing = Standing::Refused { since, problem };
    }
}

#[cfg(test)]
#[path = "machine_tests.rs"]
mod tests;
