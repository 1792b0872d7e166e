//! Whose fault it is: [`Error`] is the peer's, [`UsageError`] is the handler's. Ours is a panic.

use http::StatusCode;

/// What the peer did wrong. Each kind knows the status that answers it; the connection always
/// closes after it, because where the next message would begin is no longer certain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error {
    /// The request line is not `method SP target SP version`, or something else stands before it.
    RequestLine,
    /// A line does not end with CRLF, or a CR stands alone.
    LineEnd,
    /// The request target is in no form that the method allows, or holds a byte that no URI holds.
    Target,
    /// The request target is one of https, and the connection has no TLS.
    Misdirected,
    /// The request line is longer than `request_line_bytes_max`.
    RequestLineTooLong,
    /// A version of HTTP other than 1.0 and 1.1.
    Version,
    /// `CONNECT`: this is an origin server and a gateway, never a tunnel.
    Connect,
    /// A field line that is not `name ":" value`, or that is folded.
    Field,
    /// The head is longer than `head_bytes_max`.
    HeadTooLong,
    /// The head or the trailer section has more fields than `header_count_max`.
    TooManyFields,
    /// `Host` is missing, repeated, malformed, or disagrees with the request target.
    Host,
    /// `Content-Length` is not one decimal number.
    ContentLength,
    /// `Transfer-Encoding` is not exactly one final `chunked`, or came with HTTP/1.0.
    TransferEncoding,
    /// A transfer coding that we do not know.
    UnknownCoding,
    /// `Content-Length` and `Transfer-Encoding` in one message.
    LengthConflict,
    /// A field that imitates a framing field (`Content_Length`), or a `Connection` that names one.
    FramingDisguise,
    /// `Expect` asks for something other than `100-continue`.
    Expectation,
    /// The body is longer than `body_bytes_max`.
    BodyTooLong,
    /// A chunk size that is not 1 to 16 hexadecimal digits and nothing else.
    ChunkSize,
    /// A chunk extension that does not follow the grammar.
    ChunkExtension,
    /// A chunk-size line or all extensions together are longer than their limits.
    ChunkLineTooLong,
    /// The data of a chunk is not followed by CRLF.
    ChunkEnd,
    /// A field that must not stand in a trailer section.
    Trailer,
    /// The trailer section is longer than `trailer_bytes_max`.
    TrailersTooLong,
    /// The peer ended its side in the middle of a message. There is no answer to it: see
    /// [`Connection::reject`](super::Connection::reject).
    Incomplete,
    /// The peer was too slow. The protocol has no clock: the caller, who has one, makes this error.
    Timeout,
}

impl Error {
    /// The status that answers this error.
    #[must_use]
    pub fn status(self) -> StatusCode {
        self.answer().0
    }

    /// One sentence for the peer and for the log. It never repeats bytes of the request.
    #[must_use]
    pub fn reason(self) -> &'static str {
        self.answer().1
    }

    fn answer(self) -> (StatusCode, &'static str) {
        const BAD: StatusCode = StatusCode::BAD_REQUEST;
        match self {
            Self::RequestLine => (BAD, "malformed request line"),
            Self::LineEnd => (BAD, "a line does not end with CRLF"),
            Self::Target => (BAD, "malformed request target"),
            Self::Misdirected => {
                (StatusCode::MISDIRECTED_REQUEST, "an https target on a connection without TLS")
            }
            Self::RequestLineTooLong => (StatusCode::URI_TOO_LONG, "request line too long"),
            Self::Version => (
                StatusCode::HTTP_VERSION_NOT_SUPPORTED,
                "only HTTP/1.0 and HTTP/1.1 are spoken here",
            ),
            Self::Connect => (StatusCode::NOT_IMPLEMENTED, "CONNECT is not implemented"),
            Self::Field => (BAD, "malformed field line"),
            Self::HeadTooLong => (StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, "head too long"),
            Self::TooManyFields => (StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, "too many fields"),
            Self::Host => (BAD, "Host is missing, repeated, malformed or not that of the target"),
            Self::ContentLength => (BAD, "malformed Content-Length"),
            Self::TransferEncoding => (BAD, "malformed or misplaced Transfer-Encoding"),
            Self::UnknownCoding => (StatusCode::NOT_IMPLEMENTED, "unknown transfer coding"),
            Self::LengthConflict => (BAD, "both Content-Length and Transfer-Encoding"),
            Self::FramingDisguise => (BAD, "a field disguises or disowns the framing"),
            Self::Expectation => (StatusCode::EXPECTATION_FAILED, "unknown expectation"),
            Self::BodyTooLong => (StatusCode::PAYLOAD_TOO_LARGE, "body too long"),
            Self::ChunkSize => (BAD, "malformed chunk size"),
            Self::ChunkExtension => (BAD, "malformed chunk extension"),
            Self::ChunkLineTooLong => (BAD, "chunk line or chunk extensions too long"),
            Self::ChunkEnd => (BAD, "chunk data does not end with CRLF"),
            Self::Trailer => (BAD, "field not allowed in a trailer section"),
            Self::TrailersTooLong => {
                (StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, "trailer section too long")
            }
            Self::Incomplete => (BAD, "the message was cut off"),
            Self::Timeout => (StatusCode::REQUEST_TIMEOUT, "the request took too long"),
        }
    }
}

impl core::fmt::Display for Error {
    fn fmt(&self, formatter: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        formatter.write_str(self.reason())
    }
}

impl core::error::Error for Error {}

/// What the handler, or the code that drives the connection, did wrong. Nothing was written to
/// `out` by the call that returns it. Before the response has begun the caller may answer something
/// else (a 500); after that it can only cut the connection, and
/// [`Connection::must_close`](super::Connection::must_close) says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UsageError {
    /// A call out of order: a response without a request, data before its head or after its end.
    OutOfOrder,
    /// A 1xx status for a final response.
    InformationalStatus,
    /// A body, or a length, for a status that has none (204, 205, 304).
    BodyForbidden,
    /// A field that belongs to the connection and not to the handler.
    ConnectionField,
    /// The handler's `Content-Length` is not one decimal number.
    ContentLengthInvalid,
    /// The handler's `Content-Length` is not the length of its body.
    ContentLengthMismatch,
    /// More body than the head promised.
    BodyTooLong,
    /// Less body than the head promised: the peer must see the connection cut.
    BodyTooShort,
    /// A field that must not stand in a trailer section (RFC 9110 §6.5.1).
    TrailerForbidden,
    /// A switch to another protocol that the request does not ask for, or that names none.
    Upgrade,
}

impl core::fmt::Display for UsageError {
    fn fmt(&self, formatter: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        formatter.write_str(match self {
            Self::OutOfOrder => "a call out of order",
            Self::InformationalStatus => "a 1xx status does not end an exchange",
            Self::BodyForbidden => "this status has no body",
            Self::ConnectionField => "a field that only the connection itself may set",
            Self::ContentLengthInvalid => "the Content-Length is not one decimal number",
            Self::ContentLengthMismatch => "the Content-Length is not the length of the body",
            Self::BodyTooLong => "more body than promised",
            Self::BodyTooShort => "less body than promised",
            Self::TrailerForbidden => "this field must not be a trailer",
            Self::Upgrade => "a switch to a protocol that was not asked for or is not named",
        })
    }
}

impl core::error::Error for UsageError {}
