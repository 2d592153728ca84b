//! Who is on the other end: one resolver for limits, audit and logs.

use actix_web::HttpRequest;
use ipnet::IpNet;
use std::net::{IpAddr, SocketAddr};

/// The proxies whose `X-Forwarded-For` is believed.
#[derive(Debug, Clone, Default)]
pub struct TrustedProxies(Vec<IpNet>);

impl TrustedProxies {
    /// Trusts these networks.
    pub fn new(networks: Vec<IpNet>) -> Self {
        Self(networks)
    }

    /// The client's address: the peer's, unless the peer is a trusted proxy; then the right-most hop of
    /// `X-Forwarded-For` that is not one. What can't be read ends the search: nothing left of it is believed.
    pub fn resolve(&self, peer: IpAddr, forwarded_for: Option<&str>) -> IpAddr {
        let mut client = peer.to_canonical();
        if !self.trusts(client) {
            return client;
        }
        for text in forwarded_for.unwrap_or_default().rsplit(',') {
            let Some(address) = hop(text.trim()) else { break };
            client = address;
            if !self.trusts(address) {
                break;
            }
        }
        client
    }

    /// Whether `address` is one of them.
    pub fn trusts(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.0.iter().any(|network| network.contains(&address))
    }

    /// How many networks are trusted.
    pub const fn count(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn of(&self, request: &HttpRequest) -> Option<IpAddr> {
        let peer = request.peer_addr()?.ip();
        // A proxy may add a line of its own below the client's: only together, in their order, do they make the list.
        let lines: Vec<&str> =
            request.headers().get_all("x-forwarded-for").map(|line| line.to_str().unwrap_or_default()).collect();
        Some(self.resolve(peer, Some(&lines.join(","))))
    }
}

/// One hop: an address, which some proxies write with a port, and with IPv6 in brackets.
fn hop(text: &str) -> Option<IpAddr> {
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    let address = bare.parse().or_else(|_| text.parse::<SocketAddr>().map(|address| address.ip())).ok()?;
    Some(IpAddr::to_canonical(&address))
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

    #[test]
    fn hops_with_ports_brackets_and_mapped_addresses_are_read() {
        let proxies = TrustedProxies::new(vec!["10.0.0.0/8".parse().expect("a network")]);
        let client = |hops| proxies.resolve(ip("::ffff:10.0.0.1"), Some(hops));
        assert_eq!(client("198.51.100.7:4711"), ip("198.51.100.7"));
        assert_eq!(client("1.1.1.1, [2001:db8::7]:443"), ip("2001:db8::7"));
        assert_eq!(client("1.1.1.1, [2001:db8::7], ::ffff:10.0.0.2"), ip("2001:db8::7"));
        assert_eq!(client("1.1.1.1, unknown, 10.0.0.2"), ip("10.0.0.2"), "nothing left of the unreadable is believed");
        assert_eq!(client(""), ip("10.0.0.1"));
    }

    #[test]
    fn several_lines_are_one_list() {
        let proxies = TrustedProxies::new(vec!["10.0.0.0/8".parse().expect("a network")]);
        let request = actix_web::test::TestRequest::default()
            .peer_addr("10.0.0.1:9".parse().expect("an address"))
            .append_header(("X-Forwarded-For", "192.0.2.66"))
            .append_header(("X-Forwarded-For", "198.51.100.7"))
            .to_http_request();
        assert_eq!(proxies.of(&request), Some(ip("198.51.100.7")), "the client's own line comes first");
    }
}
