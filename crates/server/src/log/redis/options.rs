//! How a log in Redis is opened: where it is, how its keys are named, what it keeps. And why one was not opened, in words for the person
//! who started the hub: never with a password in them.

use std::sync::Arc;
use std::time::Duration;

use redis::{Client, ConnectionAddr, IntoConnectionInfo, TlsCertificates};

use super::keys::{Keys, MOST_SHARDS};
use super::reply::Fault;
use super::session::REPLICA;
use crate::clock::Clock;
use crate::config::HubLimits;
use crate::log::Retention;

/// How to open a log in Redis or Valkey.
#[derive(Clone)]
#[non_exhaustive]
pub struct RedisOptions {
    /// `redis://[USER:PASSWORD@]HOST[:PORT][/DATABASE]`, `rediss://…` for TLS, or `redis+unix:///PATH?db=…&user=…&pass=…`.
    pub url: String,
    /// What the names of all keys begin with, within a brace for clusters. Hubs with the same are one. Default `ragpulse`.
    pub prefix: String,
    /// Over how many parts the pipelines are spread, 1 to 99. It is written down with the first event, and another number refused.
    /// Default 16.
    pub shards: u16,
    /// How long history is kept, as in other stores.
    pub retention: Retention,
    /// The most bytes of events that a pipeline keeps, since they are in memory. Default 1 GiB.
    pub bytes_per_pipeline: u64,
    /// How many files of a pipeline are listed.
    pub limits: HubLimits,
    /// Begins new epochs: for a backup that was put in place of the store, and lacks the last of what subscribers have seen. Default no.
    pub new_epochs: bool,
    /// The certificates, as PEM, of who may vouch for the server, in place of those of the system. Only for `rediss://`.
    pub trusted: Option<Vec<u8>>,
    /// The clock of leases and ages. Default: Redis's for leases, so that all hubs have one, and the machine's for the age of events.
    pub clock: Option<Arc<dyn Clock>>,
    /// Where no hub looked at leases for so long, they all begin anew: nobody could have been heard. Default 5 seconds.
    pub unwatched: Duration,
}

impl RedisOptions {
    /// The defaults, with the server at `url`.
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            prefix: "ragpulse".to_owned(),
            shards: 16,
            retention: Retention::default(),
            bytes_per_pipeline: 1 << 30,
            limits: HubLimits::default(),
            new_epochs: false,
            trusted: None,
            clock: None,
            unwatched: Duration::from_secs(5),
        }
    }

    /// Where it is, for people: without user and password.
    ///
    /// # Errors
    /// When the URL is none.
    pub fn place(&self) -> Result<String, OpenError> {
        let info = self.url.as_str().into_connection_info().map_err(|error| self.bad_url(&error))?;
        let scheme = match info.addr() {
            ConnectionAddr::TcpTls { .. } => "rediss://",
            ConnectionAddr::Unix(_) => "redis+unix://",
            _ => "redis://",
        };
        Ok(format!("{scheme}{}/{}", info.addr(), info.redis_settings().db()))
    }

    pub(super) fn keys(&self) -> Result<Keys, OpenError> {
        Keys::new(&self.prefix, self.shards).ok_or_else(|| OpenError::Option {
            why: format!(
                "a prefix has at least one character and no braces, and there are 1 to {MOST_SHARDS} shards; '{}' and {} were given",
                self.prefix, self.shards
            ),
        })
    }

    pub(super) fn client(&self) -> Result<Client, OpenError> {
        let info = self.url.as_str().into_connection_info().map_err(|error| self.bad_url(&error))?;
        match info.addr() {
            ConnectionAddr::TcpTls { insecure: true, .. } => {
                let why = "certificates are always checked; leave out `#insecure`".to_owned();
                return Err(OpenError::Option { why });
            }
            ConnectionAddr::TcpTls { .. } => {
                // The client takes that of the process, and there is one only. Somebody may have said so already.
                let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
                if self.trusted.is_some() {
                    let trusted = TlsCertificates { client_tls: None, root_cert: self.trusted.clone() };
                    return Client::build_with_tls(info, trusted).map_err(|error| OpenError::Option {
                        why: format!("the certificates that are to be trusted cannot be read: {error}"),
                    });
                }
            }
            _ => {}
        }
        Client::open(info).map_err(|error| self.bad_url(&error))
    }

    fn bad_url(&self, error: &redis::RedisError) -> OpenError {
        OpenError::Option {
            why: format!(
                "{error}; give redis://HOST:PORT/DATABASE, rediss:// for TLS, or redis+unix:///PATH, with USER:PASSWORD@ before the host \
                 where it asks for them"
            ),
        }
    }
}

impl std::fmt::Debug for RedisOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RedisOptions")
            .field("place", &self.place().ok())
            .field("prefix", &self.prefix)
            .field("shards", &self.shards)
            .field("retention", &self.retention)
            .finish_non_exhaustive()
    }
}

/// Why a log in Redis was not opened. Nothing there was changed.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// What was asked for makes no sense.
    #[error("{why}")]
    Option {
        /// What is wrong, and what would be right.
        why: String,
    },
    /// No server answers there.
    #[error("no Redis answers at {place}: {cause}. Is it running, and is this its address?")]
    NoServer {
        /// Where.
        place: String,
        /// What the connection ended with.
        cause: String,
    },
    /// The server does not let us in.
    #[error(
        "the Redis at {place} refuses this user and password: {cause}. Give them in the URL: redis://USER:PASSWORD@HOST"
    )]
    Login {
        /// Where.
        place: String,
        /// What it said.
        cause: String,
    },
    /// The server follows another one, and takes no writes.
    #[error("the Redis at {place} is a replica, which takes no writes; name the primary")]
    Replica {
        /// Where.
        place: String,
    },
    /// The server, or what is stored there, cannot be used.
    #[error("the Redis at {place} cannot keep this log: {why}")]
    Unfit {
        /// Where.
        place: String,
        /// Why, and what to do.
        why: String,
    },
}

impl OpenError {
    pub(super) fn opening(place: &str, fault: Fault) -> Self {
        let place = place.to_owned();
        match fault {
            Fault::Gone(why) if why == REPLICA => Self::Replica { place },
            Fault::Gone(cause) => Self::NoServer { place, cause },
            Fault::Login(cause) => Self::Login { place, cause },
            fault => Self::Unfit { place, why: fault.to_string() },
        }
    }
}
