//! Socket.IO: the namespaces of subscribers, of the reference application, and of reporters.

mod commands;
mod direct;
mod flush;
mod ingest;
mod layer;
mod message;
mod meter;
mod pace;
mod peer;
mod rights;

use std::sync::Arc;
use std::time::Duration;

use ragpulse_protocol::message::HubClosing;
use ragpulse_protocol::{PipelineType, Problem};
use serde_json::Value;
use serde_json::value::to_raw_value;
use socketioxide::extract::{SocketRef, TryData};
use socketioxide::handler::ConnectHandler;
use socketioxide::socket::Sid;
use socketioxide::{SocketIo, TransportType};

pub(crate) use flush::Flusher;
pub use layer::HubLayer;
pub(crate) use rights::Reviewer;

use self::direct::Entry;
use self::peer::{Kept, Peers, Who};
use crate::address::ClientAddress;
use crate::auth::Caller;
use crate::doors::DoorsLayer;
use crate::hub::{Dialect, Hub, Place};
use crate::metrics::sessions::SILENT_MS;
use crate::metrics::table::{DisconnectReason, HandshakeCause, Outcome, Transport};

/// Where Socket.IO lives.
pub(crate) const PATH: &str = "/socket.io";

/// How much is read of a connection at a time; each has such a buffer for as long as it is there. What subscribers send is
/// smaller; a larger frame has room made for it while it comes.
const READ_BUFFER: usize = 1_024;

/// Builds Socket.IO with every namespace.
pub(super) fn build(hub: &Hub, doors: DoorsLayer) -> (HubLayer, SocketEnd) {
    message::prepare();
    let limits = &hub.0.config.limits;
    // A frame over `body_bytes` gets a typed error; only one far beyond it costs the connection.
    let frame = limits.frame();
    let (layer, io) = SocketIo::builder()
        .req_path(PATH)
        .max_buffer_size(limits.socket_buffer)
        .max_payload(frame as u64)
        .ws_read_buffer_size(READ_BUFFER)
        .ws_max_message_size(frame)
        .ws_max_frame_size(frame)
        .connect_timeout(Duration::from_secs(10))
        .ping_timeout(Duration::from_millis(SILENT_MS.unsigned_abs()))
        .build_layer();
    let peers = Arc::new(Peers::new(hub.clone()));
    let meters = peers.meters().clone();
    namespace(&io, "/", &peers, None);
    let mut namespaces = vec!["/".to_owned(), "/ingest".to_owned()];
    for kind in &hub.0.config.reference_types {
        namespaces.push(format!("/{kind}"));
        namespace(&io, &format!("/{kind}"), &peers, Some(kind.clone()));
    }
    ingest_namespace(&io, &peers);
    (HubLayer::new(layer, doors, meters, hub.0.metrics.clone()), SocketEnd { io, peers, namespaces })
}

/// What arrives in packets, without a socket.
#[cfg(feature = "fuzzing")]
pub(crate) mod fuzzing {
    use ragpulse_protocol::Problem;
    use serde::de::DeserializeOwned;
    use serde_json::value::RawValue;

    use crate::config::HubLimits;

    pub(crate) fn command<T: DeserializeOwned>(packet: &RawValue, limits: &HubLimits) -> Result<T, Problem> {
        super::commands::parse_within(Ok(packet.to_owned()), limits)
    }

    pub(crate) fn publish(packet: &RawValue, limits: &HubLimits) -> Result<(), Problem> {
        super::ingest::read(Ok(packet.to_owned()), limits).map(drop)
    }
}

/// The hub's hold on Socket.IO.
pub(crate) struct SocketEnd {
    io: SocketIo,
    peers: Arc<Peers>,
    namespaces: Vec<String>,
}

impl SocketEnd {
    /// Tells every subscriber when to come back, whether it follows anything yet or not.
    pub(crate) fn tell_closing(&self, retry_after_ms: u64) {
        let Ok(payload) = to_raw_value(&HubClosing { retry_after_ms }) else { return };
        for peer in self.peers.all() {
            let _ = peer.tell("hub:closing", &payload);
        }
    }

    /// What looks through the rights of its sockets.
    pub(crate) fn reviewer(&self) -> Reviewer {
        Reviewer(self.peers.clone())
    }

    /// What writes what is put in line for its sockets.
    pub(crate) fn flusher(&self) -> Arc<Flusher> {
        self.peers.flusher().clone()
    }

    /// The socket of a reporter.
    pub(crate) fn reporter(&self, sid: Sid) -> Option<SocketRef> {
        self.io.of("/ingest")?.get_socket(sid)
    }

    /// Ends every connection. Does not return while a peer does not read, so put it in a deadline.
    pub(crate) async fn close(&self) {
        self.io.close().await;
    }

    /// Every socket in every namespace.
    pub(crate) fn sockets(&self) -> Vec<SocketRef> {
        let namespaces = self.namespaces.iter().filter_map(|path| self.io.of(path.clone()));
        namespaces.flat_map(|namespace| namespace.sockets()).collect()
    }

