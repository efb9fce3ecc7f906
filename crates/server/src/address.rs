//! Where a request comes from: the peer of its connection, or what a trusted proxy says of whom it asks for.
//!
//! *What may come in:* the header `X-Forwarded-For`, which anybody can send. *What it never does:* believe a header of
//! somebody who was not named as a trusted proxy.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use axum::extract::connect_info::ConnectInfo;
use http::HeaderMap;
use http::request::Parts;
use ipnet::IpNet;

const FORWARDED_FOR: &str = "x-forwarded-for";

/// The address of a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ClientAddress {
    ip: IpAddr,
    /// Where it is the peer's own; a proxy does not tell.
    port: Option<u16>,
}

/// The addresses that count as one: an IPv4 address, or an IPv6 network of 64 bits, which is what one customer has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Neighbours(IpAddr);

impl Neighbours {
    pub(crate) fn of(ip: IpAddr) -> Self {
        Self(match ip.to_canonical() {
            IpAddr::V6(ip) => IpAddr::V6(Ipv6Addr::from_bits(ip.to_bits() & !u128::from(u64::MAX))),
            ip => ip,
        })
    }
}

impl ClientAddress {
    /// The one that was made out for a request, where its listener tells of peers.
    pub(crate) fn of(parts: &Parts) -> Option<Self> {
        parts.extensions.get().copied()
    }

    /// Those that count as one with it.
    pub(crate) fn neighbours(self) -> Neighbours {
        Neighbours::of(self.ip)
    }
}

impl std::fmt::Display for ClientAddress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.port {
            Some(port) => SocketAddr::new(self.ip, port).fmt(f),
            None => self.ip.fmt(f),
        }
    }
}

/// The proxies whose word is taken.
#[derive(Debug, Clone, Default)]
pub(crate) struct Proxies(Vec<IpNet>);

impl Proxies {
    pub(crate) fn new(trusted: &[IpNet]) -> Self {
        Self(trusted.to_vec())
    }

    /// Whether this is one of them.
    pub(crate) fn trusts(&self, ip: IpAddr) -> bool {
        let ip = ip.to_canonical();
        self.0.iter().any(|net| net.contains(&ip))
    }

    /// Makes out where a request comes from: the last in the chain that is no trusted proxy. Where a proxy names nobody who
    /// can be read, it is that proxy.
    pub(crate) fn client(&self, parts: &http::Extensions, headers: &HeaderMap) -> Option<ClientAddress> {
        let peer = parts.get::<ConnectInfo<SocketAddr>>()?.0;
        let peer = SocketAddr::new(peer.ip().to_canonical(), peer.port());
        let mut client = ClientAddress { ip: peer.ip(), port: Some(peer.port()) };
        if self.0.is_empty() || !self.trusts(client.ip) {
            return Some(client);
        }
        let chain = headers.get_all(FORWARDED_FOR).iter();
        let chain: Vec<&str> = chain.flat_map(|value| value.to_str().unwrap_or("?").split(',')).collect();
        for named in chain.iter().rev() {
            let Some(ip) = read(named.trim()) else { break };
            client = ClientAddress { ip, port: None };
            if !self.trusts(ip) {
                break;
            }
        }
        Some(client)
    }
}

/// An address as proxies write it: alone, or with a port.
fn read(text: &str) -> Option<IpAddr> {
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    let ip = bare.parse().ok().or_else(|| Some(text.parse::<SocketAddr>().ok()?.ip()));
    ip.map(|ip: IpAddr| ip.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(trusted: &[&str], peer: &str, headers: &[&str]) -> String {
        let trusted: Vec<IpNet> = trusted.iter().map(|net| net.parse().unwrap()).collect();
        let mut extensions = http::Extensions::new();
        extensions.insert(ConnectInfo::<SocketAddr>(peer.parse().unwrap()));
        let mut map = HeaderMap::new();
        for value in headers {
            map.append(FORWARDED_FOR, http::HeaderValue::from_str(value).unwrap());
        }
        Proxies::new(&trusted).client(&extensions, &map).unwrap().to_string()
    }

    #[test]
    fn only_a_trusted_proxy_is_believed() {
        let far = "203.0.113.7";
        assert_eq!(client(&[], "10.0.0.1:5", &[far]), "10.0.0.1:5");
        assert_eq!(client(&["10.1.0.0/16"], "10.0.0.1:5", &[far]), "10.0.0.1:5");
        assert_eq!(client(&["10.0.0.0/8"], "10.0.0.1:5", &[far]), far);
        assert_eq!(client(&["10.0.0.0/8"], "[::ffff:10.0.0.1]:5", &[far]), far);
        assert_eq!(client(&["10.0.0.0/8"], "10.0.0.1:5", &[]), "10.0.0.1:5");
    }

    #[test]
    fn what_a_client_claims_before_its_proxies_is_not_believed() {
        let trusted = ["10.0.0.0/8", "fd00::/8"];
        assert_eq!(client(&trusted, "10.0.0.1:5", &["1.1.1.1, 203.0.113.7, 10.0.0.2"]), "203.0.113.7");
        assert_eq!(
            client(&trusted, "10.0.0.1:5", &["1.1.1.1", "203.0.113.7:80", "[fd00::1]:1"]),
            "203.0.113.7"
        );
        assert_eq!(client(&trusted, "10.0.0.1:5", &["10.9.9.9, 10.0.0.2"]), "10.9.9.9", "all are trusted");
        for strange in ["203.0.113.7, unknown", "unknown", "203.0.113.7,", "_hidden"] {
            assert_eq!(client(&trusted, "10.0.0.1:5", &[strange]), "10.0.0.1:5", "{strange}");
        }
        assert_eq!(client(&trusted, "10.0.0.1:5", &["[2001:db8::1]"]), "2001:db8::1");
    }

    #[test]
    fn addresses_of_one_customer_are_neighbours() {
        let of = |ip: &str| Neighbours::of(ip.parse().unwrap());
        assert_eq!(of("2001:db8:1:2::1"), of("2001:db8:1:2:ffff::9"));
        assert_ne!(of("2001:db8:1:2::1"), of("2001:db8:1:3::1"));
        assert_ne!(of("10.0.0.1"), of("10.0.0.2"));
        assert_eq!(of("::ffff:10.0.0.1"), of("10.0.0.1"));
    }
}
