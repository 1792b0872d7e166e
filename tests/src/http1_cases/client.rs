//! `Client`: one connection, on which bytes are said and all that comes back is kept. It knows no HTTP.

use core::future::poll_fn;
use core::net::SocketAddr;
use core::task::{Context, Poll};
use std::io::{ErrorKind, IoSlice};

use mainspring_executor::net::TcpStream;

/// A client that reads whenever there is something to read.
pub(crate) struct Client {
    stream: TcpStream,
    received: Vec<u8>,
    end: Option<Result<(), ErrorKind>>,
}

impl Client {
    /// Connects.
    pub(crate) async fn connect(address: SocketAddr) -> Result<Self, String> {
        let stream = TcpStream::connect(address).await.map_err(|error| error.to_string())?;
        Ok(Self { stream, received: Vec::new(), end: None })
    }

    /// All that came so far.
    pub(crate) fn received(&self) -> &[u8] {
        &self.received
    }

    /// Whether the server has ended the connection.
    pub(crate) fn is_ended(&self) -> bool {
        self.end.is_some()
    }

    /// Sends as much as the server takes: it may have closed.
    pub(crate) async fn send(&mut self, bytes: &[u8]) {
        let mut sent = 0;
        while sent < bytes.len() {
            let written = poll_fn(|cx| {
                while self.end.is_none() && self.poll_receive(cx).is_ready() {}
                self.stream.poll_write(cx, &[IoSlice::new(&bytes[sent..])])
            });
            match written.await {
                Ok(count) => sent += count,
                Err(_) => return,
            }
        }
    }

    /// Ends this side. Where the connection is gone, nothing is to be said.
    pub(crate) fn hang_up(&mut self) {
        drop(self.stream.shutdown_write());
    }

    /// Waits for more, or for the end.
    pub(crate) async fn receive(&mut self) {
        poll_fn(|cx| self.poll_receive(cx)).await;
    }

    /// Waits for the end, and gives all that came.
    pub(crate) async fn receive_all(mut self) -> Result<Vec<u8>, String> {
        while !self.is_ended() {
            self.receive().await;
        }
        match self.end {
            Some(Err(error)) => {
                Err(format!("the end is {error:?}, after {}", self.received.escape_ascii()))
            }
            _ => Ok(self.received),
        }
    }

    fn poll_receive(&mut self, cx: &Context<'_>) -> Poll<()> {
        let Poll::Ready(filled) = self.stream.poll_fill(cx) else { return Poll::Pending };
        self.received.extend_from_slice(self.stream.buffered());
        self.stream.consume(self.stream.buffered().len());
        match filled {
            Ok(0) => self.end = Some(Ok(())),
            Ok(_) => {}
            Err(error) => self.end = Some(Err(error.kind())),
        }
        Poll::Ready(())
    }
}
