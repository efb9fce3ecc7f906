//! The certificate: is TLS spoken at all, and would a client of this machine take what the server shows.
//!
//! *What may come in:* open connections, and what rustls says. *What it never does:* judge by the text of an error; go on over
//! a connection whose certificate is not good.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::pki_types::{ServerName, UnixTime};
use rustls::{AlertDescription, CertificateError, ClientConfig, Error, OtherError, RootCertStore};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio_rustls::TlsConnector;

use super::answer::{Trouble, millis, words_of};
use super::finding::{Fault, Finding};
use super::target::Target;
use super::trust::{Trust, TrustError};

/// A certificate that ends within this time is told of.
const SOON: Duration = Duration::from_secs(14 * 24 * 3600);

/// A connection that HTTP can be spoken on.
pub(super) trait Wire: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Wire for T {}

/// Opens a connection on which HTTP can be spoken, as the address asks for.
pub(super) async fn wire(target: &Target, addresses: &[SocketAddr]) -> Result<Box<dyn Wire>, Trouble> {
    let tcp = target.connect(addresses).await?;
    let Some(Ok(trust)) = &target.trust else { return Ok(Box::new(tcp)) };
    let name = server_name(target).map_err(Trouble::Broken)?;
    let handshake = TlsConnector::from(trust.config().clone()).connect(name, tcp);
    let stream = tokio::time::timeout(target.timeout, handshake).await.map_err(|_| Trouble::Timeout)?;
    Ok(Box::new(stream.map_err(|error| Trouble::Broken(error.to_string()))?))
}

fn server_name(target: &Target) -> Result<ServerName<'static>, String> {
    ServerName::try_from(target.host.clone()).map_err(|error| format!("'{}': {error}", target.host))
}

/// What rustls says, wherever it stands in an error of I/O.
fn tls_error(error: &std::io::Error) -> Option<&Error> {
    error.get_ref()?.downcast_ref::<Error>()
}

pub(super) async fn certificate(target: &Target, addresses: &[SocketAddr]) -> Finding {
    let trust = match &target.trust {
        None => return without(target),
        Some(Err(TrustError::File(why) | TrustError::Platform(why))) => {
            return Finding::failed(
                "tls_no_authorities",
                "loaded the authorities that this machine trusts",
                format!("this machine trusts no authority, so no certificate can be checked: {why}"),
            )
            .fault(Fault::Here)
            .advice(
                "Install them (Debian: the package ca-certificates), or name the hub's own authority by --ca FILE.",
            );
        }
        Some(Ok(trust)) => trust,
    };
    let tried = format!("a TLS handshake with {}:{}", target.host, target.port);
    let name = match server_name(target) {
        Ok(name) => name,
        Err(why) => {
            return Finding::failed(
                "tls_failed",
                tried,
                format!("no certificate can be for this name: {why}"),
            )
            .fault(Fault::Here)
            .advice("Correct the address.");
        }
    };
    let tcp = match target.connect(addresses).await {
        Ok(tcp) => tcp,
        Err(trouble) => return broken(tried, format!("the connection was not opened again: {trouble}")),
    };
    let start = Instant::now();
    let handshake = TlsConnector::from(trust.config().clone()).connect(name.clone(), tcp);
    let error = match tokio::time::timeout(target.timeout, handshake).await {
        Ok(Ok(_)) => return good(tried, trust, &name, start.elapsed()),
        Ok(Err(error)) => error,
        Err(_) => {
            let seen = format!("nothing came back within {}", words_of(target.timeout));
            if speaks_http(target, addresses).await {
                return plain_http(tried);
            }
            return Finding::failed("tls_timeout", tried, seen).fault(Fault::Proxy).advice(
                "The port takes connections, but no TLS. Look at what listens there, and at its log.",
            );
        }
    };
    match tls_error(&error) {
        Some(Error::InvalidCertificate(problem)) => refused(tried, target, trust, problem),
        // What TLS is not, and ends at once, may be HTTP.
        _ if !trust.was_shown_one() && speaks_http(target, addresses).await => plain_http(tried),
        Some(Error::AlertReceived(alert)) => alerted(tried, *alert),
        Some(Error::PeerIncompatible(why)) => Finding::failed(
            "tls_no_common_version",
            tried,
            format!("both sides speak TLS, but nothing in common: {why:?}"),
        )
        .fault(Fault::Proxy)
        .advice("Let what ends TLS speak TLS 1.2 or 1.3."),
        Some(other) => broken(tried, format!("the handshake failed: {other}")),
        None => broken(tried, format!("the connection broke in the handshake: {error}")),
    }
}

