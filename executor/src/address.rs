//! `Address`: where a stream socket is: at an IP address with a port, or at a path of its machine.

use core::fmt;
use core::net::SocketAddr;
use std::path::{Path, PathBuf};

/// The address of an end of a stream socket. An IP address takes no memory of its own.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Address {
    /// TCP: an IP address and a port.
    Ip(SocketAddr),
    /// A Unix socket at a path in the file system.
    Unix(PathBuf),
    /// A Unix socket without a path, as the end that connects is; also one at an abstract name of Linux, which no path
    /// leads to.
    Unnamed,
}

impl Address {
    /// The IP address and port, if it is one.
    #[must_use]
    pub const fn ip(&self) -> Option<SocketAddr> {
        match self {
            Self::Ip(address) => Some(*address),
            Self::Unix(_) | Self::Unnamed => None,
        }
    }

    /// The path, if it has one.
    #[must_use]
    pub fn path(&self) -> Option<&Path> {
        match self {
            Self::Unix(path) => Some(path),
            Self::Ip(_) | Self::Unnamed => None,
        }
    }
}

impl From<SocketAddr> for Address {
    fn from(address: SocketAddr) -> Self {
        Self::Ip(address)
    }
}

impl From<PathBuf> for Address {
    fn from(path: PathBuf) -> Self {
        Self::Unix(path)
    }
}

/// `127.0.0.1:80`, `unix:/run/app.sock`, `unix:unnamed`.
impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(address) => write!(f, "{address}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
            Self::Unnamed => f.write_str("unix:unnamed"),
        }
    }
}
