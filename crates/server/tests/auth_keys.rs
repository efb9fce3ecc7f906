//! Keys and tokens: what is taken, and each way of being refused. By the clock of the test.
#![allow(clippy::unwrap_used)]

mod support;

use std::time::Duration;

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der, PublicKeyX509Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair, RsaKeyPair,
};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ragpulse_protocol::{PipelineId, Timestamp};
use ragpulse_server::auth::{
    Act, Algorithm, Authoriser, Keys, KeysError, NewKey, NewToken, Role, SigningKey, TokenError, explain,
};
use ragpulse_server::clock::ManualClock;
use serde_json::{Value, json};
use support::auth::{SECRET, START, everything, sign_hmac, signing_key};

struct Bench {
    directory: tempfile::TempDir,
    clock: ManualClock,
}

impl Bench {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("secret"), SECRET).unwrap();
        Self { directory, clock: ManualClock::new(Timestamp::from_millis(START)) }
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.directory.path().join(name), text).unwrap();
    }

    fn try_keys(&self, text: &str) -> Result<Keys, KeysError> {
        Ok(Keys::from_toml(text, self.directory.path())?.with_clock(self.clock.clone()))
    }

    fn keys(&self, text: &str) -> Keys {
        self.try_keys(text).unwrap()
    }
}

const MAIN: &str = "[[jwt]]\nid = \"main\"\nalgorithm = \"HS256\"\nsecret_file = \"secret\"\n";

fn pem(label: &str, der: &[u8]) -> String {
    let body = STANDARD.encode(der);
    let lines: Vec<&str> =
        body.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).unwrap()).collect();
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n"))
}

/// A pair of each algorithm that has one: private and public, in PEM.
fn pair(algorithm: Algorithm) -> (String, String) {
    let (private, public) = match algorithm {
        Algorithm::RS256 => {
            let pair = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
            let private = AsDer::<Pkcs8V1Der<'_>>::as_der(&pair).unwrap().as_ref().to_vec();
            (private, AsDer::<PublicKeyX509Der<'_>>::as_der(pair.public_key()).unwrap().as_ref().to_vec())
        }
        Algorithm::ES256 => {
            let document =
                EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new()).unwrap();
            let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, document.as_ref()).unwrap();
            let public = AsDer::<PublicKeyX509Der<'_>>::as_der(pair.public_key()).unwrap().as_ref().to_vec();
            (document.as_ref().to_vec(), public)
        }
        Algorithm::EdDSA => {
            let document = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
            let pair = Ed25519KeyPair::from_pkcs8(document.as_ref()).unwrap();
            let public = AsDer::<PublicKeyX509Der<'_>>::as_der(pair.public_key()).unwrap().as_ref().to_vec();
            (document.as_ref().to_vec(), public)
        }
        Algorithm::HS256 => unreachable!("it has no pair"),
    };
    (pem("PRIVATE KEY", &private), pem("PUBLIC KEY", &public))
}

fn wanted() -> NewToken {
    NewToken {
        name: "ada".to_owned(),
        role: Some(Role::Viewer),
        acts: None,
        pipelines: vec!["docs-*".to_owned()],
        ttl: Duration::from_secs(60),
    }
}

