//! JSON Web Tokens: whether one was signed by a key of this hub, and what it says. The library checks signatures; what
//! the claims must be is checked here, by the clock of the keys.
//!
//! What it never does: choose the algorithm by the token; try a second key; take a token that has no end.

use std::sync::Once;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{DecodingKey, Validation};
use ragpulse_protocol::Timestamp;
use serde::Deserialize;
use serde_json::Value;

use super::fixed::{acts_of, sha256};
use crate::auth::act::{Act, Role};
use crate::auth::principal::{Grants, Origin, Principal};

/// How far the clocks of who mints and who checks may be apart, in seconds: a token holds so much longer, and begins so
/// much earlier, than it says.
pub const LEEWAY: u32 = 5;

/// The longest token that is looked at, in bytes.
const LONGEST: usize = 8 * 1024;
/// The most patterns in a token.
const MOST_PATTERNS: usize = 256;
/// The longest name, and the longest id of a token, in characters.
const LONGEST_NAME: usize = 128;
/// The shortest secret of HS256, in bytes: as long as its hash.
const SHORTEST_SECRET: usize = 32;

/// How a token is signed. A key has one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub enum Algorithm {
    /// HMAC with SHA-256: who checks can mint.
    HS256,
    /// RSA (PKCS #1 v1.5) with SHA-256; keys of at least 2,048 bits.
    RS256,
    /// ECDSA on P-256 with SHA-256.
    ES256,
    /// Ed25519.
    EdDSA,
}

impl Algorithm {
    /// Every one.
    pub const ALL: &'static [Self] = &[Self::HS256, Self::RS256, Self::ES256, Self::EdDSA];

    /// Its name in headers and key files.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::HS256 => "HS256",
            Self::RS256 => "RS256",
            Self::ES256 => "ES256",
            Self::EdDSA => "EdDSA",
        }
    }

    pub(super) fn library(self) -> jsonwebtoken::Algorithm {
        match self {
            Self::HS256 => jsonwebtoken::Algorithm::HS256,
            Self::RS256 => jsonwebtoken::Algorithm::RS256,
            Self::ES256 => jsonwebtoken::Algorithm::ES256,
            Self::EdDSA => jsonwebtoken::Algorithm::EdDSA,
        }
    }
}

impl std::str::FromStr for Algorithm {
    type Err = String;
    fn from_str(name: &str) -> Result<Self, String> {
        Self::ALL
            .iter()
            .find(|one| one.as_str() == name)
            .copied()
            .ok_or_else(|| "the algorithm must be one of HS256, RS256, ES256, EdDSA".to_owned())
    }
}

/// Why a token is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TokenError {
    /// It is neither a static key nor a JSON Web Token.
    #[error("it is neither a static key (rp_…) nor a JSON Web Token")]
    Unreadable,
    /// It is longer than any token of use.
    #[error("it is longer than 8 KiB")]
    TooLong,
    /// It is no static key of this hub.
    #[error("this hub has no such key")]
    UnknownKey,
    /// It names a key that is not there, or none where there are several.
    #[error("it is signed by a key that this hub does not have (`kid` {0})")]
    UnknownKid(String),
    /// Its algorithm is not that of the key; `none` never is.
    #[error("its algorithm is {found}, and its key takes {wanted} only")]
    Algorithm {
        /// What it says.
        found: String,
        /// What its key takes.
        wanted: &'static str,
    },
    /// It asks for extensions that have to be understood.
    #[error("its header asks for extensions (`crit`) that this hub does not have")]
    Critical,
    /// It was not signed by the key, or was changed since.
    #[error("its signature is wrong")]
    Signature,
    /// A claim is missing or is not what it should be.
    #[error("its claim `{claim}` {problem}")]
    Claim {
        /// Which.
        claim: &'static str,
        /// What is wrong.
        problem: String,
    },
    /// Its time is over.
    #[error("it has expired")]
    Expired,
    /// Its time has not begun.
    #[error("it does not hold yet")]
    NotYet,
    /// It was revoked.
    #[error("it was revoked")]
    Revoked,
}

impl TokenError {
    fn claim(claim: &'static str, problem: impl Into<String>) -> Self {
        Self::Claim { claim, problem: problem.into() }
    }
}

