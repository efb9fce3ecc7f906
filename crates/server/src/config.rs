//! What a host may set. Plain data with defaults that suit one machine.

use std::time::Duration;

use ragpulse_protocol::PipelineType;
use ragpulse_protocol::http::TransportFlag;
use ragpulse_protocol::limits;
use serde::{Deserialize, Serialize};

/// The settings of a hub.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct Config {
    /// The types whose reference namespaces are served: a client that connects to `/TYPE` gets all pipelines of it.
    /// Default `google_drive`, `local_files`.
    pub reference_types: Vec<PipelineType>,
    /// Names other than loopback by which this hub may be called (the `Host` header, without a port); `*` for any.
    pub hosts: Vec<String>,
    /// Origins whose pages may use this hub beside its own, such as `https://app.example`; `*` for any.
    pub origins: Vec<String>,
    /// Whether the dashboard is served at `/`. Default no: the host has its own pages.
    pub dashboard: bool,
    /// Whether the hub's numbers are served at `/metrics`. Default no: the host may have its own way.
    pub metrics: bool,
    /// Where clients find the socket when it is not at the address they asked.
    pub public_url: Option<String>,
    /// By what clients are told to follow. Default `auto`. [`Hub::set_advice`](crate::Hub::set_advice) changes it later.
    pub transport: TransportFlag,
    /// How many of a hundred clients are told to use the socket. Default 100.
    pub rollout_percentage: u8,
    /// Seconds between two signs of life to subscribers. Default 10.
    pub heartbeat_seconds: u64,
    /// The lease of a reporter that names none, in seconds. Default 120.
    pub lease_seconds: u32,
    /// How long clients are told to wait before they come back, in milliseconds. Default 1,000.
    pub retry_after_ms: u64,
    /// Bounds of all kinds.
    pub limits: HubLimits,
}

/// The bounds of a hub.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct HubLimits {
    /// The largest HTTP body or Socket.IO frame taken, in bytes. Default 1 MiB.
    pub body_bytes: usize,
    /// The most events in a batch. Default 5,000.
    pub batch_events: usize,
    /// The largest event, in bytes. Default 64 KiB.
    pub event_bytes: usize,
    /// The most pipelines, and as many ids that are held for subscribers. Default 10,000.
    pub pipelines: usize,
    /// The most open files of a pipeline. Default 100,000.
    pub open_files: usize,
    /// The most ended files of a pipeline that are kept for `GET …/files`. Default 100,000.
    pub ended_files: usize,
    /// The most reporters of a pipeline. Default 1,024.
    pub reporters: usize,
    /// The most subscriptions of one socket: each pipeline, each type, and all, is one. Default 10,000.
    pub subscriptions: usize,
    /// The most sockets and held HTTP requests. Default 20,000.
    pub connections: usize,
    /// Messages that wait in a socket's buffer before its subscriptions pause. At least 512. Default 1,024.
    pub socket_buffer: usize,
    /// Bytes that wait in a socket's buffer before its subscriptions pause, where the listener tells what was written
    /// (see [`Wire`](crate::service::Wire)). At least 64 KiB. Default 2 MiB.
    pub socket_bytes: usize,
    /// Requests of reporters that wait, per writer. Default 256.
    pub ingest_queue: usize,
    /// The most events that a pipeline keeps at hand for replays. Default 16,384.
    pub ring_events: usize,
    /// The most bytes that a pipeline keeps at hand for replays. Default 16 MiB.
    pub ring_bytes: usize,
    /// The most events replayed over a socket; past that a snapshot is sent. Default 10,000.
    pub replay_events: u64,
    /// The most bytes of events replayed over a socket; past that a snapshot is sent. Default 8 MiB.
    pub replay_bytes: u64,
    /// The most events of a pipeline that the memory log keeps. Default 100,000.
    pub log_events: usize,
    /// The most bytes of a pipeline that the memory log keeps. Default 64 MiB.
    pub log_bytes: usize,
    /// The most progress events a second of a file. Default 10.
    pub progress_per_file: u32,
    /// The most progress events a second of a pipeline. Default 200.
    pub progress_per_pipeline: u32,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            reference_types: ["google_drive", "local_files"]
                .iter()
                .filter_map(|name| PipelineType::new(name).ok())
                .collect(),
            hosts: Vec::new(),
            origins: Vec::new(),
            dashboard: false,
            metrics: false,
            public_url: None,
            transport: TransportFlag::Auto,
            rollout_percentage: 100,
            heartbeat_seconds: limits::HEARTBEAT_SECONDS,
            lease_seconds: limits::DEFAULT_LEASE_SECONDS,
            retry_after_ms: 1_000,
            limits: HubLimits::default(),
        }
    }
}

