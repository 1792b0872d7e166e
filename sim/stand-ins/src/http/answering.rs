//! Answering a request, well or not.

use core::fmt::Write;
use core::time::Duration;
use std::io::{self, ErrorKind};

use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_LENGTH, RETRY_AFTER, TRANSFER_ENCODING};
use http::{Method, Request, Response, StatusCode};

use super::reading::{self, Head};
use super::{Http, HttpBehaviour, status};
use crate::call::Call;

/// What is sent at a time of something that goes on and on.
const PIECE_BYTES: usize = 4096;

/// Answers one request. An error is the connection's end.
pub(super) async fn serve(call: &mut Call<Http>, head: Head) -> io::Result<()> {
    let Head { request, body: length } = &head;
    let is_early = call.own(|own| (*own == HttpBehaviour::EarlyAnswer).then_some(())).is_some();
    let mut body = Vec::new();
    if !is_early {
        let is_mute = head.expects_continue()
            && call.own(|own| (*own == HttpBehaviour::NoContinue).then_some(())).is_some();
        if head.expects_continue() && !is_mute {
            call.send(b"HTTP/1.1 100 Continue\r\n\r\n").await?;
        }
        body = reading::body(call, *length).await?;
    }
    let mut question = Request::new(Bytes::from(body));
    *question.method_mut() = request.method().clone();
    *question.uri_mut() = request.uri().clone();
    *question.version_mut() = request.version();
    *question.headers_mut() = request.headers().clone();
    call.ask(question.clone())?;

    let own = call.own(|own| {
        let is_of_body = matches!(own, HttpBehaviour::EarlyAnswer | HttpBehaviour::NoContinue);
        (!is_of_body).then(|| own.clone())
    });
    let is_kept = head.is_kept() && !is_early && !call.is_beyond_limit();
    let mut response = if call.is_beyond_limit() {
        status(StatusCode::SERVICE_UNAVAILABLE)
    } else {
        instead(own.as_ref()).unwrap_or_else(|| call.protocol().respond(&question))
    };
    if !is_kept {
        response.headers_mut().insert(CONNECTION, "close".parse().expect("it is a value"));
    }
    let is_head = question.method() == Method::HEAD;
    let end = answer(call, &response, own.as_ref(), is_head).await?;
    match end {
        End::Kept if is_kept => Ok(()),
        End::Kept | End::Closed => Err(ErrorKind::ConnectionAborted.into()),
        End::Stalled => Err(call.stall().await),
    }
}

/// What becomes of the connection after an answer.
enum End {
    Kept,
    Closed,
    Stalled,
}

/// The response in place of the right one, where it is to be another.
fn instead(own: Option<&HttpBehaviour>) -> Option<Response<Bytes>> {
    let (code, retry_after) = match own? {
        HttpBehaviour::Unavailable { retry_after } => {
            (StatusCode::SERVICE_UNAVAILABLE, *retry_after)
        }
        HttpBehaviour::TooManyRequests { retry_after } => {
            (StatusCode::TOO_MANY_REQUESTS, *retry_after)
        }
        HttpBehaviour::Status(code) => (*code, None),
        _ => return None,
    };
    let mut response = status(code);
    if let Some(seconds) = retry_after.as_ref().map(Duration::as_secs) {
        response.headers_mut().insert(RETRY_AFTER, seconds.into());
    }
    Some(response)
}

