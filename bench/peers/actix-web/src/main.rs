//! actix-web with one worker: `TCP_NODELAY`, keep-alive without a timer of its own, no time limit for a head, so its
//! fastest. Its accepting thread is a second one; `run.py` holds both on one core.
//! SIGTERM ends it by the default disposition.

use std::error::Error;
use std::net::SocketAddr;
use std::time::Duration;

use actix_web::http::KeepAlive;
use actix_web::http::header::SERVER;
use actix_web::rt::System;
use actix_web::web::{self, Bytes, PayloadConfig};
use actix_web::{App, HttpResponse, HttpServer};
use serde::Serialize;

/// As long as the others': ten bytes.
const NAME: &str = "peer-actix";
/// Connections waiting to be accepted, as the others have it.
const BACKLOG: u32 = 4096;
/// Its own default is 256 KiB.
const BODY_BYTES_MAX: usize = 2 * 1024 * 1024;

#[derive(Serialize)]
struct Message {
    message: &'static str,
}

fn main() -> Result<(), Box<dyn Error>> {
    let listen = listen_address()?;
    System::new().block_on(
        HttpServer::new(|| {
            App::new()
                .app_data(PayloadConfig::new(BODY_BYTES_MAX))
                .route("/plaintext", web::get().to(plaintext))
                .route("/json", web::get().to(json))
                .route("/echo", web::post().to(echo))
        })
        .workers(1)
        .backlog(BACKLOG)
        .tcp_nodelay(true)
        .keep_alive(KeepAlive::Os)
        .client_request_timeout(Duration::ZERO)
        .disable_signals()
        .bind(listen)?
        .run(),
    )?;
    Ok(())
}

/// The value of `--listen`, the only flag.
fn listen_address() -> Result<SocketAddr, Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    match (args.next().as_deref(), args.next(), args.next()) {
        (Some("--listen"), Some(address), None) => Ok(address.parse()?),
        _ => Err("usage: peer-actix-web --listen ADDR".into()),
    }
}

async fn plaintext() -> HttpResponse {
    HttpResponse::Ok()
        .insert_header((SERVER, NAME))
        .content_type("text/plain")
        .body("Hello, World!")
}

async fn json() -> HttpResponse {
    HttpResponse::Ok().insert_header((SERVER, NAME)).json(Message { message: "Hello, World!" })
}

/// The whole body is gathered first: where a body is streamed back, this actix-web closes the connection after it.
async fn echo(body: Bytes) -> HttpResponse {
    HttpResponse::Ok().insert_header((SERVER, NAME)).body(body)
}
