//! hyper 1.x, set up as fast as it goes without giving anything up that Mainspring's playground does:
//! one thread, `TCP_NODELAY`, keep-alive, pipelined responses flushed together, no timer.
//! SIGTERM ends it by the default disposition.

use std::convert::Infallible;
use std::error::Error;
use std::net::SocketAddr;

use bytes::Bytes;
use http_body_util::{Either, Full};
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HeaderValue, SERVER};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde::Serialize;
use tokio::net::TcpListener;

type Body = Either<Full<Bytes>, Incoming>;

#[derive(Serialize)]
struct Message {
    message: &'static str,
}

fn main() -> Result<(), Box<dyn Error>> {
    let listen = listen_address()?;
    tokio::runtime::Builder::new_current_thread().enable_io().build()?.block_on(serve(listen))
}

/// The value of `--listen`, the only flag.
fn listen_address() -> Result<SocketAddr, Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    match (args.next().as_deref(), args.next(), args.next()) {
        (Some("--listen"), Some(address), None) => Ok(address.parse()?),
        _ => Err("usage: peer-hyper --listen ADDR".into()),
    }
}

async fn serve(listen: SocketAddr) -> Result<(), Box<dyn Error>> {
    let listener = TcpListener::bind(listen).await?;
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        tokio::spawn(async move {
            // A connection that fails is the client's doing: the check and wrk's error counts see it.
            let _ = http1::Builder::new()
                .keep_alive(true)
                .pipeline_flush(true)
                .serve_connection(TokioIo::new(stream), service_fn(route))
                .await;
        });
    }
}

async fn route(request: Request<Incoming>) -> Result<Response<Body>, Infallible> {
    let response = match (request.method(), request.uri().path()) {
        (&Method::GET, "/plaintext") => {
            full(StatusCode::OK, "text/plain", Bytes::from_static(b"Hello, World!"))
        }
        (&Method::GET, "/json") => {
            match serde_json::to_vec(&Message { message: "Hello, World!" }) {
                Ok(json) => full(StatusCode::OK, "application/json", json.into()),
                Err(_) => full(StatusCode::INTERNAL_SERVER_ERROR, "text/plain", Bytes::new()),
            }
        }
        (&Method::POST, "/echo") => respond(StatusCode::OK, Either::Right(request.into_body())),
        _ => full(StatusCode::NOT_FOUND, "text/plain", Bytes::from_static(b"not found")),
    };
    Ok(response)
}

fn full(status: StatusCode, content_type: &'static str, body: Bytes) -> Response<Body> {
    let mut response = respond(status, Either::Left(Full::new(body)));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

/// hyper adds `Content-Length` and `Date` itself.
fn respond(status: StatusCode, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response.headers_mut().insert(SERVER, HeaderValue::from_static("peer-hyper"));
    response
}
