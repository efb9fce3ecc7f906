//! A peer: one socket in one namespace, as the hub's rooms see it.
//!
//! The peers are kept here and nowhere else. A socket's handlers hold the table, not the peer: a peer holds its socket,
//! and the circle would never be freed.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use parking_lot::Mutex;
use ragpulse_protocol::{PipelineId, Problem};
use serde_json::value::RawValue;
use socketioxide::extract::SocketRef;
use socketioxide::socket::Sid;
use socketioxide::{SendError, SocketError};

use super::direct::{self, Direct, Entry};
use super::flush::Flusher;
use super::message;
use super::meter::{Meter, Meters};
use super::rights::Rights;
use crate::auth::{Audience, Caller};
use crate::hub::{Dialect, Hub, Outlet, Place, Scope, Sent, Shared};
use crate::metrics::table::DisconnectReason;
use crate::service::Pushed;

/// Who a socket's token says it is, and from where it came.
#[derive(Clone, Default)]
pub(super) struct Who(pub(super) Caller);

/// The place that a socket has among the hub's connections, until it is gone.
#[derive(Clone)]
pub(super) struct Kept(Arc<Mutex<Option<Place>>>);

impl Kept {
    pub(super) fn new(place: Place) -> Self {
        Self(Arc::new(Mutex::new(Some(place))))
    }

    /// Gives it back.
    fn give_back(socket: &SocketRef) {
        if let Some(Self(place)) = socket.extensions.get() {
            drop(place.lock().take());
        }
    }
}

/// Marks a socket that has left its namespace, where a command of it may still be under way.
#[derive(Clone)]
struct Left;

/// One socket in one namespace.
pub(crate) struct Peer {
    id: u64,
    dialect: Dialect,
    pub(super) socket: SocketRef,
    pub(super) hub: Hub,
    meter: Arc<Meter>,
    direct: Direct,
    flusher: Arc<Flusher>,
    pub(super) rights: Rights,
    pub(super) follows: Mutex<Follows>,
    /// It has been subscribed to what its namespace is of.
    pub(super) greeted: Mutex<bool>,
    /// It has left its namespace: nothing more is put in line for it.
    left: AtomicBool,
}

/// What a peer has subscribed to.
#[derive(Debug, Default)]
pub(super) struct Follows {
    pub(super) pipelines: HashSet<PipelineId>,
    pub(super) scopes: HashSet<Scope>,
}

impl Follows {
    pub(super) fn len(&self) -> usize {
        self.pipelines.len() + self.scopes.len()
    }

    /// How many of these it has not subscribed to yet.
    pub(super) fn more(&self, ids: &[PipelineId], scopes: &[Scope]) -> usize {
        ids.iter().filter(|id| !self.pipelines.contains(*id)).count()
            + scopes.iter().filter(|scope| !self.scopes.contains(*scope)).count()
    }
}

impl Peer {
    /// Who it is.
    pub(super) fn caller(&self) -> Caller {
        self.socket.extensions.get::<Who>().unwrap_or_default().0
    }

    /// Its place is held by another token from now on.
    pub(super) fn keep_place(&self, caller: &Caller) -> Result<(), Problem> {
        let Some(Kept(place)) = self.socket.extensions.get() else { return Ok(()) };
        place.lock().as_ref().map_or(Ok(()), |place| place.renew(&caller.who))
    }

    fn has_left(&self) -> bool {
        self.socket.extensions.get::<Left>().is_some()
    }

    /// What waits for its connection, in all its namespaces.
    pub(super) fn meter(&self) -> &Arc<Meter> {
        &self.meter
    }

    /// Puts a message into its buffer however many bytes wait there, for what is said once.
    pub(super) fn tell(&self, event: &str, payload: &RawValue) -> Sent {
        let now = || self.hub.0.clock.steady();
        // It is said now; where it is not known yet by which way, it is this one.
        if self.direct.way(self.socket.ns(), now) == direct::Way::Direct
            || self.direct.by_library() == direct::Way::Direct
        {
            return self.put(&direct::frame(self.socket.ns(), event, payload), true);
        }
        let bytes = event.len() + payload.get().len();
        self.meter.add(bytes);
        self.sent(self.socket.emit(event, payload), bytes)
    }

    /// Puts a finished frame in line.
    fn put(&self, frame: &Bytes, once: bool) -> Sent {
        if self.left.load(Ordering::Acquire) {
            return Sent::Gone;
        }
        match self.direct.push(frame, &self.hub.0.config.limits, once) {
            (Pushed::Fresh, Some(wire)) => {
                self.flusher.add(wire);
                Sent::Buffered
            }
            (Pushed::Fresh | Pushed::Behind, _) => Sent::Buffered,
            (Pushed::Full, _) => Sent::Full,
            (Pushed::Closed, _) => Sent::Gone,
        }
    }

    /// What became of a message that was counted.
    fn sent(&self, emitted: Result<(), SendError>, bytes: usize) -> Sent {
        let sent = match emitted {
            Ok(()) => return Sent::Buffered,
            Err(SendError::Socket(SocketError::InternalChannelFull)) => Sent::Full,
            // A client that speaks right after the acknowledgement of its connection may be heard a moment before
            // its socket counts as connected. It is gone only once it has left.
            Err(SendError::Socket(SocketError::Closed)) if !self.has_left() => Sent::Full,
            Err(_) => Sent::Gone,
        };
        self.meter.take_back(bytes);
        sent
    }
}

