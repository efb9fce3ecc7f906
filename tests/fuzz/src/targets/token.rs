//! Tokens, patterns and key files: nothing from outside panics, and what is taken is what was signed.
//!
//! The first line says which: `token` a token as it comes, `claims` claims that are signed here, so that what is behind the
//! signature is reached too, `file` a key file, anything else a pattern.

use std::sync::LazyLock;

use aws_lc_rs::hmac::{HMAC_SHA256, Key, sign};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ragpulse_protocol::{PipelineId, Timestamp};
use ragpulse_server::auth::{Keys, Pattern, explain};
use ragpulse_server::clock::{Clock, ManualClock};

use super::split;

const SECRET: &[u8] = b"a secret of thirty-two bytes, or more";
const NOW: i64 = 1_800_000_000_000;
/// `rp_` and 64 times 0.
const FIXED: &str = "[[key]]\nname = \"k\"\nrole = \"viewer\"\npipelines = [\"a\"]\n\
    hash = \"sha256:0f6d8e1d0e8d0a4c1d5fbc7b0f6d8e1d0e8d0a4c1d5fbc7b0f6d8e1d0e8d0a4c\"\n";

static KEYS: LazyLock<Keys> = LazyLock::new(|| {
    Keys::from_jwt_secret(SECRET).unwrap().with_clock(ManualClock::new(Timestamp::from_millis(NOW)))
});

pub(crate) fn run(input: &[u8]) {
    let Some((kind, text)) = split(input) else { return };
    match kind {
        "token" => {
            // Nobody but the target below knows the secret.
            let taken = KEYS.examine(text);
            assert!(taken.is_err() || is_signed(text), "{text} is taken");
            let told = explain(text, Some(&KEYS));
            assert!(told.is_err() || told.unwrap().refused == taken.err());
            let _ = explain(text, None);
        }
        "claims" => claims(text),
        // Files that it names are not the fuzzer's to read.
        "file" if !text.contains("_file") && !text.contains("_env") => {
            if let Ok(keys) = Keys::from_toml(text, "/nowhere") {
                assert!(keys.counts().fixed > 0, "{text} lets nobody in");
                assert!(keys.examine("rp_").is_err() && keys.examine("").is_err());
            }
        }
        _ => {
            let (Ok(pattern), Ok(name)) = (kind.parse::<Pattern>(), text.parse::<PipelineId>()) else {
                return;
            };
            assert_eq!(pattern.to_string(), kind);
            if !kind.contains('*') {
                assert_eq!(pattern.matches(&name), kind == text);
            }
            if let Some(rest) = kind.strip_suffix('*').filter(|rest| !rest.contains('*')) {
                assert_eq!(pattern.matches(&name), text.starts_with(rest));
            }
        }
    }
}

fn signature(message: &str) -> String {
    URL_SAFE_NO_PAD.encode(sign(&Key::new(HMAC_SHA256, SECRET), message.as_bytes()))
}

fn is_signed(token: &str) -> bool {
    token.rsplit_once('.').is_some_and(|(message, given)| signature(message) == given)
}

fn claims(text: &str) {
    let header = URL_SAFE_NO_PAD.encode(r#"{"alg":"HS256"}"#);
    let message = format!("{header}.{}", URL_SAFE_NO_PAD.encode(text));
    let token = format!("{message}.{}", signature(&message));
    let Ok(who) = KEYS.examine(&token) else { return };
    // What is taken has an end that is to come, and is within its bounds.
    let now = ManualClock::new(Timestamp::from_millis(NOW)).now();
    assert!(who.expires_at.is_some() && !who.has_expired(now), "{text}");
    assert!(who.name.chars().count() <= 128 && who.grants.pipelines.len() <= 256, "{text}");
    let granted = who.grants.acts.iter().next().is_some();
    assert!(who.role.is_some() || text.contains("acts") || text.contains("\\u") || !granted, "{text}");
}

/// The first inputs.
pub(crate) fn seeds() -> Vec<String> {
    let end = NOW / 1_000 + 60;
    let claims = [
        format!(r#"{{"sub":"a","role":"viewer","pipelines":["docs-*"],"exp":{end},"jti":"1"}}"#),
        format!(r#"{{"acts":["metrics","view"],"exp":{end}.5,"nbf":1,"iss":"i","aud":["x"]}}"#),
        r#"{"role":"admin","pipelines":["*"]}"#.to_owned(),
        r#"{"exp":1e308,"nbf":-1e308,"role":"root"}"#.to_owned(),
    ];
    let header = URL_SAFE_NO_PAD.encode(r#"{"alg":"HS256"}"#);
    let none = URL_SAFE_NO_PAD.encode(r#"{"alg":"none","kid":"x","crit":["b64"]}"#);
    let mut seeds: Vec<String> = claims.iter().map(|claims| format!("claims\n{claims}")).collect();
    for claims in &claims {
        let body = URL_SAFE_NO_PAD.encode(claims);
        let message = format!("{header}.{body}");
        seeds.push(format!("token\n{message}.{}", signature(&message)));
        seeds.push(format!("token\n{none}.{body}."));
    }
    seeds.push(format!("token\nrp_{}", "0".repeat(64)));
    seeds.push(format!(
        "file\nrevoked = [\"x\"]\n{FIXED}expires = 2027-01-01T00:00:00Z\n[redact]\nviewer = [\"path\"]\n"
    ));
    seeds.push("docs-*\ndocs-a".to_owned());
    seeds.push("*a*b*\nxaxb".to_owned());
    seeds
}
