//! Connecting: a name, its addresses, one after the other.

use core::time::Duration;
use std::io;

use mainspring_executor::names;
use mainspring_executor::net::TcpStream;
use mainspring_executor::time::{now, timeout};

use super::error::{ErrorKind, Phase};
use super::origin::Origin;

/// A connection to `origin`, within `patience`. An address that does not answer leaves its share of the time to the next.
///
/// Cancel-safe.
pub(super) async fn connect(
    origin: &Origin,
    patience: Duration,
) -> Result<TcpStream, (Phase, ErrorKind)> {
    let until = now() + patience;
    let resolving = timeout(patience, names::resolve(&origin.host, origin.port));
    let addresses = match resolving.await {
        Ok(Ok(addresses)) => addresses,
        Ok(Err(error)) => return Err((Phase::Resolve, ErrorKind::Io(error))),
        Err(_) => return Err((Phase::Resolve, ErrorKind::Timeout)),
    };
    let mut failure = ErrorKind::Io(io::ErrorKind::NotFound.into());
    for (tried, address) in (0..).zip(&addresses) {
        let untried = u32::try_from(addresses.len()).unwrap_or(u32::MAX).saturating_sub(tried);
        let share = (until - now()) / untried.max(1);
        failure = match timeout(share, TcpStream::connect(*address)).await {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(error)) => ErrorKind::Io(error),
            Err(_) => ErrorKind::Timeout,
        };
    }
    Err((Phase::Connect, failure))
}