impl Peer {
    /// Emits unless the right has ended, or as much waits as may: directly, or by the library.
    fn emit_by(
        &self,
        bytes: usize,
        frame: impl FnOnce(&str) -> Bytes,
        emit: impl FnOnce() -> Result<(), SendError>,
    ) -> Sent {
        if self.rights.are_cut() {
            return Sent::Gone;
        }
        match self.direct.way(self.socket.ns(), || self.hub.0.clock.steady()) {
            direct::Way::Direct => self.put(&frame(self.socket.ns()), false),
            direct::Way::Undecided if self.left.load(Ordering::Acquire) => Sent::Gone,
            direct::Way::Undecided => Sent::Full,
            direct::Way::Library if self.meter.take(bytes) => self.sent(emit(), bytes),
            direct::Way::Library => Sent::Full,
        }
    }
}

impl Outlet for Peer {
    fn id(&self) -> u64 {
        self.id
    }

    fn dialect(&self) -> Dialect {
        self.dialect
    }

    fn may_view(&self, pipeline: &PipelineId) -> bool {
        !self.rights.are_cut() && self.hub.shows(&self.caller().who, pipeline)
    }

    fn audience(&self, pipeline: &PipelineId) -> Audience {
        self.hub.audience(&self.caller().who, pipeline)
    }

    fn emit(&self, event: &str, payload: &RawValue) -> Sent {
        self.emit_by(
            event.len() + payload.get().len(),
            |namespace| direct::frame(namespace, event, payload),
            || self.socket.emit(event, payload),
        )
    }

    fn emit_shared(&self, event: &str, payload: &RawValue, shared: &Shared) -> Sent {
        self.emit_by(
            event.len() + payload.get().len(),
            |namespace| shared.bytes(namespace, || direct::frame(namespace, event, payload)),
            || message::emit(&self.socket, event, payload, shared),
        )
    }
}

/// All peers of a hub, by namespace and socket.
pub(super) struct Peers {
    hub: Hub,
    meters: Arc<Meters>,
    flusher: Arc<Flusher>,
    peers: Mutex<HashMap<(String, Sid), Arc<Peer>>>,
}

/// The meter that the layer gave to the request by which a session began.
pub(super) fn of_session(socket: &SocketRef) -> Option<Arc<Meter>> {
    socket.req_parts().extensions.get::<Arc<Meter>>().cloned()
}

impl Peers {
    pub(super) fn new(hub: Hub) -> Self {
        let meters = Arc::new(Meters::new(hub.0.config.limits.socket_bytes));
        Self { hub, meters, flusher: Arc::default(), peers: Mutex::default() }
    }

    pub(super) fn meters(&self) -> &Arc<Meters> {
        &self.meters
    }

    /// What writes what is put in line for them.
    pub(super) fn flusher(&self) -> &Arc<Flusher> {
        &self.flusher
    }

    pub(super) fn hub(&self) -> &Hub {
        &self.hub
    }

    /// The peer of a socket, made when it is first asked for.
    pub(super) fn of(&self, socket: &SocketRef, dialect: Dialect) -> Arc<Peer> {
        let mut peers = self.peers.lock();
        peers
            .entry((socket.ns().to_owned(), socket.id))
            .or_insert_with(|| {
                let id = self.hub.next_outlet_id();
                self.hub.0.metrics.connected(id, self.hub.0.clock.now());
                let meter = of_session(socket).unwrap_or_else(|| self.meters.of_wire(None));
                Arc::new(Peer {
                    id,
                    dialect,
                    socket: socket.clone(),
                    hub: self.hub.clone(),
                    direct: Direct::new(socket.extensions.remove::<Entry>()),
                    meter,
                    flusher: self.flusher.clone(),
                    rights: Rights::default(),
                    follows: Mutex::default(),
                    greeted: Mutex::default(),
                    left: AtomicBool::new(false),
                })
            })
            .clone()
    }

    /// Lets go of a peer that left while a command of it was under way: nobody else will.
    pub(super) fn let_go_if_left(&self, peer: &Arc<Peer>) {
        if peer.has_left() {
            self.remove(&peer.socket, DisconnectReason::TransportClose);
            self.hub.0.registry.forget_outlet(peer.id);
        }
    }

    /// A socket is gone.
    pub(super) fn remove(&self, socket: &SocketRef, reason: DisconnectReason) {
        socket.extensions.insert(Left);
        Kept::give_back(socket);
        let peer = self.peers.lock().remove(&(socket.ns().to_owned(), socket.id));
        if let Some(peer) = peer {
            peer.left.store(true, Ordering::Release);
            self.hub.0.metrics.disconnected(peer.id, reason, self.hub.0.clock.now());
            let follows = std::mem::take(&mut *peer.follows.lock());
            for scope in &follows.scopes {
                self.hub.0.registry.unfollow(scope, peer.id);
            }
            if follows.scopes.is_empty() {
                for pipeline in &follows.pipelines {
                    self.hub.0.registry.get(pipeline).map(|room| room.leave(peer.id));
                }
            } else {
                // Rooms of a scope are joined from the tail, which does not note them here.
                self.hub.0.registry.forget_outlet(peer.id);
            }
        }
    }

    pub(super) fn all(&self) -> Vec<Arc<Peer>> {
        self.peers.lock().values().cloned().collect()
    }

    pub(super) fn clear(&self) {
        let peers = std::mem::take(&mut *self.peers.lock());
        peers.values().for_each(|peer| Kept::give_back(&peer.socket));
        self.hub.0.metrics.closed(peers.len() as u64, self.hub.0.clock.now());
    }
}