async fn answer(
    call: &mut Call<Http>,
    response: &Response<Bytes>,
    own: Option<&HttpBehaviour>,
    is_head: bool,
) -> io::Result<End> {
    let body: &[u8] = if is_head { &[] } else { response.body() };
    let length = response.body().len();
    let whole = |length: usize, body: &[u8]| {
        let mut bytes = encode_head(response, Framing::Length(length));
        bytes.extend_from_slice(body);
        bytes
    };
    match own {
        Some(HttpBehaviour::StallInHead) => {
            let head = encode_head(response, Framing::Length(length));
            call.answer(&head[..head.len() / 2]).await?;
            Ok(End::Stalled)
        }
        Some(HttpBehaviour::StallAfterHead) => {
            // A body of nothing would be there already.
            call.answer(&encode_head(response, Framing::Length(length.max(1)))).await?;
            Ok(End::Stalled)
        }
        Some(HttpBehaviour::Truncate) => {
            call.answer(&whole(length.max(1), &body[..body.len() / 2])).await?;
            Ok(End::Closed)
        }
        Some(HttpBehaviour::ChunkedWithoutEnd) => {
            let mut bytes = encode_head(response, Framing::Chunked);
            bytes.extend(chunk(body));
            call.answer(&bytes).await?;
            Ok(End::Closed)
        }
        Some(HttpBehaviour::ShorterThanSaid) => {
            call.answer(&whole(length + 1, body)).await?;
            Ok(End::Stalled)
        }
        Some(HttpBehaviour::LongerThanSaid) => {
            let said = length.saturating_sub(1);
            call.answer(&whole(said, if body.is_empty() { b"!" } else { body })).await?;
            Ok(End::Kept)
        }
        Some(HttpBehaviour::BothLengths) => {
            let mut bytes = encode_head(response, Framing::Both(length));
            bytes.extend(chunk(body));
            bytes.extend(b"0\r\n\r\n");
            call.answer(&bytes).await?;
            Ok(End::Kept)
        }
        Some(HttpBehaviour::Unasked) => {
            let mut bytes = whole(length, body);
            bytes.extend(b"HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\nunasked");
            call.answer(&bytes).await?;
            Ok(End::Kept)
        }
        Some(HttpBehaviour::CloseUnannounced) => {
            call.answer(&whole(length, body)).await?;
            Ok(End::Closed)
        }
        Some(HttpBehaviour::Hints(count)) => {
            for _ in 0..*count {
                call.send(b"HTTP/1.1 103 Early Hints\r\nLink: </style.css>; rel=preload\r\n\r\n")
                    .await?;
            }
            call.answer(&whole(length, body)).await?;
            Ok(End::Kept)
        }
        Some(HttpBehaviour::LongHead(count)) => {
            call.answer(b"HTTP/1.1 200 OK\r\n").await?;
            for index in 0..count.div_ceil(PIECE_BYTES) {
                let name = format!("x-{index}: ");
                let value = "x".repeat(PIECE_BYTES - name.len() - 2);
                call.send(format!("{name}{value}\r\n").as_bytes()).await?;
            }
            Ok(End::Stalled)
        }
        Some(HttpBehaviour::LongBody(count)) => {
            call.answer(&encode_head(response, Framing::Chunked)).await?;
            for _ in 0..count.div_ceil(PIECE_BYTES) {
                call.send(&chunk(&[b'x'; PIECE_BYTES])).await?;
            }
            Ok(End::Stalled)
        }
        Some(HttpBehaviour::NotHttp) => {
            call.answer(b"SSH-2.0-OpenSSH_9.2\r\n").await?;
            Ok(End::Closed)
        }
        Some(
            HttpBehaviour::Unavailable { .. }
            | HttpBehaviour::TooManyRequests { .. }
            | HttpBehaviour::Status(_)
            | HttpBehaviour::NoContinue
            | HttpBehaviour::EarlyAnswer,
        )
        | None => {
            call.answer(&whole(length, body)).await?;
            Ok(End::Kept)
        }
    }
}

/// How the length of a body is told.
#[derive(Clone, Copy)]
enum Framing {
    Length(usize),
    Chunked,
    Both(usize),
}

fn encode_head(response: &Response<Bytes>, framing: Framing) -> Vec<u8> {
    let status = response.status();
    let reason = status.canonical_reason().unwrap_or_default();
    let mut head = format!("HTTP/1.1 {} {reason}\r\n", status.as_str()).into_bytes();
    for (name, value) in response.headers() {
        if *name != CONTENT_LENGTH && *name != TRANSFER_ENCODING {
            head.extend_from_slice(name.as_str().as_bytes());
            head.extend_from_slice(b": ");
            head.extend_from_slice(value.as_bytes());
            head.extend_from_slice(b"\r\n");
        }
    }
    let mut fields = String::new();
    // RFC 9110 §8.6: no length where there is no body by the status.
    let is_bodiless = status.is_informational() || status == StatusCode::NO_CONTENT;
    if let Framing::Length(length) | Framing::Both(length) = framing
        && !is_bodiless
    {
        write!(fields, "content-length: {length}\r\n").expect("a text takes all");
    }
    if let Framing::Chunked | Framing::Both(_) = framing {
        fields.push_str("transfer-encoding: chunked\r\n");
    }
    head.extend_from_slice(fields.as_bytes());
    head.extend_from_slice(b"\r\n");
    head
}

/// A chunk; nothing for no bytes, which would be the last one.
fn chunk(bytes: &[u8]) -> Vec<u8> {
    if bytes.is_empty() {
        return Vec::new();
    }
    let mut chunk = format!("{:x}\r\n", bytes.len()).into_bytes();
    chunk.extend_from_slice(bytes);
    chunk.extend_from_slice(b"\r\n");
    chunk
}
