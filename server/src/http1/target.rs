//! The request target: which of the four forms of RFC 9112 §3.2 it is, and whether it agrees with
//! `Host`.

use bytes::Bytes;
use http::uri::PathAndQuery;
use http::{Method, Uri};

use super::error::Error;
use super::grammar;

/// Refuses a target with bytes that no URI has, and one in no form that `method` may have.
///
/// Percent escapes of the path must be well-formed, because what a bad one means differs from
/// decoder to decoder; those of the query are the handler's business.
pub(super) fn check(method: &Method, target: &[u8]) -> Result<(), Error> {
    let classes = grammar::common_classes(target);
    if classes & grammar::TARGET == 0 {
        return Err(Error::Target);
    }
    match target {
        // RFC 9112 §3.2.3: authority-form, and whatever else a tunnel is asked for with.
        _ if *method == Method::CONNECT => return Err(Error::Connect),
        // RFC 9112 §3.2.1: origin-form.
        [b'/', ..] => {}
        // RFC 9112 §3.2.4: asterisk-form, for a server-wide OPTIONS only.
        b"*" if *method == Method::OPTIONS => {}
        // RFC 9112 §3.2.2: absolute-form; a server must accept it though only proxies get it.
        _ if has_http_scheme(target) => {}
        _ => return Err(Error::Target),
    }
    let path = || target.split(|&byte| byte == b'?').next().unwrap_or_default();
    if classes & grammar::UNESCAPED != 0 || grammar::is_percent_encoded(path()) {
        Ok(())
    } else {
        Err(Error::Target)
    }
}

/// Reads a target that [`check`] has let pass. `host` is a valid `Host`, or `None` in HTTP/1.0.
pub(super) fn parse(target: Bytes, host: Option<&[u8]>) -> Result<Uri, Error> {
    if target.starts_with(b"/") {
        return PathAndQuery::from_maybe_shared(target).map(Uri::from).map_err(|_| Error::Target);
    }
    let is_absolute = target != "*";
    let uri = Uri::from_maybe_shared(target).map_err(|_| Error::Target)?;
    if is_absolute {
        check_authority(&uri, host)?;
    }
    Ok(uri)
}

fn has_http_scheme(target: &[u8]) -> bool {
    [b"http://".as_slice(), b"https://"].iter().any(|scheme| {
        target.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme))
    })
}

/// RFC 9112 §3.2.2: in absolute-form the target decides, and the client must send the same `Host`.
/// One that does not is talking to two servers at once, so a difference is refused rather than
/// resolved.
fn check_authority(uri: &Uri, host: Option<&[u8]>) -> Result<(), Error> {
    let authority = uri.authority().ok_or(Error::Target)?.as_str().as_bytes();
    // RFC 9110 §4.2.4: user information in an authority is to be treated as an error; `is_host` has
    // no `@`.
    if !grammar::is_host(authority) {
        return Err(Error::Target);
    }
    match host {
        Some(host) if !host.eq_ignore_ascii_case(authority) => Err(Error::Host),
        _ => Ok(()),
    }
}
