//! The direct way: a message as the finished frame that goes out, put in line at the connection itself. Socket.IO's library would have it
//! copied, queued, framed and written for each socket, by two tasks that have to be woken; here a message is framed once for
//! all, and what was put in line is written by the [flusher](super::flush).
//!
//! It is open to a socket whose session began on a WebSocket that [`Connections`](crate::service::Connections) hold, from when its client was told that
//! it has entered its namespace. What the library sends keeps its place among these, as the connection has one order.
//! All others go by the library, and nobody by both: what was once given to the library could be overtaken.
//!
//! *What it never does:* send before the client has entered, or after it went over to the library.

use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use serde_json::value::RawValue;

use crate::config::HubLimits;
use crate::service::{Pushed, Wire};

/// For how long it is waited that the client is told that it has entered. It is the library's first word, so this is long.
const PATIENCE: Duration = Duration::from_secs(10);

/// The connection of a session that began on a WebSocket, and the number of a socket's entry to its namespace. Noted where the entry is granted, before
/// the library says so.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    wire: Wire,
    number: u64,
}

impl Entry {
    /// A socket is about to enter its namespace. `None` where it cannot go directly.
    pub(super) fn grant(wire: Option<Wire>, namespace: &str) -> Option<Self> {
        let wire = wire?;
        let number = wire.grant(namespace)?;
        Some(Self { wire, number })
    }
}

/// The way of one socket.
#[derive(Debug)]
pub(super) struct Direct {
    entry: Option<Entry>,
    way: AtomicU8,
    /// When it was first asked for, in milliseconds of the steady clock; 0 before that.
    asked: AtomicU64,
}

/// How many messages that are said once may wait beyond all others.
const ONCE: usize = 16;

/// By which way a socket gets its messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    /// It is not known yet: later.
    Undecided = 0,
    Direct = 1,
    Library = 2,
}

impl Direct {
    /// The way of who has entered so; without an entry it is the library's.
    pub(super) fn new(entry: Option<Entry>) -> Self {
        let way = if entry.is_some() { Way::Undecided } else { Way::Library };
        Self { entry, way: AtomicU8::new(way as u8), asked: AtomicU64::new(0) }
    }

    /// The way, which once known stays.
    pub(super) fn way(&self, namespace: &str, now: impl FnOnce() -> Duration) -> Way {
        match self.way.load(Ordering::Acquire) {
            1 => return Way::Direct,
            2 => return Way::Library,
            _ => {}
        }
        let takes =
            self.entry.as_ref().map_or(Some(false), |entry| entry.wire.takes(namespace, entry.number));
        let found = match takes {
            Some(true) => Way::Direct,
            Some(false) => Way::Library,
            None if self.is_late(now()) => Way::Library,
            None => return Way::Undecided,
        };
        self.decide(found)
    }

    /// Has it go by the library from now on, unless it goes directly already.
    pub(super) fn by_library(&self) -> Way {
        self.decide(Way::Library)
    }

    fn decide(&self, found: Way) -> Way {
        let before = self.way.compare_exchange(0, found as u8, Ordering::AcqRel, Ordering::Acquire);
        match before {
            Err(1) => Way::Direct,
            Err(_) => Way::Library,
            Ok(_) => found,
        }
    }

    fn is_late(&self, now: Duration) -> bool {
        let now = u64::try_from(now.as_millis()).unwrap_or(u64::MAX).max(1);
        match self.asked.compare_exchange(0, now, Ordering::Relaxed, Ordering::Relaxed) {
            Ok(_) => false,
            Err(first) => u128::from(now.saturating_sub(first)) > PATIENCE.as_millis(),
        }
    }

    /// Puts a frame in line, with the connection, which may have to be flushed. What is said once goes however many bytes wait there.
    pub(super) fn push(&self, frame: &Bytes, limits: &HubLimits, once: bool) -> (Pushed, Option<&Wire>) {
        let Some(Entry { wire, .. }) = &self.entry else { return (Pushed::Closed, None) };
        let (bytes, messages) = if once {
            (usize::MAX, limits.socket_buffer.saturating_add(ONCE))
        } else {
            (limits.socket_bytes, limits.socket_buffer)
        };
        (wire.push(frame, bytes, messages), Some(wire))
    }
}

/// A message as the frame of a WebSocket: `42["name",{…}]`, and in other namespaces `42/name,["name",{…}]`.
pub(super) fn frame(namespace: &str, event: &str, payload: &RawValue) -> Bytes {
    let name = serde_json::to_string(event).unwrap_or_default();
    let (namespace, comma) = if namespace == "/" { ("", "") } else { (namespace, ",") };
    let parts = ["42", namespace, comma, "[", &name, ",", payload.get(), "]"];
    let length: usize = parts.iter().map(|part| part.len()).sum();
    let mut frame = BytesMut::with_capacity(length + 10);
    // One whole message of text, not masked: RFC 6455, 5.2.
    frame.put_u8(0x81);
    match (u8::try_from(length), u16::try_from(length)) {
        (Ok(length @ ..126), _) => frame.put_u8(length),
        (_, Ok(length)) => {
            frame.put_u8(126);
            frame.put_u16(length);
        }
        _ => {
            frame.put_u8(127);
            frame.put_u64(length as u64);
        }
    }
    parts.iter().for_each(|part| frame.put_slice(part.as_bytes()));
    frame.freeze()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_is_a_packet_of_socket_io() {
        let payload = RawValue::from_string(r#"{"a":1}"#.to_owned()).unwrap();
        let root = frame("/", "one", &payload);
        assert_eq!(&root[..], [&[0x81, 17][..], br#"42["one",{"a":1}]"#].concat());
        let other = frame("/confluence", "o\"ne", &payload);
        assert_eq!(&other[2..], br#"42/confluence,["o\"ne",{"a":1}]"#);
    }

    #[test]
    fn its_length_takes_as_many_bytes_as_it_has_to() {
        for (text, head) in [(100, 2), (103, 2), (104, 4), (65_513, 4), (65_514, 10), (100_000, 10)] {
            let payload = RawValue::from_string(format!("\"{}\"", "x".repeat(text))).unwrap();
            let frame = frame("/", "status:update", &payload);
            let own = frame.len() - head;
            assert_eq!(&frame[head..head + 4], b"42[\"", "{text}");
            let told = match head {
                2 => u64::from(frame[1]),
                4 => u64::from(u16::from_be_bytes([frame[2], frame[3]])),
                _ => u64::from_be_bytes(frame[2..10].try_into().unwrap()),
            };
            assert_eq!(told, own as u64, "{text}");
        }
    }

    #[test]
    fn nobody_goes_by_both() {
        let (wire, _) = Wire::manual();
        // Of a connection that is closed it is known.
        let entry = Entry::grant(Some(wire), "/");
        assert!(entry.is_some());
        assert_eq!(Direct::new(entry.clone()).way("/", || Duration::ZERO), Way::Library);
        let none = Direct::new(None);
        assert_eq!(none.way("/", || Duration::ZERO), Way::Library);
        assert_eq!(none.decide(Way::Direct), Way::Library);
        let direct = Direct { way: AtomicU8::new(Way::Direct as u8), ..Direct::new(entry) };
        assert_eq!((direct.by_library(), direct.way("/", || Duration::ZERO)), (Way::Direct, Way::Direct));
    }
}
