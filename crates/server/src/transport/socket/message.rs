//! A message that goes to many sockets, put into the buffer of each in one piece.
//!
//! Socket.IO's library makes the array of a name and a payload anew for each socket, bit by bit into a buffer that grows.
//! What is a newtype of serde it writes as it is, without the name; so where the array is at hand already it is one copy.
//! That is how the library behaves, and not what it promises. So it is tried out once in each process, on the library that
//! is there, and where it does not hold the usual way is taken.
//!
//! *What it never does:* send anything that the usual way would not.

use std::convert::Infallible;
use std::future::{Future, ready};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use futures_util::FutureExt;
use parking_lot::Mutex;
use serde::Serialize;
use serde_json::value::RawValue;
use socketioxide::adapter::Emitter;
use socketioxide::extract::SocketRef;
use socketioxide::{BroadcastError, SendError, SocketIo};
use socketioxide_core::Value;
use socketioxide_core::adapter::{
    BroadcastOptions, CoreAdapter, CoreLocalAdapter, DefinedAdapter, SocketEmitter,
};
use socketioxide_core::packet::{Packet, PacketData};

use crate::hub::Shared;

/// The array of a name and a payload.
#[derive(Serialize)]
struct Whole<'a>(&'a RawValue);

/// Whether the library sends a [`Whole`] as it is.
static GOES_WHOLE: LazyLock<bool> = LazyLock::new(|| {
    let goes = goes_whole();
    if !goes {
        tracing::debug!("this socketioxide does not take messages in one piece");
    }
    goes
});

/// Puts a message into the buffer of a socket.
pub(super) fn emit(
    socket: &SocketRef,
    event: &str,
    payload: &RawValue,
    shared: &Shared,
) -> Result<(), SendError> {
    if *GOES_WHOLE {
        socket.emit(event, &Whole(shared.array(event, payload)))
    } else {
        socket.emit(event, payload)
    }
}

/// Tries it out before the first message is sent.
pub(super) fn prepare() {
    LazyLock::force(&GOES_WHOLE);
}

fn goes_whole() -> bool {
    let usual =
        made_of(|io| io.emit("try", &serde_json::json!({ "a": "\u{e9}\"" })).now_or_never().is_some());
    let Some(usual) = usual else { return false };
    let Ok(array) = RawValue::from_string(usual.clone()) else { return false };
    let whole = made_of(|io| io.emit("try", &Whole(&array)).now_or_never().is_some());
    usual.starts_with("[\"try\",{") && whole.as_ref() == Some(&usual)
}

/// What the library makes of the message that is emitted.
fn made_of(emit: impl FnOnce(&SocketIo<Probe>) -> bool) -> Option<String> {
    let seen = Seen::default();
    let (_, io) = SocketIo::builder().with_adapter::<Probe>(seen.clone()).build_layer();
    io.ns("/", async |_: SocketRef<Probe>| {});
    emit(&io).then(|| seen.lock().take()).flatten()
}

type Seen = Arc<Mutex<Option<String>>>;

/// An adapter without sockets, which looks at what it is to send.
struct Probe {
    seen: Seen,
    local: CoreLocalAdapter<Emitter>,
}

impl CoreAdapter<Emitter> for Probe {
    type Error = Infallible;
    type State = Seen;
    type AckStream = <Emitter as SocketEmitter>::AckStream;
    type InitRes = ();

    fn new(seen: &Seen, local: CoreLocalAdapter<Emitter>) -> Self {
        Self { seen: seen.clone(), local }
    }

    fn init(self: Arc<Self>, on_success: impl FnOnce() + Send + 'static) {
        on_success();
    }

    fn broadcast(
        &self,
        packet: Packet,
        _: BroadcastOptions,
    ) -> impl Future<Output = Result<(), BroadcastError>> + Send {
        if let PacketData::Event(Value::Str(text, None), None) = packet.inner {
            *self.seen.lock() = Some(text.to_string());
        }
        ready(Ok(()))
    }

    async fn broadcast_with_ack(
        &self,
        packet: Packet,
        options: BroadcastOptions,
        timeout: Option<Duration>,
    ) -> Result<Self::AckStream, Infallible> {
        Ok(self.local.broadcast_with_ack(packet, options, timeout).0)
    }

    fn get_local(&self) -> &CoreLocalAdapter<Emitter> {
        &self.local
    }
}

impl DefinedAdapter for Probe {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_library_takes_a_message_in_one_piece() {
        assert!(goes_whole(), "deliveries cost more than they have to");
    }
}
