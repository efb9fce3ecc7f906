//! What subscribers ask for. Each handler does its work before it returns its future, because futures are spawned and
//! two commands of one client could change places.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;
use std::task::{Context, Waker};

use ragpulse_protocol::command::{
    Activity, AuthRefresh, AuthRefreshReply, ClientStatus, ClientStatusReply, Done, SubscribeAck,
    SubscribeReply, SubscribeRequest, SubscribedPipeline, UnsubscribeAck, UnsubscribeReply,
    UnsubscribeRequest,
};
use ragpulse_protocol::problem::ErrorReply;
use ragpulse_protocol::status::ResetReason;
use ragpulse_protocol::{Code, Cursor, PipelineId, PipelineType, Problem};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use serde_json::value::{RawValue, to_raw_value};
use socketioxide::ParserError;
use socketioxide::extract::{AckSender, Event, SocketRef, TryData};

use super::meter::Meter;
use super::pace::Pace;
use super::peer::{Peer, Peers};
use crate::auth::{Act, BoxFuture};
use crate::config::HubLimits;
use crate::hub::{Dialect, Outlet, Question, Room, Scope, Way};
use crate::limits::depth::PARSED_DEPTH;
use crate::limits::{AtLimit, depth, exceeded};
use crate::metrics::table::DisconnectReason;

type Raw = Box<RawValue>;

/// Registers every command of a namespace of subscribers.
pub(super) fn register(
    socket: &SocketRef,
    peers: &Arc<Peers>,
    dialect: Dialect,
    implicit: Option<PipelineType>,
) {
    let pace = Arc::new(Pace::new(peers.hub()));
    let (of, own, greeted_by) = (peers.clone(), pace.clone(), implicit.clone());
    socket.on("subscribe", move |socket: SocketRef, TryData(data): TryData<Raw>, ack: AckSender| {
        let peer = of.of(&socket, dialect);
        greet(&of, &peer, greeted_by.as_ref());
        let reply = heard(&own, &peer, data, &of)
            .and_then(|request| subscribe(&of, &peer, request, greeted_by.as_ref()));
        told(&of, &reply);
        of.let_go_if_left(&peer);
        // Everything is joined by now. Only where the log has to be asked what it has, the answer takes a little longer.
        let unsettled = match reply {
            Ok(joined) if joined.questions.is_empty() => {
                answer_to(peer.meter(), ack, &SubscribeReply::from(Ok(joined.ack)));
                None
            }
            Ok(joined) => Some((joined, ack, of.hub().clone(), peer.id(), peer.meter().clone())),
            Err(problem) => {
                answer_to(peer.meter(), ack, &SubscribeReply::from(Err::<SubscribeAck, _>(problem)));
                None
            }
        };
        async move {
            let Some((mut joined, ack, hub, outlet, meter)) = unsettled else { return };
            for (room, question) in joined.questions {
                let answer = hub.settle(&room, outlet, &question).await;
                if let Some(place) =
                    joined.ack.pipelines.iter_mut().find(|place| place.pipeline_id == answer.pipeline_id)
                {
                    *place = answer;
                }
            }
            answer_to(&meter, ack, &SubscribeReply::from(Ok(joined.ack)));
        }
    });
    let (of, own) = (peers.clone(), pace.clone());
    socket.on("unsubscribe", move |socket: SocketRef, TryData(data): TryData<Raw>, ack: AckSender| {
        let peer = of.of(&socket, dialect);
        greet(&of, &peer, implicit.as_ref());
        let reply = heard(&own, &peer, data, &of).and_then(|request| unsubscribe(&of, &peer, request));
        told(&of, &reply);
        of.let_go_if_left(&peer);
        answer_to(peer.meter(), ack, &UnsubscribeReply::from(reply));
        async {}
    });
    let (of, own) = (peers.clone(), pace.clone());
    socket.on("ping", move |ack: AckSender| {
        let _ = match own.check() {
            Ok(()) => ack.send(&of.hub().0.clock.now().as_millis()),
            Err(problem) => ack.send(&refused(&of, problem)),
        };
        async {}
    });
    let (of, own) = (peers.clone(), pace.clone());
    socket.on("client:status", move |socket: SocketRef, TryData(data): TryData<Raw>, ack: AckSender| {
        let reply = own.check().and_then(|()| parse::<ClientStatus>(data, &of)).map(|status| {
            let (hub, peer) = (of.hub(), of.of(&socket, dialect));
            hub.hear_client(&status, Way::Socket);
            let hidden = status.status == Activity::Background;
            hub.0.metrics.told(peer.id(), &status.client_id, hidden, hub.0.clock.now());
            of.let_go_if_left(&peer);
            Done::default()
        });
        told(&of, &reply);
        let _ = ack.send(&ClientStatusReply::from(reply));
        async {}
    });
    let (of, own) = (peers.clone(), pace.clone());
    socket.on("auth:refresh", move |socket: SocketRef, TryData(data): TryData<Raw>, ack: AckSender| {
        let peer = of.of(&socket, dialect);
        let request = heard(&own, &peer, data, &of);
        refresh(&of, peer, request, ack)
    });
    let of = peers.clone();
    socket.on_fallback(move |Event(name): Event, ack: AckSender| {
        let shown: String = name.chars().take(60).collect();
        let unknown = Problem::new(Code::InvalidRequest, format!("There is no command '{shown}'."));
        let _ = ack.send(&refused(&of, pace.check().err().unwrap_or(unknown)));
        async {}
    });
    let of = peers.clone();
    socket.on_disconnect(move |socket: SocketRef, reason: socketioxide::socket::DisconnectReason| {
        of.remove(&socket, reason_of(reason));
        async {}
    });
}

