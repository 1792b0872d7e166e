//! `Plan`: what the handler of the cases answers. The query of the request says it, so that a case can be read by itself.
//!
//! Without a query, or with another one, the handler reads the body and answers 200 with `ok`. Otherwise, joined with
//! `&`: `status=204` (and no content, unless there is `text`), `text=hello`, `stream=one,two` (pieces of unknown
//! length), `promise=5` (`Content-Length`), `field=name:value`, `trailer=name:value`, `echo` (the content is that of the
//! request), `ignore` (the body is not read).

use core::pin::Pin;
use core::task::{Context, Poll};
use std::collections::VecDeque;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri, header};
use http_body::Frame;

/// What to answer to one request.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) content: Content,
    pub(super) trailers: Option<HeaderMap>,
    /// The body of the request is read before the answer is given.
    pub(super) reads: bool,
}

/// The content of an answer.
#[derive(Clone, Debug)]
pub(super) enum Content {
    Full(Bytes),
    /// Of a length that is not known before.
    Stream(VecDeque<Bytes>),
    /// What the request has.
    Echo,
}

impl Plan {
    /// What the query of `uri` asks for.
    pub(super) fn of(uri: &Uri) -> Self {
        let mut plan = Self {
            status: StatusCode::OK,
            headers: HeaderMap::new(),
            content: Content::Full(Bytes::from_static(b"ok")),
            trailers: None,
            reads: true,
        };
        for part in uri.query().unwrap_or_default().split('&') {
            let (name, value) = part.split_once('=').unwrap_or((part, ""));
            plan.obey(name, value);
        }
        plan
    }

    fn obey(&mut self, name: &str, value: &str) {
        match name {
            "status" => {
                self.status = value.parse().expect("a status");
                self.content = Content::Full(Bytes::new());
            }
            "text" => self.content = Content::Full(Bytes::copy_from_slice(value.as_bytes())),
            "stream" => {
                let pieces = value.split(',').filter(|piece| !piece.is_empty());
                let pieces = pieces.map(|piece| Bytes::copy_from_slice(piece.as_bytes()));
                self.content = Content::Stream(pieces.collect());
            }
            "promise" => {
                let length = HeaderValue::from_str(value).expect("a value");
                self.headers.insert(header::CONTENT_LENGTH, length);
            }
            "field" => append(&mut self.headers, value),
            "trailer" => append(self.trailers.get_or_insert_default(), value),
            "echo" => self.content = Content::Echo,
            "ignore" => self.reads = false,
            // A query of someone else's.
            _ => {}
        }
    }
}

fn append(headers: &mut HeaderMap, field: &str) {
    let (name, value) = field.split_once(':').expect("`name:value`");
    let name: HeaderName = name.parse().expect("a name");
    headers.append(name, value.parse().expect("a value"));
}

/// A body in pieces, and then perhaps trailers.
pub(super) struct Pieces {
    pub(super) pieces: VecDeque<Bytes>,
    pub(super) trailers: Option<HeaderMap>,
}

impl http_body::Body for Pieces {
    type Data = Bytes;
    type Error = core::convert::Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let piece = self.pieces.pop_front().map(Frame::data);
        Poll::Ready(piece.or_else(|| self.trailers.take().map(Frame::trailers)).map(Ok))
    }
}
