//! What a token may do, until when, and why it would be refused: for people who wonder. Never shows the token, its
//! signature or a secret.

use ragpulse_protocol::Timestamp;

use super::fixed::is_fixed;
use super::jwt::{Claims, Header, part};
use super::{Keys, TokenError};
use crate::auth::act::Act;

/// What is known of a token.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Explanation {
    /// What it is: `a static key`, or `a JSON Web Token (HS256, key main)`.
    pub kind: String,
    /// For whom it is.
    pub name: Option<String>,
    /// The role it gives, as it says.
    pub role: Option<String>,
    /// What it allows; empty for nothing.
    pub acts: Vec<String>,
    /// With which pipelines; empty for none.
    pub pipelines: Vec<String>,
    /// From when on it holds.
    pub not_before: Option<Timestamp>,
    /// Until when it holds; `None` for no end.
    pub expires_at: Option<Timestamp>,
    /// By what it is revoked.
    pub token_id: Option<String>,
    /// Why it would be refused; `None` when it would be taken, or there are no keys to ask.
    pub refused: Option<TokenError>,
    /// Whether keys were asked. Without, all of this is only what the token says of itself.
    pub checked: bool,
}

/// Says what a token is, by these keys; without keys, by what it says of itself.
///
/// # Errors
/// [`TokenError`], when nothing can be told of it.
pub fn explain(token: &str, keys: Option<&Keys>) -> Result<Explanation, TokenError> {
    let verdict = keys.map(|keys| keys.examine(token));
    let mut explanation = if is_fixed(token) { of_key() } else { of_jwt(token)? };
    explanation.checked = verdict.is_some();
    match verdict {
        Some(Ok(who)) => {
            explanation.name = Some(who.name).filter(|name| !name.is_empty());
            explanation.role = who.role.map(|role| role.to_string());
            explanation.acts = who.grants.acts.iter().map(|act| act.to_string()).collect();
            explanation.pipelines = who.grants.pipelines.iter().map(ToString::to_string).collect();
            explanation.token_id = who.token_id;
            explanation.expires_at = who.expires_at.or(explanation.expires_at);
        }
        Some(Err(error)) => explanation.refused = Some(error),
        None => {}
    }
    Ok(explanation)
}

fn empty(kind: String) -> Explanation {
    Explanation {
        kind,
        name: None,
        role: None,
        acts: Vec::new(),
        pipelines: Vec::new(),
        not_before: None,
        expires_at: None,
        token_id: None,
        refused: None,
        checked: false,
    }
}

fn of_key() -> Explanation {
    empty("a static key".to_owned())
}

fn of_jwt(token: &str) -> Result<Explanation, TokenError> {
    let header: Header = part(token, 0)?;
    let claims: Claims = part(token, 1)?;
    // What is not checked is shown without what could change the terminal.
    let clean = |text: &str| text.chars().take(128).collect::<String>().escape_debug().to_string();
    let algorithm = header.alg.as_str().map_or_else(|| "no algorithm".to_owned(), clean);
    let key =
        header.kid.as_deref().map_or_else(|| "no key named".to_owned(), |kid| format!("key {}", clean(kid)));
    let role: Option<crate::auth::Role> = claims.role.as_deref().and_then(|role| role.parse().ok());
    let acts = match (&claims.acts, role) {
        (Some(acts), _) => acts.iter().map(|act| clean(act)).collect(),
        (None, Some(role)) => role.acts().iter().map(|act: Act| act.to_string()).collect(),
        (None, None) => Vec::new(),
    };
    #[allow(clippy::cast_possible_truncation)]
    let time = |seconds: f64| Timestamp::from_millis((seconds * 1_000.0) as i64);
    Ok(Explanation {
        name: claims.sub.as_deref().map(clean),
        role: claims.role.as_deref().map(clean),
        acts,
        pipelines: claims.pipelines.iter().map(|pattern| clean(pattern)).collect(),
        not_before: claims.nbf.map(time),
        expires_at: claims.exp.map(time),
        token_id: claims.jti.as_deref().map(clean),
        ..empty(format!("a JSON Web Token ({algorithm}, {key})"))
    })
}
