//! Reading a request: its head by `httparse`, then its body.

use std::io::{self, ErrorKind};

use http::header::{CONNECTION, CONTENT_LENGTH, EXPECT, TRANSFER_ENCODING};
use http::{HeaderMap, HeaderName, HeaderValue, Request, Version};

use super::Http;
use crate::call::Call;

/// The longest head, in bytes, and the most fields in it.
const HEAD_BYTES_MAX: usize = 32 * 1024;
const FIELDS_MAX: usize = 100;

/// The longest body, in bytes, and the longest line of a chunk's size.
const BODY_BYTES_MAX: usize = 16 * 1024 * 1024;
const CHUNK_LINE_BYTES_MAX: usize = 1024;

/// A head that was read.
pub(super) struct Head {
    pub(super) request: Request<()>,
    pub(super) body: BodyLength,
}

#[derive(Clone, Copy)]
pub(super) enum BodyLength {
    Bytes(usize),
    Chunked,
}

impl Head {
    /// Whether the client waits to be asked for the body.
    pub(super) fn expects_continue(&self) -> bool {
        let expect = self.request.headers().get(EXPECT);
        expect.is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"100-continue"))
    }

    /// Whether the connection goes on afterwards.
    pub(super) fn is_kept(&self) -> bool {
        let options = self.request.headers().get_all(CONNECTION).iter();
        let options: Vec<&str> = options.filter_map(|value| value.to_str().ok()).collect();
        let has = |wanted| {
            options
                .iter()
                .flat_map(|list| list.split(','))
                .any(|option| option.trim().eq_ignore_ascii_case(wanted))
        };
        match self.request.version() {
            Version::HTTP_10 => has("keep-alive"),
            _ => !has("close"),
        }
    }
}

fn invalid() -> io::Error {
    ErrorKind::InvalidData.into()
}

/// The next head; `None` at the client's end.
pub(super) async fn head(call: &mut Call<Http>) -> io::Result<Option<Head>> {
    loop {
        if let Some((head, count)) = parse(call.received())? {
            call.consume(count);
            return Ok(Some(head));
        }
        if call.received().len() > HEAD_BYTES_MAX {
            return Err(invalid());
        }
        if call.receive().await? == 0 {
            return match call.received() {
                [] => Ok(None),
                _ => Err(ErrorKind::UnexpectedEof.into()),
            };
        }
    }
}

fn parse(bytes: &[u8]) -> io::Result<Option<(Head, usize)>> {
    let mut fields = [httparse::EMPTY_HEADER; FIELDS_MAX];
    let mut parsed = httparse::Request::new(&mut fields);
    let count = match parsed.parse(bytes).map_err(|_| invalid())? {
        httparse::Status::Complete(count) => count,
        httparse::Status::Partial => return Ok(None),
    };
    let mut request = Request::new(());
    *request.method_mut() =
        parsed.method.and_then(|method| method.parse().ok()).ok_or_else(invalid)?;
    *request.uri_mut() = parsed.path.and_then(|path| path.parse().ok()).ok_or_else(invalid)?;
    *request.version_mut() =
        if parsed.version == Some(0) { Version::HTTP_10 } else { Version::HTTP_11 };
    for field in parsed.headers {
        let name: HeaderName = field.name.parse().map_err(|_| invalid())?;
        let value = HeaderValue::from_bytes(field.value).map_err(|_| invalid())?;
        request.headers_mut().append(name, value);
    }
    let body = length(request.headers())?;
    Ok(Some((Head { request, body }, count)))
}

fn length(fields: &HeaderMap) -> io::Result<BodyLength> {
    if let Some(coding) = fields.get(TRANSFER_ENCODING) {
        let is_chunked = coding.as_bytes().eq_ignore_ascii_case(b"chunked");
        return if is_chunked { Ok(BodyLength::Chunked) } else { Err(invalid()) };
    }
    let Some(length) = fields.get(CONTENT_LENGTH) else { return Ok(BodyLength::Bytes(0)) };
    let length = length.to_str().ok().and_then(|text| text.parse().ok());
    Ok(BodyLength::Bytes(length.filter(|length| *length <= BODY_BYTES_MAX).ok_or_else(invalid)?))
}

/// The body that belongs to a head. Trailers are dropped.
pub(super) async fn body(call: &mut Call<Http>, length: BodyLength) -> io::Result<Vec<u8>> {
    let cut_off = || io::Error::from(ErrorKind::UnexpectedEof);
    match length {
        BodyLength::Bytes(count) => call.take(count).await?.ok_or_else(cut_off),
        BodyLength::Chunked => {
            let mut body = Vec::new();
            loop {
                let size = chunk_size(call).await?;
                if size == 0 {
                    while !line(call).await?.is_empty() {}
                    return Ok(body);
                }
                if size > BODY_BYTES_MAX - body.len() {
                    return Err(invalid());
                }
                body.extend(call.take(size).await?.ok_or_else(cut_off)?);
                if !line(call).await?.is_empty() {
                    return Err(invalid());
                }
            }
        }
    }
}

async fn chunk_size(call: &mut Call<Http>) -> io::Result<usize> {
    let line = line(call).await?;
    let digits = line.split(|byte| *byte == b';').next().unwrap_or_default();
    let digits = core::str::from_utf8(digits).map_err(|_| invalid())?;
    usize::from_str_radix(digits.trim(), 16).map_err(|_| invalid())
}

/// A line without its end.
async fn line(call: &mut Call<Http>) -> io::Result<Vec<u8>> {
    loop {
        if let Some(end) = call.received().windows(2).position(|window| window == b"\r\n") {
            let line = call.received()[..end].to_vec();
            call.consume(end + 2);
            return Ok(line);
        }
        if call.received().len() > CHUNK_LINE_BYTES_MAX {
            return Err(invalid());
        }
        if call.receive().await? == 0 {
            return Err(ErrorKind::UnexpectedEof.into());
        }
    }
}
