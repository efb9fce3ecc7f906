//! The pipelines a subscriber follows, each with its state kept by the apply rule.
//!
//! *What may come in:* messages of any pipeline, from any transport, in any order. *What it never does:* I/O; fold a
//! message twice or past a hole; follow more than [`MAX_PIPELINES`].

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use ragpulse_protocol::command::{ClientInfo, SubscribeRequest};
use ragpulse_protocol::{
    Code, Cursor, Event, Object, PROTOCOL_VERSION, PipelineId, PipelineStatus, PipelineType, ServerMessage,
    Session, Verdict,
};

use super::update::{Update, What};

/// The most pipelines followed by their type, or as all; later ones are left out and logged.
pub(crate) const MAX_PIPELINES: usize = 10_000;
/// After how many resyncs in a row that brought nothing a snapshot is asked for.
const FRUITLESS: u8 = 3;

/// What is subscribed to.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Target {
    Pipelines(BTreeSet<PipelineId>),
    Type(PipelineType),
    All,
}

impl Target {
    /// Whether pipelines belong to it that are not named.
    pub(crate) fn is_open(&self) -> bool {
        !matches!(self, Self::Pipelines(_))
    }

    /// Whether a pipeline of this type, which is not named, belongs to it.
    pub(crate) fn covers(&self, kind: &PipelineType) -> bool {
        match self {
            Self::Pipelines(_) => false,
            Self::Type(wanted) => wanted == kind,
            Self::All => true,
        }
    }
}

#[derive(Debug, Default)]
struct Tracked {
    session: Session,
    /// Events cannot be read or do not help: only a snapshot does.
    snapshot_wanted: bool,
    /// Resyncs since something was last applied.
    resyncs: u8,
    /// The state as last handed out.
    shared: Option<Arc<PipelineStatus>>,
}

/// What a message led to.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Received {
    pub(crate) update: Option<Update>,
    /// Something is missing; whether asking for it has already been in vain.
    pub(crate) resync: Option<(PipelineId, bool)>,
}

#[derive(Debug)]
pub(crate) struct Pipelines {
    target: Target,
    tracked: BTreeMap<PipelineId, Tracked>,
}

impl Pipelines {
    pub(crate) fn new(target: Target) -> Self {
        let tracked = match &target {
            Target::Pipelines(ids) => ids.iter().map(|id| (id.clone(), Tracked::default())).collect(),
            Target::Type(_) | Target::All => BTreeMap::new(),
        };
        Self { target, tracked }
    }

    pub(crate) fn target(&self) -> &Target {
        &self.target
    }

    /// Whether no subscription is left.
    pub(crate) fn is_over(&self) -> bool {
        matches!(&self.target, Target::Pipelines(ids) if ids.is_empty())
    }

    pub(crate) fn ids(&self) -> impl Iterator<Item = &PipelineId> {
        self.tracked.keys()
    }

    pub(crate) fn state(&mut self, id: &PipelineId) -> Option<Arc<PipelineStatus>> {
        let tracked = self.tracked.get_mut(id)?;
        if tracked.shared.is_none() {
            tracked.shared = tracked.session.state().cloned().map(Arc::new);
        }
        tracked.shared.clone()
    }

    /// From where to go on: nothing where a snapshot is wanted.
    pub(crate) fn cursor(&self, id: &PipelineId) -> Option<Cursor> {
        let tracked = self.tracked.get(id)?;
        tracked.session.cursor().filter(|_| !tracked.snapshot_wanted)
    }

    /// The request that subscribes to everything, from where it stands.
    pub(crate) fn subscribe_to_all(&self) -> SubscribeRequest {
        let mut request = self.subscribe_to(self.tracked.keys());
        match &self.target {
            Target::Pipelines(_) => {}
            Target::Type(kind) => {
                request.pipeline_ids = None;
                request.pipeline_type = Some(kind.clone());
            }
            Target::All => {
                request.pipeline_ids = None;
                request.all = Some(true);
            }
        }
        request
    }

