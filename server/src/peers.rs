//! `Peers`: how many connections each peer has, and no more than it may.

use core::cell::RefCell;
use core::net::{IpAddr, Ipv6Addr};
use std::collections::BTreeMap;
use std::rc::Rc;

/// The connections of a server by peer.
pub(crate) struct Peers {
    connections_max: usize,
    /// Without those that have none.
    connections: RefCell<BTreeMap<IpAddr, usize>>,
}

/// One connection of a peer, for as long as it lives.
pub(crate) struct Admission {
    /// `None` where nobody counts.
    counted: Option<(Rc<Peers>, IpAddr)>,
}

impl Peers {
    /// Nobody yet. A maximum of `usize::MAX` is none, and nothing is counted for it.
    pub(crate) fn new(connections_max: usize) -> Rc<Self> {
        Rc::new(Self { connections_max, connections: RefCell::default() })
    }

    /// One more connection of the peer at `address`, if it may have one more.
    pub(crate) fn admit(self: &Rc<Self>, address: IpAddr) -> Option<Admission> {
        if self.connections_max == usize::MAX {
            return Some(Admission { counted: None });
        }
        let peer = peer_of(address);
        let mut connections = self.connections.borrow_mut();
        let count = connections.entry(peer).or_default();
        if *count >= self.connections_max {
            return None;
        }
        *count += 1;
        Some(Admission { counted: Some((Rc::clone(self), peer)) })
    }
}

/// Who is behind an address: of IPv6, one site has at least 64 bits of addresses (RFC 4291 §2.5.4).
fn peer_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() >> 64 << 64).into(),
        address => address,
    }
}

impl Drop for Admission {
    fn drop(&mut self) {
        let Some((peers, peer)) = &self.counted else { return };
        let mut connections = peers.connections.borrow_mut();
        let count = connections.get_mut(peer).expect("what was admitted is counted");
        *count -= 1;
        if *count == 0 {
            connections.remove(peer);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn each_peer_has_its_own_count() {
        let peers = Peers::new(2);
        let admit = |text| peers.admit(address(text));
        let first = admit("10.0.0.1");
        let _second = admit("::ffff:10.0.0.1").expect("the same peer in other words");
        assert!(admit("10.0.0.1").is_none());
        let _other = admit("10.0.0.2").expect("another one");
        drop(first);
        let _third = admit("10.0.0.1").expect("there is room again");
        let _one = admit("2001:db8::1");
        let _two = admit("2001:db8::ffff:0:0:1");
        assert!(admit("2001:db8::2").is_none(), "one network is one peer");
        assert!(admit("2001:db8:0:1::1").is_some());
    }

    #[test]
    fn nobody_is_kept_in_mind_who_is_gone() {
        let peers = Peers::new(1);
        drop(peers.admit(address("10.0.0.1")));
        assert!(peers.connections.borrow().is_empty());
    }
}
