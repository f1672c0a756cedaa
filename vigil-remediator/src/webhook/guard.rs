//! [`Guard`]: keeps webhooks out of private networks.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use reqwest::dns::{Addrs, Name, Resolve, Resolving};

/// Resolves names, and drops the addresses that are not public. The connection is made to what is left, so that a name
/// cannot answer differently the second time.
#[derive(Debug)]
pub(super) struct Guard;

impl Resolve for Guard {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            Ok(Box::new(public(found)?.into_iter()) as Addrs)
        })
    }
}

fn public(found: impl Iterator<Item = SocketAddr>) -> Result<Vec<SocketAddr>, &'static str> {
    let public: Vec<_> = found.filter(|address| is_public(address.ip())).collect();
    match public.is_empty() {
        true => Err("it has no public address; allow_private: true permits others"),
        false => Ok(public),
    }
}

/// Whether an address is reachable globally, by the special-purpose registries of IANA (RFC 6890).
pub(super) fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => match embedded(address) {
            Some(embedded) => is_public_v4(embedded),
            None => {
                // Global unicast (RFC 4291), without documentation (RFC 3849, RFC 9637) and what is for protocols (RFC 2928).
                let segments = address.segments();
                segments[0] & 0xe000 == 0x2000
                    && !(segments[0] == 0x2001 && (segments[1] == 0x0db8 || segments[1] < 0x0200))
                    && segments[0] != 0x3fff
            }
        },
    }
}

/// The IPv4 address in a mapped (RFC 4291), translated (RFC 6052) or 6to4 address (RFC 3056).
fn embedded(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let s = address.segments();
    let last = |high: u16, low: u16| {
        let [a, b] = high.to_be_bytes();
        let [c, d] = low.to_be_bytes();
        Ipv4Addr::new(a, b, c, d)
    };
    match s {
        [0, 0, 0, 0, 0, 0xffff, high, low] | [0x64, 0xff9b, 0, 0, 0, 0, high, low] => Some(last(high, low)),
        [0x2002, high, low, ..] => Some(last(high, low)),
        _ => None,
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    let is_special = a == 0
        || address.is_private()
        || address.is_loopback()
        || address.is_link_local()
        || (a == 100 && b & 0xc0 == 64) // carriers (RFC 6598)
        || (a == 192 && b == 0 && c == 0) // protocols (RFC 6890)
        || address.is_documentation()
        || (a == 198 && b & 0xfe == 18) // benchmarks (RFC 2544)
        || a >= 224; // multicast, reserved, broadcast
    !is_special
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn private_networks_are_not_public_however_they_are_written() {
        for private in [
            "127.0.0.1",
            "10.1.2.3",
            "172.16.0.1",
            "192.168.1.1",
            "169.254.169.254",
            "100.64.0.1",
            "0.0.0.0",
            "192.0.0.1",
            "198.18.0.1",
            "203.0.113.9",
            "224.0.0.1",
            "255.255.255.255",
            "::1",
            "::",
            "fe80::1",
            "fc00::1",
            "ff02::1",
            "::ffff:127.0.0.1",
            "::ffff:169.254.169.254",
            "64:ff9b::a00:1",
            "2002:7f00:1::",
            "2001:db8::1",
            "2001::1",
        ] {
            assert!(!is_public(private.parse().unwrap()), "{private}");
        }
    }

    #[test]
    fn of_a_name_with_several_addresses_the_public_ones_are_called() {
        let found = |addresses: &[&str]| {
            let addresses: Vec<SocketAddr> = addresses.iter().map(|address| address.parse().unwrap()).collect();
            public(addresses.into_iter()).map(|public| public.iter().map(ToString::to_string).collect::<Vec<_>>())
        };
        let mixed = found(&["10.0.0.1:0", "1.1.1.1:0", "[::1]:0", "[2606:4700::1111]:0"]).unwrap();
        assert_eq!(mixed, ["1.1.1.1:0", "[2606:4700::1111]:0"]);
        assert!(found(&["10.0.0.1:0", "[::1]:0"]).is_err() && found(&[]).is_err());
    }

    #[test]
    fn the_rest_of_the_world_is_public() {
        for public in ["1.1.1.1", "172.32.0.1", "100.128.0.1", "198.20.0.1", "2606:4700::1111", "64:ff9b::101:101"] {
            assert!(is_public(public.parse().unwrap()), "{public}");
        }
    }
}
