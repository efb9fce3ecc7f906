//! Following what others append: a gate is brought to where Redis is, and the tail gets what leads there, or a state in its place.

use ragpulse_protocol::status::ResetReason;
use ragpulse_protocol::{Cursor, PipelineId};

use super::super::TailItem;
use super::call::Found;
use super::core::{Core, SLICE, records};
use super::gate::Turn;
use super::reply::Fault;
use super::session::Session;

impl Core {
    /// Brings the gate of a pipeline to where Redis is.
    pub(super) async fn follow(&self, session: &Session, id: &PipelineId) -> Result<(), Fault> {
        let turn = self.gates.turn(id).await;
        self.follow_in_turn(session, &turn).await
    }

    /// As [`follow`](Self::follow), for who has the turn.
    pub(super) async fn follow_in_turn(&self, session: &Session, turn: &Turn) -> Result<(), Fault> {
        let id = &turn.id;
        loop {
            let Some(Cursor { epoch, seq }) = turn.gate.position() else {
                let Some(known) = self.written(session, id).await? else { return Ok(()) };
                if known.snap == 0 && known.begins == 1 && known.first == 1 {
                    turn.begin(known);
                    continue;
                }
                // Its beginning is no longer there to be told.
                self.reset_in_turn(session, turn, ResetReason::Trimmed).await?;
                continue;
            };
            let found = session.read(id, Some(&epoch), seq, SLICE).await?;
            self.link.heard();
            match found {
                Found::Entries(entries) if entries.is_empty() => return Ok(()),
                Found::Entries(entries) => {
                    let records = records(entries)?;
                    let permit = self.permit().await.map_err(closed)?;
                    turn.pass(records, permit);
                }
                Found::Trimmed => self.reset_in_turn(session, turn, ResetReason::Trimmed).await?,
                // In the life that this session is of it has an epoch for as long as it is there: it was forgotten, and begun again.
                Found::EpochChanged => turn.forget(self.permit().await.map_err(closed)?),
                Found::Unknown => {
                    turn.forget(self.permit().await.map_err(closed)?);
                    return Ok(());
                }
                Found::Bytes(_) => return Err(super::reply::strange("bytes for events")),
            }
        }
    }

    /// Drops what was known of a pipeline and takes what Redis has.
    pub(super) async fn reset(
        &self,
        session: &Session,
        id: &PipelineId,
        reason: ResetReason,
    ) -> Result<(), Fault> {
        let turn = self.gates.turn(id).await;
        if turn.gate.position().is_none() {
            return self.follow_in_turn(session, &turn).await;
        }
        self.reset_in_turn(session, &turn, reason).await
    }

    async fn reset_in_turn(&self, session: &Session, turn: &Turn, reason: ResetReason) -> Result<(), Fault> {
        let loaded = self.loaded(session, &turn.id).await?;
        let permit = self.permit().await.map_err(closed)?;
        match loaded {
            Some((known, records)) => {
                let state = Box::new(known.fold.shown.clone());
                tracing::info!(pipeline = %turn.id, seq = state.seq, %reason, "a state in place of events");
                turn.reset(known, permit, TailItem::Reset { state, records, reason });
            }
            None => turn.forget(permit),
        }
        Ok(())
    }

    /// Loads a pipeline for a hub that starts. Nobody is told.
    pub(super) async fn load_quietly(&self, session: &Session, id: &PipelineId) -> Result<(), Fault> {
        let turn = self.gates.turn(id).await;
        if let Some((known, _)) = self.loaded(session, id).await? {
            turn.begin(known);
        }
        Ok(())
    }
}

fn closed(error: impl ToString) -> Fault {
    Fault::Refused(error.to_string())
}
