//! `ragpulse serve`: a hub with its dashboard.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::{Args, ValueEnum};
use ragpulse_protocol::PipelineType;
use ragpulse_protocol::http::TransportFlag;
use ragpulse_server::service::{Server, Tls};
use ragpulse_server::{BuildError, Config, Hub, HubParts, Keys};
use tokio::net::TcpListener;

use crate::failure::Failure;
use crate::limits::{self, LimitOptions};
use crate::logs::LogOptions;
use crate::signals;
use crate::store::{self, StoreOptions};
use crate::token;

/// How long a close may take.
const CLOSE_WITHIN: Duration = Duration::from_secs(5);

#[derive(Args)]
pub(crate) struct Options {
    /// Where to listen. Without keys only loopback addresses are taken.
    #[arg(long, env = "RAGPULSE_LISTEN", default_value = "127.0.0.1:8103")]
    listen: SocketAddr,
    #[command(flatten)]
    store: StoreOptions,
    /// Who may come in: a file of keys (docs/guides/authentication.md), read again on SIGHUP. Without it the secret in
    /// RAGPULSE_JWT_SECRET, where it is set, signs tokens by HS256; without both everybody may do everything.
    #[arg(long, env = "RAGPULSE_KEYS", value_name = "FILE")]
    keys: Option<PathBuf>,
    /// Without keys: listen beyond loopback although everybody who reaches the port may then see and report everything.
    #[arg(long)]
    insecure: bool,
    #[command(flatten)]
    doors: DoorOptions,
    #[command(flatten)]
    tls: TlsOptions,
    #[command(flatten)]
    advice: AdviceOptions,
    #[command(flatten)]
    limits: LimitOptions,
    #[command(flatten)]
    pub(crate) log: LogOptions,
    /// A type with a reference namespace of its own. May be given several times; default google_drive, local_files.
    #[arg(long = "reference-type", value_name = "TYPE")]
    reference_types: Vec<PipelineType>,
}

/// Who may come in.
#[derive(Args, Clone, Default)]
pub(crate) struct DoorOptions {
    /// A name by which this hub may be called, beside loopback. May be given several times.
    #[arg(long = "host", env = "RAGPULSE_HOST", value_name = "NAME", value_delimiter = ',')]
    hosts: Vec<String>,
    /// An origin whose pages may use this hub, such as https://app.example. May be given several times.
    #[arg(long = "cors-origin", env = "SOCKET_IO_CORS_ORIGIN", value_name = "ORIGIN", value_delimiter = ',')]
    origins: Vec<String>,
}

/// By what connections are kept secret.
#[derive(Args, Clone)]
struct TlsOptions {
    /// Speak TLS with this certificate: PEM, those that vouch for it after it. Read again on SIGHUP.
    #[arg(long, env = "RAGPULSE_TLS_CERT", value_name = "FILE", requires = "tls_key", help_heading = "TLS")]
    tls_cert: Option<PathBuf>,
    /// The certificate's private key: PEM, not encrypted.
    #[arg(long, env = "RAGPULSE_TLS_KEY", value_name = "FILE", requires = "tls_cert", help_heading = "TLS")]
    tls_key: Option<PathBuf>,
}

impl TlsOptions {
    fn read(self) -> Result<Option<Tls>, Failure> {
        let (Some(certificate), Some(key)) = (self.tls_cert, self.tls_key) else { return Ok(None) };
        Tls::from_files(certificate, key).map(Some).map_err(|error| Failure::usage(format!("TLS: {error}")))
    }
}

/// How clients are told to follow.
#[derive(Args, Clone, Copy)]
pub(crate) struct AdviceOptions {
    /// By what clients are told to follow.
    #[arg(long, env = "RAGPULSE_TRANSPORT", value_enum, default_value = "auto")]
    transport: Transport,
    /// How many of a hundred clients are told to use the socket; the others poll.
    #[arg(
        long,
        alias = "rollout",
        env = "RAGPULSE_ROLLOUT_PERCENTAGE",
        value_name = "0..100",
        default_value_t = 100
    )]
    #[arg(value_parser = clap::value_parser!(u8).range(0..=100))]
    rollout_percentage: u8,
}

#[derive(Clone, Copy, ValueEnum)]
enum Transport {
    Auto,
    Websocket,
    Polling,
}

