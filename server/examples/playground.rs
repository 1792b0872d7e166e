//! The playground: a few routes that benchmarks, conformance probes and the docs use. Keep them stable.
//!
//! ```text
//! cargo run --release -p mainspring --example playground -- --listen 127.0.0.1:8080 --workers 1
//! ```

use core::net::SocketAddr;
use core::num::NonZeroUsize;
use core::sync::atomic::{AtomicUsize, Ordering};
use core::time::Duration;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use clap::Parser;
use futures::stream;
use http::{Method, StatusCode};
use mainspring::{
    Balance, Body, BodyError, IntoResponse, MediaType, Request, Response, Server, Shutdown,
    Telemetry, Timeouts,
};
use mainspring_executor::driver::ListenOptions;
use mainspring_executor::net::TcpListener;
use mainspring_executor::os::{reserve_address, run_shards};
use mainspring_executor::time::{now, sleep, sleep_until};

/// As the peers of the benchmark have it: without a charset.
const PLAIN: MediaType = MediaType::new("text/plain");

/// Serves the routes of the playground.
#[derive(Parser)]
struct Args {
    /// Where to listen.
    #[arg(long, default_value = "127.0.0.1:8080")]
    listen: SocketAddr,
    /// Shards, one thread each.
    #[arg(long, default_value = "1")]
    workers: NonZeroUsize,
    /// Seconds from the first signal to the start of the drain.
    #[arg(long, default_value_t = 0)]
    lame_duck: u64,
}

fn main() -> io::Result<()> {
    let args = Args::parse();
    let address = reserve_address(args.listen)?;
    let reuse_port = args.workers.get() > 1;
    let still_to_listen = Arc::new(AtomicUsize::new(args.workers.get()));
    let balance = Mutex::new(Balance::among(args.workers));
    let telemetry = Telemetry::new();
    let timeouts =
        Timeouts { lame_duck: Duration::from_secs(args.lame_duck), ..Timeouts::default() };
    let outputs = run_shards(args.workers, |_| {
        let still_to_listen = Arc::clone(&still_to_listen);
        let balance = balance.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let server = Server::new(play)
            .timeouts(timeouts)
            .telemetry(&telemetry)
            .balance(balance.expect("a part for each worker"));
        async move {
            let options = ListenOptions { reuse_port, ..ListenOptions::default() };
            let listener = TcpListener::bind(address, options)?;
            let shutdown = Shutdown::on_signals()?;
            // The last one says so: whoever reads it may connect, and send signals.
            if still_to_listen.fetch_sub(1, Ordering::Relaxed) == 1 {
                println!("the playground listens on http://{address}");
            }
            Ok::<_, io::Error>(server.serve(vec![listener], shutdown).await)
        }
    });
    let mut connections_cut = 0;
    for output in outputs {
        connections_cut += output??.connections_cut;
    }
    let stats = telemetry.snapshot().0;
    println!(
        "the playground ends: {} connections, {} requests, {} rejected, {connections_cut} cut",
        stats.connections_accepted, stats.requests, stats.rejections
    );
    Ok(())
}

/// All routes.
async fn play(request: Request) -> Response {
    match (request.method(), request.path()) {
        (&Method::GET | &Method::HEAD, "/plaintext") => typed(PLAIN, "Hello, World!"),
        (&Method::GET | &Method::HEAD, "/json") => {
            let message = serde_json::json!({ "message": "Hello, World!" });
            typed(MediaType::JSON, message.to_string())
        }
        // The body of the request becomes that of the response, piece by piece.
        (&Method::POST, "/echo") => Response::new(request.into_body().into()),
        (&Method::POST, "/upload") => upload(request).await.into_response(),
        (&Method::GET, "/panic") => panic!("the playground panics when it is told to"),
        (&Method::GET, path) => play_with_parameter(path).await,
        _ => StatusCode::NOT_FOUND.into_response(),
    }
}

/// The routes whose last segment is a number.
async fn play_with_parameter(path: &str) -> Response {
    match path[1..].split_once('/') {
        Some(("sleep", ms)) => match ms.parse() {
            Ok(ms) => {
                sleep(Duration::from_millis(ms)).await;
                format!("slept {ms} ms\n").into_response()
            }
            Err(_) => StatusCode::BAD_REQUEST.into_response(),
        },
        Some(("stream", count)) => match count.parse::<u32>() {
            Ok(count) => {
                let pieces =
                    (0..count).map(|n| io::Result::Ok(Bytes::from(format!("chunk {n}\n"))));
                Response::new(Body::stream(None, stream::iter(pieces)))
            }
            Err(_) => StatusCode::BAD_REQUEST.into_response(),
        },
        _ => StatusCode::NOT_FOUND.into_response(),
    }
}

/// Counts the bytes that are sent to it, which it takes as they come, or at the rate of `?bytes_per_second=`.
async fn upload(mut request: Request) -> Result<String, StatusCode> {
    let rate: f64 = match request.query() {
        None => f64::INFINITY,
        Some(query) => query
            .strip_prefix("bytes_per_second=")
            .and_then(|rate| rate.parse::<u32>().ok())
            .filter(|rate| *rate > 0)
            .ok_or(StatusCode::BAD_REQUEST)?
            .into(),
    };
    let (begin, mut bytes) = (now(), 0);
    while let Some(chunk) = request.body_mut().chunk().await {
        bytes += chunk.map_err(|_: BodyError| StatusCode::BAD_REQUEST)?.len();
        sleep_until(begin + Duration::from_secs_f64(bytes as f64 / rate)).await;
    }
    Ok(format!("{bytes} bytes\n"))
}

fn typed(media_type: MediaType, body: impl Into<Body>) -> Response {
    Response::new(body.into().with_media_type(media_type))
}
