//! Names of hosts, by the resolver of the system: a call that blocks, so only the threads of the pool come here.

use core::net::IpAddr;
use std::io;
use std::net::ToSocketAddrs;

/// Addresses that are taken of one name; who has more is not reached any better.
const ADDRESSES_MAX: usize = 64;

/// The addresses of a name, in the order of the resolver, each once; there is at least one.
pub(super) fn resolve(name: &str) -> io::Result<Vec<IpAddr>> {
    let found = (name, 0).to_socket_addrs().map_err(told)?;
    let mut addresses = Vec::new();
    for address in found.map(|address| address.ip()) {
        if addresses.len() < ADDRESSES_MAX && !addresses.contains(&address) {
            addresses.push(address);
        }
    }
    match addresses.is_empty() {
        true => Err(io::ErrorKind::NotFound.into()),
        false => Ok(addresses),
    }
}

/// The resolver's errors have no numbers that reach us, only texts: that a name does not exist, that no server answers.
/// All are one to us. What the system itself says, out of descriptors for example, has a number.
fn told(error: io::Error) -> io::Error {
    let is_ours = error.kind() == io::ErrorKind::InvalidInput;
    match error.raw_os_error().is_some() || is_ours {
        true => error,
        false => io::Error::new(io::ErrorKind::NotFound, error),
    }
}
