//! What a library writes to a connection, followed byte by byte: whether it is a WebSocket, where its frames end, and how often
//! each namespace of Socket.IO was entered by it. Between two frames others may be put.
//!
//! In: the bytes that the connection took, in their order, however they are cut. Pure. *What it never does:* change them, keep more of
//! them than the start of one small frame, or believe that it is a WebSocket where the first answer was another.

/// How the first answer on a connection begins where it becomes a WebSocket at once.
const SWITCHING: &[u8] = b"HTTP/1.1 101 ";
/// What ends the head of an answer.
const END_OF_HEAD: &[u8] = b"\r\n\r\n";
/// A frame of text that says that a namespace was entered is shorter than this.
const ENTERS: u64 = 512;
/// Of how many namespaces entries are counted. Sockets of more go by the library.
const NAMESPACES: usize = 128;

const TEXT: u8 = 0x1;
const CLOSE: u8 = 0x8;

/// Follows what is written.
#[derive(Debug)]
pub(super) struct Frames {
    at: At,
    /// A message whose last frame has not come yet.
    in_message: bool,
    closing: bool,
    /// The small frame of text that is being written, as far as it is.
    small: Vec<u8>,
    entries: Vec<Entries>,
}

/// The entries to one namespace. A client may enter, leave and enter again, and the library gives it the same name each time.
#[derive(Debug)]
struct Entries {
    namespace: Box<str>,
    /// How many were granted.
    granted: u64,
    /// How many of them the client was told.
    told: u64,
}

#[derive(Debug, Clone, Copy)]
enum At {
    /// In the first answer, with so much of its beginning seen.
    Start(usize),
    /// In the head that turns it into a WebSocket, with so much of its end seen.
    Head(usize),
    /// In the head of a frame, with so many bytes of it.
    Frame([u8; 10], usize),
    /// In the payload of a frame, with so much to come.
    Payload { left: u64, small: bool },
    /// It is something else.
    Other,
}

impl Default for Frames {
    fn default() -> Self {
        Self { at: At::Start(0), in_message: false, closing: false, small: Vec::new(), entries: Vec::new() }
    }
}

