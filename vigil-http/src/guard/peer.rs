//! [`Peer`]: the address that a connection comes from, and which one counts behind proxies.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use axum::extract::Request;

/// The address that a connection comes from. [`serve`](crate::serve) puts it into every request; a server of your own has
/// to, or all its clients are one peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peer(pub SocketAddr);

/// Whose request it is, as far as addresses tell: the connection's own, or behind `trusted` proxies the one that the
/// outermost of them saw. Anything further left in `X-Forwarded-For` is what the client claims, and counts for nothing.
pub(crate) fn peer_of(request: &Request, trusted: usize) -> IpAddr {
    let connected = request.extensions().get::<Peer>().map_or(IpAddr::from([0, 0, 0, 0]), |Peer(address)| address.ip());
    let Some(behind) = trusted.checked_sub(1) else { return network(connected) };
    let forwarded = request.headers().get_all("x-forwarded-for");
    let hops: Vec<&str> = forwarded.iter().filter_map(|value| value.to_str().ok()).flat_map(|v| v.split(',')).collect();
    network(hops.iter().rev().nth(behind).and_then(|hop| hop.trim().parse().ok()).unwrap_or(connected))
}

/// One client has a whole IPv6 network of 64 bits, and would otherwise be as many peers as it likes.
fn network(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(v6) => match v6.to_ipv4_mapped() {
            Some(v4) => v4.into(),
            None => Ipv6Addr::from_bits(v6.to_bits() & !u128::from(u64::MAX)).into(),
        },
    }
}

#[cfg(test)]
mod tests {
    use axum::body::Body;

    use super::*;

    fn seen(from: &str, forwarded: &[&str], trusted: usize) -> String {
        let mut request = Request::new(Body::empty());
        request.extensions_mut().insert(Peer(from.parse().unwrap()));
        for value in forwarded {
            request.headers_mut().append("x-forwarded-for", value.parse().unwrap());
        }
        peer_of(&request, trusted).to_string()
    }

    #[test]
    fn what_a_client_claims_counts_for_nothing() {
        assert_eq!(seen("10.0.0.1:5", &["1.1.1.1"], 0), "10.0.0.1");
        assert_eq!(seen("10.0.0.1:5", &["1.1.1.1, 2.2.2.2"], 1), "2.2.2.2");
        assert_eq!(seen("10.0.0.1:5", &["1.1.1.1", "2.2.2.2, 3.3.3.3"], 2), "2.2.2.2");
        assert_eq!(seen("10.0.0.1:5", &["2.2.2.2"], 2), "10.0.0.1", "fewer hops than there must be");
        assert_eq!(seen("10.0.0.1:5", &["nonsense"], 1), "10.0.0.1");
    }

    #[test]
    fn one_network_is_one_peer() {
        assert_eq!(seen("[2001:db8:1:2:3:4:5:6]:7", &[], 0), "2001:db8:1:2::");
        assert_eq!(seen("[::ffff:10.0.0.1]:7", &[], 0), "10.0.0.1");
    }
}