/// A key that signs tokens, as far as it takes to check them.
pub(super) struct JwtKey {
    pub(super) id: Option<String>,
    pub(super) algorithm: Algorithm,
    key: DecodingKey,
    issuer: Option<String>,
    audience: Option<String>,
    print: [u8; 32],
}

/// The library takes the cryptography that is compiled in; where a host compiles in two it has to be told which.
pub(super) fn choose_cryptography() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // Whoever chose before has chosen.
        let _ = jsonwebtoken::crypto::aws_lc::DEFAULT_PROVIDER.install_default();
    });
}

impl JwtKey {
    pub(super) fn from_secret(secret: &[u8]) -> Result<Self, String> {
        Self::new(None, Algorithm::HS256, secret, None, None)
    }

    /// `material`: the secret of HS256, else a public key in PEM.
    pub(super) fn new(
        id: Option<String>,
        algorithm: Algorithm,
        material: &[u8],
        issuer: Option<String>,
        audience: Option<String>,
    ) -> Result<Self, String> {
        choose_cryptography();
        let key = match algorithm {
            Algorithm::HS256 if material.len() < SHORTEST_SECRET => {
                return Err(format!(
                    "a secret of HS256 has at least {SHORTEST_SECRET} bytes, and this has {}; make one by `openssl \
                     rand -hex 32`",
                    material.len()
                ));
            }
            // A public key as a secret is what everybody knows.
            Algorithm::HS256 if material.starts_with(b"-----BEGIN") => {
                return Err("this is a key in PEM, and HS256 takes a secret".to_owned());
            }
            Algorithm::HS256 => Ok(DecodingKey::from_secret(material)),
            Algorithm::RS256 => DecodingKey::from_rsa_pem(material),
            Algorithm::ES256 => DecodingKey::from_ec_pem(material),
            Algorithm::EdDSA => DecodingKey::from_ed_pem(material),
        };
        if material.windows(12).any(|part| part == b" PRIVATE KEY") {
            return Err(
                "this is a private key: give the hub the public one, and keep this where tokens are minted"
                    .to_owned(),
            );
        }
        let key = key.map_err(|_| format!("this is no public key of {} in PEM", algorithm.as_str()))?;
        let text = |text: &Option<String>| text.clone().unwrap_or_default().into_bytes();
        let print =
            sha256(&[algorithm.as_str().as_bytes(), material, &text(&id), &text(&issuer), &text(&audience)]);
        Ok(Self { id, algorithm, key, issuer, audience, print })
    }

    /// What tells it from other keys, and from itself asking for something else.
    pub(super) fn print(&self) -> [u8; 32] {
        self.print
    }
}

/// The header of a token, as it stands there.
#[derive(Deserialize)]
pub(super) struct Header {
    pub(super) alg: Value,
    pub(super) kid: Option<String>,
    crit: Option<Value>,
}

/// The claims of a token, as they stand there.
#[derive(Debug, Deserialize)]
pub(super) struct Claims {
    pub(super) sub: Option<String>,
    pub(super) role: Option<String>,
    pub(super) acts: Option<Vec<String>>,
    #[serde(default)]
    pub(super) pipelines: Vec<String>,
    pub(super) exp: Option<f64>,
    pub(super) nbf: Option<f64>,
    pub(super) jti: Option<String>,
    pub(super) iss: Option<String>,
    pub(super) aud: Option<Value>,
}

/// Reads a part of a token without believing it.
pub(super) fn part<T: serde::de::DeserializeOwned>(token: &str, number: usize) -> Result<T, TokenError> {
    if token.len() > LONGEST {
        return Err(TokenError::TooLong);
    }
    let mut parts = token.split('.');
    let part = parts.nth(number).filter(|_| token.bytes().filter(|byte| *byte == b'.').count() == 2);
    let bytes =
        URL_SAFE_NO_PAD.decode(part.ok_or(TokenError::Unreadable)?).map_err(|_| TokenError::Unreadable)?;
    serde_json::from_slice(&bytes).map_err(|_| TokenError::Unreadable)
}

