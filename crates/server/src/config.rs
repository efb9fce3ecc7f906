//! What a host may set. Plain data with defaults that suit one machine.

use std::time::Duration;

use ragpulse_protocol::PipelineType;
use ragpulse_protocol::http::TransportFlag;
use ragpulse_protocol::limits;
use serde::{Deserialize, Serialize};

pub use crate::limits::{HubLimits, LIMITS, Limit};
pub use ipnet::IpNet;

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
    /// Proxies before this hub, whose word is taken for the address of a client (`X-Forwarded-For`). Default none: the address
    /// is the peer's, whatever headers say.
    pub trusted_proxies: Vec<IpNet>,
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
    /// Bounds of all kinds. See docs/limits.md.
    pub limits: HubLimits,
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
            trusted_proxies: Vec::new(),
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
        self.limits.check()?;
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
