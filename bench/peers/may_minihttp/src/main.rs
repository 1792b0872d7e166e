//! may_minihttp on one worker of may's coroutines. A bound more than a peer: it has no time limits, closes nothing in
//! good order, and takes at most 16 header fields. It sets no `TCP_NODELAY` and lets nobody do so; its `Server` header
//! is its own, and nine bytes shorter than the others'.
//! SIGTERM ends it by the default disposition.

use std::error::Error;
use std::io::{self, BufRead};
use std::net::SocketAddr;

use bytes::BufMut;
use may_minihttp::{HttpServer, HttpService, Request, Response};
use serde::Serialize;

#[derive(Serialize)]
struct Message {
    message: &'static str,
}

#[derive(Clone)]
struct Routes;

fn main() -> Result<(), Box<dyn Error>> {
    let listen = listen_address()?;
    may::config().set_workers(1);
    HttpServer(Routes).start(listen)?.join().map_err(|_| "the accepting coroutine panicked")?;
    Ok(())
}

/// The value of `--listen`, the only flag.
fn listen_address() -> Result<SocketAddr, Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    match (args.next().as_deref(), args.next(), args.next()) {
        (Some("--listen"), Some(address), None) => Ok(address.parse()?),
        _ => Err("usage: peer-may_minihttp --listen ADDR".into()),
    }
}

impl HttpService for Routes {
    fn call(
        &mut self,
        request: Request<'_, '_, '_>,
        response: &mut Response<'_>,
    ) -> io::Result<()> {
        match (request.method(), request.path()) {
            ("GET", "/plaintext") => {
                response.header("Content-Type: text/plain").body("Hello, World!");
            }
            ("GET", "/json") => {
                response.header("Content-Type: application/json");
                let message = Message { message: "Hello, World!" };
                serde_json::to_writer(response.body_mut().writer(), &message)?;
            }
            ("POST", "/echo") => echo(request, response)?,
            _ => {
                response.status_code(404, "Not Found").header("Content-Type: text/plain");
                response.body("not found");
            }
        }
        Ok(())
    }
}

/// The whole body is gathered first: there is no response before the handler returns.
fn echo(request: Request<'_, '_, '_>, response: &mut Response<'_>) -> io::Result<()> {
    let output = response.body_mut();
    let mut body = request.body();
    loop {
        let piece = body.fill_buf()?;
        if piece.is_empty() {
            return Ok(());
        }
        output.extend_from_slice(piece);
        let length = piece.len();
        body.consume(length);
    }
}
