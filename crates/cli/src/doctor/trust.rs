//! What is trusted over TLS: what reqwest trusts on this machine, and authorities from a file. It keeps what a server showed,
//! so that a refusal can be explained.
//!
//! *What it never does:* accept what the platform's verifier refuses.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, Error, SignatureScheme};
use rustls_platform_verifier::Verifier;

/// Why there is nothing to trust.
#[derive(Debug)]
pub(super) enum TrustError {
    /// The file of authorities is of no use.
    File(String),
    /// This machine has no authorities.
    Platform(String),
}

/// What is trusted.
#[derive(Debug)]
pub(super) struct Trust {
    witness: Arc<Witness>,
    config: Arc<ClientConfig>,
}

/// The chain that a server showed, its own certificate first.
type Chain = Vec<CertificateDer<'static>>;

/// Passes a question on, and remembers what it was about.
#[derive(Debug)]
struct Witness {
    inner: Arc<dyn ServerCertVerifier>,
    shown: Mutex<Chain>,
}

impl Trust {
    /// What this machine trusts, and what stands in a PEM file.
    pub(super) fn new(ca: Option<&Path>) -> Result<Self, TrustError> {
        let extra = match ca {
            Some(path) => read(path)?,
            None => Vec::new(),
        };
        let provider = Arc::new(default_provider());
        let verifier = if extra.is_empty() {
            Verifier::new(provider.clone())
        } else {
            Verifier::new_with_extra_roots(extra, provider.clone())
        };
        let verifier = verifier.map_err(|error| match ca {
            Some(path) => TrustError::File(format!("--ca {}: {error}", path.display())),
            None => TrustError::Platform(error.to_string()),
        })?;
        let witness = Arc::new(Witness { inner: Arc::new(verifier), shown: Mutex::default() });
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| TrustError::Platform(error.to_string()))?
            .dangerous()
            .with_custom_certificate_verifier(witness.clone())
            .with_no_client_auth();
        // WebSocket upgrades are of HTTP/1.1.
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        // Each connection shows its certificate anew.
        config.resumption = rustls::client::Resumption::disabled();
        Ok(Self { witness, config: Arc::new(config) })
    }

    pub(super) fn config(&self) -> &Arc<ClientConfig> {
        &self.config
    }

    /// Whether the last server showed any certificate.
    pub(super) fn was_shown_one(&self) -> bool {
        !self.witness.shown().is_empty()
    }

    /// Whether the last server's certificate was issued by itself.
    pub(super) fn is_self_signed(&self) -> bool {
        let shown = self.witness.shown();
        let certificate = shown.first().map(webpki::EndEntityCert::try_from);
        certificate.is_some_and(|parsed| parsed.is_ok_and(|parsed| parsed.issuer() == parsed.subject()))
    }

    /// When the last server's certificate ends, if that is within this time.
    pub(super) fn ends_within(&self, name: &ServerName<'_>, time: Duration) -> Option<UnixTime> {
        let shown = self.witness.shown();
        let (own, rest) = shown.split_first()?;
        let then = UnixTime::since_unix_epoch(Duration::from_secs(UnixTime::now().as_secs()) + time);
        match self.witness.inner.verify_server_cert(own, rest, name, &[], then) {
            Err(Error::InvalidCertificate(CertificateError::ExpiredContext { not_after, .. })) => {
                Some(not_after)
            }
            _ => None,
        }
    }
}

impl Witness {
    fn shown(&self) -> Chain {
        self.shown.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl ServerCertVerifier for Witness {
    fn verify_server_cert(
        &self,
        own: &CertificateDer<'_>,
        rest: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let chain = std::iter::once(own).chain(rest).map(|part| part.clone().into_owned()).collect();
        *self.shown.lock().unwrap_or_else(PoisonError::into_inner) = chain;
        self.inner.verify_server_cert(own, rest, name, ocsp, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        own: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.inner.verify_tls12_signature(message, own, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        own: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.inner.verify_tls13_signature(message, own, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.inner.supported_verify_schemes()
    }
}

fn read(path: &Path) -> Result<Chain, TrustError> {
    let wrong = |why: String| TrustError::File(format!("--ca {}: {why}", path.display()));
    let found = CertificateDer::pem_file_iter(path).map_err(|error| wrong(format!("{error}")))?;
    let found: Chain = found.collect::<Result<_, _>>().map_err(|error| wrong(format!("{error}")))?;
    if found.is_empty() {
        return Err(wrong("there is no certificate in it; PEM is what it should be".to_owned()));
    }
    Ok(found)
}
