//! The hub's own authoriser: keys of a file, and JSON Web Tokens that the keys of the file sign.
//!
//! *What comes in:* a file of the operator's, and tokens from anybody. *What it never does:* take a token of another
//! algorithm than its key's, or of none; take one without an end; keep a static key but by its hash; show a secret in an
//! error. A file that is wrong changes nothing: the keys before it stay.

mod explain;
mod file;
mod fixed;
mod jwt;
mod mint;

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use parking_lot::RwLock;
use ragpulse_protocol::{Code, PipelineId, Problem, Timestamp};

use self::fixed::FixedKey;
use self::jwt::JwtKey;
use super::act::{Act, Role};
use super::authoriser::{Authoriser, BoxFuture};
use super::principal::{Origin, Principal};
use super::redact::{Audience, Redaction};
use crate::clock::Clock;

pub use explain::{Explanation, explain};
pub use fixed::NewKey;
pub use jwt::{Algorithm, LEEWAY, TokenError};
pub use mint::{MintError, NewToken, SigningKey};

/// Why keys cannot be used. No secret is in its text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeysError {
    /// A file cannot be read.
    #[error("{path}: {problem}")]
    Unreadable {
        /// Which.
        path: String,
        /// Why.
        problem: String,
    },
    /// It is not the TOML that it should be.
    #[error("line {line}: {problem}")]
    Syntax {
        /// Where, from 1.
        line: usize,
        /// What is wrong.
        problem: String,
    },
    /// An entry makes no sense.
    #[error("{entry}: {problem}")]
    Wrong {
        /// Which: `[[jwt]] main`, `[[key]] ci`, `[redact]`.
        entry: String,
        /// What is wrong, and what would be right.
        problem: String,
    },
}

/// How many keys of each kind there are, for the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct KeyCounts {
    /// Keys that sign tokens.
    pub jwt: usize,
    /// Static keys.
    pub fixed: usize,
    /// What is revoked.
    pub revoked: usize,
}

/// The keys of one reading.
#[derive(Default)]
struct Ring {
    jwt: Vec<JwtKey>,
    fixed: Vec<FixedKey>,
    /// Ids of tokens, and names of static keys.
    revoked: HashSet<String>,
    redaction: HashMap<Role, Redaction>,
}

/// The hub's own authoriser.
pub struct Keys {
    /// What is read again; nothing for keys that were given.
    path: Option<PathBuf>,
    ring: RwLock<Arc<Ring>>,
    clock: Box<dyn Clock>,
}

impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Keys")
            .field("path", &self.path)
            .field("counts", &self.counts())
            .finish_non_exhaustive()
    }
}

/// The time of the machine, also when it was set or the machine slept: tokens are made by other machines, whose time it
/// has to agree with.
struct WallClock;

impl Clock for WallClock {
    fn now(&self) -> Timestamp {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Timestamp::from_millis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
    }
}

impl Keys {
    /// The keys of a file, which [`reload`](Self::reload) reads again. `docs/guides/authentication.md` has its form.
    ///
    /// # Errors
    /// [`KeysError`], when it cannot be read, is wrong, or has no key.
    pub fn from_file(path: impl AsRef<Path>) -> Result<Self, KeysError> {
        let path = path.as_ref();
        Ok(Self { path: Some(path.to_owned()), ..Self::of(file::read(path)?) })
    }

    /// The keys of a text as it would stand in a file; `directory` is where the files that it names lie.
    ///
    /// # Errors
    /// [`KeysError`], when it is wrong, or has no key.
    pub fn from_toml(text: &str, directory: impl AsRef<Path>) -> Result<Self, KeysError> {
        Ok(Self::of(file::parse(text, directory.as_ref())?))
    }

    /// One secret of at least 32 bytes, which signs tokens by HS256.
    ///
    /// # Errors
    /// [`KeysError`], when it is too short.
    pub fn from_jwt_secret(secret: &[u8]) -> Result<Self, KeysError> {
        let key = JwtKey::from_secret(secret)
            .map_err(|problem| KeysError::Wrong { entry: "the secret".to_owned(), problem })?;
        Ok(Self::of(Ring { jwt: vec![key], ..Ring::default() }))
    }

    fn of(ring: Ring) -> Self {
        Self { path: None, ring: RwLock::new(Arc::new(ring)), clock: Box::new(WallClock) }
    }

