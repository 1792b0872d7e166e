//! `Origin`: what connections are kept by. RFC 9110 §4.3.1: scheme, host and port; the scheme is always `http`.

use core::fmt;
use std::rc::Rc;

use http::Uri;
use http::uri::Scheme;

/// RFC 9110 §4.2.1, §4.2.2. Nobody connects to the second: it is for what an error says.
const HTTP_PORT: u16 = 80;
const HTTPS_PORT: u16 = 443;

/// A host and a port.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Origin {
    /// In lower case, with the brackets of a literal (RFC 9110 §4.2.3: hosts are case-insensitive).
    pub(super) host: Rc<str>,
    pub(super) port: u16,
}

impl Origin {
    /// That of an absolute URI, or of the authority of a tunnel.
    pub(super) fn of(uri: &Uri) -> Option<Self> {
        let host = uri.host().filter(|host| !host.is_empty())?;
        let is_lower = !host.bytes().any(|byte| byte.is_ascii_uppercase());
        let host = if is_lower { host.into() } else { host.to_ascii_lowercase().into() };
        let is_https = uri.scheme() == Some(&Scheme::HTTPS);
        let default = if is_https { HTTPS_PORT } else { HTTP_PORT };
        Some(Self { host, port: uri.port_u16().unwrap_or(default) })
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}