#[test]
fn each_algorithm_signs_and_is_checked_and_none_is_taken_for_another() {
    let bench = Bench::new();
    let pairs = [Algorithm::RS256, Algorithm::ES256, Algorithm::EdDSA].map(|one| (one, pair(one)));
    let mut text = MAIN.to_owned();
    for (algorithm, (_, public)) in &pairs {
        let name = algorithm.as_str();
        bench.write(name, public);
        text += &format!("[[jwt]]\nid = \"{name}\"\nalgorithm = \"{name}\"\npublic_key_file = \"{name}\"\n");
    }
    let keys = bench.keys(&text);
    for (algorithm, (private, public)) in &pairs {
        let name = algorithm.as_str();
        let key = SigningKey::from_pem(*algorithm, private.as_bytes()).unwrap().with_id(name);
        let (token, id) = key.mint(&wanted(), Timestamp::from_millis(START)).unwrap();
        let who = keys.examine(&token).unwrap();
        assert_eq!((who.name.as_str(), who.role, who.token_id), ("ada", Some(Role::Viewer), Some(id)));
        // The classic: what everybody knows, the public key, as the secret of HMAC.
        let header = json!({ "alg": "HS256", "kid": name });
        let forged = sign_hmac(&header, &everything(), public.trim_end().as_bytes());
        let refused = TokenError::Algorithm { found: "HS256".to_owned(), wanted: algorithm.as_str() };
        assert_eq!(keys.examine(&forged), Err(refused));
        // A good signature under another key's name.
        let key = SigningKey::from_pem(*algorithm, private.as_bytes()).unwrap().with_id("main");
        let (token, _) = key.mint(&wanted(), Timestamp::from_millis(START)).unwrap();
        assert!(matches!(keys.examine(&token), Err(TokenError::Algorithm { .. })), "{name}");
        // A part that was changed.
        let (head, signature) = token.rsplit_once('.').unwrap();
        assert!(keys.examine(&format!("{head}A.{signature}")).is_err());
        // The private half is not for the hub, and the public half signs nothing.
        bench.write("private", private);
        let wrong = format!("[[jwt]]\nalgorithm = \"{name}\"\npublic_key_file = \"private\"\n");
        assert!(bench.try_keys(&wrong).unwrap_err().to_string().contains("private key"), "{name}");
        assert!(SigningKey::from_pem(*algorithm, public.as_bytes()).is_err());
    }
}

#[test]
fn every_claim_that_is_wrong_is_named() {
    let bench = Bench::new();
    let keys = bench.keys(&format!("{MAIN}issuer = \"us\"\naudience = \"hub\"\n"));
    let header = json!({ "alg": "HS256", "kid": "main" });
    let claims = |changes: Value| {
        let mut claims = everything();
        claims["iss"] = json!("us");
        claims["aud"] = json!(["other", "hub"]);
        claims.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
        claims
    };
    let examine = |changes| keys.examine(&sign_hmac(&header, &claims(changes), SECRET));
    assert!(examine(json!({})).is_ok());
    assert!(examine(json!({ "aud": "hub" })).is_ok());
    for (changes, claim) in [
        (json!({ "exp": null }), "exp"),
        (json!({ "iss": null }), "iss"),
        (json!({ "iss": "them" }), "iss"),
        (json!({ "aud": null }), "aud"),
        (json!({ "aud": "other" }), "aud"),
        (json!({ "aud": 7 }), "aud"),
        (json!({ "role": "root" }), "role"),
        (json!({ "acts": ["all"] }), "acts"),
        (json!({ "pipelines": ["a b"] }), "pipelines"),
        (json!({ "pipelines": vec!["a"; 257] }), "pipelines"),
        (json!({ "pipelines": "*" }), "*"),
        (json!({ "exp": "soon" }), "*"),
        (json!({ "sub": "x".repeat(200) }), "sub"),
        (json!({ "jti": "x".repeat(200) }), "jti"),
    ] {
        match examine(changes.clone()) {
            Err(TokenError::Claim { claim: named, .. }) => assert_eq!(named, claim, "{changes}"),
            other => panic!("{changes}: {other:?}"),
        }
    }
    // A token for others is not for a hub that has no name.
    let nameless = bench.keys(MAIN);
    assert!(nameless.examine(&sign_hmac(&header, &claims(json!({})), SECRET)).is_err());
    let critical = json!({ "alg": "HS256", "kid": "main", "crit": ["x"] });
    assert_eq!(keys.examine(&sign_hmac(&critical, &claims(json!({})), SECRET)), Err(TokenError::Critical));
    for nonsense in ["", "a", "a.b", "a.b.c", "....", "e30.e30.e30", "é.é.é", &"a".repeat(9_000)] {
        assert!(keys.examine(nonsense).is_err(), "{nonsense}");
    }
    // Where there are several keys a token says which; where there is one it need not.
    let (unnamed, _) =
        SigningKey::from_secret(SECRET).unwrap().mint(&wanted(), Timestamp::from_millis(START)).unwrap();
    assert!(bench.keys(MAIN).examine(&unnamed).is_ok());
    let two = format!("{MAIN}{}", MAIN.replace("main", "other"));
    assert!(matches!(bench.keys(&two).examine(&unnamed), Err(TokenError::UnknownKid(_))));
}