/// An address that asks for no TLS.
fn without(target: &Target) -> Finding {
    if target.token.is_some() && !target.is_loopback() {
        return Finding::warning(
            "tls_none_with_token",
            "looked at the address",
            "the address is http://, so the token travels readable to everybody on the way",
        )
        .fault(Fault::Here)
        .advice("Put TLS before the hub, and call it by https://.");
    }
    Finding::not_needed("the address is http://, so there is no TLS to look at")
}

fn good(tried: String, trust: &Trust, name: &ServerName<'_>, took: Duration) -> Finding {
    match trust.ends_within(name, SOON) {
        Some(end) => Finding::warning(
            "tls_expires_soon",
            tried,
            format!("the certificate is good, but ends on {}", date(end)),
        )
        .fault(Fault::Proxy)
        .advice("Renew it; if that happens by itself, find out why it has not.")
        .detail("not_after", date(end)),
        None => Finding::passed(tried, format!("the certificate is good ({})", words_of(took))),
    }
    .detail("took_ms", millis(took))
}

/// The certificate is not one that a client would take.
fn refused(tried: String, target: &Target, trust: &Trust, problem: &CertificateError) -> Finding {
    let now = date(UnixTime::now());
    match problem {
        CertificateError::ExpiredContext { not_after, .. } => Finding::failed(
            "tls_expired",
            tried,
            format!("the certificate ended on {} (this machine's clock says {now})", date(*not_after)),
        )
        .fault(Fault::Proxy)
        .advice("Renew the certificate where TLS ends, and load it there. If this machine's clock is wrong, set it.")
        .detail("not_after", date(*not_after)),
        CertificateError::NotValidYetContext { not_before, .. } => Finding::failed(
            "tls_not_yet_valid",
            tried,
            format!("the certificate begins on {} (this machine's clock says {now})", date(*not_before)),
        )
        .fault(Fault::Here)
        .advice("Look at this machine's clock first; else wait, or take another certificate.")
        .detail("not_before", date(*not_before)),
        CertificateError::NotValidForNameContext { presented, .. } => Finding::failed(
            "tls_wrong_name",
            tried,
            format!("the certificate is not for '{}', but for {}", target.host, names(presented)),
        )
        .fault(Fault::Proxy)
        .advice("Call the hub by a name that the certificate has, or issue one with this name (subjectAltName).")
        .detail("presented", presented.clone()),
        CertificateError::UnknownIssuer if trust.is_self_signed() => Finding::failed(
            "tls_self_signed",
            tried,
            "the certificate is signed by itself, and this machine does not trust it",
        )
        .fault(Fault::Proxy)
        .advice(
            "Take a certificate of an authority that clients trust. Where it is meant to be so, hand it to the clients \
             as an authority; doctor takes it by --ca FILE.",
        ),
        CertificateError::UnknownIssuer => Finding::failed(
            "tls_unknown_authority",
            tried,
            "the certificate comes from an authority that this machine does not know",
        )
        .fault(Fault::Proxy)
        .advice(
            "The server may leave out the certificates between its own and the authority's: let it send the full \
             chain. An authority of your own belongs into this machine's store; doctor takes it by --ca FILE.",
        ),
        // What `openssl req -x509` makes when it is not told otherwise: no client of rustls takes it, trusted or not.
        CertificateError::Other(other) if is_authoritys(other) => {
            let own = trust.is_self_signed();
            let (code, kind) = if own {
                ("tls_self_signed", "signed by itself and")
            } else {
                ("tls_bad_certificate", "not a server's, but")
            };
            Finding::failed(code, tried, format!("the certificate is {kind} an authority's (CA:TRUE)"))
                .fault(Fault::Proxy)
                .advice(
                    "Take a certificate of an authority that clients trust. Where it is meant to be signed by itself, issue \
                     it with basicConstraints CA:FALSE and hand it to the clients; doctor takes it by --ca FILE.",
                )
        }
        CertificateError::BadSignature => Finding::failed(
            "tls_unknown_authority",
            tried,
            "the certificate comes from an authority of the same name, but with another key, than one that this machine knows",
        )
        .fault(Fault::Proxy)
        .advice("An authority was made anew. Hand out its new certificate, or issue this one by the old."),
        CertificateError::Revoked => {
            Finding::failed("tls_revoked", tried, "the certificate was revoked by its authority")
                .fault(Fault::Proxy)
                .advice("Take a new certificate, and a new key.")
        }
        other => Finding::failed("tls_bad_certificate", tried, format!("the certificate is of no use: {other}"))
            .fault(Fault::Proxy)
            .advice("Issue it anew: as a server's certificate, by X.509 version 3, with its names as subjectAltName."),
    }
}

