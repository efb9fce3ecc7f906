//! The registry: which rooms there are, and who wants the rooms of a type, or all, also those to come.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::{Mutex, RwLock};
use ragpulse_protocol::{PipelineId, PipelineType, Problem, Timestamp};

use super::outlet::Outlet;
use super::room::Room;
use crate::config::HubLimits;
use crate::limits::exceeded;
use crate::metrics::Metrics;

/// Outlets by their id.
pub(crate) type Outlets = HashMap<u64, Arc<dyn Outlet>>;

/// What is followed beyond single pipelines: those there are, and those to come.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Scope {
    /// The pipelines of a type.
    Type(PipelineType),
    /// All pipelines.
    All,
}

impl Scope {
    /// Whether a pipeline of this type is among them.
    pub(crate) fn covers(&self, kind: &PipelineType) -> bool {
        match self {
            Self::Type(wanted) => wanted == kind,
            Self::All => true,
        }
    }
}

/// All rooms of a hub.
pub(crate) struct Registry {
    rooms: RwLock<HashMap<PipelineId, Arc<Room>>>,
    /// Those who follow a scope. Locked before a room's type is made known, so that nobody falls between.
    by_scope: Mutex<HashMap<Scope, Outlets>>,
    limits: HubLimits,
    metrics: Arc<Metrics>,
}

impl Registry {
    pub(crate) fn new(limits: &HubLimits, metrics: &Arc<Metrics>) -> Self {
        let (limits, metrics) = (limits.clone(), metrics.clone());
        Self { rooms: RwLock::default(), by_scope: Mutex::default(), limits, metrics }
    }

    pub(crate) fn len(&self) -> usize {
        self.rooms.read().len()
    }

    pub(crate) fn get(&self, id: &PipelineId) -> Option<Arc<Room>> {
        self.rooms.read().get(id).cloned()
    }

    /// The room of a pipeline, or one that is held until the pipeline exists.
    ///
    /// # Errors
    /// When as many ids are held as may be.
    pub(crate) fn get_or_hold(&self, id: &PipelineId) -> Result<Arc<Room>, Problem> {
        if let Some(room) = self.get(id) {
            return Ok(room);
        }
        let most = self.limits.pipelines.saturating_add(self.limits.held_pipelines);
        if self.len() >= most {
            self.sweep();
        }
        let mut rooms = self.rooms.write();
        if let Some(room) = rooms.get(id) {
            return Ok(room.clone());
        }
        if rooms.len() >= most {
            return Err(exceeded(
                "held_pipelines",
                "This hub holds as many unknown pipelines as it may. Ask for pipelines that exist, or later.",
            ));
        }
        let room = Arc::new(Room::new(id.clone(), &self.limits, &self.metrics));
        rooms.insert(id.clone(), room.clone());
        Ok(room)
    }

    /// The room for a pipeline whose first event is here, whatever is held.
    pub(crate) fn get_or_open(&self, id: &PipelineId) -> Arc<Room> {
        if let Some(room) = self.get(id) {
            return room;
        }
        let mut rooms = self.rooms.write();
        rooms
            .entry(id.clone())
            .or_insert_with(|| Arc::new(Room::new(id.clone(), &self.limits, &self.metrics)))
            .clone()
    }

    /// The pipelines that exist, by id.
    pub(crate) fn known(&self) -> Vec<Arc<Room>> {
        let mut known: Vec<_> = self.rooms.read().values().filter(|room| room.is_known()).cloned().collect();
        known.sort_unstable_by(|a, b| a.id.cmp(&b.id));
        known
    }

    /// The pipelines that stand in lists, by id.
    pub(crate) fn listed(&self) -> Vec<Arc<Room>> {
        let mut listed: Vec<_> =
            self.rooms.read().values().filter(|room| room.is_listed()).cloned().collect();
        listed.sort_unstable_by(|a, b| a.id.cmp(&b.id));
        listed
    }

    /// How many pipelines exist.
    pub(crate) fn count_known(&self) -> usize {
        self.rooms.read().values().filter(|room| room.is_known()).count()
    }

