//! Who is on the other end: one resolver for limits, audit and logs.

use actix_web::HttpRequest;
use ipnet::IpNet;
use std::net::IpAddr;

/// The proxies whose `X-Forwarded-For` is believed.
#[derive(Debug, Clone, Default)]
pub struct TrustedProxies(Vec<IpNet>);

impl TrustedProxies {
    /// Trusts these networks.
    pub fn new(networks: Vec<IpNet>) -> Self {
        Self(networks)
    }

    /// The client's address: the peer's, unless the peer is a trusted proxy; then the right-most hop of
    /// `X-Forwarded-For` that is not one.
    pub fn resolve(&self, peer: IpAddr, forwarded_for: Option<&str>) -> IpAddr {
        if !self.trusts(peer) {
            return peer;
        }
        let mut client = peer;
        for hop in forwarded_for.unwrap_or_default().rsplit(',') {
            let Ok(address) = hop.trim().parse::<IpAddr>() else { break };
            client = address;
            if !self.trusts(address) {
                break;
            }
        }
        client
    }

    /// Whether `address` is one of them.
    pub fn trusts(&self, address: IpAddr) -> bool {
        self.0.iter().any(|network| network.contains(&address))
    }

    /// How many networks are trusted.
    pub const fn count(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn of(&self, request: &HttpRequest) -> Option<IpAddr> {
        let peer = request.peer_addr()?.ip();
        let header = request.headers().get("x-forwarded-for").and_then(|value| value.to_str().ok());
        Some(self.resolve(peer, header))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn only_trusted_peers_may_forward_and_only_the_last_untrusted_hop_counts() {
        let proxies = TrustedProxies::new(vec!["10.0.0.0/8".parse().expect("a network")]);
        assert_eq!(proxies.resolve(ip("192.0.2.1"), Some("198.51.100.7")), ip("192.0.2.1"));
        assert_eq!(proxies.resolve(ip("10.0.0.1"), Some("1.1.1.1, 198.51.100.7, 10.0.0.2")), ip("198.51.100.7"));
        assert_eq!(proxies.resolve(ip("10.0.0.1"), None), ip("10.0.0.1"));
        assert_eq!(proxies.resolve(ip("10.0.0.1"), Some("garbage")), ip("10.0.0.1"));
    }
}