/// Why a socket ended, as it is counted.
fn reason_of(reason: socketioxide::socket::DisconnectReason) -> DisconnectReason {
    use socketioxide::socket::DisconnectReason as Library;
    match reason {
        Library::TransportClose => DisconnectReason::TransportClose,
        Library::TransportError => DisconnectReason::TransportError,
        Library::HeartbeatTimeout => DisconnectReason::HeartbeatTimeout,
        Library::MultipleHttpPollingError | Library::PacketParsingError => DisconnectReason::ProtocolError,
        Library::ClientNSDisconnect => DisconnectReason::Client,
        Library::ServerNSDisconnect => DisconnectReason::Server,
        Library::ClosingServer => DisconnectReason::Closing,
    }
}

/// Reads a command whose answer may be long, unless its sender lets answers lie.
fn heard<T: DeserializeOwned>(
    pace: &Pace,
    peer: &Peer,
    data: Result<Raw, ParserError>,
    peers: &Peers,
) -> Result<T, Problem> {
    pace.check()?;
    if peer.meter().is_full_of_answers() {
        return Err(Problem::new(
            Code::Overloaded,
            "The answers that wait for this client are too many. Read them before asking for more.",
        )
        .at_limit("socket_bytes"));
    }
    parse(data, peers)
}

/// Counts the problem that a command is answered with.
fn told<T>(peers: &Peers, reply: &Result<T, Problem>) {
    if let Err(problem) = reply {
        peers.hub().0.metrics.problem(problem);
    }
}

/// Answers a command, and counts the answer among what waits.
fn answer_to(meter: &Meter, ack: AckSender, reply: &impl Serialize) {
    let Ok(reply) = to_raw_value(reply) else { return };
    meter.add_answer(reply.get().len());
    let _ = ack.send(&reply);
}

