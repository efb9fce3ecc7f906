//! A log in a Redis that speaks TLS: a server whose certificate is vouched for is let in, and no other.
#![cfg(feature = "redis")]
#![allow(clippy::unwrap_used)]

mod support;

use std::sync::Arc;

use ragpulse_server::Hub;
use ragpulse_server::log::RedisLog;
use ragpulse_server::log::redis::{OpenError, RedisOptions};
use rcgen::{CertificateParams, KeyPair};
use serde_json::json;
use support::redis::Redis;
use support::{TestHub, online};

#[tokio::test]
async fn a_server_is_let_in_by_its_certificate() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (certificate, key_file) = (path("cert.pem"), path("key.pem"));
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    let pem = params.self_signed(&key).unwrap().pem();
    std::fs::write(&certificate, &pem).unwrap();
    std::fs::write(&key_file, key.serialize_pem()).unwrap();
    let tls_port = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap().port()
    };
    let redis = Redis::start(&[
        "--tls-port",
        &tls_port.to_string(),
        "--tls-cert-file",
        &certificate,
        "--tls-key-file",
        &key_file,
        "--tls-ca-cert-file",
        &certificate,
        "--tls-auth-clients",
        "no",
    ]);

    let mut options = RedisOptions::new(format!("rediss://localhost:{tls_port}/1"));
    options.trusted = Some(pem.into_bytes());
    assert_eq!(options.place().unwrap(), format!("rediss://localhost:{tls_port}/1"));
    let log = RedisLog::open(options.clone()).await.unwrap();
    let hub = TestHub::on_log(Hub::builder(), Arc::new(log)).await;
    assert_eq!(hub.publish("p", json!([online()])).await["seq"], 1);
    hub.until("p", |state| state["seq"] == 1).await;

    // Nobody vouches for it.
    options.trusted = None;
    let error = RedisLog::open(options.clone()).await.unwrap_err();
    assert!(matches!(error, OpenError::NoServer { .. }), "{error:?}");
    assert!(error.to_string().contains("certificate"), "{error}");
    // It is vouched for under another name.
    let mut other = RedisOptions::new(format!("rediss://127.0.0.1:{tls_port}"));
    other.trusted = Some(std::fs::read(&certificate).unwrap());
    assert!(matches!(RedisLog::open(other).await, Err(OpenError::NoServer { .. })));
    // It does not speak TLS.
    let mut plain = options;
    plain.url = format!("rediss://localhost:{}", redis.port());
    assert!(matches!(RedisLog::open(plain).await, Err(OpenError::NoServer { .. })));
}