impl Default for HubLimits {
    fn default() -> Self {
        Self {
            body_bytes: 1024 * 1024,
            batch_events: 5_000,
            event_bytes: 64 * 1024,
            pipelines: 10_000,
            open_files: 100_000,
            ended_files: 100_000,
            reporters: 1_024,
            subscriptions: 10_000,
            connections: 20_000,
            socket_buffer: 1_024,
            socket_bytes: 2 * 1024 * 1024,
            ingest_queue: 256,
            ring_events: 16_384,
            ring_bytes: 16 * 1024 * 1024,
            replay_events: 10_000,
            replay_bytes: 8 * 1024 * 1024,
            log_events: 100_000,
            log_bytes: 64 * 1024 * 1024,
            progress_per_file: 10,
            progress_per_pipeline: 200,
        }
    }
}

/// How clients are told to follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Advice {
    /// By what.
    pub transport: TransportFlag,
    /// How many of a hundred clients shall use the socket, 0 to 100; the others poll.
    pub rollout_percentage: u8,
}

impl Advice {
    pub(crate) fn check(&self) -> Result<(), ConfigError> {
        if self.rollout_percentage > 100 {
            let problem = "must be 0 to 100".to_owned();
            return Err(ConfigError { setting: "rollout_percentage", problem });
        }
        Ok(())
    }
}

/// A setting that makes no sense.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("setting `{setting}`: {problem}")]
pub struct ConfigError {
    /// Which one.
    pub setting: &'static str,
    /// What is wrong, and what would be right.
    pub problem: String,
}

impl Config {
    /// Checks what a type cannot.
    pub(crate) fn check(&self) -> Result<(), ConfigError> {
        let refuse = |setting, problem: &str| Err(ConfigError { setting, problem: problem.to_owned() });
        self.advice().check()?;
        if self.heartbeat_seconds == 0 {
            return refuse("heartbeat_seconds", "must be at least 1");
        }
        if !(1..=limits::MAX_LEASE_SECONDS).contains(&self.lease_seconds) {
            return refuse("lease_seconds", "must be 1 to 86400");
        }
        if self.limits.socket_buffer < 512 {
            return refuse("limits.socket_buffer", "must be at least 512, or pings find no room");
        }
        if self.limits.socket_bytes < 64 * 1024 {
            return refuse("limits.socket_bytes", "must be at least 65536, or large events never find room");
        }
        if self.limits.progress_per_file == 0 || self.limits.progress_per_pipeline == 0 {
            return refuse("limits.progress_per_file", "the rates of progress must be at least 1 a second");
        }
        for reference in &self.reference_types {
            if reference.as_str() == "ingest" {
                return refuse("reference_types", "`ingest` is the namespace of reporters");
            }
        }
        for origin in &self.origins {
            if origin != "*" && !origin.contains("://") {
                return refuse("origins", "an origin has a scheme, such as https://app.example");
            }
        }
        Ok(())
    }

    /// How clients are told to follow at the start.
    pub(crate) fn advice(&self) -> Advice {
        Advice { transport: self.transport, rollout_percentage: self.rollout_percentage }
    }

    /// The time between two signs of life.
    pub(crate) fn heartbeat(&self) -> Duration {
        Duration::from_secs(self.heartbeat_seconds)
    }
}
