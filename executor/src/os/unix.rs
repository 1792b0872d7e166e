//! Unix stream sockets: the system calls behind the driver's, and the path that a listener owns.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketType};

use super::sockets::{self, new_socket};
use crate::driver::{Address, Exhausted, ListenOptions};

/// A listening socket, and the path that it made.
pub(super) fn listen(path: &Path, options: ListenOptions) -> io::Result<(OwnedFd, BoundPath)> {
    if options.reuse_port {
        return Err(io::ErrorKind::Unsupported.into());
    }
    let address = address_of(path)?;
    let fd = new_socket(AddressFamily::UNIX, SocketType::STREAM)?;
    rustix::net::bind(&fd, &address)?;
    let bound = BoundPath::new(path)?;
    sockets::start_to_listen(&fd, options)?;
    Ok((fd, bound))
}

/// Connects, or does not: there is nothing to wait for.
pub(super) fn connect(path: &Path) -> io::Result<OwnedFd> {
    let address = address_of(path)?;
    let fd = new_socket(AddressFamily::UNIX, SocketType::STREAM)?;
    loop {
        match rustix::net::connect(&fd, &address) {
            Ok(()) => return Ok(fd),
            Err(Errno::INTR) => {}
            // The backlog is full. No edge will tell when it no longer is.
            Err(Errno::AGAIN) => return Err(Exhausted.into()),
            Err(error) => return Err(error.into()),
        }
    }
}

/// What the kernel takes for a path. It would take an empty one, too, for a name that it makes up.
fn address_of(path: &Path) -> io::Result<SocketAddrUnix> {
    let is_empty = path.as_os_str().is_empty();
    let address = if is_empty { Err(Errno::INVAL) } else { SocketAddrUnix::new(path) };
    address.map_err(|_| io::ErrorKind::InvalidInput.into())
}

/// The address of a Unix socket in our words.
pub(super) fn address(address: &SocketAddrUnix) -> Address {
    match address.path() {
        Some(path) => Address::Unix(PathBuf::from(OsStr::from_bytes(path.to_bytes()))),
        None => Address::Unnamed,
    }
}

/// A path that a listener made. Dropping it removes the path, unless it names something else by now.
#[derive(Debug)]
pub(super) struct BoundPath {
    /// Absolute: the process may change its folder.
    path: PathBuf,
    /// The device and the number of the file.
    identity: (u64, u64),
}

impl BoundPath {
    fn new(path: &Path) -> io::Result<Self> {
        let path = std::path::absolute(path)?;
        let identity = identity(&path)?;
        Ok(Self { path, identity })
    }
}

impl Drop for BoundPath {
    /// Between the look and the removal somebody could put another file there; who may do that may remove it as well.
    fn drop(&mut self) {
        if identity(&self.path).is_ok_and(|identity| identity == self.identity)
            && let Err(error) = fs::remove_file(&self.path)
        {
            tracing::debug!(%error, path = %self.path.display(), "the path of a socket stays");
        }
    }
}

fn identity(path: &Path) -> io::Result<(u64, u64)> {
    let metadata = fs::symlink_metadata(path)?;
    Ok((metadata.dev(), metadata.ino()))
}