    pub(crate) fn subscriptions(&self) -> usize {
        self.all().iter().map(|room| room.follower_count()).sum()
    }

    /// The rooms that an outlet follows, those that are held too.
    pub(crate) fn followed_by(&self, outlet: u64) -> Vec<Arc<Room>> {
        let mut rooms: Vec<_> = self.all().into_iter().filter(|room| room.has(outlet)).collect();
        rooms.sort_unstable_by(|a, b| a.id.cmp(&b.id));
        rooms
    }

    fn all(&self) -> Vec<Arc<Room>> {
        self.rooms.read().values().cloned().collect()
    }

    /// Lets go of ids that are held for nobody.
    pub(crate) fn sweep(&self) {
        self.rooms
            .write()
            .retain(|_, room| room.is_known() || room.follower_count() > 0 || Arc::strong_count(room) > 1);
    }

    /// Takes pipelines from the lists that have been offline for so many days. They are there as before, and come back to the
    /// lists with their next event.
    pub(crate) fn retire(&self, now: Timestamp, days: u32) {
        let before = Timestamp::from_millis(now.as_millis().saturating_sub(i64::from(days) * 86_400_000));
        for room in self.all() {
            if room.unlist(before) {
                tracing::info!(pipeline = %room.id, days, "offline for so long that it leaves the lists");
            }
        }
    }

    /// Adds a follower of these scopes; gives the rooms in them that are listed now, and those that are `wanted` in any case,
    /// each once, by id.
    pub(crate) fn follow(
        &self,
        scopes: &[Scope],
        outlet: &Arc<dyn Outlet>,
        wanted: impl Fn(&PipelineId) -> bool,
    ) -> Vec<Arc<Room>> {
        let mut by_scope = self.by_scope.lock();
        for scope in scopes {
            by_scope.entry(scope.clone()).or_default().insert(outlet.id(), outlet.clone());
        }
        let mut rooms = self.within(scopes);
        rooms.retain(|room| room.is_listed() || wanted(&room.id));
        rooms
    }

    /// The rooms in these scopes there are now, by id.
    pub(crate) fn within(&self, scopes: &[Scope]) -> Vec<Arc<Room>> {
        let covered = |room: &Arc<Room>| {
            room.pipeline_type().is_some_and(|kind| scopes.iter().any(|scope| scope.covers(&kind)))
        };
        self.known().into_iter().filter(covered).collect()
    }

    /// Makes a pipeline's first event known: `reveal` runs while nobody can begin to follow a scope, with those who
    /// follow one that this pipeline is in, each once.
    pub(crate) fn reveal<T>(&self, kind: &PipelineType, reveal: impl FnOnce(Outlets) -> T) -> T {
        let by_scope = self.by_scope.lock();
        let mut outlets = Outlets::new();
        for scope in [Scope::Type(kind.clone()), Scope::All] {
            outlets
                .extend(by_scope.get(&scope).into_iter().flatten().map(|(id, outlet)| (*id, outlet.clone())));
        }
        reveal(outlets)
    }

    /// Returns once every pipeline that was being made known has been: who asks then sees all who were joined to them.
    pub(crate) fn after_reveals(&self) {
        drop(self.by_scope.lock());
    }

    pub(crate) fn unfollow(&self, scope: &Scope, outlet: u64) {
        let mut by_scope = self.by_scope.lock();
        if let Some(outlets) = by_scope.get_mut(scope) {
            outlets.remove(&outlet);
            if outlets.is_empty() {
                by_scope.remove(scope);
            }
        }
    }

    /// An outlet is gone: it follows nothing any more.
    pub(crate) fn forget_outlet(&self, outlet: u64) {
        self.by_scope.lock().retain(|_, outlets| {
            outlets.remove(&outlet);
            !outlets.is_empty()
        });
        for room in self.all() {
            room.leave(outlet);
        }
    }

    pub(crate) fn clear_outlets(&self) {
        self.by_scope.lock().clear();
        for room in self.all() {
            room.clear_outlets();
        }
    }
}
