//! `Http`: an upstream that speaks HTTP/1.1. It shares no code with Mainspring's own protocol core, which is what it tests.
//!
//! It keeps connections, answers pipelined requests in order, takes bodies by `Content-Length` and chunked, and asks for them
//! (`Expect: 100-continue`).

mod answering;
mod reading;

use core::fmt;
use core::time::Duration;
use std::collections::BTreeMap;
use std::io;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use mainspring_sim::Host;

use crate::call::Call;
use crate::rules::Act;
use crate::stand_in::{Protocol, StandIn};

/// How an upstream misbehaves in words of HTTP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HttpBehaviour {
    /// 503, with `Retry-After` in seconds or without: a storm of them where it holds for all.
    Unavailable {
        /// Rounded down to seconds.
        retry_after: Option<Duration>,
    },
    /// 429, with `Retry-After` in seconds or without.
    TooManyRequests {
        /// Rounded down to seconds.
        retry_after: Option<Duration>,
    },
    /// Another status in place of the answer: 500, 502, 504.
    Status(StatusCode),
    /// Half of the head, then nothing.
    StallInHead,
    /// The head, then nothing of its body.
    StallAfterHead,
    /// Half of the body against its `Content-Length`, then FIN.
    Truncate,
    /// A body in chunks, then FIN without the last chunk.
    ChunkedWithoutEnd,
    /// A `Content-Length` of one more than there is; the connection stays open.
    ShorterThanSaid,
    /// A `Content-Length` of one less than there is.
    LongerThanSaid,
    /// Both `Content-Length` and `Transfer-Encoding`.
    BothLengths,
    /// A second response that nobody asked for, right behind the right one.
    Unasked,
    /// Closes after the answer, without having said so.
    CloseUnannounced,
    /// Never asks for the body of a request that expects `100 Continue`: it waits for it.
    NoContinue,
    /// Answers before the body of the request has come, reads no more of it, and closes.
    EarlyAnswer,
    /// So many `103 Early Hints` before the answer.
    Hints(u32),
    /// A head that goes on and on: so many bytes of fields, then nothing.
    LongHead(usize),
    /// A chunked body that goes on and on: so many bytes, then nothing.
    LongBody(usize),
    /// Bytes that are no HTTP.
    NotHttp,
}

impl From<HttpBehaviour> for Act<HttpBehaviour> {
    fn from(behaviour: HttpBehaviour) -> Self {
        Self::Own(behaviour)
    }
}

type Handler = Box<dyn Fn(&Request<Bytes>) -> Response<Bytes>>;

/// An HTTP upstream. What has no answer is not found.
///
/// ```
/// # use mainspring_sim::{World, WorldConfig};
/// use mainspring_stand_ins::{Http, HttpBehaviour};
/// # let world = World::new(1, WorldConfig::calm());
/// let prices = Http::new()
///     .answer("/price", "42")
///     .answer_with("/echo", |request| http::Response::new(request.body().clone()))
///     .serve(&world.host("prices"), 80);
/// prices.behave(HttpBehaviour::Unavailable { retry_after: None }).one_in(3);
/// # prices.stop();
/// # world.run().unwrap();
/// ```
#[derive(Default)]
pub struct Http {
    handlers: BTreeMap<String, Handler>,
}

impl Http {
    /// One that knows no paths.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Answers requests for a path, of any method, with 200 and this body.
    #[must_use]
    pub fn answer(self, path: &str, body: impl Into<Bytes>) -> Self {
        let body = body.into();
        self.answer_with(path, move |_| Response::new(body.clone()))
    }

    /// Answers requests for a path as a closure says. It is to depend on the request and what it holds alone, or runs cannot be
    /// repeated. `Content-Length` and `Connection` are set by the stand-in.
    #[must_use]
    pub fn answer_with(
        mut self,
        path: &str,
        handler: impl Fn(&Request<Bytes>) -> Response<Bytes> + 'static,
    ) -> Self {
        self.handlers.insert(path.to_owned(), Box::new(handler));
        self
    }

    /// Serves on a simulated host. See [`StandIn::serve`].
    ///
    /// # Panics
    /// As [`StandIn::serve`].
    #[must_use = "a stand-in ends with its last handle"]
    #[track_caller]
    pub fn serve(self, host: &Host, port: u16) -> StandIn<Self> {
        StandIn::serve(self, host, port)
    }

    fn respond(&self, request: &Request<Bytes>) -> Response<Bytes> {
        match self.handlers.get(request.uri().path()) {
            Some(handler) => handler(request),
            None => status(StatusCode::NOT_FOUND),
        }
    }
}

fn status(status: StatusCode) -> Response<Bytes> {
    let mut response = Response::new(Bytes::new());
    *response.status_mut() = status;
    response
}

impl fmt::Debug for Http {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Http({} paths)", self.handlers.len())
    }
}

impl Protocol for Http {
    type Behaviour = HttpBehaviour;
    type Question = Request<Bytes>;

    async fn converse(mut call: Call<Self>) -> io::Result<()> {
        let ended = serve(&mut call).await;
        if ended.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::InvalidData) {
            let refusal =
                b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
            return call.answer(refusal).await;
        }
        ended
    }
}

/// Answers one request after the other.
async fn serve(call: &mut Call<Http>) -> io::Result<()> {
    while let Some(head) = reading::head(call).await? {
        answering::serve(call, head).await?;
    }
    Ok(())
}