    /// Lets go of sockets whose connection is gone. The library forgets, and does not close, one that was about to connect
    /// in the moment in which it went, and one that entered a namespace again while it was still leaving it: they would
    /// count, and stay, for ever.
    pub(crate) fn let_go_of_left_behind(&self) {
        let is_over = |socket: &SocketRef| peer::of_session(socket).is_some_and(|meter| meter.is_over());
        for socket in self.sockets().into_iter().filter(is_over) {
            let _ = socket.disconnect();
        }
        for peer in self.peers.all() {
            if peer.meter().is_over() {
                self.peers.remove(&peer.socket, DisconnectReason::TransportClose);
            }
        }
    }

    /// Lets go of every peer: closing does not run the disconnect handlers, nor does the library let go of the sockets,
    /// which hold their namespaces and are held by them. Those of a peer that still does not read stay.
    pub(crate) fn forget(&self, sockets: Vec<SocketRef>) {
        self.peers.clear();
        for socket in sockets {
            let _ = socket.disconnect();
        }
    }
}

/// Why a connection to a namespace was refused. The client sees the text as the message of `connect_error`.
#[derive(Debug)]
struct Refused(Problem);

impl std::fmt::Display for Refused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.0.code, self.0.detail)
    }
}

impl std::error::Error for Refused {}

/// A namespace of subscribers. With a type it is the reference's: it subscribes by itself.
fn namespace(io: &SocketIo, path: &str, peers: &Arc<Peers>, implicit: Option<PipelineType>) {
    let dialect = if implicit.is_some() { Dialect::Reference } else { Dialect::Native };
    let admit = {
        let (peers, implicit) = (peers.clone(), implicit.clone());
        // Handlers are registered before the connection is acknowledged: a client may speak right after it.
        move |socket: SocketRef, TryData(auth): TryData<Value>| {
            let (peers, implicit) = (peers.clone(), implicit.clone());
            async move {
                let (_, place) = admit(&peers, &socket, auth.ok()).await?;
                socket.extensions.insert(Kept::new(place));
                let wire = peer::of_session(&socket).and_then(|meter| meter.begun_on());
                if let Some(entry) = Entry::grant(wire, socket.ns()) {
                    socket.extensions.insert(entry);
                }
                commands::register(&socket, &peers, dialect, implicit);
                Ok::<(), Refused>(())
            }
        }
    };
    let connected = {
        let peers = peers.clone();
        move |socket: SocketRef| {
            let peer = peers.of(&socket, dialect);
            let (peers, implicit) = (peers.clone(), implicit.clone());
            // Beside the library: until this returns it ignores whoever leaves and enters again, and what is subscribed here may
            // arrive before that.
            async move {
                commands::greet(&peers, &peer, implicit.as_ref());
                peers.let_go_if_left(&peer);
            }
        }
    };
    io.ns(path.to_owned(), connected.with(admit));
}

fn ingest_namespace(io: &SocketIo, peers: &Arc<Peers>) {
    let admit = {
        let peers = peers.clone();
        move |socket: SocketRef, TryData(auth): TryData<Value>| {
            let peers = peers.clone();
            async move {
                let (caller, place) = admit(&peers, &socket, auth.ok()).await?;
                ingest::register(&socket, peers.hub(), caller, place, peer::of_session(&socket));
                Ok::<(), Refused>(())
            }
        }
    };
    io.ns("/ingest", (|_: SocketRef| async {}).with(admit));
}

/// By what a socket has come.
fn transport(socket: &SocketRef) -> Transport {
    match socket.transport_type() {
        TransportType::Websocket => Transport::Websocket,
        TransportType::Polling => Transport::Polling,
    }
}

/// Decides whether a socket may connect, notes who it is, and gives it its place.
async fn admit(peers: &Peers, socket: &SocketRef, auth: Option<Value>) -> Result<(Caller, Place), Refused> {
    let hub = peers.hub();
    let refuse = |cause, problem: Problem| {
        let metrics = &hub.0.metrics;
        metrics.handshake_failures.add(cause, 1);
        metrics.connection_attempts.add((transport(socket), Outcome::Refused), 1);
        metrics.problem(&problem);
        Err(Refused(problem))
    };
    let address = ClientAddress::of(socket.req_parts());
    if hub.is_closing() {
        return refuse(HandshakeCause::Closing, crate::hub::closing());
    }
    if let Err(problem) = hub.0.places.look(address.map(|address| address.neighbours())) {
        return refuse(HandshakeCause::Limit, problem);
    }
    let token = auth.as_ref().and_then(|auth| auth.get("token")).and_then(Value::as_str);
    let caller = match hub.admit(token, address).await {
        Ok(caller) => caller,
        Err(problem) => return refuse(HandshakeCause::Auth, problem),
    };
    let place = hub.place(transport(socket), &caller).map_err(|problem| {
        // The attempt was counted with the place.
        hub.0.metrics.handshake_failures.add(HandshakeCause::Limit, 1);
        hub.0.metrics.problem(&problem);
        Refused(problem)
    })?;
    socket.extensions.insert(Who(caller.clone()));
    Ok((caller, place))
}
