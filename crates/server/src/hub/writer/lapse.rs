//! Ends by the leases that a shared log keeps: all hubs see the same leases end and plan the same; each append says on which
//! position and on which leases it relies, so one of them is taken, and the others find nothing left to do.
//!
//! *What it never does:* end anything by this hub's clock, or for a reporter that another hub hears.

use std::time::Duration;

use ragpulse_protocol::{PipelineId, ReporterId};

use super::{TRIES, Writer};
use crate::log::{LogError, LogErrorKind, OfLease};

/// How old a look may be. After a longer time in which nobody looked, leases begin anew, and it may be this hub that did not look.
const HOLDS: Duration = Duration::from_secs(5);

/// What a look found of a pipeline.
#[derive(Debug)]
pub(crate) struct Silent {
    /// The reporters whose leases have ended; none where the pipeline is online and nobody has a lease.
    pub(crate) lapsed: Vec<Option<ReporterId>>,
    /// When that was, by the steady clock.
    pub(crate) looked: Duration,
}

impl Writer {
    /// Does what is to be done for one of the pipelines that were found.
    pub(super) async fn look_at_one(&mut self) {
        let Some(pipeline) = self.silent.keys().next().cloned() else { return };
        let Some(found) = self.silent.remove(&pipeline) else { return };
        let result = if found.lapsed.is_empty() {
            self.end_if_nobody(&pipeline).await
        } else {
            self.end_lapsed(&pipeline, &found).await
        };
        if let Err(error) = result {
            // It is found again by the next look.
            tracing::warn!(%pipeline, %error, "what silent reporters left was not ended");
        }
    }

    /// After reporters left while others were believed to stay: two may have left at once, by two hubs.
    pub(super) async fn end_where_all_left(&mut self) {
        for pipeline in std::mem::take(&mut self.left) {
            if let Err(error) = self.end_if_nobody(&pipeline).await {
                tracing::warn!(%pipeline, %error, "it is not known whether anybody still reports");
            }
        }
    }

    /// Ends what reporters left behind whose leases have ended, and the pipeline if there are no others.
    async fn end_lapsed(&mut self, pipeline: &PipelineId, found: &Silent) -> Result<(), LogError> {
        for _ in 0..TRIES {
            self.stand_at_end(pipeline).await?;
            if !self.desks.contains_key(pipeline) {
                return Ok(());
            }
            let held = self.ask_leases(pipeline).await?;
            let mut lapsed: Vec<_> = held
                .iter()
                .filter(|lease| lease.left.is_zero() && found.lapsed.contains(&lease.reporter))
                .map(|lease| lease.reporter.clone())
                .collect();
            lapsed.sort_unstable();
            let is_old = self.hub.clock.steady().saturating_sub(found.looked) > HOLDS;
            if lapsed.is_empty() || is_old {
                return Ok(());
            }
            // Who is to be the last has to be alone, so the others go first.
            let mut is_last = lapsed.len() == held.len();
            if is_last && lapsed.len() > 1 {
                lapsed.pop();
                is_last = false;
            }
            let mut leases: Vec<OfLease> = lapsed.iter().cloned().map(OfLease::Lapsed).collect();
            if is_last {
                leases.extend(lapsed.first().cloned().map(OfLease::Alone));
            }
            let now = self.hub.clock.now();
            let Some(desk) = self.desks.get(pipeline) else { return Ok(()) };
            let (kind, records) = (desk.pipeline_type.clone(), desk.lapse_records(&lapsed, now));
            match self.append(pipeline, kind, records, now, &leases).await {
                Ok(()) => {
                    if let Some(desk) = self.desks.get_mut(pipeline) {
                        desk.lapse(&lapsed);
                    }
                    self.hub.metrics.leases_lapsed.add((), lapsed.len() as u64);
                    if is_last {
                        return Ok(());
                    }
                }
                Err(error) if error.kind == LogErrorKind::Moved => self.catch_up(pipeline).await?,
                Err(error) if error.kind == LogErrorKind::Heard => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Ends a pipeline that is online, and that nobody reports for: each of the last two who left saw the other one stay.
    async fn end_if_nobody(&mut self, pipeline: &PipelineId) -> Result<(), LogError> {
        for _ in 0..TRIES {
            self.stand_at_end(pipeline).await?;
            if !self.desks.get(pipeline).is_some_and(|desk| desk.online)
                || !self.ask_leases(pipeline).await?.is_empty()
            {
                return Ok(());
            }
            let now = self.hub.clock.now();
            let Some(desk) = self.desks.get(pipeline) else { return Ok(()) };
            let (kind, records) = (desk.pipeline_type.clone(), desk.end_records(false, now));
            match self.append(pipeline, kind, records, now, &[OfLease::Alone(nobody())]).await {
                Ok(()) => {
                    if let Some(desk) = self.desks.get_mut(pipeline) {
                        desk.ended();
                    }
                    return Ok(());
                }
                Err(error) if error.kind == LogErrorKind::Moved => self.catch_up(pipeline).await?,
                // Somebody came.
                Err(error) if error.kind == LogErrorKind::Heard => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

/// A reporter that there is not: where it would be alone there is nobody.
fn nobody() -> Option<ReporterId> {
    ReporterId::new(format!("nobody-{}", crate::log::new_epoch())).ok()
}
