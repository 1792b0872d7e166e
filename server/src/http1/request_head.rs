//! `RequestHead`: a request's first part as it came: one copy of its bytes, and where in them each field stands.
//!
//! Most handlers look at a path and a field or two. So nothing is made of the bytes before someone asks for it, and a
//! head that is dropped leaves its memory to the next one.

use core::cell::OnceCell;
use core::fmt;
use core::ops::Range;
use std::rc::Rc;

use bytes::Bytes;
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri, Version};

use super::head_pool::HeadPool;
use crate::limits::HEAD_BYTES_LIMIT;

/// The head of a request: method, target, version and fields, all of them checked.
///
/// [`RequestHead::path`] and [`RequestHead::field`] read the bytes in place. [`RequestHead::uri`] and
/// [`RequestHead::headers`] make the types of the `http` crate of them at the first call, which costs some allocations.
pub struct RequestHead {
    /// There until the drop.
    parts: Option<Box<HeadParts>>,
    pool: Rc<HeadPool>,
}

/// What a head is made of, and what is kept of one for the next.
#[derive(Default)]
pub(super) struct HeadParts {
    bytes: Vec<u8>,
    method: Method,
    version: Version,
    /// Where in `bytes` it stands.
    target: Range<usize>,
    /// How many bytes of a target in origin-form are its path; `None` for the other forms.
    path_length: Option<usize>,
    fields: Vec<FieldSpans>,
    uri: OnceCell<Uri>,
    headers: OnceCell<HeaderMap>,
}

/// The name and the value of a field.
struct FieldSpans {
    name: Span,
    value: Span,
}

/// Where in a head something stands.
#[derive(Clone, Copy)]
pub(super) struct Span {
    start: u16,
    length: u16,
}

// Places in a head fit.
const _: () = assert!(HEAD_BYTES_LIMIT <= u16::MAX as usize);

impl Span {
    /// `length` bytes from `start` on, in a head of no more than [`HEAD_BYTES_LIMIT`].
    #[expect(clippy::cast_possible_truncation, reason = "a head is no longer than its limit")]
    pub(super) fn new(start: usize, length: usize) -> Self {
        debug_assert!(start + length <= HEAD_BYTES_LIMIT);
        Self { start: start as u16, length: length as u16 }
    }

    /// Where `part`, a slice of `head`, stands in it.
    pub(super) fn of(head: &[u8], part: &[u8]) -> Self {
        // What is empty may point elsewhere.
        let start = if part.is_empty() { 0 } else { part.as_ptr().addr() - head.as_ptr().addr() };
        Self::new(start, part.len())
    }

    fn range(self) -> Range<usize> {
        let start = usize::from(self.start);
        start..start + usize::from(self.length)
    }
}

impl HeadParts {
    /// Starts with what the request line says.
    pub(super) fn begin(
        &mut self,
        method: Method,
        target: Range<usize>,
        path_length: Option<usize>,
        version: Version,
    ) {
        debug_assert!(self.bytes.is_empty() && self.fields.is_empty(), "it was cleared");
        self.method = method;
        self.target = target;
        self.path_length = path_length;
        self.version = version;
    }

    /// Adds a field.
    pub(super) fn add_field(&mut self, name: Span, value: Span) {
        self.fields.push(FieldSpans { name, value });
    }

    /// Takes a copy of the whole head.
    pub(super) fn set_bytes(&mut self, head: &[u8]) {
        self.bytes.extend_from_slice(head);
    }

    /// Forgets the head, and keeps its memory.
    pub(super) fn clear(&mut self) {
        self.bytes.clear();
        self.fields.clear();
        // Most heads have neither.
        if self.uri.get().is_some() || self.headers.get().is_some() {
            self.uri.take();
            self.headers.take();
        }
    }

    /// Bytes of memory for the next head.
    pub(super) fn capacity(&self) -> usize {
        self.bytes.capacity() + self.fields.capacity() * size_of::<FieldSpans>()
    }

    pub(super) fn method(&self) -> &Method {
        &self.method
    }

    pub(super) fn version(&self) -> Version {
        self.version
    }

    fn at(&self, span: Span) -> &[u8] {
        &self.bytes[span.range()]
    }

    fn target(&self) -> &str {
        text(&self.bytes[self.target.clone()])
    }

    fn make_uri(&self) -> Uri {
        let target = Bytes::copy_from_slice(&self.bytes[self.target.clone()]);
        let uri = if target.starts_with(b"/") {
            PathAndQuery::from_maybe_shared(target).map(Uri::from)
        } else {
            Uri::from_maybe_shared(target)
        };
        uri.expect("the parser takes no target that is no URI")
    }

