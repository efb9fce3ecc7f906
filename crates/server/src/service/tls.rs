//! TLS: a certificate with its key, read from files, and read again when asked to.
//!
//! *What may come in:* PEM files of whoever runs the hub. *What it never does:* go on with a certificate and a key that do
//! not belong together; lose the ones it has for new ones that are wrong.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::RwLock;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{InconsistentKeys, ServerConfig};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

/// Why a certificate or its key cannot be used. The text names the file and what to do.
#[derive(Debug, thiserror::Error)]
#[error("{path}: {problem}", path = .path.display())]
pub struct TlsError {
    /// The file.
    pub path: PathBuf,
    /// What is wrong, and what would be right.
    pub problem: String,
}

/// A certificate with its key. Cheap to clone; all clones have the same.
#[derive(Clone)]
pub struct Tls(Arc<Inner>);

struct Inner {
    certificate: PathBuf,
    key: PathBuf,
    now: RwLock<Arc<ServerConfig>>,
}

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tls").field("certificate", &self.0.certificate).finish_non_exhaustive()
    }
}

impl Tls {
    /// Reads a certificate, with those that vouch for it after it, and its key, both as PEM. Reads files, so not in a task.
    ///
    /// # Errors
    /// [`TlsError`], where a file cannot be read or holds something else, or they do not belong together.
    pub fn from_files(certificate: impl Into<PathBuf>, key: impl Into<PathBuf>) -> Result<Self, TlsError> {
        let (certificate, key) = (certificate.into(), key.into());
        let now = RwLock::new(read(&certificate, &key)?);
        Ok(Self(Arc::new(Inner { certificate, key, now })))
    }

    /// Reads the files again, for the connections that come from now on. Those that are open go on with what they have.
    ///
    /// # Errors
    /// As [`from_files`](Self::from_files); then everything stays as it was.
    pub fn reload(&self) -> Result<(), TlsError> {
        let new = read(&self.0.certificate, &self.0.key)?;
        *self.0.now.write() = new;
        Ok(())
    }

    /// Shakes hands.
    pub(super) async fn accept<S>(&self, stream: S) -> io::Result<TlsStream<S>>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let config = self.0.now.read().clone();
        TlsAcceptor::from(config).accept(stream).await
    }
}

fn read(certificate: &Path, key: &Path) -> Result<Arc<ServerConfig>, TlsError> {
    let wrong = |path: &Path, problem: String| TlsError { path: path.to_owned(), problem };
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_file_iter(certificate)
        .and_then(Iterator::collect)
        .map_err(|error| wrong(certificate, unreadable(&error)))?;
    if chain.is_empty() {
        let problem =
            "there is no certificate in it; it has to be PEM, between BEGIN CERTIFICATE and END CERTIFICATE";
        return Err(wrong(certificate, problem.to_owned()));
    }
    let private = PrivateKeyDer::from_pem_file(key).map_err(|error| match error {
        pem::Error::NoItemsFound => {
            let problem = "there is no private key in it that can be read; it has to be PEM and not encrypted, between \
                           BEGIN PRIVATE KEY and END PRIVATE KEY";
            wrong(key, problem.to_owned())
        }
        error => wrong(key, unreadable(&error)),
    })?;
    let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, private))
        .map_err(|error| match error {
            rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => {
                let problem = format!("this key is not that of the certificate in {}", certificate.display());
                wrong(key, problem)
            }
            rustls::Error::InvalidCertificate(error) => {
                wrong(certificate, format!("the certificate in it cannot be used: {error}"))
            }
            error => wrong(key, format!("the key in it cannot be used: {error}")),
        })?;
    let mut config = config;
    // What is served: Socket.IO's upgrade needs HTTP/1.1.
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

fn unreadable(error: &pem::Error) -> String {
    match error {
        pem::Error::Io(error) => format!("it cannot be read: {error}"),
        error => format!("it is no PEM file: {error}"),
    }
}
