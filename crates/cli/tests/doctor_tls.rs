//! `ragpulse doctor` and certificates: each of which is wrong in one way, before a real hub.
#![allow(clippy::unwrap_used)]

mod doctor_support;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use doctor_support::{Hub, doctor};
use jiff::{Timestamp, ToSpan};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, date_time_ymd};
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

/// An authority with its file.
struct Authority {
    issuer: Issuer<'static, KeyPair>,
    file: PathBuf,
    _folder: tempfile::TempDir,
}

impl Authority {
    fn new() -> Self {
        Self::named("An authority of a test")
    }

    fn named(name: &str) -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("authority.pem");
        std::fs::write(&file, certificate.pem()).unwrap();
        Self { issuer: Issuer::new(params, key), file, _folder: folder }
    }

    fn issue(&self, params: &CertificateParams) -> Shown {
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        (certificate.der().clone(), PrivateKeyDer::try_from(key.serialize_der()).unwrap())
    }

    fn file(&self) -> &str {
        self.file.to_str().unwrap()
    }
}

type Shown = (CertificateDer<'static>, PrivateKeyDer<'static>);

fn params(name: &str) -> CertificateParams {
    let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
    params.distinguished_name.push(DnType::CommonName, "A server of a test");
    params.not_before = date_time_ymd(2020, 1, 1);
    params.not_after = date_time_ymd(2090, 1, 1);
    params
}

/// A certificate that is signed by itself.
fn by_itself(params: &CertificateParams) -> Shown {
    let key = KeyPair::generate().unwrap();
    let own = params.self_signed(&key).unwrap();
    (own.der().clone(), PrivateKeyDer::try_from(key.serialize_der()).unwrap())
}

/// Ends TLS before a hub. Gives the address by the name that certificates are for.
async fn tls(hub: SocketAddr, (certificate, key): Shown) -> String {
    let config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        loop {
            let (client, _) = listener.accept().await.unwrap();
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                // A handshake that fails is what is tested.
                let mut client = acceptor.accept(client).await.ok()?;
                let mut hub = TcpStream::connect(hub).await.ok()?;
                copy_bidirectional(&mut client, &mut hub).await.ok()
            });
        }
    });
    format!("https://localhost:{port}")
}

/// A hub that goes on while something is before it.
async fn before_a_hub(shown: Shown) -> (Hub, String) {
    let hub = Hub::start().await;
    let url = tls(hub.address, shown).await;
    (hub, url)
}

#[tokio::test]
async fn doctor_takes_a_good_certificate() {
    let authority = Authority::new();
    let (_hub, url) = before_a_hub(authority.issue(&params("localhost"))).await;
    let said = doctor(&url, &["--ca", authority.file()]).await;
    assert_eq!((said.exit, said.failed()), (0, vec![]), "{}", said.text);
    for check in ["certificate", "upgrade", "socket", "stream"] {
        assert_eq!(said.code(check), "ok", "{}", said.text);
    }
}

#[tokio::test]
async fn doctor_names_a_certificate_of_another_name() {
    let authority = Authority::new();
    let (_hub, url) = before_a_hub(authority.issue(&params("other.example"))).await;
    let said = doctor(&url, &["--ca", authority.file()]).await;
    said.names("certificate", "tls_wrong_name", "proxy", "is not for 'localhost', but for other.example");
    assert_eq!(said.failed(), ["certificate"]);
    assert_eq!(said.finding("clock")["because"], "certificate");
}

#[tokio::test]
async fn doctor_names_a_certificate_of_another_time() {
    let authority = Authority::new();
    let mut old = params("localhost");
    old.not_after = date_time_ymd(2021, 2, 3);
    let (_hub, url) = before_a_hub(authority.issue(&old)).await;
    let said = doctor(&url, &["--ca", authority.file()]).await;
    said.names("certificate", "tls_expired", "proxy", "ended on 2021-02-03");

    let mut young = params("localhost");
    young.not_before = date_time_ymd(2089, 1, 1);
    let (_hub, url) = before_a_hub(authority.issue(&young)).await;
    let said = doctor(&url, &["--ca", authority.file()]).await;
    said.names("certificate", "tls_not_yet_valid", "here", "begins on 2089-01-01");

    let mut ending = params("localhost");
    let end = (Timestamp::now() + 72.hours()).to_zoned(jiff::tz::TimeZone::UTC).date();
    ending.not_after =
        date_time_ymd(end.year().into(), end.month().try_into().unwrap(), end.day().try_into().unwrap());
    let (_hub, url) = before_a_hub(authority.issue(&ending)).await;
    let said = doctor(&url, &["--ca", authority.file()]).await;
    said.warns("certificate", "tls_expires_soon", &format!("ends on {end}"));
    assert_eq!(said.exit, 0, "{}", said.text);
}

#[tokio::test]
async fn doctor_names_a_certificate_that_nobody_vouches_for() {
    let (authority, other) = (Authority::new(), Authority::named("Another one"));
    let (_hub, url) = before_a_hub(authority.issue(&params("localhost"))).await;
    let said = doctor(&url, &["--ca", other.file()]).await;
    said.names("certificate", "tls_unknown_authority", "proxy", "does not know");
    // An authority that was made anew has the old one's name, but another key.
    let said = doctor(&url, &["--ca", Authority::new().file()]).await;
    said.names("certificate", "tls_unknown_authority", "proxy", "of the same name, but with another key");

    let (_hub, url) = before_a_hub(by_itself(&params("localhost"))).await;
    let said = doctor(&url, &["--ca", other.file()]).await;
    said.names("certificate", "tls_self_signed", "proxy", "signed by itself");
    // As openssl makes them when it is not told otherwise.
    let mut as_authority = params("localhost");
    as_authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let (_hub, url) = before_a_hub(by_itself(&as_authority)).await;
    let said = doctor(&url, &["--ca", other.file()]).await;
    said.names("certificate", "tls_self_signed", "proxy", "CA:TRUE");
}

#[tokio::test]
async fn doctor_names_http_where_tls_should_be_and_the_other_way_round() {
    let authority = Authority::new();
    let (hub, url) = before_a_hub(authority.issue(&params("localhost"))).await;
    let said =
        doctor(&format!("https://localhost:{}", hub.address.port()), &["--ca", authority.file()]).await;
    said.names("certificate", "tls_plain_http", "here", "speaks plain HTTP");
    let said = doctor(&url.replace("https", "http"), &[]).await;
    said.names("http", "http_speaks_tls", "here", "speaks TLS");
    assert_eq!(said.failed(), ["http"]);
}