    fn make_headers(&self) -> HeaderMap {
        let shared = Bytes::copy_from_slice(&self.bytes);
        let mut headers = HeaderMap::with_capacity(self.fields.len());
        for field in &self.fields {
            let name = HeaderName::from_bytes(self.at(field.name));
            let value = HeaderValue::from_maybe_shared(shared.slice(field.value.range()));
            headers.append(
                name.expect("the parser takes no name that is no token"),
                value.expect("the parser takes no value with a control byte"),
            );
        }
        headers
    }
}

fn text(bytes: &[u8]) -> &str {
    str::from_utf8(bytes).expect("targets and names are ASCII")
}

impl RequestHead {
    pub(super) fn new(parts: Box<HeadParts>, pool: Rc<HeadPool>) -> Self {
        Self { parts: Some(parts), pool }
    }

    fn parts(&self) -> &HeadParts {
        self.parts.as_ref().expect("there until the drop")
    }

    /// The method. Any token is one.
    #[must_use]
    pub fn method(&self) -> &Method {
        self.parts().method()
    }

    /// HTTP/1.1 or HTTP/1.0.
    #[must_use]
    pub fn version(&self) -> Version {
        self.parts().version()
    }

    /// The request target as it was sent (RFC 9112 §3.2).
    #[must_use]
    pub fn target(&self) -> &str {
        self.parts().target()
    }

    /// The path of the target, as it was sent: percent escapes are left as they are. `*` for a server-wide OPTIONS.
    #[must_use]
    pub fn path(&self) -> &str {
        let parts = self.parts();
        match parts.path_length {
            Some(length) => text(&parts.bytes[parts.target.start..][..length]),
            None => self.uri().path(),
        }
    }

    /// What follows the first `?` of the target.
    #[must_use]
    pub fn query(&self) -> Option<&str> {
        self.target().split_once('?').map(|(_, query)| query)
    }

    /// The target as a URI. Made at the first call.
    #[must_use]
    pub fn uri(&self) -> &Uri {
        let parts = self.parts();
        parts.uri.get_or_init(|| parts.make_uri())
    }

    /// All fields as a map. Made at the first call.
    #[must_use]
    pub fn headers(&self) -> &HeaderMap {
        let parts = self.parts();
        parts.headers.get_or_init(|| parts.make_headers())
    }

    /// The value of the first field of that name, which is compared without regard to case. Without white space around
    /// it; may hold bytes that are no ASCII.
    #[must_use]
    pub fn field<'h>(&'h self, name: &'h str) -> Option<&'h [u8]> {
        self.fields_named(name).next()
    }

    /// The values of all fields of that name, in the order in which they came.
    pub fn fields_named<'h>(&'h self, name: &'h str) -> impl Iterator<Item = &'h [u8]> {
        let parts = self.parts();
        let is_named =
            |field: &&FieldSpans| parts.at(field.name).eq_ignore_ascii_case(name.as_bytes());
        parts.fields.iter().filter(is_named).map(|field| parts.at(field.value))
    }

    /// Names and values of all fields, as they came.
    pub fn fields(&self) -> impl Iterator<Item = (&str, &[u8])> {
        let parts = self.parts();
        parts.fields.iter().map(|field| (text(parts.at(field.name)), parts.at(field.value)))
    }

    /// The head in the types of the `http` crate.
    ///
    /// # Panics
    /// Never: all of it was checked.
    #[must_use]
    pub fn into_request(mut self) -> http::Request<()> {
        let mut parts = self.parts.take().expect("there until the drop");
        let mut request = http::Request::new(());
        *request.uri_mut() = parts.uri.take().unwrap_or_else(|| parts.make_uri());
        *request.headers_mut() = parts.headers.take().unwrap_or_else(|| parts.make_headers());
        *request.method_mut() = core::mem::take(&mut parts.method);
        *request.version_mut() = parts.version;
        self.pool.give_back(parts);
        request
    }
}

impl Drop for RequestHead {
    fn drop(&mut self) {
        if let Some(parts) = self.parts.take() {
            self.pool.give_back(parts);
        }
    }
}

impl fmt::Debug for RequestHead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fields = self.fields().map(|(name, value)| (name, value.escape_ascii().to_string()));
        f.debug_struct("RequestHead")
            .field("method", self.method())
            .field("target", &self.target())
            .field("version", &self.version())
            .field("fields", &fields.collect::<Vec<_>>())
            .finish_non_exhaustive()
    }
}
