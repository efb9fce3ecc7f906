//! Upkeep: states are written down, and events that need not be kept go. Every node may do it for every pipeline; where two do it at once,
//! one comes late, and nothing is lost by that.
//!
//! *What it never does:* let go of an event that is needed to fold what came after the written state.

use std::cmp::Reverse;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{StreamExt, stream};
use ragpulse_protocol::{Epoch, PipelineId, Timestamp};

use super::append::Due;
use super::call::{Keep, Written};
use super::core::{Core, file_text};
use super::gate::{Gate, Known};
use super::reply::{Fault, items, number, strange, text};
use super::session::Session;

/// A state is written down by who appends the event that is so many after it …
const WRITE_AFTER: u64 = 1_000;
/// … and who is so many ahead of it waits until it is.
const WAIT_AFTER: u64 = 10_000;
/// How often it is looked what else is to be done.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// From so many events on the state of a pipeline where nothing happens is written down, so that starts are quick …
const WRITE_IDLE: u64 = 32;
/// … that is, where nothing has happened for so long.
const IDLE_MILLIS: i64 = 10_000;
/// How many pipelines are looked after at once.
const AT_ONCE: usize = 8;
/// So many files, and a quarter, may be written down beyond those that are listed, before they go.
const UNLISTED: usize = 1_000;

/// A state, to be written down.
struct Text {
    epoch: Epoch,
    seq: u64,
    shown: String,
    files: Vec<(String, Option<String>)>,
    listed: usize,
}

impl Core {
    /// What an append makes due.
    pub(super) async fn after_append(self: &Arc<Self>, session: &Arc<Session>, id: &PipelineId, due: &Due) {
        if due.behind < WRITE_AFTER && !due.surplus {
            return;
        }
        let Some(gate) = self.gates.get(id) else { return };
        if due.behind >= WAIT_AFTER {
            let _writing = gate.writing().await;
            // Who wrote it meanwhile may have made this needless.
            let behind = gate.with(|known| known.fold.state.seq.saturating_sub(known.snap));
            if behind.is_some_and(|behind| behind >= WRITE_AFTER) {
                self.write_and_trim(session, id, &gate, 0).await;
            }
        } else if let Some(writing) = gate.try_writing() {
            let (core, session, id) = (self.clone(), session.clone(), id.clone());
            tokio::spawn(async move {
                let _writing = writing;
                core.write_and_trim(&session, &id, &gate, 0).await;
            });
        }
    }

    /// Writes the state down, and lets go what need not be kept, and so many events for the sake of the whole store. What fails is tried
    /// again.
    async fn write_and_trim(&self, session: &Arc<Session>, id: &PipelineId, gate: &Gate, given: u64) {
        let done = async {
            if gate.with(|known| known.fold.state.seq > known.snap) == Some(true) {
                self.write_state(session, id, gate).await?;
            }
            self.trim(session, id, gate, given).await
        };
        if let Err(fault) = done.await {
            let error = self.link.fault(session, &fault, "written");
            tracing::warn!(pipeline = %id, %error, "the upkeep of the log fails; it is tried again");
        }
    }

    async fn write_state(&self, session: &Session, id: &PipelineId, gate: &Gate) -> Result<(), Fault> {
        let Some(text) = gate.with(Text::of) else { return Ok(()) };
        let text = text?;
        let files: Vec<_> = text.files.iter().map(|(id, text)| (id.as_str(), text.as_deref())).collect();
        let most = self.options.retention.events_per_pipeline;
        let of = (&text.epoch, text.seq);
        match session.write_state(id, of, &text.shown, &files, (most, None)).await {
            Ok(Written::Ok { first }) => {
                gate.with(|known| {
                    known.snap = known.snap.max(text.seq);
                    known.first = known.first.max(first);
                });
                self.find_unlisted(session, id, gate, text.listed).await
            }
            // Who wrote a newer one wrote these files too.
            Ok(Written::Late) => {
                gate.with(|known| known.snap = known.snap.max(text.seq));
                Ok(())
            }
            Ok(Written::Moved) => Ok(()),
            Err(fault) => {
                gate.with(|known| known.fold.changed.extend(text.files.into_iter().map(|(id, _)| id)));
                Err(fault)
            }
        }
    }

    /// Files go from the list as others end, without an event of their own: where many are written down that are no longer
    /// listed, they go with the next state.
    async fn find_unlisted(
        &self,
        session: &Session,
        id: &PipelineId,
        gate: &Gate,
        listed: usize,
    ) -> Result<(), Fault> {
        let [_, table] = session.keys().of(id).state(id);
        let count = number(&session.look(redis::cmd("HLEN").arg(&table)).await?)?;
        if count <= (listed + listed / 4 + UNLISTED) as u64 {
            return Ok(());
        }
        for id in items(session.look(redis::cmd("HKEYS").arg(&table)).await?)? {
            let id = text(&id)?;
            gate.with(|known| {
                if known.fold.state.files.get(&id).is_none() {
                    known.fold.changed.insert(id);
                }
            });
        }
        Ok(())
    }

