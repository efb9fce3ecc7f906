//! `ragpulse serve`: its limits, by name and number, and the proxies it believes.
//!
//! What may come in: names of the hub's own table (docs/limits.md), so that a limit is added there and nowhere else.

use std::io::Write;
use std::net::IpAddr;
use std::str::FromStr;

use clap::Args;
use ragpulse_server::Config;
use ragpulse_server::config::{IpNet, LIMITS};

use crate::failure::Failure;

/// Under what they stand in the help.
const HEADING: &str = "Limits";

/// Descriptors that are no connections: the store, logs, the listener, and what a scrape opens.
#[cfg(unix)]
const OTHER_DESCRIPTORS: u64 = 256;

#[derive(Args, Clone)]
pub(crate) struct LimitOptions {
    /// Set a limit, such as connections=50000. May be given several times; docs/limits.md and --list-limits name them.
    #[arg(long = "limit", env = "RAGPULSE_LIMITS", value_name = "NAME=NUMBER", value_delimiter = ',')]
    #[arg(help_heading = HEADING)]
    limits: Vec<Setting>,
    /// Print every limit as it would be, and stop.
    #[arg(long = "list-limits", help_heading = HEADING)]
    pub(crate) list: bool,
    /// A proxy before this hub, as an address or a network: what it says in X-Forwarded-For is taken for the client's
    /// address. May be given several times. Without it the address is the peer's.
    #[arg(
        long = "trusted-proxy",
        env = "RAGPULSE_TRUSTED_PROXIES",
        value_name = "CIDR",
        value_delimiter = ','
    )]
    #[arg(help_heading = HEADING)]
    proxies: Vec<Network>,
}

/// `NAME=NUMBER`.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Setting {
    name: String,
    value: u64,
}

impl FromStr for Setting {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let (name, value) = text.split_once('=').ok_or("give NAME=NUMBER, such as connections=50000")?;
        let value = value.trim().replace('_', "");
        let value = value.parse().map_err(|_| format!("'{value}' is no whole number"))?;
        Ok(Self { name: name.trim().to_owned(), value })
    }
}

/// A network, or one address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Network(IpNet);

impl FromStr for Network {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let one = || text.parse::<IpAddr>().ok().map(IpNet::from);
        let net = text.parse().ok().or_else(one);
        net.map(|net: IpNet| Self(net.trunc()))
            .ok_or_else(|| "give an address or a network, such as 10.0.0.0/8".to_owned())
    }
}

impl LimitOptions {
    /// Puts them into the settings.
    ///
    /// # Errors
    /// When there is no such limit, or it may not be that.
    pub(crate) fn apply(&self, config: &mut Config) -> Result<(), Failure> {
        for Setting { name, value } in &self.limits {
            config
                .limits
                .set(name, *value)
                .map_err(|error| Failure::usage(format!("--limit {name}={value}: {}", error.problem)))?;
        }
        config.trusted_proxies = self.proxies.iter().map(|net| net.0).collect();
        Ok(())
    }

    /// Whether one of this name is set.
    pub(crate) fn sets(&self, name: &str) -> bool {
        self.limits.iter().any(|setting| setting.name == name)
    }
}

/// Prints every limit with what it is.
pub(crate) fn list(config: &Config) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    for limit in LIMITS {
        let value = config.limits.get(limit.name).unwrap_or(limit.default);
        let what: Vec<&str> = limit.doc.iter().map(|line| line.trim()).collect();
        writeln!(out, "{:<30} {value:>12}  {}", limit.name, what.join(" "))?;
    }
    Ok(())
}

/// Asks the system for as many descriptors as there may be connections; where it has fewer, fewer may come in, so that those
/// who come are told so. Gives how many descriptors there are then.
pub(crate) fn fit_descriptors(config: &mut Config) -> Option<u64> {
    #[cfg(unix)]
    {
        use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
        let wanted = config.limits.tcp_connections as u64 + OTHER_DESCRIPTORS;
        let now = getrlimit(Resource::Nofile);
        let current = now.current.filter(|current| *current < wanted)?;
        let possible = now.maximum.map_or(wanted, |most| most.min(wanted));
        let raised = setrlimit(Resource::Nofile, Rlimit { current: Some(possible), maximum: now.maximum });
        let have = if raised.is_ok() { possible } else { current };
        if have < wanted {
            let fitting = have.saturating_sub(OTHER_DESCRIPTORS).max(have / 2).max(16);
            config.limits.tcp_connections = usize::try_from(fitting).unwrap_or(usize::MAX);
            return Some(have);
        }
    }
    #[cfg(not(unix))]
    let _ = config;
    None
}

/// Says that fewer may come in than the limit says: a warning where somebody has set it, as the default is more than most need.
pub(crate) fn tell_descriptors(descriptors: u64, is_set: bool) {
    const FEWER: &str = "the system gives fewer descriptors than there may be connections; raise its limit (ulimit -n, LimitNOFILE)";
    if is_set {
        tracing::warn!(descriptors, "{FEWER}");
    } else {
        tracing::info!(descriptors, "{FEWER}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_and_networks_are_read() {
        let setting = |text: &str| text.parse::<Setting>().map(|setting| (setting.name, setting.value));
        assert_eq!(setting("connections=50_000"), Ok(("connections".to_owned(), 50_000)));
        for wrong in ["connections", "connections=", "connections=-1", "connections=many"] {
            assert!(setting(wrong).is_err(), "{wrong}");
        }
        let network = |text: &str| text.parse::<Network>().map(|net| net.0.to_string());
        assert_eq!(network("10.1.2.3/8"), Ok("10.0.0.0/8".to_owned()));
        assert_eq!(network("10.1.2.3"), Ok("10.1.2.3/32".to_owned()));
        assert_eq!(network("fd00::/8"), Ok("fd00::/8".to_owned()));
        for wrong in ["", "proxy.example", "10.0.0.0/33"] {
            assert!(network(wrong).is_err(), "{wrong}");
        }
    }
}
