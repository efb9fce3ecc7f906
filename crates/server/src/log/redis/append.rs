//! Appending: batches are placed on what this node knows of the pipeline, and taken there or not at all. What was taken is folded and handed
//! to the tail at once: it was planned on the position before, so nothing can be between.
//!
//! *What it never does:* repeat a call whose answer was lost. It may have been taken.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Instant;

use ragpulse_protocol::{Cursor, PipelineId, PipelineStatus};

use super::super::fold::Fold;
use super::super::place::{Placed, opening, place, trial};
use super::super::{Appended, Batch, LogError, OfLease, Record};
use super::call::{self, Append, IdHash, Position};
use super::core::{Core, FEED, hash};
use super::gate::{Known, Turn};
use super::session::Session;

/// How often an append that names no position is placed anew, where others were quicker.
const TRIES: usize = 32;

/// Where a pipeline has to end.
#[derive(Debug, Clone, Copy)]
pub(super) enum On<'a> {
    /// There; `None` where it is not to be there yet.
    Exactly(Option<&'a Cursor>),
    /// Anywhere.
    Anywhere,
}

/// What an attempt came to.
enum Attempt {
    Done(Vec<Appended>, Due),
    Moved,
}

/// How far the written state is behind.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Due {
    pub(super) behind: u64,
    pub(super) surplus: bool,
}

impl Core {
    pub(super) async fn append(
        self: &Arc<Self>,
        id: &PipelineId,
        on: On<'_>,
        batches: Vec<Batch>,
        leases: &[OfLease],
    ) -> Result<Vec<Appended>, LogError> {
        for _ in 0..TRIES {
            let session = self.link.session("written")?;
            let turn = self.gates.turn(id).await;
            if let On::Exactly(on) = on
                && turn.gate.position().as_ref() != on
            {
                // Who planned there has read it from Redis; what passes by this gate may be a little behind.
                self.follow_in_turn(&session, &turn)
                    .await
                    .map_err(|fault| self.link.fault(&session, &fault, "written"))?;
                if turn.gate.position().as_ref() != on {
                    return Err(LogError::moved());
                }
            }
            match self.attempt(&session, &turn, &batches, leases).await? {
                Attempt::Done(appended, due) => {
                    drop(turn);
                    self.after_append(&session, id, &due).await;
                    return Ok(appended);
                }
                Attempt::Moved if matches!(on, On::Exactly(_)) => return Err(LogError::moved()),
                Attempt::Moved => {
                    let followed = self.follow_in_turn(&session, &turn).await;
                    followed.map_err(|fault| self.link.fault(&session, &fault, "written"))?;
                }
            }
        }
        Err(LogError::moved())
    }

    async fn attempt(
        &self,
        session: &Arc<Session>,
        turn: &Turn,
        batches: &[Batch],
        leases: &[OfLease],
    ) -> Result<Attempt, LogError> {
        let permit = self.permit().await?;
        let on: Position = turn.gate.position().map(|on| (on.epoch, on.seq));
        let opened = match (&on, batches.first()) {
            (None, Some(first)) => {
                Some(opening(&turn.id, &first.pipeline_type, first.received_at, self.file_limits()))
            }
            _ => None,
        };
        let mut taken: HashSet<IdHash> = HashSet::new();
        let (placed, due) = loop {
            let known = turn.gate.with(|known| trial(&known.fold.state, batches));
            // Leases of a pipeline that is not there are kept nowhere.
            let Some(state) = known.or_else(|| opened.clone()) else {
                return Ok(Attempt::Done(Vec::new(), Due::default()));
            };
            let (epoch, kind) = (state.epoch.clone(), state.pipeline_type.clone());
            let plan = Plan::of(state, batches, &taken)?;
            if plan.placed.records.is_empty() && plan.remember.is_empty() && leases.is_empty() {
                break (plan.placed, None);
            }
            let events: Vec<call::Placed<'_>> =
                plan.placed.records.iter().zip(&plan.ids).map(|(record, id)| event(record, *id)).collect();
            let began = Instant::now();
            let answer = session
                .append(&Append {
                    pipeline: &turn.id,
                    on: &on,
                    opening: (&epoch, &kind),
                    events: &events,
                    remember: &plan.remember,
                    leases,
                    now: self.script_time(),
                    ids: self.ids,
                    feed: FEED,
                })
                .await
                .map_err(|fault| self.link.fault(session, &fault, "written"))?;
            self.link.heard();
            match answer {
                call::Appended::Ok { snap, .. } => {
                    if let Some(watch) = self.watch.get() {
                        watch.committed(began.elapsed());
                    }
                    break (plan.placed, Some(snap));
                }
                // Others took these since they were asked for.
                call::Appended::Taken(indices) => {
                    let before = taken.len();
                    taken.extend(
                        indices.into_iter().filter_map(|index| plan.ids.get(index).copied().flatten()),
                    );
                    if taken.len() == before {
                        return Err(LogError::written(
                            "it says of ids that were not sent that they were taken",
                        ));
                    }
                }
                call::Appended::Moved(there) => {
                    return match (&there, &on) {
                        // It was there: only a loss takes it back.
                        (Some((there, end)), Some((epoch, seq))) if there == epoch && end < seq => {
                            let fault = super::reply::Fault::Gone("it has lost what it had".to_owned());
                            Err(self.link.fault(session, &fault, "written"))
                        }
                        _ => Ok(Attempt::Moved),
                    };
                }
                call::Appended::Heard(_) => return Err(LogError::heard()),
            }
        };
        let Placed { appended, records } = placed;
        if !records.is_empty() {
            if let Some(state) = opened {
                let fold = Fold::opening(state);
                turn.begin(Known { fold, begins: 1, first: 1, snap: 0, held: None, told: true });
            }
            turn.gate.with(|known| known.told = true);
            turn.pass(records, permit);
        }
        let most = self.options.retention.events_per_pipeline;
        let due = turn.gate.with(|known| {
            known.snap = known.snap.max(due.unwrap_or(0));
            // A little more than the most, or every event would be followed by a trim.
            let surplus = known.kept() > most.saturating_add(most / 8);
            Due { behind: known.fold.state.seq - known.snap.min(known.fold.state.seq), surplus }
        });
        Ok(Attempt::Done(appended, due.unwrap_or_default()))
    }
}

fn event(record: &Record, id: Option<IdHash>) -> call::Placed<'_> {
    call::Placed { name: &record.name, payload: record.payload.get(), reporter: record.reporter.as_ref(), id }
}

/// Batches with their places.
struct Plan {
    placed: Placed,
    /// The ids of the records, in their order.
    ids: Vec<Option<IdHash>>,
    remember: Vec<IdHash>,
}

impl Plan {
    fn of(state: PipelineStatus, batches: &[Batch], taken: &HashSet<IdHash>) -> Result<Self, LogError> {
        let mut own: HashSet<IdHash> = HashSet::new();
        let placed = place(state, batches.to_vec(), &mut |id, _| {
            let id = hash(id);
            Ok(!taken.contains(&id) && own.insert(id))
        })?;
        let mut ids = Vec::with_capacity(placed.records.len());
        let mut remember = Vec::new();
        for (batch, appended) in batches.iter().zip(&placed.appended) {
            let records = batch.records.iter().zip(&appended.places).filter(|(_, place)| place.is_some());
            ids.extend(records.map(|(record, _)| record.event_id.as_deref().map(hash)));
            remember.extend(batch.remember.iter().map(|id| hash(id)));
        }
        Ok(Self { placed, ids, remember })
    }
}
