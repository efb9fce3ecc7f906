//! Forgetting: the last event of a pipeline, and then its end, with nothing between the two.

use ragpulse_protocol::{PipelineId, Problem};

use super::desk::{Desk, removed};
use super::{TRIES, Writer, store_problem, unknown_pipeline};
use crate::log::{LogError, LogErrorKind};

impl Writer {
    pub(super) async fn forget(
        &mut self,
        pipeline: &PipelineId,
        requested_by: Option<String>,
    ) -> Result<(), Problem> {
        if self.hub.log.is_shared()
            && let Err(error) = self.stand_at_end(pipeline).await
        {
            return Err(store_problem(&error));
        }
        for _ in 0..TRIES {
            match self.forget_here(pipeline, requested_by.as_deref()).await {
                Ok(true) => return Ok(()),
                Ok(false) => return Err(unknown_pipeline(pipeline)),
                Err(error) if error.kind == LogErrorKind::Moved => {
                    self.catch_up_after(pipeline, &error).await;
                }
                Err(error) => return Err(store_problem(&error)),
            }
        }
        Err(store_problem(&LogError::moved()))
    }

    /// Whether there was one.
    async fn forget_here(
        &mut self,
        pipeline: &PipelineId,
        requested_by: Option<&str>,
    ) -> Result<bool, LogError> {
        let Some(desk) = self.desks.get(pipeline) else { return Ok(false) };
        let now = self.hub.clock.now();
        let kind = desk.pipeline_type.clone();
        self.append(pipeline, kind, vec![removed(requested_by, now)], now, &[]).await?;
        match self.desks.get(pipeline).and_then(Desk::position) {
            // What another hub appended since would be lost without anybody having seen it.
            Some(on) => self.hub.log.forget_on(pipeline, &on).await?,
            None => return Ok(false),
        }
        self.desks.remove(pipeline);
        self.holding.remove(pipeline);
        Ok(true)
    }
}
