//! The server that most cases talk to: one path for each thing that a handler may do.

use core::time::Duration;
use std::io;
use std::rc::Rc;

use bytes::Bytes;
use futures::stream::{self, Stream};
use http::StatusCode;
use http::header::{CONNECTION, CONTENT_LENGTH, HeaderName, HeaderValue};
use mainspring::{Body, Handler, IntoResponse, Request, Response, Server};
use mainspring_executor::time::sleep;

use crate::stage::{Seen, Stage};
use crate::wire::pattern;

/// Between the pieces of a stream.
const PAUSE: Duration = Duration::from_millis(3);

/// The playground with the default limits.
pub(crate) fn playground(stage: &Stage) -> Server<impl Handler + use<>> {
    let seen = Rc::clone(&stage.seen);
    Server::new(move |request| answer(Rc::clone(&seen), request))
}

async fn answer(seen: Rc<Seen>, mut request: Request) -> Response {
    seen.add();
    let path = request.uri().path().to_owned();
    let mut parts = path[1..].split('/');
    match (parts.next().unwrap_or_default(), parts.next().unwrap_or_default()) {
        ("hello", _) => "hello".into_response(),
        ("bytes", length) => Bytes::from(pattern(number(length))).into_response(),
        ("close", length) => {
            let mut response = Bytes::from(pattern(number(length))).into_response();
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
            response
        }
        ("slow", millis) => {
            sleep(Duration::from_millis(number(millis) as u64)).await;
            "slow".into_response()
        }
        ("echo", _) => Response::new(request.into_body().into()),
        ("collect", _) => match request.into_body().collect(10_000_000).await {
            Ok(body) => format!("{} bytes", body.len()).into_response(),
            Err(error) => {
                seen.note(format!("{error:?}"));
                StatusCode::IM_A_TEAPOT.into_response()
            }
        },
        ("first-chunk", _) => {
            let chunk = request.body_mut().chunk().await;
            let chunk = chunk.expect("a body").expect("a good one");
            Bytes::copy_from_slice(&chunk[..1]).into_response()
        }
        ("ignore", _) => "not read".into_response(),
        ("stream", length) => {
            let length = length.parse().ok();
            Response::new(Body::stream(length, pieces(9)))
        }
        ("fails", length) => Response::new(Body::stream(length.parse().ok(), failing(false))),
        ("panics-in-body", length) => {
            Response::new(Body::stream(length.parse().ok(), failing(true)))
        }
        ("status", status) => {
            let status = number(status);
            let status = u16::try_from(status).expect("three digits");
            let mut response = Response::new(Body::empty());
            *response.status_mut() = StatusCode::from_u16(status).expect("a status");
            response
        }
        ("promise", length) => with_field(CONTENT_LENGTH, length),
        ("field", name) => {
            let name = HeaderName::from_bytes(name.as_bytes()).expect("a name");
            with_field(name, parts.next().expect("a value"))
        }
        ("panic", when) => panic_at(when).await,
        _ => StatusCode::NOT_FOUND.into_response(),
    }
}

fn number(part: &str) -> usize {
    part.parse().expect("the cases ask in numbers")
}

fn with_field(name: HeaderName, value: &str) -> Response {
    let mut response = "hello".into_response();
    response.headers_mut().insert(name, HeaderValue::from_str(value).expect("a value"));
    response
}

/// Pieces of three bytes, until there are `length`.
fn pieces(length: usize) -> impl Stream<Item = io::Result<Bytes>> {
    stream::unfold(0, move |sent| async move {
        sleep(PAUSE).await;
        (sent < length).then_some((Ok(Bytes::from_static(b"abc")), sent + 3))
    })
}

/// Six bytes, and then an error or a panic.
fn failing(panics: bool) -> impl Stream<Item = io::Result<Bytes>> {
    stream::unfold(0, move |sent| async move {
        sleep(PAUSE).await;
        let piece = match sent {
            0..6 => Ok(Bytes::from_static(b"abc")),
            _ if panics => panic!("planted: in the body of a response"),
            _ => Err(io::Error::other("planted: the source of this body broke")),
        };
        Some((piece, sent + 3))
    })
}

/// Panics in each of the places where a handler can.
async fn panic_at(when: &str) -> Response {
    struct Late;
    impl IntoResponse for Late {
        fn into_response(self) -> Response {
            panic!("planted: as it becomes a response")
        }
    }
    match when {
        "at-once" => panic!("planted: before the first await"),
        "later" => {
            sleep(PAUSE).await;
            panic!("planted: after an await")
        }
        _ => Late.into_response(),
    }
}