/// Whether it is the certificate of an authority, shown as a server's.
fn is_authoritys(other: &OtherError) -> bool {
    matches!(other.0.downcast_ref(), Some(webpki::Error::CaUsedAsEndEntity))
}

fn names(presented: &[String]) -> String {
    // As rustls has them: `DnsName("a.example")`.
    let names: Vec<_> =
        presented.iter().map(|name| name.split('"').nth(1).unwrap_or(name).to_owned()).collect();
    if names.is_empty() { "no name at all".to_owned() } else { names.join(", ") }
}

fn alerted(tried: String, alert: AlertDescription) -> Finding {
    let seen = format!("the server refuses the handshake: {alert:?}");
    match alert {
        AlertDescription::CertificateRequired | AlertDescription::AccessDenied => {
            Finding::failed("tls_client_certificate", tried, seen).fault(Fault::Proxy).advice(
                "It asks clients for certificates, which clients of a hub have not. Let it ask for none.",
            )
        }
        AlertDescription::UnrecognisedName => Finding::failed("tls_wrong_name", tried, seen)
            .fault(Fault::Proxy)
            .advice("The server knows no site of this name. Correct the address, or add the name there."),
        AlertDescription::ProtocolVersion | AlertDescription::HandshakeFailure => {
            Finding::failed("tls_no_common_version", tried, seen)
                .fault(Fault::Proxy)
                .advice("Let what ends TLS speak TLS 1.2 or 1.3.")
        }
        AlertDescription::NoApplicationProtocol => {
            Finding::failed("tls_no_http1", tried, seen).fault(Fault::Proxy).advice(
                "It does not offer HTTP/1.1, which WebSocket upgrades need. Let it offer that beside HTTP/2.",
            )
        }
        _ => {
            Finding::failed("tls_failed", tried, seen).fault(Fault::Proxy).advice("Look at the server's log.")
        }
    }
}

fn broken(tried: String, seen: String) -> Finding {
    Finding::failed("tls_failed", tried, seen)
        .fault(Fault::Proxy)
        .advice("Look at what listens there, and at its log: does it speak TLS, and has it a certificate?")
}

fn plain_http(tried: String) -> Finding {
    Finding::failed("tls_plain_http", tried, "the server speaks plain HTTP at this port, not TLS")
        .fault(Fault::Here)
        .advice("Call it by http://, or put what ends TLS at this port.")
}

/// Whether plain HTTP is spoken where TLS was expected. No token goes there.
async fn speaks_http(target: &Target, addresses: &[SocketAddr]) -> bool {
    let ask = async {
        let mut tcp = target.connect(addresses).await.ok()?;
        let request = format!("GET /health HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", target.host);
        tcp.write_all(request.as_bytes()).await.ok()?;
        let mut begin = [0; 5];
        tcp.read_exact(&mut begin).await.ok()?;
        (&begin == b"HTTP/").then_some(())
    };
    tokio::time::timeout(target.timeout, ask).await.is_ok_and(|found| found.is_some())
}

/// Whether TLS is spoken where plain HTTP was expected.
pub(super) async fn speaks_tls(target: &Target, addresses: &[SocketAddr]) -> bool {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let Ok(builder) = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()
    else {
        return false;
    };
    // Nobody is trusted: a certificate is refused, and that there is one is what was asked.
    let config = builder.with_root_certificates(RootCertStore::empty()).with_no_client_auth();
    let (Ok(name), Ok(tcp)) = (server_name(target), target.connect(addresses).await) else { return false };
    let handshake = TlsConnector::from(Arc::new(config)).connect(name, tcp);
    match tokio::time::timeout(target.timeout, handshake).await {
        Ok(Ok(_)) => true,
        Ok(Err(error)) => {
            matches!(tls_error(&error), Some(Error::InvalidCertificate(_) | Error::AlertReceived(_)))
        }
        Err(_) => false,
    }
}

fn date(time: UnixTime) -> String {
    let seconds = i64::try_from(time.as_secs()).unwrap_or(i64::MAX);
    jiff::Timestamp::from_second(seconds)
        .map_or_else(|_| "an unknown day".to_owned(), |time| time.to_string())
}