/// Reads the argument of a command. None at all is an empty object.
pub(super) fn parse<T: DeserializeOwned>(
    data: Result<Raw, ParserError>,
    peers: &Peers,
) -> Result<T, Problem> {
    let limits = &peers.hub().0.config.limits;
    // The packet is an array around the argument.
    let too_deep = |raw: &Raw| {
        raw.get().len() <= limits.body_bytes && depth::of_text(raw.get().as_bytes()) > limits.json_depth + 1
    };
    if data.as_ref().is_ok_and(too_deep) {
        let message = format!("The argument of a command is nested at most {} deep.", limits.json_depth);
        return Err(Problem::new(Code::InvalidRequest, message).at_limit("json_depth"));
    }
    parse_within(data, limits)
}

/// An error as the answer to a command, counted.
fn refused(peers: &Peers, problem: Problem) -> ErrorReply {
    peers.hub().0.metrics.problem(&problem);
    problem.into_reply()
}

pub(super) fn parse_within<T: DeserializeOwned>(
    data: Result<Raw, ParserError>,
    limits: &HubLimits,
) -> Result<T, Problem> {
    let most = limits.body_bytes;
    let text = data.as_ref().map_or("{}", |raw| raw.get());
    if text.len() > most {
        let message = format!("A message holds at most {most} bytes, and this has {}.", text.len());
        return Err(Problem::new(Code::BodyTooLarge, message).at_limit("body_bytes"));
    }
    // A raw value is the whole packet, its name first: `["subscribe", {…}]`.
    let arguments: Vec<&RawValue> = serde_json::from_str(text).unwrap_or_default();
    let text = arguments.get(1).map_or("{}", |argument| argument.get());
    let text = if text == "null" { "{}" } else { text };
    if !text.starts_with('{') {
        // An array would be taken for the fields in their order.
        return Err(Problem::new(Code::InvalidRequest, "The argument of a command is an object."));
    }
    let mut reader = serde_json::Deserializer::from_str(text);
    serde_path_to_error::deserialize(&mut reader).map_err(|error| {
        let field = error.path().to_string();
        let problem = Problem::new(Code::InvalidRequest, format!("`{field}`: {}.", error.into_inner()));
        let problem = if depth::of_text(text.as_bytes()) > PARSED_DEPTH {
            problem.at_limit("json_depth")
        } else {
            problem
        };
        if field == "." { problem } else { problem.at_field(field) }
    })
}

/// What a subscription came to, and what of it the log has to be asked.
#[derive(Default)]
pub(super) struct Joined {
    ack: SubscribeAck,
    questions: Vec<(Arc<Room>, Question)>,
}

fn subscribe(
    peers: &Peers,
    peer: &Arc<Peer>,
    request: SubscribeRequest,
    implicit: Option<&PipelineType>,
) -> Result<Joined, Problem> {
    let hub = peers.hub();
    let mut ids: Vec<PipelineId> = request.pipeline_ids.unwrap_or_default();
    ids.extend(request.pipeline_id);
    ids.sort_unstable();
    ids.dedup();
    let mut scopes = scopes(peer, request.pipeline_type, request.all)?;
    let own = implicit.map(|own| Scope::Type(own.clone()));
    if let Some(own) = own.filter(|own| ids.is_empty() && scopes.iter().all(|scope| scope == own)) {
        // In a reference namespace the subscription to its type stands since the connection, until it is ended.
        if request.cursors.is_none() && peer.follows.lock().scopes.contains(&own) {
            let rooms = hub.0.registry.followed_by(peer.id());
            let pipelines = rooms.iter().map(|room| answer(&room.id, true, None)).collect();
            return Ok(Joined { ack: SubscribeAck { pipelines }, questions: Vec::new() });
        }
        scopes = vec![own];
    }
    if ids.is_empty() && scopes.is_empty() {
        return Err(Problem::new(
            Code::InvalidRequest,
            "Say what to subscribe to: `pipeline_id`, `pipeline_ids`, `pipeline_type` or `all`.",
        ));
    }
    let _turn = peer.rights.turn.lock();
    let caller = peer.caller();
    hub.still(&caller, None)?;
    for id in &ids {
        hub.may(&caller, Act::View, Some(id))?;
    }
    let more = peer.follows.lock().more(&ids, &scopes);
    if more > 0 && peer.follows.lock().len() + more > hub.0.config.limits.subscriptions {
        return Err(exceeded(
            "subscriptions",
            format!("A socket has at most {} subscriptions.", hub.0.config.limits.subscriptions),
        ));
    }
    // Every id gets its room before any is joined, so that nothing is subscribed where one is refused.
    let rooms: Vec<Arc<Room>> =
        ids.iter().map(|id| hub.0.registry.get_or_hold(id)).collect::<Result<_, _>>()?;
    let cursors = request.cursors.unwrap_or_default();
    let mut joined = Joined::default();
    for room in &rooms {
        join(peers, peer, room, true, cursors.get(&room.id), &mut joined);
    }
    if !scopes.is_empty() {
        follow(peers, peer, &scopes, &ids, &cursors, &mut joined);
        for id in cursors.keys() {
            // A pipeline of which the client has a state, but which is there no more.
            let gone = hub.0.registry.get(id).is_none_or(|room| !room.is_known());
            let told = joined.ack.pipelines.iter().any(|done| done.pipeline_id == *id);
            if !gone || told || !peer.may_view(id) {
                continue;
            }
            let beyond = hub.0.log.is_shared().then(|| hub.0.registry.get_or_hold(id).ok()).flatten();
            if let Some(room) = beyond {
                // Another hub may know it.
                join(peers, peer, &room, false, cursors.get(id), &mut joined);
            } else {
                joined.ack.pipelines.push(answer(id, false, Some(ResetReason::UnknownPipeline)));
            }
        }
    }
    Ok(joined)
}