#[test]
fn a_token_holds_from_its_beginning_to_its_end_and_five_seconds_to_each_side() {
    let bench = Bench::new();
    let keys = bench.keys(MAIN);
    let mut claims = everything();
    claims["nbf"] = json!(START / 1_000 + 10);
    claims["exp"] = json!(START / 1_000 + 60);
    let token = sign_hmac(&json!({ "alg": "HS256", "kid": "main" }), &claims, SECRET);
    assert_eq!(keys.examine(&token), Err(TokenError::NotYet));
    bench.clock.advance_millis(4_999);
    assert_eq!(keys.examine(&token), Err(TokenError::NotYet));
    bench.clock.advance_millis(1);
    let who = keys.examine(&token).unwrap();
    bench.clock.advance_millis(59_999);
    assert!(keys.examine(&token).is_ok() && keys.still_valid(&who));
    bench.clock.advance_millis(1);
    assert_eq!(keys.examine(&token), Err(TokenError::Expired));
    assert!(!keys.still_valid(&who));
}

#[test]
fn a_static_key_is_known_by_its_hash_and_does_what_the_file_says_now() {
    let bench = Bench::new();
    let key = NewKey::generate().unwrap();
    let entry = |more: &str| format!("[[key]]\nname = \"ci\"\nhash = \"{}\"\n{more}", key.hash);
    let keys =
        bench.keys(&entry("role = \"reporter\"\npipelines = [\"docs-*\"]\nexpires = 2027-01-15T08:00:10Z"));
    let who = keys.examine(&key.token).unwrap();
    assert_eq!((who.name.as_str(), who.token_id.as_deref()), ("ci", Some("ci")));
    let id = PipelineId::new("docs-1").unwrap();
    assert!(keys.allows(&who, Act::Report, Some(&id)) && !keys.allows(&who, Act::Forget, Some(&id)));
    assert!(!format!("{keys:?}{key:?}{who:?}").contains(&key.token), "a token is shown");
    let other = NewKey::generate().unwrap();
    assert_eq!(keys.examine(&other.token), Err(TokenError::UnknownKey));
    // Its hash is no key, nor are others of its form.
    assert!(keys.examine(&key.hash).is_err() && keys.examine(&key.token[..66]).is_err());
    // What the file grants later holds for who came before.
    keys.replace(&entry("acts = [\"forget\"]\npipelines = [\"docs-*\"]"), ".").unwrap();
    assert!(!keys.allows(&who, Act::Report, Some(&id)) && keys.allows(&who, Act::Forget, Some(&id)));
    // A file that is wrong changes nothing.
    assert!(keys.replace(&entry("role = \"root\""), ".").is_err());
    assert!(keys.still_valid(&who) && keys.allows(&who, Act::Forget, Some(&id)));
    keys.replace(&format!("revoked = [\"ci\"]\n{}", entry("role = \"admin\"")), ".").unwrap();
    assert_eq!(keys.examine(&key.token), Err(TokenError::Revoked));
    assert!(!keys.still_valid(&who));
    keys.replace(&entry("role = \"admin\"\nexpires = \"2020-01-01T00:00:00Z\""), ".").unwrap();
    assert_eq!(keys.examine(&key.token), Err(TokenError::Expired));
    assert!(!keys.still_valid(&who));
    keys.replace(&MAIN.replace("secret_file = \"secret\"", "secret_env = \"PATH\""), ".").ok();
    assert!(!keys.still_valid(&who), "its key is gone, or ended");
}

