//! A gate for each pipeline: what this node knows of it, and the one way from the log to the tail. It lets only the record pass that follows,
//! so the tail has one order whoever brings a record, and a record that is brought twice passes once.
//!
//! Who appends to a pipeline, or reads what others appended, has its turn at the gate for as long as that takes. Who only looks does not.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::{Mutex, RwLock};
use ragpulse_protocol::{Cursor, PipelineId};
use tokio::sync::{Mutex as AsyncMutex, OwnedMutexGuard, mpsc};

use super::super::fold::Fold;
use super::super::{Record, Stored, TailItem};
use super::call::Held;

/// What is known of a pipeline.
#[derive(Debug)]
pub(super) struct Known {
    pub(super) fold: Fold,
    /// The first `seq` of the epoch.
    pub(super) begins: u64,
    /// The first event that is kept, as far as is known; one more than the end where none is.
    pub(super) first: u64,
    /// The position that the state was last written down at, as far as is known.
    pub(super) snap: u64,
    /// How much of it is kept and since when, where that was asked.
    pub(super) held: Option<Held>,
    /// Whether the hub was told of it: by [`load`](super::RedisLog), or by the tail.
    pub(super) told: bool,
}

impl Known {
    pub(super) fn position(&self) -> Cursor {
        Cursor { epoch: self.fold.state.epoch.clone(), seq: self.fold.state.seq }
    }

    pub(super) fn stored(&self) -> Stored {
        self.fold.stored(self.first.max(self.begins))
    }

    /// How many events are kept.
    pub(super) fn kept(&self) -> u64 {
        (self.fold.state.seq + 1).saturating_sub(self.first)
    }
}

#[derive(Debug, Default)]
pub(super) struct Gate {
    turn: Arc<AsyncMutex<()>>,
    known: Mutex<Option<Known>>,
    writing: Arc<AsyncMutex<()>>,
}

impl Gate {
    /// Looks at what is known, and may change it.
    pub(super) fn with<T>(&self, act: impl FnOnce(&mut Known) -> T) -> Option<T> {
        self.known.lock().as_mut().map(act)
    }

    pub(super) fn position(&self) -> Option<Cursor> {
        self.with(|known| known.position())
    }

    /// Has one task write the state down, and not two at once: `None` where one does.
    pub(super) fn try_writing(&self) -> Option<OwnedMutexGuard<()>> {
        self.writing.clone().try_lock_owned().ok()
    }

    /// Waits until nobody writes the state down.
    pub(super) async fn writing(&self) -> OwnedMutexGuard<()> {
        self.writing.clone().lock_owned().await
    }
}

/// The gates of all pipelines.
#[derive(Debug, Default)]
pub(super) struct Gates {
    all: RwLock<HashMap<PipelineId, Arc<Gate>>>,
    loaded: AtomicBool,
}

impl Gates {
    /// The gate of a pipeline that is known, or about to be.
    pub(super) fn get(&self, id: &PipelineId) -> Option<Arc<Gate>> {
        self.all.read().get(id).cloned()
    }

    pub(super) fn all(&self) -> Vec<(PipelineId, Arc<Gate>)> {
        self.all.read().iter().map(|(id, gate)| (id.clone(), gate.clone())).collect()
    }

    /// What a hub that starts is given. From here on it is told of all that happens.
    pub(super) fn load(&self) -> Vec<Stored> {
        let all = self.all.write();
        self.loaded.store(true, Ordering::Release);
        let stored = |gate: &Arc<Gate>| {
            gate.with(|known| {
                known.told = true;
                known.stored()
            })
        };
        all.values().filter_map(stored).collect()
    }

    /// Whether a hub wants to know of pipelines that others open.
    pub(super) fn is_loaded(&self) -> bool {
        self.loaded.load(Ordering::Acquire)
    }

    /// Waits for the turn at a pipeline's gate.
    pub(super) async fn turn(self: &Arc<Self>, id: &PipelineId) -> Turn {
        loop {
            let gate = self.get(id);
            let gate = gate.unwrap_or_else(|| self.all.write().entry(id.clone()).or_default().clone());
            let held = gate.turn.clone().lock_owned().await;
            // Who had the turn before may have put the gate away.
            if self.get(id).is_some_and(|one| Arc::ptr_eq(&one, &gate)) {
                return Turn { id: id.clone(), gate, gates: self.clone(), _held: held };
            }
        }
    }
}

/// The turn at a gate. When it ends, a gate of nothing is put away.
pub(super) struct Turn {
    pub(super) id: PipelineId,
    pub(super) gate: Arc<Gate>,
    gates: Arc<Gates>,
    _held: OwnedMutexGuard<()>,
}

impl Drop for Turn {
    fn drop(&mut self) {
        if self.gate.known.lock().is_none() {
            self.gates.all.write().remove(&self.id);
        }
    }
}

impl Turn {
    /// Begins with what was loaded. The hub is to be told of what follows if it was told before, or is told of everything.
    pub(super) fn begin(&self, mut known: Known) {
        let mut place = self.gate.known.lock();
        known.told |= self.gates.is_loaded() || place.as_ref().is_some_and(|before| before.told);
        *place = Some(known);
    }

    /// Begins with what was loaded, in place of the records that led to it.
    pub(super) fn reset(&self, known: Known, permit: mpsc::Permit<'_, TailItem>, item: TailItem) {
        self.begin(known);
        if self.gate.with(|known| known.told) == Some(true) {
            permit.send(item);
        }
    }

    /// The pipeline is gone.
    pub(super) fn forget(&self, permit: mpsc::Permit<'_, TailItem>) {
        let before = self.gate.known.lock().take();
        if before.is_some_and(|before| before.told) {
            permit.send(TailItem::Forgotten(self.id.clone()));
        }
    }

    /// Lets records pass that follow, and no others. Whether all that are later than what is known did.
    pub(super) fn pass(&self, records: Vec<Arc<Record>>, permit: mpsc::Permit<'_, TailItem>) -> bool {
        let mut known = self.gate.known.lock();
        let Some(known) = known.as_mut() else { return records.is_empty() };
        let mut passed = records;
        passed.retain(|record| record.seq > known.fold.state.seq);
        let follows = passed.first().is_none_or(|record| record.seq == known.fold.state.seq + 1);
        if !follows || passed.is_empty() {
            return follows;
        }
        for record in &passed {
            known.fold.apply(record);
            if let Some(held) = &mut known.held {
                held.bytes += record.size() as u64;
            }
        }
        if known.told {
            permit.send(TailItem::Records(self.id.clone(), passed));
        }
        true
    }
}