/// Checks a token.
pub(super) fn verify(keys: &[JwtKey], token: &str, now: Timestamp) -> Result<Principal, TokenError> {
    let header: Header = part(token, 0)?;
    let found = header.alg.as_str().unwrap_or("not a text").chars().take(20).collect::<String>();
    let key = match (&header.kid, keys) {
        (None, [only]) => Some(only),
        (None, _) => None,
        (Some(kid), keys) => keys.iter().find(|key| key.id.as_ref() == Some(kid)),
    };
    let key = key.ok_or_else(|| {
        let kid = header.kid.as_deref().unwrap_or("missing");
        TokenError::UnknownKid(kid.chars().take(LONGEST_NAME).collect())
    })?;
    // By the key, and never by the token.
    if found != key.algorithm.as_str() {
        return Err(TokenError::Algorithm { found, wanted: key.algorithm.as_str() });
    }
    if header.crit.is_some() {
        return Err(TokenError::Critical);
    }
    let mut validation = Validation::new(key.algorithm.library());
    validation.validate_exp = false;
    validation.validate_aud = false;
    validation.required_spec_claims.clear();
    jsonwebtoken::decode::<serde::de::IgnoredAny>(token, &key.key, &validation)
        .map_err(|_| TokenError::Signature)?;
    // Only now is it anybody's word.
    let claims: Claims = part(token, 1)
        .map_err(|_| TokenError::claim("*", "is of another type than it should be; see the guide"))?;
    check(key, claims, now)
}

fn check(key: &JwtKey, claims: Claims, now: Timestamp) -> Result<Principal, TokenError> {
    let Some(exp) = claims.exp else {
        return Err(TokenError::claim("exp", "is missing: a token has an end"));
    };
    let expires_at = time("exp", exp, i64::from(LEEWAY))?;
    if now >= expires_at {
        return Err(TokenError::Expired);
    }
    if let Some(nbf) = claims.nbf
        && now < time("nbf", nbf, -i64::from(LEEWAY))?
    {
        return Err(TokenError::NotYet);
    }
    if key.issuer.is_some() && claims.iss != key.issuer {
        return Err(TokenError::claim("iss", "is not the issuer that its key is for"));
    }
    if !is_audience(claims.aud.as_ref(), key.audience.as_deref()) {
        return Err(TokenError::claim("aud", "names others than this hub"));
    }
    let short = |claim, text: &Option<String>| match text {
        Some(text) if text.chars().count() > LONGEST_NAME => {
            Err(TokenError::claim(claim, format!("is longer than {LONGEST_NAME} characters")))
        }
        _ => Ok(()),
    };
    short("sub", &claims.sub)?;
    short("jti", &claims.jti)?;
    let role: Option<Role> = claims
        .role
        .map(|role| role.parse().map_err(|error| TokenError::claim("role", format!("is wrong: {error}"))))
        .transpose()?;
    let acts = claims
        .acts
        .map(|acts| acts.iter().map(|act| act.parse::<Act>()).collect())
        .transpose()
        .map_err(|error| TokenError::claim("acts", format!("is wrong: {error}")))?;
    if claims.pipelines.len() > MOST_PATTERNS {
        return Err(TokenError::claim("pipelines", format!("has more than {MOST_PATTERNS} patterns")));
    }
    let pipelines = claims
        .pipelines
        .iter()
        .map(|pattern| pattern.parse())
        .collect::<Result<_, _>>()
        .map_err(|error| TokenError::claim("pipelines", format!("is wrong: {error}")))?;
    Ok(Principal {
        name: claims.sub.unwrap_or_default(),
        role,
        grants: Grants { acts: acts_of(role, acts), pipelines },
        expires_at: Some(expires_at),
        token_id: claims.jti,
        origin: Some(Origin::Token(key.print)),
    })
}

/// Seconds since 1970, moved by some.
fn time(claim: &'static str, seconds: f64, by: i64) -> Result<Timestamp, TokenError> {
    if !seconds.is_finite() {
        return Err(TokenError::claim(claim, "is no time"));
    }
    // Beyond all times it is the first or the last.
    #[allow(clippy::cast_possible_truncation)]
    let millis = (seconds * 1_000.0) as i64;
    Ok(Timestamp::from_millis(millis.saturating_add(by * 1_000)))
}

/// Whether this hub is among those a token is for. A token that is for others is not for a hub that has no name.
fn is_audience(found: Option<&Value>, own: Option<&str>) -> bool {
    let Some(own) = own else { return found.is_none() };
    match found {
        Some(Value::String(one)) => one == own,
        Some(Value::Array(several)) => several.iter().any(|one| one == own),
        _ => false,
    }
}
