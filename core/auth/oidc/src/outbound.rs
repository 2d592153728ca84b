//! Addresses that no provider may have: whoever names an issuer must not make the server talk to itself, to the
//! metadata service of its cloud or to other places that only it can reach.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use url::{Host, Url};

/// Why an address is not spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Reserved {
    /// 127.0.0.0/8, ::1.
    #[error("is a loopback address")]
    Loopback,
    /// 169.254.0.0/16, fe80::/10: metadata services of clouds are here.
    #[error("is a link-local address, where clouds keep their metadata service")]
    LinkLocal,
    /// The metadata service of a cloud outside those blocks.
    #[error("is the address of a cloud's metadata service")]
    Metadata,
    /// 0.0.0.0/8, ::.
    #[error("is the unspecified network")]
    Unspecified,
    /// 224.0.0.0/4, ff00::/8.
    #[error("is a multicast address")]
    Multicast,
    /// 255.255.255.255, 240.0.0.0/4.
    #[error("is reserved or the broadcast address")]
    Broadcast,
    /// 10.0.0.0/8, 172.16.0.0/12, 192.168.0.0/16, 100.64.0.0/10, fc00::/7.
    #[error("is a private address, which CERTCTL_BLOCK_RFC1918_OUTBOUND shuts off")]
    Private,
}

/// Which addresses are spoken to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct OutboundPolicy {
    /// Whether private networks are shut off as well.
    pub block_private: bool,
    /// Whether this machine itself is spoken to: for laboratories and tests, never for a server that others reach.
    pub allow_loopback: bool,
}

impl OutboundPolicy {
    /// Whether an address is spoken to. One that only wraps another (IPv4-mapped, IPv4-compatible, NAT64, 6to4) is
    /// judged by what it wraps.
    pub fn check_address(self, address: IpAddr) -> Result<(), Reserved> {
        self.allow(match address {
            IpAddr::V4(v4) => self.check_v4(v4),
            IpAddr::V6(v6) => self.check_v6(v6),
        })
    }

    /// Whether the host of a URL may be spoken to, as far as can be told without asking for its addresses: a name that
    /// always means this machine and a literal address are judged, other names wait for the connection.
    pub fn check_host(self, url: &Url) -> Result<(), Reserved> {
        self.allow(match url.host() {
            Some(Host::Ipv4(v4)) => self.check_v4(v4),
            Some(Host::Ipv6(v6)) => self.check_v6(v6),
            Some(Host::Domain(name)) => {
                let name = name.trim_end_matches('.').to_ascii_lowercase();
                if name == "localhost" || name.ends_with(".localhost") { Err(Reserved::Loopback) } else { Ok(()) }
            }
            None => Err(Reserved::Unspecified),
        })
    }

    fn allow(self, judged: Result<(), Reserved>) -> Result<(), Reserved> {
        if self.allow_loopback && judged == Err(Reserved::Loopback) { Ok(()) } else { judged }
    }

    fn check_v4(self, v4: Ipv4Addr) -> Result<(), Reserved> {
        let [a, b, ..] = v4.octets();
        if v4.is_loopback() {
            Err(Reserved::Loopback)
        } else if v4.is_link_local() {
            Err(Reserved::LinkLocal)
        } else if a == 0 {
            Err(Reserved::Unspecified)
        } else if v4.is_multicast() {
            Err(Reserved::Multicast)
        } else if a >= 240 {
            Err(Reserved::Broadcast)
        // RFC 6598: shared between a carrier and its customers.
        } else if self.block_private && (v4.is_private() || (a == 100 && (64..128).contains(&b))) {
            Err(Reserved::Private)
        } else if v4 == Ipv4Addr::new(100, 100, 100, 200) {
            Err(Reserved::Metadata)
        } else {
            Ok(())
        }
    }

    fn check_v6(self, v6: Ipv6Addr) -> Result<(), Reserved> {
        if v6.is_loopback() {
            return Err(Reserved::Loopback);
        }
        if v6.is_unspecified() {
            return Err(Reserved::Unspecified);
        }
        if let Some(v4) = wrapped(v6) {
            return self.check_v4(v4);
        }
        if v6.is_unicast_link_local() {
            Err(Reserved::LinkLocal)
        } else if v6.is_multicast() {
            Err(Reserved::Multicast)
        } else if v6 == Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254) {
            Err(Reserved::Metadata)
        } else if self.block_private && v6.is_unique_local() {
            Err(Reserved::Private)
        } else {
            Ok(())
        }
    }
}