impl Frames {
    /// These bytes were written.
    pub(super) fn pass(&mut self, mut bytes: &[u8]) {
        while let Some((first, rest)) = bytes.split_first() {
            match self.at {
                At::Other => return,
                At::Payload { left, small } => {
                    let here = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len());
                    if small {
                        self.small.extend_from_slice(&bytes[..here]);
                    }
                    bytes = &bytes[here..];
                    self.at = At::Payload { left: left - here as u64, small };
                    self.end_of_payload();
                    continue;
                }
                At::Start(seen) if SWITCHING.get(seen) != Some(first) => self.at = At::Other,
                At::Start(seen) if seen + 1 == SWITCHING.len() => self.at = At::Head(0),
                At::Start(seen) => self.at = At::Start(seen + 1),
                At::Head(seen) => {
                    // Of these four bytes only the first can begin it anew.
                    let seen =
                        if END_OF_HEAD[seen] == *first { seen + 1 } else { usize::from(*first == b'\r') };
                    self.at = if seen == END_OF_HEAD.len() { At::Frame([0; 10], 0) } else { At::Head(seen) };
                }
                At::Frame(mut head, have) => {
                    head[have] = *first;
                    self.at = At::Frame(head, have + 1);
                    self.end_of_head();
                }
            }
            bytes = rest;
        }
    }

    fn end_of_head(&mut self) {
        let At::Frame(head, have) = self.at else { return };
        let (first, second) = (head[0], head[1]);
        if have < 2 {
            return;
        }
        let length = u64::from(second & 0x7f);
        let left = match (length, have) {
            (126, 4) => u64::from(u16::from_be_bytes([head[2], head[3]])),
            (127, 10) => {
                let [_, _, length @ ..] = head;
                u64::from_be_bytes(length)
            }
            (126 | 127, _) => return,
            _ => length,
        };
        // What a server writes is not masked; what is, is not a WebSocket.
        if second & 0x80 != 0 {
            self.at = At::Other;
            return;
        }
        let (is_last, opcode) = (first & 0x80 != 0, first & 0x0f);
        if opcode < CLOSE {
            self.in_message = !is_last;
        }
        self.closing |= opcode == CLOSE;
        self.at = At::Payload { left, small: is_last && opcode == TEXT && left < ENTERS };
        self.end_of_payload();
    }

    fn end_of_payload(&mut self) {
        let At::Payload { left: 0, small } = self.at else { return };
        if small {
            let text = std::mem::take(&mut self.small);
            if let Some(namespace) = entering(&text)
                && let Some(entries) = self.entries_of(namespace)
            {
                entries.told += 1;
            }
        }
        self.at = At::Frame([0; 10], 0);
    }

    fn entries_of(&mut self, namespace: &str) -> Option<&mut Entries> {
        self.entries.iter_mut().find(|entries| *entries.namespace == *namespace)
    }

    /// The library is about to say that a namespace is entered. Gives the number of that entry; `None` where it is not counted.
    pub(super) fn grant(&mut self, namespace: &str) -> Option<u64> {
        if let Some(entries) = self.entries_of(namespace) {
            entries.granted += 1;
            return Some(entries.granted);
        }
        if self.entries.len() >= NAMESPACES {
            return None;
        }
        self.entries.push(Entries { namespace: namespace.into(), granted: 1, told: 0 });
        Some(1)
    }

    /// Whether a message may be put here.
    pub(super) fn is_between(&self) -> bool {
        matches!(self.at, At::Frame(_, 0)) && !self.in_message && !self.closing
    }

    /// Whether the WebSocket was told to close: nothing may come after that.
    pub(super) fn is_closing(&self) -> bool {
        self.closing
    }

    /// Whether it is no WebSocket from the first answer on, and will be none.
    pub(super) fn is_other(&self) -> bool {
        matches!(self.at, At::Other)
    }

    /// Whether the client was told of this entry.
    pub(super) fn has_entered(&self, namespace: &str, entry: u64) -> bool {
        self.entries.iter().any(|entries| *entries.namespace == *namespace && entries.told >= entry)
    }
}

