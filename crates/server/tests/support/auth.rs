//! Keys and tokens of all kinds, good and bad, for the tests of who may come in.
#![allow(dead_code, unreachable_pub)]

use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ragpulse_protocol::Timestamp;
use ragpulse_server::auth::{Act, Keys, NewToken, Role, SigningKey};
use ragpulse_server::clock::{Clock, ManualClock};
use ragpulse_server::{Config, Hub};
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};

use super::{TestHub, file};

/// The secret of every hub here.
pub const SECRET: &[u8] = b"a secret of thirty-two bytes, or more";
/// When the time of the tests begins.
pub const START: i64 = 1_800_000_000_000;

/// A hub with keys, whose time stands until the test moves it.
pub struct Guarded {
    pub hub: TestHub,
    pub keys: Arc<Keys>,
    pub clock: ManualClock,
    directory: tempfile::TempDir,
}

impl Guarded {
    /// `more` stands in the key file before the key that signs.
    pub async fn start(more: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("secret"), SECRET).unwrap();
        let clock = ManualClock::new(Timestamp::from_millis(START));
        let keys = Keys::from_toml(&text(more), directory.path()).unwrap().with_clock(clock.clone());
        let keys = Arc::new(keys);
        let mut config = Config::default();
        config.metrics = true;
        let builder = Hub::builder().config(config).clock(clock.clone()).authoriser(keys.clone());
        let hub = TestHub::with(builder).await;
        Self { hub, keys, clock, directory }
    }

    /// Takes other keys, as the operator would.
    pub fn reload(&self, more: &str) {
        self.keys.replace(&text(more), self.directory.path()).unwrap();
    }

    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// A token of an hour and its id.
    pub fn mint(&self, role: Role, pipelines: &[&str]) -> (String, String) {
        self.mint_for(role, pipelines, Duration::from_secs(3_600))
    }

    pub fn mint_for(&self, role: Role, pipelines: &[&str], ttl: Duration) -> (String, String) {
        let pipelines = pipelines.iter().map(ToString::to_string).collect();
        let wanted = NewToken { name: role.to_string(), role: Some(role), acts: None, pipelines, ttl };
        signing_key().mint(&wanted, self.now()).unwrap()
    }

    /// A token that may do these and nothing else.
    pub fn mint_acts(&self, acts: &[Act], pipelines: &[&str]) -> String {
        let pipelines = pipelines.iter().map(ToString::to_string).collect();
        let ttl = Duration::from_secs(3_600);
        let wanted =
            NewToken { name: "acts".to_owned(), role: None, acts: Some(acts.to_vec()), pipelines, ttl };
        signing_key().mint(&wanted, self.now()).unwrap().0
    }

    pub fn admin(&self) -> String {
        self.mint(Role::Admin, &["*"]).0
    }

    pub fn ask(&self, method: Method, path: &str, token: Option<&str>, body: &Value) -> RequestBuilder {
        let request = self.hub.http.request(method, self.hub.url(path));
        let request = request.header("content-type", "application/json").body(body.to_string());
        match token {
            Some(token) => request.bearer_auth(token),
            None => request,
        }
    }

    /// Reports by somebody who may.
    pub async fn publish(&self, pipeline: &str, events: Value) {
        let path = format!("/api/pipelines/{pipeline}/events");
        let answer = self.ask(Method::POST, &path, Some(&self.admin()), &events).send().await.unwrap();
        let (status, body) = super::answer(answer).await;
        assert_eq!(status, 200, "{body}");
    }

    /// Opens a pipeline with a file.
    pub async fn open(&self, pipeline: &str) {
        self.publish(pipeline, json!([super::online(), file("file:processing", "a")])).await;
    }

    /// Where a pipeline is.
    pub async fn cursor(&self, pipeline: &str) -> (String, u64) {
        let path = format!("/api/pipelines/{pipeline}/events");
        let answer = self.ask(Method::GET, &path, Some(&self.admin()), &Value::Null).send().await.unwrap();
        let (_, body) = super::answer(answer).await;
        (body["epoch"].as_str().unwrap_or("e").to_owned(), body["seq"].as_u64().unwrap_or(0))
    }
}

fn text(more: &str) -> String {
    format!("{more}\n[[jwt]]\nid = \"main\"\nalgorithm = \"HS256\"\nsecret_file = \"secret\"\n")
}

pub fn signing_key() -> SigningKey {
    SigningKey::from_secret(SECRET).unwrap().with_id("main")
}

/// A token of these claims, signed by this.
pub fn sign(header: &Value, claims: &Value, sign: impl FnOnce(&[u8]) -> Vec<u8>) -> String {
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let message = format!("{}.{}", part(header), part(claims));
    let signature = URL_SAFE_NO_PAD.encode(sign(message.as_bytes()));
    format!("{message}.{signature}")
}

/// A token that is right in everything but perhaps its header, signed by HMAC.
pub fn sign_hmac(header: &Value, claims: &Value, secret: &[u8]) -> String {
    use aws_lc_rs::hmac::{HMAC_SHA256, Key};
    sign(header, claims, |message| {
        aws_lc_rs::hmac::sign(&Key::new(HMAC_SHA256, secret), message).as_ref().to_vec()
    })
}

/// Claims that allow everything for an hour from the start.
pub fn everything() -> Value {
    json!({ "sub": "eve", "role": "admin", "pipelines": ["*"], "exp": START / 1_000 + 3_600, "jti": "eve-1" })
}
