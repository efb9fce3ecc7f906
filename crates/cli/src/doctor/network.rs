//! Name and connection: is there such a host, and does it take connections at this port.
//!
//! *What may come in:* a host and a port. *What it never does:* send a byte.

use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use futures_util::future::join_all;
use tokio::net::TcpStream;

use super::answer::{millis, words_of};
use super::finding::{Fault, Finding};
use super::target::Target;

/// Looks the name up.
pub(super) async fn name(target: &Target) -> (Finding, Vec<SocketAddr>) {
    let host = target.host.as_str();
    if let Ok(address) = host.parse::<IpAddr>() {
        let finding = Finding::passed("", format!("{address} is an address; there is no name to look up"));
        return (finding, vec![SocketAddr::new(address, target.port)]);
    }
    let tried = format!("looked up the addresses of '{host}'");
    let start = Instant::now();
    let found = tokio::time::timeout(target.timeout, tokio::net::lookup_host((host, target.port))).await;
    let took = start.elapsed();
    let finding = match found {
        Ok(Ok(found)) => {
            let mut addresses = Vec::new();
            for address in found {
                if !addresses.contains(&address) {
                    addresses.push(address);
                }
            }
            if !addresses.is_empty() {
                let listed: Vec<_> = addresses.iter().map(|address| address.ip().to_string()).collect();
                let seen = format!("'{host}' is {} ({})", listed.join(" and "), words_of(took));
                let finding =
                    Finding::passed(tried, seen).detail("addresses", listed).detail("took_ms", millis(took));
                return (finding, addresses);
            }
            Finding::failed("name_unknown", tried, format!("'{host}' has no address"))
        }
        Ok(Err(error)) => Finding::failed("name_unknown", tried, format!("'{host}' has no address: {error}")),
        Err(_) => {
            let seen = format!("no name server answered within {}", words_of(target.timeout));
            let finding = Finding::failed("name_timeout", tried, seen)
                .fault(Fault::Network)
                .advice(format!("Look at the name servers of this machine.{}", by_proxy()));
            return (finding, Vec::new());
        }
    };
    let advice = format!(
        "Look for a slip in the name. If it is right, it is missing in the DNS, or this machine asks a name server \
         that does not know it.{}",
        by_proxy()
    );
    (finding.fault(Fault::Here).advice(advice), Vec::new())
}

/// What to know where the environment names a proxy.
fn by_proxy() -> &'static str {
    let names = ["HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"];
    if names.iter().any(|name| std::env::var_os(name).is_some_and(|value| !value.is_empty())) {
        " The environment names a proxy; doctor does not go by it, and sockets of the clients do not either."
    } else {
        ""
    }
}

/// Opens a connection to each address. Gives those that took one.
pub(super) async fn connection(target: &Target, addresses: &[SocketAddr]) -> (Finding, Vec<SocketAddr>) {
    let tried = format!("opened a TCP connection to port {} of {}", target.port, target.host);
    let attempts = addresses.iter().map(|address| async move {
        let start = Instant::now();
        let result = tokio::time::timeout(target.timeout, TcpStream::connect(address)).await;
        (*address, result.unwrap_or_else(|_| Err(ErrorKind::TimedOut.into())), start.elapsed())
    });
    let attempts = join_all(attempts).await;
    let taken: Vec<_> =
        attempts.iter().filter(|(_, result, _)| result.is_ok()).map(|(address, ..)| *address).collect();
    let refused = |kind: ErrorKind| {
        attempts.iter().any(|(_, result, _)| result.as_ref().is_err_and(|error| error.kind() == kind))
    };
    if let Some((address, _, took)) = attempts.iter().find(|(_, result, _)| result.is_ok()) {
        let silent: Vec<_> = attempts
            .iter()
            .filter(|(_, result, _)| {
                result.as_ref().is_err_and(|error| error.kind() != ErrorKind::ConnectionRefused)
            })
            .map(|(address, ..)| address.ip().to_string())
            .collect();
        if !silent.is_empty() {
            let seen = format!("{address} takes connections, but {} is silent", silent.join(" and "));
            let advice =
                "Clients that try the silent address first wait for it. Take it out of the DNS, or open it.";
            let finding = Finding::warning("connection_half", tried, seen)
                .fault(Fault::Network)
                .advice(advice)
                .detail("silent", silent);
            return (finding, taken);
        }
        let seen = format!("{address} takes connections ({})", words_of(*took));
        return (Finding::passed(tried, seen).detail("took_ms", millis(*took)), taken);
    }
    let port = target.port;
    let finding = if refused(ErrorKind::ConnectionRefused) {
        let seen = format!("{} is there, but nobody listens at port {port}", target.host);
        let advice = format!(
            "Start the hub (`ragpulse serve`), or correct the port. A hub that listens on 127.0.0.1 only (the \
             default) cannot be reached from other machines: see --listen.{}",
            by_proxy()
        );
        Finding::failed("connection_refused", tried, seen).fault(Fault::Hub).advice(advice)
    } else if refused(ErrorKind::TimedOut) {
        let seen = format!("port {port} is silent: no answer within {}", words_of(target.timeout));
        let advice = format!(
            "A firewall drops what is sent there, or the machine is down. Open the port, or correct the address.{}",
            by_proxy()
        );
        Finding::failed("connection_timeout", tried, seen).fault(Fault::Network).advice(advice)
    } else {
        let why = attempts.into_iter().find_map(|(_, result, _)| result.err());
        let why = why.map(|error| error.to_string()).unwrap_or_default();
        let advice =
            format!("Look at this machine's network and its route to {}.{}", target.host, by_proxy());
        Finding::failed("connection_failed", tried, format!("no connection: {why}"))
            .fault(Fault::Network)
            .advice(advice)
    };
    (finding, Vec::new())
}