fn answer(id: &PipelineId, recovered: bool, reason: Option<ResetReason>) -> SubscribedPipeline {
    SubscribedPipeline { pipeline_id: id.clone(), recovered, replayed: 0, reason }
}

fn join(
    peers: &Peers,
    peer: &Arc<Peer>,
    room: &Arc<Room>,
    asked: bool,
    cursor: Option<&Cursor>,
    joined: &mut Joined,
) {
    let hub = peers.hub();
    let now = hub.0.clock.now();
    let join = match cursor.filter(|cursor| hub.may_be_behind(room, Some(cursor))) {
        Some(cursor) => room.join_beyond(peer.clone(), asked, cursor, now),
        None => room.join(peer.clone(), asked, cursor, now),
    };
    peer.follows.lock().pipelines.insert(room.id.clone());
    if join.paused {
        hub.continue_soon(room, peer.id());
    }
    joined.ack.pipelines.push(join.answer);
    joined.questions.extend(join.question.map(|question| (room.clone(), question)));
}

/// What a command names beyond single pipelines.
///
/// # Errors
/// When it names all in a reference namespace.
fn scopes(peer: &Peer, kind: Option<PipelineType>, all: Option<bool>) -> Result<Vec<Scope>, Problem> {
    let mut scopes: Vec<Scope> = kind.map(Scope::Type).into_iter().collect();
    if all == Some(true) {
        if peer.dialect() == Dialect::Reference {
            return Err(Problem::new(
                Code::InvalidRequest,
                "This namespace is of one type. For all pipelines connect to `/`.",
            )
            .at_field("all"));
        }
        scopes.push(Scope::All);
    }
    Ok(scopes)
}

/// Subscribes to all pipelines of these scopes, those to come too. `asked` are joined already.
fn follow(
    peers: &Peers,
    peer: &Arc<Peer>,
    scopes: &[Scope],
    asked: &[PipelineId],
    cursors: &BTreeMap<PipelineId, Cursor>,
    joined: &mut Joined,
) {
    peer.follows.lock().scopes.extend(scopes.iter().cloned());
    let outlet: Arc<dyn Outlet> = peer.clone();
    // Who has a state of it goes on with it, whether it is listed or not.
    let rooms = peers.hub().0.registry.follow(scopes, &outlet, |id| cursors.contains_key(id));
    let new = |room: &&Arc<Room>| asked.binary_search(&room.id).is_err() && peer.may_view(&room.id);
    for room in rooms.iter().filter(new) {
        join(peers, peer, room, false, cursors.get(&room.id), joined);
    }
}