    /// The request that subscribes to some pipelines, from where they stand.
    pub(crate) fn subscribe_to<'a>(&self, ids: impl Iterator<Item = &'a PipelineId>) -> SubscribeRequest {
        let ids: Vec<PipelineId> = ids.cloned().collect();
        let cursors: BTreeMap<_, _> =
            ids.iter().filter_map(|id| Some((id.clone(), self.cursor(id)?))).collect();
        SubscribeRequest {
            pipeline_ids: Some(ids),
            cursors: Some(cursors).filter(|cursors| !cursors.is_empty()),
            client_info: Some(ClientInfo {
                user_agent: Some(concat!("ragpulse-client/", env!("CARGO_PKG_VERSION")).to_owned()),
                timestamp: None,
                protocol: Some(PROTOCOL_VERSION),
                extra: Object::new(),
            }),
            ..SubscribeRequest::default()
        }
    }

    /// The connection is gone, and with it all that was asked for on it.
    pub(crate) fn disconnected(&mut self) {
        for tracked in self.tracked.values_mut() {
            tracked.session.resynced();
        }
    }

    pub(crate) fn is_tracked(&self, id: &PipelineId) -> bool {
        self.tracked.contains_key(id)
    }

    /// What was asked for this pipeline was answered.
    pub(crate) fn answered(&mut self, id: &PipelineId) {
        if let Some(tracked) = self.tracked.get_mut(id) {
            tracked.session.resynced();
        }
    }

    /// Follows a pipeline of what is subscribed to without naming it. Whether it is new.
    pub(crate) fn track(&mut self, id: &PipelineId) -> bool {
        if self.tracked.contains_key(id) {
            return false;
        }
        let wanted = self.target.is_open();
        if wanted && self.tracked.len() >= MAX_PIPELINES {
            tracing::warn!(pipeline = %id, "more than {MAX_PIPELINES} pipelines: this one is not followed");
            return false;
        }
        if wanted {
            self.tracked.insert(id.clone(), Tracked::default());
        }
        wanted
    }

    /// The hub does not know this pipeline: its state is dropped.
    pub(crate) fn reset(&mut self, id: &PipelineId) -> Option<Update> {
        let tracked = self.tracked.get_mut(id)?;
        let had_state = tracked.session.state().is_some();
        *tracked = Tracked::default();
        had_state.then(|| Update::of(id.clone(), What::Reset))
    }

    /// Of the pipelines that are not named, only these exist: the others are dropped. Gives back the updates and who went.
    pub(crate) fn keep_only(&mut self, ids: &BTreeSet<PipelineId>) -> Vec<(PipelineId, Option<Update>)> {
        if !self.target.is_open() {
            return Vec::new();
        }
        let gone: Vec<PipelineId> = self.tracked.keys().filter(|id| !ids.contains(*id)).cloned().collect();
        let drop_one = |id: PipelineId| {
            let update = self.reset(&id);
            self.tracked.remove(&id);
            (id, update)
        };
        gone.into_iter().map(drop_one).collect()
    }

    /// The hub ended the subscription to this pipeline.
    pub(crate) fn end(&mut self, id: &PipelineId, code: Code) -> Option<Update> {
        self.tracked.remove(id)?;
        if let Target::Pipelines(ids) = &mut self.target {
            ids.remove(id);
        }
        Some(Update::of(id.clone(), What::Ended(code)))
    }

    /// From here on only a snapshot helps this pipeline, or all of them.
    pub(crate) fn want_snapshot(&mut self, id: Option<&PipelineId>) {
        for (tracked_id, tracked) in &mut self.tracked {
            if id.is_none_or(|id| id == tracked_id) {
                tracked.snapshot_wanted = true;
            }
        }
    }

    /// Does with a message what the apply rule says.
    pub(crate) fn receive(&mut self, message: &ServerMessage) -> Received {
        let (id, kind) = match message {
            ServerMessage::Event(event) => (event.shared().pipeline_id, event.shared().pipeline_type),
            ServerMessage::Snapshot(snapshot) => (&snapshot.pipeline_id, &snapshot.pipeline_type),
            ServerMessage::Heartbeat(heartbeat) => (&heartbeat.pipeline_id, &heartbeat.pipeline_type),
            // About the connection or the subscription; and what a later version adds is not ours to fold.
            _ => return Received::default(),
        };
        if self.target.covers(kind) {
            self.track(id);
        }
        let Some(tracked) = self.tracked.get_mut(id) else { return Received::default() };

        let liveness = tracked.session.state().map(|state| state.liveness);
        let step = tracked.session.handle(message);
        match (step.verdict, message) {
            (Verdict::Apply, ServerMessage::Event(event)) => {
                tracked.resyncs = 0;
                tracked.shared = None;
                let what = match event.as_ref() {
                    Event::PipelineRemoved(_) => What::Removed,
                    _ => What::Event(event.clone()),
                };
                if what == What::Removed && self.target.is_open() {
                    self.tracked.remove(id);
                }
                let update = Update { anomalies: step.anomalies, ..Update::of(id.clone(), what) };
                Received { update: Some(update), resync: None }
            }
            (Verdict::Replace, ServerMessage::Snapshot(snapshot)) => {
                (tracked.resyncs, tracked.snapshot_wanted, tracked.shared) = (0, false, None);
                let what = self
                    .state(id)
                    .map(|state| What::Snapshot { state, reason: snapshot.reason.clone() })
                    .unwrap_or(What::Reset);
                Received { update: Some(Update::of(id.clone(), what)), resync: None }
            }
            // The rule ignores it, but where there is a sequence and no state, the first of it was lost: heartbeats come in
            // order with what was subscribed to.
            (Verdict::Ignore, ServerMessage::Heartbeat(heartbeat))
                if liveness.is_none() && heartbeat.seq > 0 =>
            {
                tracked.resyncs = tracked.resyncs.saturating_add(1);
                Received { update: None, resync: Some((id.clone(), tracked.resyncs > FRUITLESS)) }
            }
            (Verdict::Resync, _) => {
                tracked.resyncs = tracked.resyncs.saturating_add(1);
                tracked.snapshot_wanted |= tracked.resyncs > FRUITLESS;
                Received { update: None, resync: Some((id.clone(), tracked.resyncs > FRUITLESS)) }
            }
            _ => {
                let now = tracked.session.state().map(|state| state.liveness);
                let changed = now.filter(|_| now != liveness);
                if changed.is_some() {
                    tracked.shared = None;
                }
                let update = changed.map(|liveness| Update::of(id.clone(), What::Liveness(liveness)));
                Received { update, resync: None }
            }
        }
    }
}
