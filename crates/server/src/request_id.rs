//! The id by which a request is followed through the logs: from what comes in, by the append, to those it is given to.
//!
//! *What may come in:* the header `X-Request-Id` of a client, if it is sane. *What it never does:* go into the store, or
//! to subscribers.

use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};

use http::{HeaderMap, HeaderName, HeaderValue};

/// The header that carries it, both ways.
pub(crate) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The longest id that is taken from a client, in bytes.
const LONGEST: usize = 128;

/// The id of one request, or of one publish over a socket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RequestId(Arc<str>);

impl RequestId {
    /// A new one.
    pub(crate) fn fresh() -> Self {
        static KEYS: LazyLock<RandomState> = LazyLock::new(RandomState::new);
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        // Two halves of 64 bits, so that those of different processes do not meet.
        let (high, low) = (KEYS.hash_one(("high", number)), KEYS.hash_one(("low", number)));
        Self(format!("{high:016x}{low:016x}").into())
    }

    /// That of the client where it sent a sane one: letters, digits and `.`, `_`, `-`, so that it breaks no line of a log.
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        let given = headers.get(REQUEST_ID).and_then(|value| value.to_str().ok());
        let letter = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
        let sane = |text: &&str| !text.is_empty() && text.len() <= LONGEST && text.bytes().all(letter);
        given.filter(sane).map_or_else(Self::fresh, |text| Self(text.into()))
    }

    /// As records carry it.
    pub(crate) fn shared(&self) -> Arc<str> {
        self.0.clone()
    }

    /// As the value of a header.
    pub(crate) fn header(&self) -> Option<HeaderValue> {
        HeaderValue::from_str(&self.0).ok()
    }
}

impl std::fmt::Display for RequestId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_sane_id_is_taken_from_a_client() {
        let of = |value: &[u8]| {
            let mut headers = HeaderMap::new();
            headers.insert(REQUEST_ID, HeaderValue::from_bytes(value).unwrap());
            RequestId::of(&headers).to_string()
        };
        for sane in ["a", "01J9-x_y.z", &"a".repeat(128)] {
            assert_eq!(of(sane.as_bytes()), sane);
        }
        for other in ["", "a b", "a\"b", "{}", "é", &"a".repeat(129)] {
            let made = of(other.as_bytes());
            assert!(made.len() == 32 && made != other, "{other:?} became {made}");
        }
        assert_ne!(RequestId::fresh(), RequestId::fresh());
    }
}