#[test]
fn a_file_that_makes_no_sense_says_where_and_shows_no_secret() {
    let bench = Bench::new();
    bench.write("short", "hunter2");
    bench.write("pem", &pair(Algorithm::ES256).1);
    let hash = NewKey::generate().unwrap().hash;
    for (text, says) in [
        (String::new(), "nobody could come in"),
        ("[[jwt]]\nalgorithm = \"HS256\"\nsecret = \"hunter2-hunter2\"\n".to_owned(), "line 3"),
        ("[[jwt]\n".to_owned(), "line 1"),
        (MAIN.replace("HS256", "none"), "[[jwt]] main: the algorithm must be one of"),
        (MAIN.replace("HS256", "ES256"), "takes one of `public_key_file`"),
        (MAIN.replace("secret\"\n", "short\"\n"), "at least 32 bytes, and this has 7"),
        (MAIN.replace("secret\"\n", "pem\"\n"), "HS256 takes a secret"),
        (MAIN.replace("secret\"\n", "missing\"\n"), "missing"),
        (MAIN.replace("secret_file = \"secret\"", "secret_env = \"RAGPULSE_NOT_SET\""), "RAGPULSE_NOT_SET"),
        (format!("{MAIN}{MAIN}"), "another key of this id"),
        (format!("{MAIN}{}", MAIN.replace("id = \"main\"\n", "")), "each has an `id`"),
        (
            "[[key]]\nname = \"a\"\nhash = \"sha256:00\"\nrole = \"admin\"".to_owned(),
            "[[key]] a: `hash` is sha256:",
        ),
        (format!("[[key]]\nname = \"a\"\nhash = \"{hash}\""), "neither `role` nor `acts`"),
        (format!("[[key]]\nname = \"a\"\nhash = \"{hash}\"\nrole = \"x\""), "`role`: 'x' must be one of"),
        (format!("[[key]]\nname = \"a\"\nhash = \"{hash}\"\nrole = \"admin\"\nexpires = 3"), "`expires`"),
        (format!("{MAIN}[redact]\nviewer = [\"name\"]"), "'name' cannot be redacted"),
        (format!("{MAIN}[redact]\nadmin = [\"path\"]"), "admin"),
        (format!("{MAIN}[redact]\nviewer = [\"path\"]\nreporter = [\"message\"]"), "the same fields"),
    ] {
        let error = bench.try_keys(&text).unwrap_err().to_string();
        assert!(error.contains(says), "{text}\n{error}");
        assert!(!error.contains("hunter2"), "{error}");
    }
    assert!(Keys::from_jwt_secret(b"short").is_err());
    assert!(Keys::from_file(bench.directory.path().join("none")).unwrap_err().to_string().contains("none"));
}

#[test]
fn a_token_is_explained_in_words_whether_or_not_it_is_taken() {
    let bench = Bench::new();
    let keys = bench.keys(&format!("revoked = [\"eve-1\"]\n{MAIN}"));
    let (token, id) = signing_key().mint(&wanted(), Timestamp::from_millis(START)).unwrap();
    let told = explain(&token, Some(&keys)).unwrap();
    assert_eq!(told.kind, "a JSON Web Token (HS256, key main)");
    assert_eq!((told.role.as_deref(), told.token_id), (Some("viewer"), Some(id)));
    assert_eq!((told.acts, told.pipelines), (vec!["view".into(), "history".into()], vec!["docs-*".into()]));
    assert_eq!((told.refused, told.checked), (None, true));
    let alone = explain(&token, None).unwrap();
    assert!(!alone.checked && alone.refused.is_none() && alone.name.as_deref() == Some("ada"));
    let gone = sign_hmac(&json!({ "alg": "HS256", "kid": "main" }), &everything(), SECRET);
    assert_eq!(explain(&gone, Some(&keys)).unwrap().refused, Some(TokenError::Revoked));
    let forged = json!({ "alg": "HS256", "kid": "\u{1b}[31m" });
    let told = explain(&sign_hmac(&forged, &everything(), SECRET), None).unwrap();
    assert!(!told.kind.contains('\u{1b}'), "{}", told.kind);
    assert!(explain("nonsense", Some(&keys)).is_err());
}
