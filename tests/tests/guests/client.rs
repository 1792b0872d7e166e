//! `Client`: who asks the services of this suite, by hyper's HTTP/1.1 client: one connection, request after request.

use core::net::SocketAddr;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::header::HOST;
use hyper::{Method, Request, StatusCode};
use mainspring_executor::Scope;
use mainspring_executor::compat::HyperIo;
use mainspring_executor::net::TcpStream;

/// What a request may fail with: of the connection, or of hyper.
pub(crate) type Error = Box<dyn std::error::Error>;

/// A connection of a client; dropped, it is closed.
pub(crate) struct Client {
    sender: SendRequest<Full<Bytes>>,
    /// Its task.
    _connection: Scope,
}

impl Client {
    pub(crate) async fn connect(address: SocketAddr) -> Result<Self, Error> {
        let stream = TcpStream::connect(address).await?;
        let (sender, connection) = handshake(HyperIo::new(stream)).await?;
        let scope = Scope::new();
        // What goes wrong is told to who asks.
        drop(scope.spawn(connection));
        Ok(Self { sender, _connection: scope })
    }

    /// The status of the answer, and all of its body.
    pub(crate) async fn ask(
        &mut self,
        method: Method,
        path: &str,
        body: impl Into<Bytes>,
    ) -> Result<(StatusCode, Bytes), Error> {
        let request = Request::builder().method(method).uri(path).header(HOST, "shop");
        let request = request.header("content-type", "application/json");
        self.sender.ready().await?;
        let answer = self.sender.send_request(request.body(Full::new(body.into()))?).await?;
        let status = answer.status();
        Ok((status, answer.into_body().collect().await?.to_bytes()))
    }

    pub(crate) async fn get(&mut self, path: &str) -> Result<(StatusCode, Bytes), Error> {
        self.ask(Method::GET, path, Bytes::new()).await
    }
}
