//! The request target: which of the four forms of RFC 9112 §3.2 it is, and whether it agrees with
//! `Host`.

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
        _ if has_scheme(target, b"http://") => {}
        // RFC 9110 §7.4: what asks for TLS and comes without it is misdirected.
        _ if has_scheme(target, b"https://") => return Err(Error::Misdirected),
        _ => return Err(Error::Target),
    }
    if classes & grammar::UNESCAPED != 0 {
        return Ok(());
    }
    // RFC 3986 §3.3: no path has a backtick, and `http::Uri` takes none there.
    let path = target.split(|&byte| byte == b'?').next().unwrap_or_default();
    if grammar::is_percent_encoded(path) && !path.contains(&b'`') {
        Ok(())
    } else {
        Err(Error::Target)
    }
}

/// RFC 3986 §3.1: schemes do not care about case.
fn has_scheme(target: &[u8], scheme: &[u8]) -> bool {
    target.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme))
}

/// The length of the target in origin-form that `text` begins with, which is all bytes up to the first that no target holds,
/// and that of its path. `None` where a percent escape or a backtick makes it worth a closer look.
#[inline]
pub(super) fn lengths(text: &[u8]) -> Option<(usize, usize)> {
    let (mut length, mut common) = (0, u8::MAX);
    for four in text.as_chunks::<4>().0 {
        let classes = grammar::common_classes_of_four(*four);
        if classes & grammar::TARGET == 0 {
            break;
        }
        common &= classes;
        length += 4;
    }
    while length < text.len() {
        let classes = grammar::classes(text[length]);
        if classes & grammar::TARGET == 0 {
            break;
        }
        common &= classes;
        length += 1;
    }
    if common & grammar::UNESCAPED == 0 {
        return None;
    }
    let has_query = common & grammar::PATH == 0;
    Some((length, if has_query { path_length(&text[..length]) } else { length }))
}

/// The length of the path that a target in origin-form begins with.
pub(super) fn path_length(target: &[u8]) -> usize {
    target.iter().position(|&byte| byte == b'?').unwrap_or(target.len())
}

/// Refuses a target in absolute-form, which [`check`] has let pass, that is at odds with `host`: a valid `Host`, or `None`
/// in HTTP/1.0.
///
/// RFC 9112 §3.2.2: in absolute-form the target decides, and the client must send the same `Host`.
/// One that does not is talking to two servers at once, so a difference is refused rather than
/// resolved.
pub(super) fn check_authority(target: &[u8], host: Option<&[u8]>) -> Result<(), Error> {
    if target.starts_with(b"/") || target == b"*" {
        return Ok(());
    }
    let uri = Uri::try_from(target).map_err(|_| Error::Target)?;
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
