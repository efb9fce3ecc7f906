//! Minting tokens: for operators at a command line, and for hosts that hand tokens to their own pages.

use std::path::Path;
use std::time::Duration;

use jsonwebtoken::EncodingKey;
use ragpulse_protocol::Timestamp;
use serde_json::{Map, Value, json};

use super::file::{self, Material};
use super::fixed::random;
use super::jwt::{Algorithm, JwtKey, choose_cryptography};
use super::{KeysError, TokenError};
use crate::auth::act::{Act, Role};
use crate::auth::pattern::{InvalidPattern, Pattern};

/// Why no token was minted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MintError {
    /// The system gives no random bytes.
    #[error("the system gives no random bytes")]
    NoRandomness,
    /// The key is none that signs.
    #[error("{0}")]
    Key(String),
    /// A pattern could match no name.
    #[error(transparent)]
    Pattern(#[from] InvalidPattern),
    /// A token would allow nothing.
    #[error("a token that has neither a role nor acts allows nothing; say which")]
    Nothing,
    /// The keys cannot be used.
    #[error(transparent)]
    Keys(#[from] KeysError),
}

/// What a token is to say.
#[derive(Debug, Clone, Default)]
pub struct NewToken {
    /// For whom: the claim `sub`, which stands in the log.
    pub name: String,
    /// What they are.
    pub role: Option<Role>,
    /// What they may do in place of what their role may.
    pub acts: Option<Vec<Act>>,
    /// With which pipelines; none where it is empty.
    pub pipelines: Vec<String>,
    /// For how long, from the moment it is minted.
    pub ttl: Duration,
}

/// A key that signs.
pub struct SigningKey {
    algorithm: Algorithm,
    key: EncodingKey,
    id: Option<String>,
    issuer: Option<String>,
    audience: Option<String>,
}

impl std::fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SigningKey")
            .field("algorithm", &self.algorithm)
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

impl SigningKey {
    /// A secret of HS256, at least 32 bytes.
    ///
    /// # Errors
    /// [`MintError::Key`], when it is too short.
    pub fn from_secret(secret: &[u8]) -> Result<Self, MintError> {
        JwtKey::from_secret(secret).map_err(MintError::Key)?;
        let key = EncodingKey::from_secret(secret);
        Ok(Self { algorithm: Algorithm::HS256, key, id: None, issuer: None, audience: None })
    }

    /// A private key in PEM: PKCS #8, for RSA also PKCS #1.
    ///
    /// # Errors
    /// [`MintError::Key`], when it is none of this algorithm.
    pub fn from_pem(algorithm: Algorithm, pem: &[u8]) -> Result<Self, MintError> {
        choose_cryptography();
        let key = match algorithm {
            Algorithm::HS256 => {
                return Err(MintError::Key("HS256 takes a secret, and no key in PEM".to_owned()));
            }
            Algorithm::RS256 => EncodingKey::from_rsa_pem(pem),
            Algorithm::ES256 => EncodingKey::from_ec_pem(pem),
            Algorithm::EdDSA => EncodingKey::from_ed_pem(pem),
        };
        // A public key reads as well, and only fails to sign.
        let signs = |key: &EncodingKey| {
            jsonwebtoken::encode(&jsonwebtoken::Header::new(algorithm.library()), &Map::new(), key).is_ok()
        };
        let key = key.ok().filter(signs).ok_or_else(|| {
            MintError::Key(format!("this is no private key of {} in PEM (PKCS #8)", algorithm.as_str()))
        })?;
        Ok(Self { algorithm, key, id: None, issuer: None, audience: None })
    }

    /// The key of this id in a key file, or its only one; of HS256, as the file has no private keys. With `private_key`,
    /// in PEM, of any algorithm.
    ///
    /// # Errors
    /// [`MintError`], when there is none that signs.
    pub fn from_file(path: &Path, id: Option<&str>, private_key: Option<&[u8]>) -> Result<Self, MintError> {
        let entry = file::signing_entry(path, id)?;
        let key = match (&entry.material, private_key) {
            (_, Some(pem)) => Self::from_pem(entry.algorithm, pem)?,
            (Material::Secret(secret), None) => Self::from_secret(secret)?,
            (Material::Public, None) => {
                return Err(MintError::Key(format!(
                    "the file has only the public half of this key of {}; give the private one",
                    entry.algorithm.as_str()
                )));
            }
        };
        Ok(Self { id: entry.id, issuer: entry.issuer, audience: entry.audience, ..key })
    }

    /// Names the key in its tokens: the header `kid`.
    #[must_use]
    pub fn with_id(mut self, id: impl Into<String>) -> Self {
        self.id = Some(id.into());
        self
    }

    /// Names in its tokens who minted them: the claim `iss`.
    #[must_use]
    pub fn with_issuer(mut self, issuer: impl Into<String>) -> Self {
        self.issuer = Some(issuer.into());
        self
    }

    /// Names in its tokens whom they are for: the claim `aud`.
    #[must_use]
    pub fn with_audience(mut self, audience: impl Into<String>) -> Self {
        self.audience = Some(audience.into());
        self
    }

    /// Mints a token; also gives its id, by which it can be revoked.
    ///
    /// # Errors
    /// [`MintError`], when it would allow nothing, or cannot be signed.
    pub fn mint(&self, token: &NewToken, now: Timestamp) -> Result<(String, String), MintError> {
        if token.role.is_none() && token.acts.is_none() {
            return Err(MintError::Nothing);
        }
        for pattern in &token.pipelines {
            pattern.parse::<Pattern>()?;
        }
        let id = random(&mut [0; 16])?;
        let now = now.as_millis().div_euclid(1_000);
        let ttl = i64::try_from(token.ttl.as_secs()).unwrap_or(i64::MAX);
        let mut claims = Map::new();
        let mut set = |name: &str, value: Option<Value>| {
            value.map(|value| claims.insert(name.to_owned(), value));
        };
        set("sub", Some(json!(token.name)));
        set("role", token.role.map(|role| json!(role)));
        set("acts", token.acts.as_ref().map(|acts| json!(acts)));
        set("pipelines", Some(json!(token.pipelines)));
        set("iat", Some(json!(now)));
        set("exp", Some(json!(now.saturating_add(ttl))));
        set("jti", Some(json!(id)));
        set("iss", self.issuer.as_ref().map(|issuer| json!(issuer)));
        set("aud", self.audience.as_ref().map(|audience| json!(audience)));
        let mut header = jsonwebtoken::Header::new(self.algorithm.library());
        header.kid.clone_from(&self.id);
        let token = jsonwebtoken::encode(&header, &claims, &self.key)
            .map_err(|error| MintError::Key(format!("the key does not sign: {error}")))?;
        Ok((token, id))
    }
}

impl From<TokenError> for MintError {
    fn from(error: TokenError) -> Self {
        Self::Key(error.to_string())
    }
}
