//! Static keys: 256 random bits that somebody carries, of which the hub knows only the hash.
//!
//! As they are random, one round of SHA-256 is enough: there is nothing to guess. They are compared in constant time.

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::rand::{SecureRandom, SystemRandom};
use ragpulse_protocol::Timestamp;

use super::mint::MintError;
use crate::auth::act::{Acts, Role};
use crate::auth::principal::{Grants, Origin, Principal};

/// How a static key begins, so that people and scanners of secrets see what it is.
const PREFIX: &str = "rp_";
const HASH_PREFIX: &str = "sha256:";

/// A static key, as the file has it.
pub(super) struct FixedKey {
    pub(super) name: String,
    pub(super) hash: [u8; 32],
    pub(super) role: Option<Role>,
    pub(super) grants: Grants,
    pub(super) expires_at: Option<Timestamp>,
}

impl FixedKey {
    pub(super) fn has_hash(&self, hash: &[u8; 32]) -> bool {
        verify_slices_are_equal(&self.hash, hash).is_ok()
    }

    pub(super) fn grants(&self) -> &Grants {
        &self.grants
    }

    pub(super) fn has_expired(&self, now: Timestamp) -> bool {
        self.expires_at.is_some_and(|end| now >= end)
    }

    pub(super) fn principal(&self) -> Principal {
        Principal {
            name: self.name.clone(),
            role: self.role,
            grants: self.grants.clone(),
            expires_at: self.expires_at,
            token_id: Some(self.name.clone()),
            origin: Some(Origin::Key(self.hash)),
        }
    }
}

pub(super) fn sha256(parts: &[&[u8]]) -> [u8; 32] {
    let mut context = aws_lc_rs::digest::Context::new(&SHA256);
    for part in parts {
        // With their lengths, so that no two lists come to the same bytes.
        context.update(&(part.len() as u64).to_be_bytes());
        context.update(part);
    }
    to_array(context.finish().as_ref())
}

fn to_array(bytes: &[u8]) -> [u8; 32] {
    let mut array = [0; 32];
    array.copy_from_slice(bytes);
    array
}

/// Whether a token has the form of a static key.
pub(super) fn is_fixed(token: &str) -> bool {
    token.starts_with(PREFIX)
}

/// The key whose holder brings this token. All are compared, whichever it is.
pub(super) fn find<'a>(keys: &'a [FixedKey], token: &str) -> Option<&'a FixedKey> {
    let hash = to_array(digest(&SHA256, token.as_bytes()).as_ref());
    keys.iter().fold(None, |found, key| if key.has_hash(&hash) { Some(key) } else { found })
}

/// Reads `sha256:…`.
pub(super) fn parse_hash(text: &str) -> Option<[u8; 32]> {
    let digits = text.strip_prefix(HASH_PREFIX).filter(|digits| digits.len() == 64 && digits.is_ascii())?;
    let mut hash = [0; 32];
    for (byte, pair) in hash.iter_mut().zip(digits.as_bytes().chunks(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Some(hash)
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Random bytes of the system, in hexadecimal digits.
pub(super) fn random(bytes: &mut [u8]) -> Result<String, MintError> {
    SystemRandom::new().fill(bytes).map_err(|_| MintError::NoRandomness)?;
    Ok(hex(bytes))
}

/// A static key that was just made. Its token is nowhere else.
pub struct NewKey {
    /// What its holder brings. Show it once, and keep it nowhere.
    pub token: String,
    /// What stands in the key file.
    pub hash: String,
}

impl NewKey {
    /// Makes one.
    ///
    /// # Errors
    /// [`MintError::NoRandomness`], when the system gives no random bytes.
    pub fn generate() -> Result<Self, MintError> {
        let token = format!("{PREFIX}{}", random(&mut [0; 32])?);
        let hash = format!("{HASH_PREFIX}{}", hex(digest(&SHA256, token.as_bytes()).as_ref()));
        Ok(Self { token, hash })
    }
}

impl std::fmt::Debug for NewKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NewKey").field("hash", &self.hash).finish_non_exhaustive()
    }
}

/// What a static key may do, as words.
pub(super) fn acts_of(role: Option<Role>, acts: Option<Acts>) -> Acts {
    acts.or_else(|| role.map(Role::acts)).unwrap_or_default()
}