/// The namespace of a packet that says that it was entered: `40{"sid":"…"}`, `40/name,{"sid":"…"}`.
fn entering(packet: &[u8]) -> Option<&str> {
    let packet = std::str::from_utf8(packet.strip_prefix(b"40")?).ok()?;
    let (namespace, data) = if packet.starts_with('/') { packet.split_once(',')? } else { ("/", packet) };
    data.starts_with(r#"{"sid":""#).then_some(namespace)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HEAD: &[u8] = b"HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\n\r\n";

    fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
        let mut frame = vec![first];
        match payload.len() {
            length @ ..126 => frame.push(length as u8),
            length @ ..65_536 => {
                frame.push(126);
                frame.extend((length as u16).to_be_bytes());
            }
            length => {
                frame.push(127);
                frame.extend((length as u64).to_be_bytes());
            }
        }
        frame.extend(payload);
        frame
    }

    fn after(bytes: &[&[u8]]) -> Frames {
        let mut frames = Frames::default();
        bytes.iter().for_each(|bytes| frames.pass(bytes));
        frames
    }

    #[test]
    fn only_the_first_answer_makes_it_a_websocket() {
        assert!(after(&[HEAD]).is_between());
        assert!(after(&[b"HTTP/1.1 200 OK\r\n\r\n", HEAD]).is_other());
        assert!(after(&[b"HTTP/1.1 101"]).at_start() && !after(&[b"HTTP/1.1 101"]).is_between());
        assert!(after(&[b"HTTP/1.1 101 a\r\n\r"]).at_start());
        assert!(after(&[b"HTTP/1.1 101 a\r\r\n\r\n"]).is_between());
        assert!(after(&[b"PRI * HTTP/2.0\r\n\r\n"]).is_other());
    }

    impl Frames {
        fn at_start(&self) -> bool {
            matches!(self.at, At::Start(_) | At::Head(_))
        }
    }

    #[test]
    fn a_message_in_parts_is_one() {
        let frames = after(&[HEAD, &frame(0x01, b"40"), &frame(0x89, b"ping")]);
        assert!(!frames.is_between(), "a message of the library has begun");
        assert!(after(&[HEAD, &frame(0x01, b"a"), &frame(0x80, b"b")]).is_between());
    }

    #[test]
    fn nothing_comes_after_a_close() {
        let frames = after(&[HEAD, &frame(0x88, b"")]);
        assert!(frames.is_closing() && !frames.is_between());
    }

    #[test]
    fn who_has_entered_is_known_by_namespace() {
        let mut frames = after(&[HEAD]);
        assert_eq!((frames.grant("/"), frames.grant("/confluence")), (Some(1), Some(1)));
        frames.pass(&frame(0x81, br#"40{"sid":"one"}"#));
        assert!(frames.has_entered("/", 1) && !frames.has_entered("/confluence", 1));
        frames.pass(&frame(0x81, br#"40/confluence,{"sid":"one"}"#));
        assert!(frames.has_entered("/confluence", 1));
        // It leaves and enters again, under the same name.
        assert_eq!(frames.grant("/"), Some(2));
        assert!(!frames.has_entered("/", 2));
        // What only looks so.
        for packet in [
            r#"44{"sid":"x"}"#,
            r#"430["40{\"sid\":\"x\"}"]"#,
            "40",
            "40/x",
            "40/confluence",
            r#"41{"sid":"x"}"#,
        ] {
            frames.pass(&frame(0x81, packet.as_bytes()));
            assert!(!frames.has_entered("/", 2), "{packet}");
        }
        frames.pass(&frame(0x82, br#"40{"sid":"x"}"#));
        assert!(!frames.has_entered("/", 2), "it is binary");
        frames.pass(&frame(0x81, br#"40{"sid":"one"}"#));
        assert!(frames.has_entered("/", 2) && !frames.has_entered("/confluence", 2));
        assert!(frames.is_between() && frames.small.capacity() == 0);
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let mut frames = after(&[HEAD]);
        for number in 0..1_000 {
            assert_eq!(frames.grant(&format!("/n{number}")).is_some(), number < NAMESPACES);
            frames.pass(&frame(0x81, format!(r#"40/m{number},{{"sid":"s"}}"#).as_bytes()));
        }
        assert_eq!(frames.entries.len(), NAMESPACES);
    }

    proptest! {
        #[test]
        fn however_it_is_cut_it_is_read_the_same(
            lengths in proptest::collection::vec(prop_oneof![0_usize..300, 65_000_usize..66_000], 0..6),
            cuts in proptest::collection::vec(1_usize..400, 1..80),
        ) {
            let mut bytes = HEAD.to_vec();
            let mut ends = vec![bytes.len()];
            for length in lengths {
                bytes.extend(frame(0x81, &vec![b'4'; length]));
                ends.push(bytes.len());
            }
            bytes.extend(frame(0x81, br#"40{"sid":"last"}"#));
            ends.push(bytes.len());
            let mut frames = Frames::default();
            frames.grant("/");
            let (mut at, mut cut) = (0, cuts.iter().cycle());
            while at < bytes.len() {
                let to = (at + cut.next().unwrap()).min(bytes.len());
                frames.pass(&bytes[at..to]);
                at = to;
                prop_assert_eq!(frames.is_between(), ends.contains(&at));
            }
            prop_assert!(frames.has_entered("/", 1));
        }

        #[test]
        fn whatever_is_written_it_stands(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            let mut frames = after(&[HEAD]);
            frames.pass(&bytes);
            prop_assert!(frames.small.len() < ENTERS as usize);
        }
    }
}
