//! Publishing: publishes that came together are planned one after the other, as if each before had been appended, appended
//! together, and answered one by one. Where the log takes nothing, what the plans changed is taken back.

mod group;

use std::collections::HashSet;

use futures_util::future::join_all;
use ragpulse_protocol::{PipelineId, Problem};

use self::group::Group;
use super::desk::Desk;
use super::{Publish, Reply, TRIES, Writer, store_problem};
use crate::ingest::Kind;
use crate::log::{LogError, LogErrorKind};

/// Publishes of one pipeline, in order, and who waits for their answers.
type Waiting = Vec<(Publish, Reply)>;

/// The publishes of one pipeline.
struct OfOne {
    pipeline: PipelineId,
    publishes: Waiting,
    /// Whether the log is asked first which ids were taken, and it is not believed that none was.
    asks: bool,
    /// How often they were planned and not taken.
    tried: usize,
    /// The pipeline was not where they were planned on.
    moved: bool,
}

impl OfOne {
    fn new(pipeline: PipelineId, asks: bool) -> Self {
        Self { pipeline, publishes: Vec::new(), asks, tried: 0, moved: false }
    }

    fn refuse(self, problem: &Problem) {
        self.publishes.into_iter().for_each(|(_, reply)| drop(reply.send(Err(problem.clone()))));
    }
}

impl Writer {
    pub(super) async fn publish_all(&mut self, publishes: Waiting) {
        // Ids are seldom sent again. So a log that can tell is asked which were taken only after it has refused some.
        let asks = !self.hub.log.refuses_taken();
        let mut waiting: Vec<OfOne> = Vec::new();
        for (publish, reply) in publishes {
            let at = waiting.iter().position(|of| of.pipeline == publish.pipeline);
            let at = at.unwrap_or_else(|| {
                waiting.push(OfOne::new(publish.pipeline.clone(), asks));
                waiting.len() - 1
            });
            waiting[at].publishes.push((publish, reply));
        }
        while !waiting.is_empty() {
            waiting = self.publish_round(waiting).await;
        }
        self.end_where_all_left().await;
    }

    /// Plans and appends. Gives back what waits for another round: what was planned on what was not so, unless it was tried often
    /// enough; what was believed to be new and is not, or cannot be; and what could not go together with that before it.
    async fn publish_round(&mut self, waiting: Vec<OfOne>) -> Vec<OfOne> {
        let shared = self.hub.log.is_shared();
        let mut ready = Vec::with_capacity(waiting.len());
        for of in waiting {
            match if shared { self.look_before(&of).await } else { Ok(()) } {
                Ok(()) => ready.push(of),
                Err(error) => of.refuse(&store_problem(&error)),
            }
        }
        let taken = join_all(ready.iter().map(|of| self.taken(of))).await;
        let mut again = Vec::new();
        let mut under_way = Vec::new();
        for (mut of, taken) in ready.into_iter().zip(taken) {
            match if shared { self.stand_behind(&of.pipeline, taken).await } else { taken } {
                Ok(taken) => {
                    let publishes = std::mem::take(&mut of.publishes);
                    match self.plan_all(&of.pipeline, publishes, taken, of.asks) {
                        Ok(group) => under_way.push((of, group)),
                        Err(publishes) => {
                            again.push(OfOne { publishes, asks: true, ..of });
                        }
                    }
                }
                Err(error) => of.refuse(&store_problem(&error)),
            }
        }
        let appended = join_all(under_way.iter_mut().map(|(of, group)| {
            let (hub, (batches, leases)) = (&self.hub, group.take());
            let on = self.desks.get(&of.pipeline).and_then(Desk::position);
            async move {
                if batches.is_empty() && leases.is_empty() {
                    Ok(Some(Vec::new()))
                } else {
                    hub.append(&of.pipeline, on.as_ref(), batches, &leases, !of.asks).await
                }
            }
        }))
        .await;
        for ((mut of, group), appended) in under_way.into_iter().zip(appended) {
            let Group { planned, left_over, renewed, .. } = group;
            of.moved = false;
            match appended {
                Ok(Some(appended)) => self.finish_all(&of.pipeline, planned, appended, renewed),
                Ok(None) => {
                    of.publishes = as_they_came(self.take_back(&of.pipeline, planned));
                    of.asks = true;
                }
                Err(error) => {
                    let back = self.take_back(&of.pipeline, planned);
                    of.moved = error.kind == LogErrorKind::Moved;
                    of.tried += 1;
                    if shared && of.tried < TRIES && (of.moved || error.kind == LogErrorKind::Heard) {
                        of.publishes = as_they_came(back);
                    } else {
                        let problem = store_problem(&error);
                        back.into_iter().for_each(|(_, reply)| drop(reply.send(Err(problem.clone()))));
                    }
                }
            }
            of.publishes.extend(left_over);
            if !of.publishes.is_empty() {
                again.push(of);
            }
        }
        again
    }

    /// Where other hubs append too: brings the desk to where the pipeline is, as far as that is known, and asks for the leases if
    /// something will be decided by them.
    async fn look_before(&mut self, of: &OfOne) -> Result<(), LogError> {
        if self.hub.log.silent_for().is_some() {
            // Also what would not be written at once: nobody else could know of it.
            return Err(LogError::silent());
        }
        // Where that cannot be seen nothing is decided: a pipeline that another hub opened would be taken for one that is not there, and
        // its reporter told so.
        if of.moved {
            self.catch_up(&of.pipeline).await?;
        } else {
            self.stand_at_end(&of.pipeline).await?;
        }
        let Some(desk) = self.desks.get(&of.pipeline) else { return Ok(()) };
        let decides = |publish: &Publish| {
            desk.leases.of(publish.reporter.as_ref()).is_none()
                || publish.events.iter().any(|event| matches!(event.kind, Kind::Offline))
        };
        if of.publishes.iter().any(|(publish, _)| decides(publish)) {
            self.ask_leases(&of.pipeline).await?;
        }
        Ok(())
    }

    /// What another hub took may be after where the desk stands, and where there is nothing to append that is not found out. A receipt names
    /// no position before an event that it acknowledges, so the desk first goes to where they are.
    async fn stand_behind(
        &mut self,
        pipeline: &PipelineId,
        taken: Result<HashSet<String>, LogError>,
    ) -> Result<HashSet<String>, LogError> {
        let taken = taken?;
        if !taken.is_empty() {
            self.catch_up(pipeline).await?;
        }
        Ok(taken)
    }

    /// Which ids of these publishes were taken before, where that is asked.
    async fn taken(&self, of: &OfOne) -> Result<HashSet<String>, LogError> {
        if !of.asks {
            return Ok(HashSet::new());
        }
        let events = of.publishes.iter().flat_map(|(publish, _)| &publish.events);
        let ids: Vec<&str> = events.filter_map(|event| event.event_id.as_deref()).collect();
        if ids.is_empty() {
            return Ok(HashSet::new());
        }
        let seen = self.hub.log.seen(&of.pipeline, &ids).await?;
        Ok(ids.iter().zip(seen).filter(|(_, seen)| *seen).map(|(id, _)| (*id).to_owned()).collect())
    }
}

/// What was taken back, to be planned again.
fn as_they_came(back: Vec<(Option<Publish>, Reply)>) -> Waiting {
    back.into_iter().filter_map(|(publish, reply)| Some((publish?, reply))).collect()
}
