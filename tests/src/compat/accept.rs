//! `accept_each`: a task for each connection.

use core::future::Future;
use core::pin::pin;

use futures::{FutureExt, select_biased};
use mainspring_executor::net::{TcpListener, TcpStream};
use mainspring_executor::{CancelToken, Scope};

/// Gives each connection a task, until `stop` is cancelled; then the listener is closed. Gives the tasks: to be waited
/// for, or to be dropped.
///
/// hyper's server, one task a connection:
///
/// ```
/// use core::convert::Infallible;
/// use bytes::Bytes;
/// use http_body_util::{BodyExt, Empty, Full};
/// use hyper::{Request, Response, body::Incoming, service::service_fn};
/// use mainspring_executor::compat::{HyperIo, HyperTimer};
/// use mainspring_executor::driver::ListenOptions;
/// use mainspring_executor::net::{TcpListener, TcpStream};
/// use mainspring_executor::{CancelToken, Shard, os::OsDriver, scope::scope};
/// use mainspring_tests::compat::accept_each;
///
/// async fn hello(_: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
///     Ok(Response::new(Full::from("hello")))
/// }
///
/// let shard = Shard::new(std::rc::Rc::new(OsDriver::new()?));
/// shard.run(scope(async |scope| {
///     let listener = TcpListener::bind(([127, 0, 0, 1], 0).into(), ListenOptions::default());
///     let listener = listener.expect("a free port");
///     let address = listener.local_addr().expect("a listener has an address");
///     let stop = CancelToken::new();
///     let server = scope.spawn(accept_each(listener, stop.clone(), |stream| async {
///         let mut builder = hyper::server::conn::http1::Builder::new();
///         builder.timer(HyperTimer);
///         let served = builder.serve_connection(HyperIo::new(stream), service_fn(hello)).await;
///         served.expect("the client behaves");
///     }));
///
///     let stream = TcpStream::connect(address).await.expect("the server listens");
///     let handshake = hyper::client::conn::http1::handshake(HyperIo::new(stream));
///     let (mut sender, connection) = handshake.await.expect("HTTP/1 has no handshake");
///     drop(scope.spawn(connection));
///     let request = Request::get("/").header("host", "server").body(Empty::<Bytes>::new());
///     let response = sender.send_request(request.expect("a request")).await;
///     let body = response.expect("a response").into_body().collect().await;
///     assert_eq!(body.expect("the body comes to its end").to_bytes(), "hello");
///     stop.cancel();
///     drop(server.await.expect("it does not panic"));
/// }))?;
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// # Panics
/// When the listener fails, as where the machine is out of sockets: nothing of that belongs to a test.
pub async fn accept_each<F: Future<Output = ()> + 'static>(
    listener: TcpListener,
    stop: CancelToken,
    serve: impl Fn(TcpStream) -> F,
) -> Scope {
    let scope = Scope::new();
    let mut stopped = stop.cancelled().fuse();
    loop {
        select_biased! {
            () = stopped => return scope,
            accepted = pin!(listener.accept().fuse()) => {
                let (stream, _) = accepted.expect("the machine has sockets");
                drop(scope.spawn(serve(stream)));
            }
        }
    }
}
