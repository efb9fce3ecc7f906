//! What goes over a WebSocket, as bytes: enough of RFC 6455 for a subscriber on loopback.
//!
//! *What may come in:* what a server sends, in pieces of any size. *What it never does:* copy, or read a frame's JSON. No
//! extension is offered, so that no server compresses.

use memchr::memmem;

/// A frame that is whole.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Frame<'a> {
    Text(&'a [u8]),
    Ping(&'a [u8]),
    Close,
}

/// The request to speak Engine.IO over a WebSocket.
pub(crate) fn upgrade(host: &str) -> String {
    format!(
        "GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\n\
         Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    )
}

/// The length of the answer to [`upgrade`], when it is whole.
///
/// # Errors
/// When it is no consent.
pub(crate) fn upgraded(bytes: &[u8]) -> Result<Option<usize>, String> {
    let Some(end) = memmem::find(bytes, b"\r\n\r\n") else { return Ok(None) };
    if !bytes.starts_with(b"HTTP/1.1 101") {
        let line = bytes.split(|byte| *byte == b'\r').next().unwrap_or_default();
        return Err(format!("no WebSocket: {}", String::from_utf8_lossy(line)));
    }
    Ok(Some(end + 4))
}

/// The first frame, and how long it is; `None` until it is whole.
///
/// # Errors
/// When it is none that these servers send.
pub(crate) fn first(bytes: &[u8]) -> Result<Option<(Frame<'_>, usize)>, String> {
    let [head, length, ..] = *bytes else { return Ok(None) };
    let (from, length): (usize, u64) = match length {
        126 => match bytes.get(2..4) {
            Some(&[a, b]) => (4, u64::from(u16::from_be_bytes([a, b]))),
            _ => return Ok(None),
        },
        127 => match bytes.get(2..10).and_then(|bytes| bytes.try_into().ok()) {
            Some(length) => (10, u64::from_be_bytes(length)),
            None => return Ok(None),
        },
        length if length < 126 => (2, u64::from(length)),
        _ => return Err("a server does not mask".to_owned()),
    };
    let length = usize::try_from(length).map_err(|_| "a frame is too long".to_owned())?;
    let Some(payload) = bytes.get(from..from.saturating_add(length)) else { return Ok(None) };
    let frame = match head {
        0x81 => Frame::Text(payload),
        0x89 => Frame::Ping(payload),
        0x88 => Frame::Close,
        other => return Err(format!("a frame that begins with {other:#04x}")),
    };
    Ok(Some((frame, from + length)))
}

/// A text frame as a client sends it, masked with zeros.
pub(crate) fn text(payload: &str) -> Vec<u8> {
    masked(0x81, payload.as_bytes())
}

/// The answer to a ping.
pub(crate) fn pong(payload: &[u8]) -> Vec<u8> {
    masked(0x8a, payload)
}

fn masked(head: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![head];
    match (u8::try_from(payload.len()), u16::try_from(payload.len())) {
        (Ok(short), _) if short < 126 => frame.push(0x80 | short),
        (_, Ok(length)) => {
            frame.push(0x80 | 126);
            frame.extend(length.to_be_bytes());
        }
        _ => {
            frame.push(0x80 | 127);
            frame.extend((payload.len() as u64).to_be_bytes());
        }
    }
    frame.extend([0; 4]);
    frame.extend(payload);
    frame
}

/// What of an event is looked at.
#[derive(Debug, PartialEq, Eq, Clone, Copy)]
pub(crate) enum Mark {
    /// The number of an event that must arrive.
    Number(u64),
    /// The number of a progress event, of which only the last must.
    Progress(u64),
}

/// Finds the number that the generator gave an event: `"bench_n":…` or `"bench_p":…`, wherever the server put it.
pub(crate) struct Finder(memmem::Finder<'static>);

impl Finder {
    pub(crate) fn new() -> Self {
        Self(memmem::Finder::new(b"\"bench_"))
    }

    pub(crate) fn find(&self, event: &[u8]) -> Option<Mark> {
        let at = self.0.find(event)? + b"\"bench_".len();
        let rest = &event[at..];
        let [kind, b'"', b':', digits @ ..] = rest else { return None };
        let mut number = 0_u64;
        for digit in digits.iter().take_while(|byte| byte.is_ascii_digit()) {
            number = number * 10 + u64::from(digit - b'0');
        }
        match kind {
            b'n' => Some(Mark::Number(number)),
            b'p' => Some(Mark::Progress(number)),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_whole_or_waited_for() {
        let mut bytes = vec![0x81, 3, b'a', b'b', b'c', 0x81, 126, 1, 0];
        bytes.extend([b'x'; 256]);
        assert_eq!(first(&bytes), Ok(Some((Frame::Text(b"abc"), 5))));
        assert_eq!(first(&bytes[5..]), Ok(Some((Frame::Text(&[b'x'; 256]), 260))));
        for cut in 0..5 {
            assert_eq!(first(&bytes[..cut]), Ok(None), "{cut}");
        }
        assert_eq!(first(&bytes[5..200]), Ok(None));
        assert!(first(&[0x01, 0]).is_err() && first(&[0x81, 0x85]).is_err());
    }

    #[test]
    fn a_clients_frames_are_masked_by_nothing() {
        assert_eq!(text("40"), [0x81, 0x82, 0, 0, 0, 0, b'4', b'0']);
        let long = text(&"x".repeat(300));
        assert_eq!(&long[..8], [0x81, 0xfe, 1, 44, 0, 0, 0, 0]);
        assert_eq!(text(&"x".repeat(70_000))[1], 0xff);
    }

    #[test]
    fn a_number_is_found_wherever_it_stands() {
        let finder = Finder::new();
        assert_eq!(finder.find(br#"42["x:bench",{"a":"b","bench_n":120,"c":1}]"#), Some(Mark::Number(120)));
        assert_eq!(finder.find(br#"42["file:progress",{"bench_p":7}]"#), Some(Mark::Progress(7)));
        assert_eq!(finder.find(br#"42["heartbeat",{"seq":7}]"#), None);
    }

    #[test]
    fn only_a_consent_is_one() {
        assert_eq!(upgraded(b"HTTP/1.1 101 Switching Protocols\r\nA: b\r\n\r\nrest"), Ok(Some(42)));
        assert_eq!(upgraded(b"HTTP/1.1 101 Switch"), Ok(None));
        assert!(upgraded(b"HTTP/1.1 429 Too Many Requests\r\n\r\n").unwrap_err().contains("429"));
    }
}
