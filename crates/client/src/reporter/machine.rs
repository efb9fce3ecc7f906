//! What a reporter does next, decided without I/O: time is passed in, and what to send comes out.
//!
//! | phase | what happens there |
//! |---|---|
//! | `Ready` | fetches from the spool when the queue runs low, sends the next batch if anything waits, a heartbeat if it is due, and otherwise waits |
//! | `UnderWay` | one batch, or one heartbeat, is on its way; nothing else is sent |
//! | `Backoff` | the last try, or a look into the spool, failed; nothing is sent before its time |
//! | `Closed` | for ever |
//!
//! A hub tells the epoch with each answer. When it is another one than the answer before told, the hub began to count anew
//! and knows nothing of files begun before, although somebody else has re-opened the pipeline: they are told again.
//!
//! *What may come in:* events at any time, answers of any kind. *What it never does:* read a clock, wait, have two
//! batches under way, or forget an event that must arrive before the hub took or refused that very event.

use std::time::Duration;

use ragpulse_protocol::command::PublishReceipt;
use ragpulse_protocol::{Code, Epoch, Object, Problem, Timestamp};

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
    /// Whether this reporter vouches for its pipeline while nothing happens.
    heartbeats: bool,
    /// Whether the next one is due at once.
    heartbeat_now: bool,
    last_arrival: Duration,
    /// Whether there is a source to ask for another token.
    renews: bool,
    /// Whether the last 401 was answered by another token.
    renewed: bool,
    /// Whether the last refusal was answered by re-opening the pipeline.
    reopened: bool,
    /// Smaller after the hub found a batch too large or could not say what is wrong in it.
    batch: usize,
    close_by: Option<Duration>,
    /// In which the hub last counted.
    epoch: Option<Epoch>,
    /// How many answers in a row told another epoch than the one before.
    moves: u32,
    /// Numbers in the spool of what the hub has answered for, until the spool is told.
    settled: Vec<u64>,
    /// Whether the last look into the spool failed: the next one can wait until there is nothing else to send.
    spool_fails: bool,
    /// When files of the reporter's earlier life end.
    end_orphans_at: Option<Duration>,
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
            heartbeats: true,
            heartbeat_now: false,
            last_arrival: Duration::ZERO,
            renews: false,
            renewed: false,
            reopened: false,
            batch: MAX_BATCH,
            close_by: None,
            epoch: None,
            moves: 0,
            settled: Vec::new(),
            spool_fails: false,
            end_orphans_at: None,
        }
    }

    /// There are files that the reporter's earlier life began: unless they are begun again, they end at this time.
    pub(crate) fn end_orphans_at(&mut self, at: Duration) {
        self.end_orphans_at = Some(at);
    }

    /// How many events wait to be sent or are on their way, wherever they are.
    pub(crate) fn unsent(&self) -> usize {
        self.queue.len() + self.queue.elsewhere()
    }

    /// The numbers of what the spool need not keep any more.
    pub(crate) fn take_settled(&mut self) -> Vec<u64> {
        std::mem::take(&mut self.settled)
    }

    pub(crate) fn standing(&self) -> &Standing {
        &self.standing
    }

    pub(crate) fn is_closing(&self) -> bool {
        self.close_by.is_some() || self.phase == Phase::Closed
    }

    /// Whether tokens come from a source, which may have another one after the hub refused the last.
    pub(crate) fn set_renews(&mut self, renews: bool) {
        self.renews = renews;
    }

    /// Why the hub refuses everything, if it does, and that does not pass by itself.
    pub(crate) fn refusal(&self) -> Option<&Problem> {
        match &self.standing {
            // The source may give a better token.
            Standing::Refused { problem, .. } if self.renews && problem.code == Code::Unauthorized => None,
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

    /// Takes an event that is in the spool: into the queue, if there is room and nothing waits before it in the spool.
    /// Whether it is there.
    pub(crate) fn push_spooled(&mut self, item: Item) -> bool {
        self.owes_offline = !matches!(item.effect, Effect::Offline);
        if self.queue.elsewhere() == 0 {
            return match self.queue.push(item, false) {
                Pushed::Queued => true,
                Pushed::Dropped => false,
                Pushed::Full(item) => {
                    self.queue.pass_by(&item.effect);
                    false
                }
            };
        }
        self.queue.pass_by(&item.effect);
        false
    }

    /// What the spool gave, and how much is still there.
    pub(crate) fn refilled(&mut self, items: Vec<Item>, elsewhere: usize) {
        for item in items {
            self.owes_offline = !matches!(item.effect, Effect::Offline);
            // It was fetched for the room there is, which progress may have to give up.
            if let Pushed::Full(item) = self.queue.push(item, false) {
                self.queue.push(item, true);
            }
        }
        self.queue.set_elsewhere(elsewhere);
        self.spool_fails = false;
    }

    /// The spool gave nothing.
    pub(crate) fn refill_failed(&mut self, cause: String, now: Duration) {
        self.spool_fails = true;
        // What is in the queue comes before what cannot be read, and can be sent.
        if self.phase != Phase::Closed && self.queue.len() == 0 {
            self.retry(cause, None, now);
        }
    }

    /// Whether `pipeline:offline` is to be said at the end.
    pub(crate) fn owes_offline(&self) -> bool {
        self.owes_offline && !self.is_closing()
    }

    /// Nothing is said at the end: the pipeline goes on.
    pub(crate) fn keep_online(&mut self) {
        self.owes_offline = false;
    }

    /// The hub has the pipeline as online, from an earlier reporter of this name or another: this one vouches for it now.
    pub(crate) fn take_over(&mut self) {
        self.online = true;
        // The lease may be about to lapse.
        self.heartbeat_now = true;
    }

    /// Whether heartbeats are sent while there is nothing else to say.
    pub(crate) fn set_heartbeats(&mut self, on: bool) {
        self.heartbeats = on;
    }

    /// In which epoch the hub last said that it counts.
    pub(crate) fn epoch(&self) -> Option<&Epoch> {
        self.epoch.as_ref()
    }

    /// Sends what there is, until `by`. An earlier deadline stands.
    pub(crate) fn close(&mut self, by: Duration) {
        if self.is_closing() {
            self.close_by = self.close_by.map(|earlier| earlier.min(by));
        } else {
            self.close_by = Some(by);
        }
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
        if self.end_orphans_at.is_some_and(|at| at <= now) && !self.is_closing() {
            self.end_orphans_at = None;
            return Action::EndOrphans;
        }
        if let Some((events, bytes)) = self.queue.wants()
            && (!self.spool_fails || self.queue.len() == 0)
        {
            // A little at a time: meanwhile the spool takes no new events.
            return Action::Refill { events: events.min(2 * MAX_BATCH), bytes: bytes.min(2 * MAX_BYTES) };
        }
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
        if !self.online || !self.heartbeats {
            return Action::Wait(self.end_orphans_at);
        }
        let due = self.last_arrival + self.heartbeat_every;
        if due > now && !self.heartbeat_now {
            return Action::Wait(Some(self.end_orphans_at.map_or(due, |at| at.min(due))));
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
        match &answer {
            Err(bad) if bad.is_unauthorized() => {
                // Once at once, by another token: the last one is not sent again.
                if self.renews && !std::mem::replace(&mut self.renewed, true) {
                    self.queue.give_back();
                    return None;
                }
            }
            Ok(_) | Err(BadAnswer::Problem { .. }) => self.renewed = false,
            Err(BadAnswer::Strange { .. } | BadAnswer::Unreachable(_) | BadAnswer::NoToken(_)) => {}
        }
        match answer {
            Ok(receipt) => {
                self.arrived(&receipt, now, time);
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
            Err(bad @ BadAnswer::NoToken(_)) => {
                self.retry(bad.to_string(), None, now);
                None
            }
        }
    }

    fn arrived(&mut self, receipt: &PublishReceipt, now: Duration, time: Timestamp) {
        self.backoff.reset();
        self.standing = Standing::Connected;
        self.last_arrival = now;
        self.heartbeat_now = false;
        self.reopened = false;
        // Back to full size slowly, or a hub with smaller limits would refuse every other batch.
        self.batch = MAX_BATCH.min(self.batch + 10);
        self.totals.accepted += receipt.accepted;
        self.totals.duplicates += receipt.duplicates;
        self.totals.conflated += receipt.conflated;
        let known = self.epoch.replace(receipt.epoch.clone());
        let moved = known.is_some_and(|known| known != receipt.epoch);
        let (mark, mut told_online) = (self.files.mark(), false);
        for item in self.queue.settle() {
            self.online = true;
            self.settled.extend(item.spooled);
            match item.effect {
                Effect::Online(fields) => {
                    told_online = true;
                    self.online_fields = Some(fields);
                }
                Effect::Offline => {
                    self.online = false;
                    self.files.clear();
                }
                Effect::Begin { file, data } => self.files.begin(file, data),
                Effect::End { file } => self.files.end(&file),
                Effect::Progress { .. } | Effect::Other => {}
            }
        }
        if moved {
            self.tell_again(mark, told_online, now, time);
        } else {
            self.moves = 0;
        }
    }

    /// The hub counts anew: what was told before this answer is told again, but for what the answer was to.
    fn tell_again(&mut self, mark: u64, told_online: bool, now: Duration, time: Timestamp) {
        if !self.online {
            return;
        }
        let online = self.online_fields.as_ref().filter(|_| !told_online);
        let items = self.encoder.reopening(online, self.files.fields_before(mark), time);
        self.queue.reopen(items);
        // Once at once; two hubs that answer in turns are not to be told without a pause.
        self.moves += 1;
        if self.moves > 1 {
            self.phase = Phase::Backoff { until: now + self.backoff.after(self.moves) };
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
                let online = self.online_fields.clone().unwrap_or_default();
                let items = self.encoder.reopening(Some(&online), self.files.fields(), time);
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
        self.settled.extend(item.spooled);
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