pub(crate) async fn run(options: Options) -> Result<(), Failure> {
    let keys = token::keys(options.keys.as_deref())?.map(Arc::new);
    let only_lists = options.limits.list;
    if keys.is_none() && !only_lists && !options.listen.ip().is_loopback() && !options.insecure {
        return Err(Failure::usage(format!(
            "--listen {}: without keys this hub asks nobody who they are, so it listens on loopback addresses only; give \
             it keys by --keys FILE (make one by `ragpulse token new`), or insist with --insecure",
            options.listen
        )));
    }
    let mut config = config(&options.doors, options.advice);
    config.metrics = true;
    options.limits.apply(&mut config)?;
    if options.limits.list {
        return limits::list(&config);
    }
    let tls = options.tls.read()?;
    let fewer = limits::fit_descriptors(&mut config);
    if !options.reference_types.is_empty() {
        config.reference_types = options.reference_types;
    }
    let listener = bind(options.listen).await?;
    let address = address_of(&listener)?;
    let limits = config.limits.clone();
    let store = store::open(options.store, limits).await?;
    let name = store.name;
    let mut builder = Hub::builder().config(config).log(store.log);
    if let Some(keys) = &keys {
        builder = builder.authoriser(keys.clone());
    }
    let parts = builder.open().await.map_err(|error| match error {
        BuildError::Config(error) => Failure::usage(error.to_string()),
        error => Failure::new(error.to_string()),
    })?;
    if let Some(keys) = keys {
        signals::on_hangup({
            let hub = parts.hub.clone();
            move || reload(&keys, &hub)
        });
    }
    let mut server = Server::default();
    let scheme = if tls.is_some() { "https" } else { "http" };
    if let Some(tls) = tls {
        server = server.tls(tls.clone());
        signals::on_hangup(move || read_again(&tls));
    }
    println!("RagPulse is at {scheme}://{address}  (store: {name})");
    if let Some(descriptors) = fewer {
        limits::tell_descriptors(descriptors, options.limits.sets("tcp_connections"));
    }
    server
        .serve(listener, parts, signals::stop(), CLOSE_WITHIN)
        .await
        .map_err(|error| Failure::new(format!("the listener failed: {error}")))
}

/// Reads the keys again. Those that are wrong change nothing.
fn reload(keys: &Keys, hub: &Hub) {
    match keys.reload() {
        Ok(()) => {
            let now = keys.counts();
            tracing::info!(
                target: "ragpulse::audit", act = "reload", outcome = "done",
                jwt = now.jwt, fixed = now.fixed, revoked = now.revoked,
            );
            hub.review_rights();
        }
        Err(error) => tracing::error!(
            target: "ragpulse::audit", act = "reload", outcome = "failed", %error, "the keys stay as they were"
        ),
    }
}

/// Reads the certificate again. One that is wrong changes nothing.
fn read_again(tls: &Tls) {
    match tls.reload() {
        Ok(()) => tracing::info!(target: "ragpulse::audit", act = "reload_tls", outcome = "done"),
        Err(error) => tracing::error!(
            target: "ragpulse::audit", act = "reload_tls", outcome = "failed", %error, "the certificate stays as it was"
        ),
    }
}

/// The settings of a hub with its dashboard.
pub(crate) fn config(doors: &DoorOptions, advice: AdviceOptions) -> Config {
    let mut config = Config::default();
    config.dashboard = true;
    config.hosts.clone_from(&doors.hosts);
    config.origins.clone_from(&doors.origins);
    config.transport = match advice.transport {
        Transport::Auto => TransportFlag::Auto,
        Transport::Websocket => TransportFlag::Websocket,
        Transport::Polling => TransportFlag::Polling,
    };
    config.rollout_percentage = advice.rollout_percentage;
    config
}

pub(crate) fn build(config: Config) -> Result<HubParts, Failure> {
    Hub::builder().config(config).build().map_err(|error| Failure::usage(error.to_string()))
}

pub(crate) async fn bind(address: SocketAddr) -> Result<TcpListener, Failure> {
    TcpListener::bind(address).await.map_err(|error| {
        let hint = match error.kind() {
            std::io::ErrorKind::AddrInUse => "something else listens there; take another port by --listen",
            std::io::ErrorKind::PermissionDenied => {
                "ports below 1024 need rights; take another port by --listen"
            }
            _ => "take another address by --listen",
        };
        Failure::new(format!("cannot listen at {address}: {hint}"))
    })
}

pub(crate) fn address_of(listener: &TcpListener) -> Result<SocketAddr, Failure> {
    listener.local_addr().map_err(|error| Failure::new(format!("the listener has no address: {error}")))
}
