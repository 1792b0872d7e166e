//! `ResponseBody`: the body of a response, read from the socket as fast as it is polled.

use core::fmt;
use core::future::poll_fn;
use core::pin::Pin;
use core::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use mainspring_executor::net::TcpStream;

use super::conversation::Conversation;
use super::error::{Error, ErrorKind};
use crate::Body;

/// The body of a response. The socket is read only when this is polled: who waits makes the server wait.
///
/// What is left of a request that got its answer early is sent while this is polled.
///
/// Read to its end, its connection is kept for the next request. Dropped before, it reads on as far as bytes have come already,
/// up to [`Limits::discard_bytes_max`](super::Limits::discard_bytes_max); if that is not the end, the connection is closed.
pub struct ResponseBody {
    /// `None` once the connection is no longer needed.
    conversation: Option<Box<Conversation>>,
}

impl ResponseBody {
    pub(super) fn new(conversation: Box<Conversation>) -> Self {
        let mut body = Self { conversation: Some(conversation) };
        body.settle();
        body
    }

    /// The next bytes; `None` after the last. Trailers are passed over: whoever wants them polls frames. Cancel-safe.
    pub async fn chunk(&mut self) -> Option<Result<Bytes, Error>> {
        loop {
            let frame = poll_fn(|cx| http_body::Body::poll_frame(Pin::new(self), cx)).await?;
            match frame.map(Frame::into_data) {
                Ok(Ok(data)) => return Some(Ok(data)),
                Ok(Err(_)) => {}
                Err(error) => return Some(Err(error)),
            }
        }
    }

    /// All bytes together, if there are no more than `bytes_max`.
    ///
    /// # Errors
    /// [`ErrorKind::TooLong`], or why the body could not be read. A body that was cut off is an error, never a short body.
    pub async fn collect(mut self, bytes_max: usize) -> Result<Bytes, Error> {
        let Some(conversation) = &self.conversation else { return Ok(Bytes::new()) };
        // Noted while it is known.
        let asked = conversation.asked();
        let mut all = Vec::new();
        while let Some(chunk) = self.chunk().await {
            let chunk = chunk?;
            if all.len() + chunk.len() > bytes_max {
                return Err(asked.error(ErrorKind::TooLong));
            }
            if all.is_empty() && self.conversation.is_none() {
                return Ok(chunk);
            }
            all.extend_from_slice(&chunk);
        }
        Ok(all.into())
    }

    /// The connection itself, where it speaks another protocol from here on: after 101 (Switching Protocols), and after
    /// a 2xx to `CONNECT`. It is a [`ByteStream`](mainspring_executor::net::ByteStream), in whose buffer is what was read
    /// already. It does not count for the client any more.
    ///
    /// # Errors
    /// Itself, where it is a body.
    pub fn into_upgraded(mut self) -> Result<TcpStream, Self> {
        let upgraded = self.conversation.take_if(|conversation| conversation.is_handed_over());
        match upgraded.and_then(|mut conversation| conversation.take_stream()) {
            Some(stream) => Ok(stream),
            None => Err(self),
        }
    }

    /// Lets go of the connection where the response is whole.
    fn settle(&mut self) {
        if self.conversation.as_mut().is_some_and(|conversation| conversation.settle()) {
            self.conversation = None;
        }
    }
}

impl http_body::Body for ResponseBody {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let Some(conversation) = &mut self.conversation else { return Poll::Ready(None) };
        let frame = ready!(conversation.poll_frame(cx));
        match &frame {
            Some(Ok(frame)) if frame.is_data() => self.settle(),
            // Trailers, an error and the end are all the last.
            _ => self.conversation = None,
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.conversation.as_ref().is_none_or(|conversation| conversation.is_handed_over())
    }

    fn size_hint(&self) -> SizeHint {
        match &self.conversation {
            None => SizeHint::with_exact(0),
            Some(conversation) if conversation.is_handed_over() => SizeHint::with_exact(0),
            Some(conversation) => {
                conversation.remaining_length().map(SizeHint::with_exact).unwrap_or_default()
            }
        }
    }
}

impl Drop for ResponseBody {
    fn drop(&mut self) {
        if let Some(conversation) = &mut self.conversation {
            conversation.discard();
        }
    }
}

impl From<ResponseBody> for Body {
    fn from(body: ResponseBody) -> Self {
        Self::new(body)
    }
}

impl fmt::Debug for ResponseBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ResponseBody({:?})", http_body::Body::size_hint(self))
    }
}