    /// The clock by which tokens begin and end. Default: the time of the machine.
    #[must_use]
    pub fn with_clock(mut self, clock: impl Clock) -> Self {
        self.clock = Box::new(clock);
        self
    }

    /// Reads the file again. Then [`Hub::review_rights`](crate::Hub::review_rights) ends at once what is no longer allowed.
    ///
    /// # Errors
    /// [`KeysError`]; the keys stay as they are.
    pub fn reload(&self) -> Result<(), KeysError> {
        let Some(path) = &self.path else { return Ok(()) };
        let ring = file::read(path)?;
        *self.ring.write() = Arc::new(ring);
        Ok(())
    }

    /// Takes other keys, as a text.
    ///
    /// # Errors
    /// [`KeysError`]; the keys stay as they are.
    pub fn replace(&self, text: &str, directory: impl AsRef<Path>) -> Result<(), KeysError> {
        let ring = file::parse(text, directory.as_ref())?;
        *self.ring.write() = Arc::new(ring);
        Ok(())
    }

    /// How many keys there are.
    pub fn counts(&self) -> KeyCounts {
        let ring = self.ring();
        KeyCounts { jwt: ring.jwt.len(), fixed: ring.fixed.len(), revoked: ring.revoked.len() }
    }

    /// Makes out who holds a token.
    ///
    /// # Errors
    /// [`TokenError`]: why it is refused.
    pub fn examine(&self, token: &str) -> Result<Principal, TokenError> {
        let ring = self.ring();
        let now = self.clock.now();
        let who = if fixed::is_fixed(token) {
            fixed::find(&ring.fixed, token).ok_or(TokenError::UnknownKey)?.principal()
        } else {
            jwt::verify(&ring.jwt, token, now)?
        };
        if who.has_expired(now) {
            return Err(TokenError::Expired);
        }
        if ring.has_revoked(&who) {
            return Err(TokenError::Revoked);
        }
        Ok(who)
    }

    fn ring(&self) -> Arc<Ring> {
        self.ring.read().clone()
    }
}

impl Ring {
    fn has_revoked(&self, who: &Principal) -> bool {
        who.token_id.as_ref().is_some_and(|id| self.revoked.contains(id))
    }

    /// The static key by which somebody was made out, as it is now.
    fn fixed(&self, hash: &[u8; 32]) -> Option<&FixedKey> {
        self.fixed.iter().find(|key| key.has_hash(hash))
    }
}

impl Authoriser for Keys {
    fn authenticate<'a>(&'a self, token: Option<&'a str>) -> BoxFuture<'a, Result<Principal, Problem>> {
        let result = match token.filter(|token| !token.is_empty()) {
            Some(token) => self.examine(token).map_err(|error| {
                Problem::new(Code::Unauthorized, format!("This token is refused: {error}. Bring another."))
            }),
            None => Err(Problem::new(
                Code::Unauthorized,
                "This hub asks for a token: as `Authorization: Bearer TOKEN`, or in a socket's auth as `token`.",
            )),
        };
        Box::pin(std::future::ready(result))
    }

    fn allows(&self, who: &Principal, act: Act, pipeline: Option<&PipelineId>) -> bool {
        match who.origin {
            // What a static key may do stands in the file, and holds from when that was read.
            Some(Origin::Key(hash)) => {
                self.ring().fixed(&hash).is_some_and(|key| key.grants().allow(act, pipeline))
            }
            Some(Origin::Token(_)) => who.grants.allow(act, pipeline),
            // Nobody these keys made out.
            None => false,
        }
    }

    fn still_valid(&self, who: &Principal) -> bool {
        let ring = self.ring();
        let now = self.clock.now();
        let known = match who.origin {
            Some(Origin::Key(hash)) => ring.fixed(&hash).is_some_and(|key| !key.has_expired(now)),
            Some(Origin::Token(print)) => ring.jwt.iter().any(|key| key.print() == print),
            None => false,
        };
        known && !who.has_expired(now) && !ring.has_revoked(who)
    }

    fn redacts(&self, who: &Principal, _: &PipelineId) -> Audience {
        // Who has no role sees no more than the one that sees least.
        let role = who.role.unwrap_or(Role::Viewer);
        self.ring().redaction.get(&role).map_or(Audience::Full, |redaction| Audience::Redacted(*redaction))
    }
}