    async fn trim(&self, session: &Session, id: &PipelineId, gate: &Gate, given: u64) -> Result<(), Fault> {
        let found = gate.with(|known| (known.fold.state.epoch.clone(), known.kept()));
        let Some((epoch, kept)) = found else { return Ok(()) };
        let most = self.options.retention.events_per_pipeline;
        let events = if given == 0 { most } else { kept.saturating_sub(given).min(most) };
        let keep = Keep { events, since: self.oldest(), bytes: self.options.bytes_per_pipeline };
        if let Some(held) = session.trim(id, &epoch, keep).await? {
            gate.with(|known| {
                known.first = held.first;
                known.held = Some(held);
            });
        }
        Ok(())
    }

    /// What was received before this goes; `None` where the age is longer than time.
    fn oldest(&self) -> Option<Timestamp> {
        let age = i64::try_from(self.options.retention.age.as_millis()).ok()?;
        let oldest = self.now().as_millis().checked_sub(age)?;
        (oldest > 0).then(|| Timestamp::from_millis(oldest))
    }

    /// Looks after all pipelines now and then, until the log is closed.
    pub(super) async fn keep_up(self: Arc<Self>) {
        let mut tick = tokio::time::interval(LOOK_EVERY);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = tick.tick() => {}
                () = self.end.cancelled() => return,
            }
            let Ok(session) = self.link.session("written") else { continue };
            let due = self.due();
            let look_after = |(id, gate, given): (PipelineId, Arc<Gate>, u64)| {
                let (core, session) = (&self, &session);
                async move { core.look_after(session, &id, &gate, given).await }
            };
            stream::iter(due).for_each_concurrent(AT_ONCE, look_after).await;
        }
    }

    async fn look_after(&self, session: &Arc<Session>, id: &PipelineId, gate: &Gate, given: u64) {
        if let Some(_writing) = gate.try_writing() {
            self.write_and_trim(session, id, gate, given).await;
        }
    }

    /// The pipelines with something to do, and how many events each gives for the sake of the store.
    fn due(&self) -> Vec<(PipelineId, Arc<Gate>, u64)> {
        let retention = &self.options.retention;
        let (now, oldest) = (self.now().as_millis(), self.oldest());
        let kept = |gate: &Gate| gate.with(|known| known.kept()).unwrap_or(0);
        let mut all: Vec<_> =
            self.gates.all().into_iter().map(|(id, gate)| (kept(&gate), id, gate)).collect();
        let total: u64 = all.iter().map(|(kept, ..)| kept).sum();
        let mut over = total.saturating_sub(retention.events);
        // Those that have most give their oldest.
        all.sort_unstable_by_key(|(kept, ..)| Reverse(*kept));
        let mut due = Vec::new();
        for (kept, id, gate) in all {
            let given = over.min(kept.saturating_sub(retention.events_guaranteed));
            over -= given;
            let is_due = |known: &mut Known| {
                let state = &known.fold.state;
                let behind = state.seq - known.snap.min(state.seq);
                let idle = now - state.last_activity.as_millis() > IDLE_MILLIS;
                let old = known.held.as_ref().is_none_or(|held| {
                    held.bytes > self.options.bytes_per_pipeline
                        || held.received_at.is_some_and(|at| oldest.is_some_and(|oldest| at < oldest))
                });
                given > 0
                    || kept > retention.events_per_pipeline
                    || old
                    || behind >= WRITE_AFTER
                    || (idle && behind >= WRITE_IDLE)
            };
            if gate.with(is_due) == Some(true) {
                due.push((id, gate, given));
            }
        }
        due
    }

    /// Writes down what makes the next start quick.
    pub(super) async fn write_last(&self) {
        let Ok(session) = self.link.session("written") else { return };
        stream::iter(self.gates.all())
            .for_each_concurrent(AT_ONCE, |(id, gate)| {
                let session = session.clone();
                async move {
                    let behind = gate.with(|known| known.fold.state.seq.saturating_sub(known.snap));
                    if behind.is_some_and(|behind| behind > 0)
                        && let Err(error) = self.write_state(&session, &id, &gate).await
                    {
                        tracing::debug!(pipeline = %id, %error, "a state was not written down; the next start folds a little more");
                    }
                }
            })
            .await;
    }
}

impl Text {
    fn of(known: &mut Known) -> Result<Self, Fault> {
        let bad = |error: serde_json::Error| strange(&format!("a state that cannot be written ({error})"));
        let fold = &mut known.fold;
        let file = |(id, listed): super::super::fold::Change<'_>| {
            let text = listed.map(|(file, owner)| file_text(file, owner)).transpose()?;
            Ok((id.to_owned(), text))
        };
        let files = fold.changes().map(file).collect::<serde_json::Result<Vec<_>>>().map_err(bad)?;
        let shown = serde_json::to_string(&fold.shown).map_err(bad)?;
        fold.changed.clear();
        let state = &fold.state;
        Ok(Self { epoch: state.epoch.clone(), seq: state.seq, shown, files, listed: state.files.len() })
    }
}