/// The IPv4 address within: `::ffff:0:0/96` and `::/96` (RFC 4291 §2.5.5), `64:ff9b::/96` and `64:ff9b:1::/48`
/// (RFC 6052, RFC 8215), `2002::/16` (RFC 3056).
fn wrapped(v6: Ipv6Addr) -> Option<Ipv4Addr> {
    let segments = v6.segments();
    let at = |n: usize| Ipv4Addr::from((u32::from(segments[n]) << 16) | u32::from(segments[n + 1]));
    match segments {
        [0, 0, 0, 0, 0, 0 | 0xffff, ..]
        | [0, 0, 0, 0, 0xffff, 0, ..]
        | [0x64, 0xff9b, 0, 0, 0, 0, ..]
        | [0x64, 0xff9b, 1, ..] => Some(at(6)),
        [0x2002, ..] => Some(at(1)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(address: &str, block_private: bool) -> Result<(), Reserved> {
        OutboundPolicy { block_private, allow_loopback: false }.check_address(address.parse().expect("an address"))
    }

    #[test]
    fn ob_01_reserved_addresses_are_refused_in_every_wrapping() {
        for (address, why) in [
            ("127.0.0.1", Reserved::Loopback),
            ("127.255.255.254", Reserved::Loopback),
            ("::1", Reserved::Loopback),
            ("::ffff:127.0.0.1", Reserved::Loopback),
            ("64:ff9b::7f00:1", Reserved::Loopback),
            ("2002:7f00:1::", Reserved::Loopback),
            ("::127.0.0.1", Reserved::Loopback),
            ("169.254.169.254", Reserved::LinkLocal),
            ("::ffff:169.254.169.254", Reserved::LinkLocal),
            ("64:ff9b:1::a9fe:a9fe", Reserved::LinkLocal),
            ("fe80::1", Reserved::LinkLocal),
            ("fd00:ec2::254", Reserved::Metadata),
            ("100.100.100.200", Reserved::Metadata),
            ("0.0.0.0", Reserved::Unspecified),
            ("0.1.2.3", Reserved::Unspecified),
            ("::", Reserved::Unspecified),
            ("224.0.0.1", Reserved::Multicast),
            ("ff02::1", Reserved::Multicast),
            ("255.255.255.255", Reserved::Broadcast),
            ("240.0.0.1", Reserved::Broadcast),
        ] {
            assert_eq!(judged(address, false), Err(why), "{address}");
        }
        for address in ["192.0.2.1", "2001:db8::1", "64:ff9b::c000:201"] {
            assert_eq!(judged(address, true), Ok(()), "{address}");
        }
    }

    #[test]
    fn a_laboratory_may_speak_with_itself_and_with_nothing_else_that_is_reserved() {
        let lab = OutboundPolicy { allow_loopback: true, ..OutboundPolicy::default() };
        let judged = |address: &str| lab.check_address(address.parse().expect("an address"));
        assert_eq!([judged("127.0.0.1"), judged("::1")], [Ok(()), Ok(())]);
        assert_eq!(judged("169.254.169.254"), Err(Reserved::LinkLocal));
        assert_eq!(judged("0.0.0.0"), Err(Reserved::Unspecified));
        assert_eq!(lab.check_host(&Url::parse("https://localhost:8443/").expect("a URL")), Ok(()));
    }

    #[test]
    fn ob_05_private_networks_are_open_until_they_are_shut_off() {
        for address in ["10.1.2.3", "172.16.0.1", "192.168.1.1", "100.64.0.1", "fc00::1", "::ffff:10.0.0.1"] {
            assert_eq!(judged(address, false), Ok(()), "{address}");
            assert_eq!(judged(address, true), Err(Reserved::Private), "{address}");
        }
    }

    #[test]
    fn names_of_this_machine_are_refused_and_other_names_wait_for_the_connection() {
        let host = |text: &str| OutboundPolicy::default().check_host(&Url::parse(text).expect("a URL"));
        for text in ["https://localhost/", "https://LOCALHOST.:8443/x", "https://idp.localhost/", "https://2130706433/"]
        {
            assert_eq!(host(text), Err(Reserved::Loopback), "{text}");
        }
        assert_eq!(host("https://[::ffff:a9fe:a9fe]/"), Err(Reserved::LinkLocal));
        assert_eq!(host("https://idp.corp.example/realms/pki"), Ok(()));
    }
}
