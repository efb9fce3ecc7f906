//! Tokens that end: where the next one comes from, how long the last one is kept, and when it is asked for anew.
//!
//! A client asks its [`TokenSource`] before a request or a socket, and keeps what it got until 30 s before the end that the
//! token itself names (`exp` of a JSON Web Token, read without verifying), or until the hub answers 401 to it. Requests that
//! go at the same time ask once.
//!
//! | module | what it is for |
//! |---|---|
//! | `file` | a file that somebody keeps up to date |
//! | `keeper` | how long a token is kept; pure |
//! | `tokens` | asks the source, once for all who wait |
//!
//! *What may come in:* any text as a token, from a source that fails or hangs. *What it never does:* verify a token, show
//! one in a log, an error or `Debug`, or wait for a source without an end.

mod file;
mod keeper;
mod tokens;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

pub use file::{TokenFile, TokenFileError};
pub(crate) use tokens::Tokens;

/// What went wrong in a source of tokens. Its text goes into logs and into the status: keep tokens out of it.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Gives a token whenever a client needs one.
///
/// Every async closure that returns `Result<String, BoxError>` is one; [`TokenFile`] reads a file.
///
/// ```
/// use ragpulse_client::Reporter;
/// use ragpulse_client::token::BoxError;
///
/// async fn sign_in() -> Result<String, BoxError> {
///     Ok("what your issuer gave".to_owned())
/// }
/// let builder = Reporter::builder("http://127.0.0.1:8103").token_source(sign_in);
/// ```
#[async_trait]
pub trait TokenSource: Send + Sync + 'static {
    /// A token that holds now. It is called in the task that sends, never twice at a time by one client, and given up
    /// after the request timeout (15 s, or 8 s for a [`Subscriber`](crate::Subscriber)). It must not block its thread.
    ///
    /// # Errors
    /// When there is none at present: the client waits and asks again, and throws nothing away meanwhile.
    async fn token(&self) -> Result<String, BoxError>;
}

#[async_trait]
impl<F, T> TokenSource for F
where
    F: Fn() -> T + Send + Sync + 'static,
    T: Future<Output = Result<String, BoxError>> + Send,
{
    async fn token(&self) -> Result<String, BoxError> {
        self().await
    }
}

/// What a client was given to speak to its hub with.
#[derive(Clone, Default)]
pub(crate) enum Given {
    #[default]
    Nothing,
    Fixed(String),
    Source(Arc<dyn TokenSource>),
    /// By the environment, both as a token and as a file.
    Twice,
}

impl Given {
    pub(crate) fn is_source(&self) -> bool {
        matches!(self, Self::Source(_))
    }
}

/// The longest token that is looked into.
const MAX_BYTES: usize = 16 * 1024;

/// When a JSON Web Token ends by its `exp`, which is read without verifying anything. `None` for any other text.
pub fn ends_at(token: &str) -> Option<SystemTime> {
    #[derive(serde::Deserialize)]
    struct Claims {
        exp: f64,
    }
    let mut parts = token.split('.');
    let (_, claims, _) = (parts.next()?, parts.next()?, parts.next()?);
    if parts.next().is_some() || token.len() > MAX_BYTES {
        return None;
    }
    let claims = URL_SAFE_NO_PAD.decode(claims.trim_end_matches('=')).ok()?;
    let Claims { exp } = serde_json::from_slice(&claims).ok()?;
    SystemTime::UNIX_EPOCH.checked_add(Duration::try_from_secs_f64(exp).ok()?)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A token of nobody that says when it ends.
    pub(crate) fn ending(seconds: u64) -> String {
        let claims = URL_SAFE_NO_PAD.encode(format!(r#"{{"exp":{seconds},"sub":"me"}}"#));
        format!("e30.{claims}.c2ln")
    }

    #[test]
    fn the_end_is_read_from_what_is_a_token_of_json_and_from_nothing_else() {
        let at = |token: &str| ends_at(token).map(|at| at.duration_since(SystemTime::UNIX_EPOCH).unwrap());
        assert_eq!(at(&ending(1_800_000_000)), Some(Duration::from_secs(1_800_000_000)));
        let claims = |text: &str| format!("e30.{}.c2ln", URL_SAFE_NO_PAD.encode(text));
        assert_eq!(at(&claims(r#"{"exp":12.5}"#)), Some(Duration::from_millis(12_500)));
        let deep = "[".repeat(5_000);
        for none in [
            "",
            "opaque",
            "a.b",
            "a.b.c",
            "a.b.c.d",
            &claims("{}"),
            &claims(r#"{"exp":"soon"}"#),
            &claims(r#"{"exp":-1}"#),
            &claims(r#"{"exp":1e300}"#),
            &claims(&deep),
            &format!("{}.x", ending(1)),
        ] {
            assert_eq!(at(none), None, "{none}");
        }
    }
}
