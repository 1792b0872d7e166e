//! axum as its users run it: a `Router` under `axum::serve`, on one thread, with `TCP_NODELAY`. `serve` has no setting
//! that flushes pipelined responses together, so each of them is a write of its own. No timer.
//! SIGTERM ends it by the default disposition.

use std::error::Error;
use std::net::SocketAddr;

use axum::extract::Request;
use axum::http::header::{CONTENT_TYPE, SERVER};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::serve::ListenerExt;
use axum::{Json, Router};
use serde::Serialize;
use tokio::net::TcpListener;

/// As long as the others': ten bytes.
const NAME: &str = "peer--axum";

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
        _ => Err("usage: peer-axum --listen ADDR".into()),
    }
}

async fn serve(listen: SocketAddr) -> Result<(), Box<dyn Error>> {
    let listener = TcpListener::bind(listen).await?.tap_io(|stream| {
        // A socket that refuses is about to fail anyway, and then the check and wrk see it.
        let _ = stream.set_nodelay(true);
    });
    let routes = Router::new()
        .route("/plaintext", get(plaintext))
        .route("/json", get(json))
        .route("/echo", post(echo));
    axum::serve(listener, routes).await?;
    Ok(())
}

async fn plaintext() -> impl IntoResponse {
    ([(CONTENT_TYPE, "text/plain"), (SERVER, NAME)], "Hello, World!")
}

async fn json() -> impl IntoResponse {
    ([(SERVER, NAME)], Json(Message { message: "Hello, World!" }))
}

/// The body goes back piece by piece; hyper knows its length from the request's.
async fn echo(request: Request) -> impl IntoResponse {
    ([(SERVER, NAME)], Response::new(request.into_body()))
}
