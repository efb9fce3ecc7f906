//! Reading after a cursor, for transports without a position of their own: from the ring, else through to the log.

use std::sync::Arc;

use ragpulse_protocol::status::ResetReason;
use ragpulse_protocol::{Cursor, Epoch, PipelineStatus, Problem};

use super::snapshot::fitted;
use super::{Hub, Read, Room, store_problem};
use crate::log::{Page, Record};

/// What there is after a cursor.
#[derive(Debug)]
pub(crate) enum Found {
    /// There is no such pipeline.
    Unknown,
    /// The cursor is of what another hub knows, and this one does not yet. To be asked again soon.
    Behind,
    /// The events after the cursor, none at the end, and whether they reach the end.
    Events { epoch: Epoch, records: Vec<Arc<Record>>, up_to_date: bool },
    /// The state, where there is no cursor or no history after it.
    State(Box<PipelineStatus>, Option<ResetReason>),
}

impl Hub {
    /// Reads at most `limit` events after a cursor.
    pub(crate) async fn read(
        &self,
        room: &Room,
        cursor: Option<&Cursor>,
        limit: usize,
    ) -> Result<Found, Problem> {
        if let Some(cursor) = cursor.filter(|cursor| self.may_be_behind(room, Some(cursor)))
            && !self.reach(room, cursor).await
        {
            return Ok(Found::Behind);
        }
        let epoch = match room.read(cursor, limit) {
            Read::Unknown => return Ok(Found::Unknown),
            Read::Events { epoch, records, up_to_date } => {
                return Ok(Found::Events { epoch, records, up_to_date });
            }
            Read::State(state, reason) => return Ok(Found::State(Box::new(fitted(*state)), reason)),
            Read::Older { epoch } => epoch,
        };
        let Some(cursor) = cursor else { return Ok(Found::Unknown) };
        let page = self.0.log.read(&room.id, cursor, limit).await.map_err(|error| store_problem(&error))?;
        let reason = match page {
            // The log may be ahead of this room; what the room has not applied is not told yet.
            Page::Records(mut records) => {
                let head = *room.head().borrow();
                records.retain(|record| record.seq <= head);
                let up_to_date = records.last().is_some_and(|record| record.seq == head);
                return Ok(Found::Events { epoch, records, up_to_date });
            }
            Page::Trimmed => ResetReason::Trimmed,
            Page::EpochChanged => ResetReason::EpochChanged,
            Page::Unknown => return Ok(Found::Unknown),
        };
        match room.state() {
            Some(state) => Ok(Found::State(Box::new(fitted(state)), Some(reason))),
            None => Ok(Found::Unknown),
        }
    }
}
