//! Leases: kept by the desks of a hub that has its log for itself. Where hubs share a log it keeps them, and what is heard here is
//! written there; the [look](crate::hub::look) finds what has ended.

use ragpulse_protocol::{Liveness, PipelineId, Timestamp};

use super::desk::Desk;
use super::{TRIES, Writer};
use crate::log::{HeldLease, LogError, LogErrorKind, OfLease};

impl Writer {
    pub(super) fn show_life(&mut self, pipeline: &PipelineId, now: Timestamp) {
        let Some(desk) = self.desks.get_mut(pipeline) else { return };
        if let Some(room) = self.hub.registry.get(pipeline) {
            room.hear(desk.leases.last_heard().unwrap_or(now), desk.leases.live_until(), now);
            // Where the log keeps the leases the room may have been found late without the desk.
            if desk.liveness != Liveness::Live || self.hub.log.is_shared() {
                room.set_liveness(Liveness::Live);
            }
        }
        desk.liveness = Liveness::Live;
    }

    /// By the hub's own leases: what has lapsed ends, and who has not been heard for long is late.
    pub(super) async fn look_at_leases(&mut self) {
        let now = self.hub.clock.now();
        // With thousands of pipelines the look itself is work, and in nearly all of them nothing has changed.
        let changed = |desk: &Desk| {
            desk.online && (desk.leases.any_lapsed(now) || desk.leases.liveness(now) != desk.liveness)
        };
        let changed: Vec<PipelineId> =
            self.desks.iter().filter(|(_, desk)| changed(desk)).map(|(id, _)| id.clone()).collect();
        for pipeline in changed {
            let Some(desk) = self.desks.get_mut(&pipeline) else { continue };
            let lapsed = desk.leases.lapsed(now);
            if lapsed.is_empty() {
                let liveness = desk.leases.liveness(now);
                desk.liveness = liveness;
                if let Some(room) = self.hub.registry.get(&pipeline) {
                    room.set_liveness(liveness);
                }
                continue;
            }
            let records = desk.lapse_records(&lapsed, now);
            let kind = desk.pipeline_type.clone();
            match self.append(&pipeline, kind, records, now, &[]).await {
                Ok(()) => {
                    if let Some(desk) = self.desks.get_mut(&pipeline) {
                        desk.lapse(&lapsed);
                    }
                    self.hub.metrics.leases_lapsed.add((), lapsed.len() as u64);
                }
                Err(error) => self.catch_up_after(&pipeline, &error).await,
            }
            // Where the log did not take them the lease is still over: the next look tries again.
        }
    }

    /// Asks the log who reports for a pipeline, and has the desk know it.
    pub(super) async fn ask_leases(&mut self, pipeline: &PipelineId) -> Result<Vec<HeldLease>, LogError> {
        let held = self.hub.log.leases(pipeline).await?;
        let now = self.hub.clock.now();
        if let Some(desk) = self.desks.get_mut(pipeline) {
            desk.leases.take_over(&held, now);
        }
        Ok(held)
    }

    /// Writes what was heard and could wait until now; all of it, where the hub closes.
    pub(super) async fn renew_owed(&mut self, all: bool) {
        for pipeline in self.owing.iter().cloned().collect::<Vec<_>>() {
            match self.renew_owed_of(&pipeline, all).await {
                Ok(true) => {
                    self.owing.remove(&pipeline);
                }
                Ok(false) => {}
                // It is tried again with the next tick.
                Err(error) => tracing::debug!(%pipeline, %error, "leases were not renewed"),
            }
        }
    }

    /// Whether nothing is owed any more.
    async fn renew_owed_of(&mut self, pipeline: &PipelineId, all: bool) -> Result<bool, LogError> {
        for _ in 0..TRIES {
            let Some(desk) = self.desks.get(pipeline).filter(|desk| desk.online) else { return Ok(true) };
            if desk.leases.owed(all, self.hub.clock.now()).is_empty() {
                return Ok(!desk.leases.owes());
            }
            // Who left by another hub since then does not come back by this.
            self.ask_leases(pipeline).await?;
            let Some(desk) = self.desks.get(pipeline) else { return Ok(true) };
            let now = self.hub.clock.now();
            let owed = desk.leases.owed(all, now);
            let changes: Vec<OfLease> =
                owed.iter().map(|(who, seconds)| OfLease::Renew(who.clone(), *seconds)).collect();
            let kind = desk.pipeline_type.clone();
            match self.append(pipeline, kind, Vec::new(), now, &changes).await {
                Ok(()) => {
                    if let Some(desk) = self.desks.get_mut(pipeline) {
                        owed.iter().for_each(|(who, _)| desk.leases.wrote(who.as_ref(), now));
                    }
                }
                Err(error) if error.kind == LogErrorKind::Moved => self.catch_up(pipeline).await?,
                Err(error) => return Err(error),
            }
        }
        Ok(false)
    }
}
