//! The bytes of a spool's files: what a record looks like, and what of a file can be trusted.
//!
//! A file is [`MAGIC`], the version (`u32`, little endian) and records. A record is 13 bytes of head (length of the body
//! `u32`, kind `u8`, CRC-32 of these five bytes, CRC-32 of the body; all little endian) and the body, which is text and so
//! never ends in a zero byte. The head has a checksum of its own, because a flipped bit in the length of the last record
//! would otherwise look like a record that was cut short, and be thrown away in silence.
//!
//! *What may come in:* any bytes. *What it never does:* I/O, or take for whole what is not.

/// What every file begins with. The control character ends its display on a terminal.
pub(super) const MAGIC: &[u8; 16] = b"ragpulse-spool\x1a\n";
/// The version of the format that is written, and the only one that is read.
pub(super) const VERSION: u32 = 1;
/// Where the first record begins.
pub(super) const START: usize = MAGIC.len() + 4;
/// The size of a record's head.
pub(super) const HEAD: usize = 13;
/// The largest body; an event is smaller.
const MAX_BODY: usize = 1024 * 1024;

/// What a record holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Whose spool it is and where the file begins, as JSON: the first record of a file.
    Header,
    /// An event, as it is sent.
    Event,
    /// All events before this number are settled, in decimals.
    Settled,
    /// A file that was open when this file of the spool began: `{"file": …}`.
    Open,
}

impl Kind {
    fn byte(self) -> u8 {
        match self {
            Self::Header => b'H',
            Self::Event => b'E',
            Self::Settled => b'S',
            Self::Open => b'O',
        }
    }

    fn of(byte: u8) -> Option<Self> {
        [Self::Header, Self::Event, Self::Settled, Self::Open].into_iter().find(|kind| kind.byte() == byte)
    }
}

/// What comes before the first record.
pub(super) fn start() -> Vec<u8> {
    [MAGIC.as_slice(), &VERSION.to_le_bytes()].concat()
}

/// Writes a record.
pub(super) fn put(kind: Kind, body: &[u8], into: &mut Vec<u8>) {
    let mut head = [0; 5];
    // Bodies are bounded far below.
    head[..4].copy_from_slice(&(body.len() as u32).to_le_bytes());
    head[4] = kind.byte();
    into.extend(head);
    into.extend(crc32fast::hash(&head).to_le_bytes());
    into.extend(crc32fast::hash(body).to_le_bytes());
    into.extend(body);
}

/// The head of a record.
#[derive(Debug, Clone, Copy)]
pub(super) struct Head {
    pub(super) kind: Kind,
    pub(super) len: usize,
    crc: u32,
}

impl Head {
    /// Reads a head, if it is whole.
    pub(super) fn read(bytes: [u8; HEAD]) -> Option<Self> {
        let [l0, l1, l2, l3, kind, h0, h1, h2, h3, b0, b1, b2, b3] = bytes;
        if crc32fast::hash(&[l0, l1, l2, l3, kind]) != u32::from_le_bytes([h0, h1, h2, h3]) {
            return None;
        }
        let len = u32::from_le_bytes([l0, l1, l2, l3]) as usize;
        let crc = u32::from_le_bytes([b0, b1, b2, b3]);
        Kind::of(kind).filter(|_| len <= MAX_BODY).map(|kind| Self { kind, len, crc })
    }

    /// Whether this is its body, unharmed.
    pub(super) fn fits(&self, body: &[u8]) -> bool {
        body.len() == self.len && crc32fast::hash(body) == self.crc
    }
}

/// What stands at a place in a file.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found<'a> {
    /// A record, and where the next one begins.
    Record { kind: Kind, body: &'a [u8], end: usize },
    /// Nothing more.
    End,
    /// A record that was being written when its writer, or the machine, went down: cut short, or filled up with zeros by
    /// a file system that had made room for it. Nobody was told that it is kept.
    Torn,
    /// Something that a writer never leaves behind.
    Damaged,
}

/// Looks at a place in a file.
pub(super) fn find(bytes: &[u8], at: usize) -> Found<'_> {
    let rest = bytes.get(at..).unwrap_or_default();
    let Some((head, after)) = rest.split_first_chunk::<HEAD>() else {
        return if rest.is_empty() { Found::End } else { Found::Torn };
    };
    let zeros = |bytes: &[u8]| bytes.iter().all(|byte| *byte == 0);
    let Some(head) = Head::read(*head) else {
        return if zeros(after) { Found::Torn } else { Found::Damaged };
    };
    match after.get(..head.len) {
        None => Found::Torn,
        Some(body) if head.fits(body) => Found::Record { kind: head.kind, body, end: at + HEAD + head.len },
        Some(_) if zeros(&after[head.len.saturating_sub(1)..]) => Found::Torn,
        Some(_) => Found::Damaged,
    }
}
