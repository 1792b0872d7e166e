//! Names of hosts for tasks: which addresses a name has, asked of the machine once for all who want to know, and remembered
//! for a while.
//!
//! Addresses written as such, and `localhost`, never leave the shard. All else is looked up by a job in a lane of its own
//! ([`Lane::Names`](crate::driver::Lane)): a resolver that does not answer holds up nothing but names.

mod cache;
mod lookup;

use core::cell::RefCell;
use core::future::Future;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use core::panic::Location;
use std::collections::BTreeMap;
use std::io;
use std::rc::{Rc, Weak};

use cache::Cache;
use lookup::{Lookup, Waiter};

use crate::current;
use crate::net::TcpStream;
use crate::shard::Core;

/// The longest name that there is (RFC 1035 §2.3.4); what is longer is refused unasked.
const NAME_BYTES_MAX: usize = 255;

/// What a shard knows of names.
#[derive(Default)]
pub(crate) struct Names {
    cache: RefCell<Cache>,
    /// Those under way, by name. Whoever waits for one holds it.
    lookups: RefCell<BTreeMap<String, Weak<Lookup>>>,
}

impl Names {
    /// The lookup of `name` that is under way, or a new one.
    fn lookup(core: &Rc<Core>, name: &str, origin: &'static Location<'static>) -> Rc<Lookup> {
        let under_way = core.names.lookups.borrow().get(name).and_then(Weak::upgrade);
        under_way.unwrap_or_else(|| {
            let lookup = Rc::new(Lookup::new(core, name, origin));
            core.names.lookups.borrow_mut().insert(name.to_owned(), Rc::downgrade(&lookup));
            lookup
        })
    }
}

/// Looks up the addresses of `host`, with `port` put to each. There is at least one; their order is that of the machine's
/// resolver, each comes once.
///
/// What was found is remembered for 30 seconds, and that nothing was for 5: the resolver of the system does not tell for
/// how long it is true. Of a thousand names the one that was not asked for the longest time is forgotten first. Many who
/// ask for one name at one time share one lookup.
///
/// Cancel-safe: a lookup goes on for as long as anyone waits for it.
///
/// # Errors
/// `NotFound` where the resolver gives no address: the name does not exist, or the resolver cannot tell (the systems do
/// not say which in a way that could be relied on); `InvalidInput` for what cannot be a name; an error of
/// [`Exhausted::is`](crate::driver::Exhausted::is) when too many lookups wait already; the others of the machine.
///
/// # Panics
/// Outside of a shard.
#[track_caller]
pub fn resolve(host: &str, port: u16) -> impl Future<Output = io::Result<Vec<SocketAddr>>> + use<> {
    let (core, origin) = (current::core(), Location::caller());
    let host = host.to_owned();
    async move {
        let found = addresses(&core, &host, origin).await?;
        Ok(found.iter().map(|ip| SocketAddr::new(*ip, port)).collect())
    }
}

/// Connects to `host`: looks it up, and tries its addresses one after the other. Dropping the future gives up.
///
/// # Errors
/// As [`resolve`]; where no address answers, the error of the last.
///
/// # Panics
/// Outside of a shard.
#[track_caller]
pub fn connect(host: &str, port: u16) -> impl Future<Output = io::Result<TcpStream>> + use<> {
    let resolving = resolve(host, port);
    async move {
        let mut last = None;
        for address in resolving.await? {
            match TcpStream::connect(address).await {
                Ok(stream) => return Ok(stream),
                Err(error) => last = Some(error),
            }
        }
        Err(last.expect("a name that is known has an address"))
    }
}

async fn addresses(
    core: &Rc<Core>,
    host: &str,
    origin: &'static Location<'static>,
) -> io::Result<Rc<[IpAddr]>> {
    if let Some(addresses) = literal(host) {
        return Ok(addresses);
    }
    if host.is_empty() || host.len() > NAME_BYTES_MAX || host.contains('\0') {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let name = host.to_ascii_lowercase();
    let cached = core.names.cache.borrow_mut().get(&name, core.now());
    let answer = match cached {
        Some(answer) => answer,
        None => Waiter::new(Names::lookup(core, &name, origin), origin).await,
    };
    answer.map_err(Into::into)
}

/// The addresses of a host that says them itself. Brackets are those of a URI (RFC 3986 §3.2.2).
fn literal(host: &str) -> Option<Rc<[IpAddr]>> {
    if let Ok(ip) = host.parse::<IpAddr>() {
        return Some([ip].into());
    }
    let bracketed = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    if let Some(ip) = bracketed.and_then(|host| host.parse::<Ipv6Addr>().ok()) {
        return Some([ip.into()].into());
    }
    // RFC 6761 §6.3: it, and all below it, is oneself, whatever a resolver says. Version 4 first: a server that listens
    // on one of them only, as is usual in tests, mostly listens there.
    let name = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
    let is_oneself = name == "localhost" || name.ends_with(".localhost");
    is_oneself.then(|| [Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()].into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn some_hosts_say_their_addresses_themselves() {
        let check = |host: &str, expected: &[&str]| {
            let found = literal(host).unwrap_or_default();
            let found: Vec<String> = found.iter().map(ToString::to_string).collect();
            assert_eq!(found, expected, "{host}");
        };
        check("127.0.0.1", &["127.0.0.1"]);
        check("::1", &["::1"]);
        check("[2001:db8::7]", &["2001:db8::7"]);
        check("localhost", &["127.0.0.1", "::1"]);
        check("LocalHost.", &["127.0.0.1", "::1"]);
        check("a.b.localhost", &["127.0.0.1", "::1"]);
        for host in ["", "127.1", "[127.0.0.1]", "[::1", "localhost.example", "mylocalhost", "."] {
            check(host, &[]);
        }
    }
}
