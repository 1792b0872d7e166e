//! Streams and listeners between two shards: what [`TcpStream::detach`] and its like give.
//!
//! A shard that has too much to do hands an accepted connection to another before any task depends on it. What is handed
//! over is the socket and the bytes that were received and not consumed; whatever arrives meanwhile waits in the machine.

use core::net::SocketAddr;
use core::panic::Location;
use std::io;

use super::connection::Unattached;
use super::{TcpListener, TcpStream, UnixListener, UnixStream};
use crate::current;
use crate::driver::{Address, Detached};

/// Makes a type for something detached, which attaches to the current shard as `$attached`.
macro_rules! detached {
    ($(#[$doc:meta])* $name:ident, $attached:ident, $inner:ty, { $($field:ident: $type:ty),* }) => {
        $(#[$doc])*
        #[derive(Debug)]
        #[must_use = "what is detached is closed when it is dropped"]
        pub struct $name {
            pub(super) inner: $inner,
            $(pub(super) $field: $type,)*
        }

        impl $name {
            /// Takes it in, to the current shard. It may be the one that it comes from.
            ///
            /// # Errors
            /// When the machine cannot watch it there; it is closed then.
            ///
            /// # Panics
            /// Outside of a shard; in a shard of another machine than that it comes from.
            #[track_caller]
            pub fn attach(self) -> io::Result<$attached> {
                let origin = Location::caller();
                $attached::attach(current::core(), self, origin)
            }
        }
    };
}

detached! {
    /// A TCP connection that belongs to no shard, with its unread bytes. Dropping it closes it, as dropping the stream
    /// would have.
    DetachedStream, TcpStream, Unattached, { peer: SocketAddr }
}

detached! {
    /// A Unix connection that belongs to no shard, with its unread bytes. Dropping it closes it, as dropping the stream
    /// would have.
    DetachedUnixStream, UnixStream, Unattached, { peer: Address }
}

detached! {
    /// A TCP listener that belongs to no shard; connections go on to wait in its backlog. Dropping it closes it, as
    /// dropping the listener would have.
    DetachedListener, TcpListener, Detached, {}
}

detached! {
    /// A Unix listener that belongs to no shard; connections go on to wait in its backlog. Dropping it closes it, as
    /// dropping the listener would have, and removes its path.
    DetachedUnixListener, UnixListener, Detached, {}
}

impl DetachedStream {
    /// The peer's address.
    #[must_use]
    pub fn peer_addr(&self) -> SocketAddr {
        self.peer
    }
}

impl DetachedUnixStream {
    /// The peer's address.
    #[must_use]
    pub fn peer_addr(&self) -> &Address {
        &self.peer
    }
}