/// Follows the type of a reference namespace, once: when its socket has entered, or by its first command, where that is heard before.
pub(super) fn greet(peers: &Peers, peer: &Arc<Peer>, own: Option<&PipelineType>) {
    let Some(own) = own else { return };
    let mut greeted = peer.greeted.lock();
    if !std::mem::replace(&mut *greeted, true) {
        follow_own_type(peers, peer, own);
    }
}

/// What is followed already goes on as it is.
fn follow_own_type(peers: &Peers, peer: &Arc<Peer>, own: &PipelineType) {
    let _turn = peer.rights.turn.lock();
    let own = Scope::Type(own.clone());
    peer.follows.lock().scopes.insert(own.clone());
    let outlet: Arc<dyn Outlet> = peer.clone();
    let rooms = peers.hub().0.registry.follow(&[own], &outlet, |_| false);
    for room in rooms.iter().filter(|room| peer.may_view(&room.id) && !room.has(peer.id())) {
        // Without a cursor there is nothing to ask the log.
        join(peers, peer, room, false, None, &mut Joined::default());
    }
}

fn unsubscribe(
    peers: &Peers,
    peer: &Arc<Peer>,
    request: UnsubscribeRequest,
) -> Result<UnsubscribeAck, Problem> {
    let registry = &peers.hub().0.registry;
    let mut ids: Vec<PipelineId> = request.pipeline_ids.unwrap_or_default();
    ids.extend(request.pipeline_id);
    let mut scopes = scopes(peer, request.pipeline_type, request.all)?;
    let everything = ids.is_empty() && scopes.is_empty();
    if everything {
        scopes.extend(peer.follows.lock().scopes.drain());
    }
    for scope in &scopes {
        registry.unfollow(scope, peer.id());
        peer.follows.lock().scopes.remove(scope);
    }
    ids.extend(registry.within(&scopes).iter().map(|room| room.id.clone()));
    if everything {
        ids.extend(peer.follows.lock().pipelines.iter().cloned());
        ids.extend(registry.followed_by(peer.id()).iter().map(|room| room.id.clone()));
    }
    ids.sort_unstable();
    ids.dedup();
    ids.retain(|id| {
        peer.follows.lock().pipelines.remove(id);
        registry.get(id).is_some_and(|room| room.leave(peer.id()))
    });
    Ok(UnsubscribeAck { pipelines: ids })
}

/// Takes a new token, and answers. Where the authoriser knows at once, this is done before the returned future runs, so
/// that the command after it has the new right.
fn refresh(
    peers: &Arc<Peers>,
    peer: Arc<Peer>,
    request: Result<AuthRefresh, Problem>,
    ack: AckSender,
) -> impl Future<Output = ()> + Send + use<> {
    let peers = peers.clone();
    let number = peer.rights.next_refresh();
    let mut work: BoxFuture<'static, ()> = Box::pin(async move {
        let address = peer.caller().address;
        let reply = match request {
            Ok(request) => peers.hub().admit(Some(&request.token), address).await,
            Err(problem) => Err(problem),
        };
        let reply = reply.and_then(|caller| {
            peer.keep_place(&caller)?;
            peer.renew(number, caller);
            Ok(Done::default())
        });
        told(&peers, &reply);
        peers.let_go_if_left(&peer);
        answer_to(peer.meter(), ack, &AuthRefreshReply::from(reply));
    });
    let unfinished = work.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending();
    async move {
        if unfinished {
            work.await;
        }
    }
}

/// Any JSON, for commands whose argument has no fixed shape.
pub(super) fn to_value(data: Result<Raw, ParserError>, limits: &HubLimits) -> Result<Value, Problem> {
    parse_within(data, limits)
}
