//! What the `mainspring` binary serves: a page with the live numbers of the process, health, metrics, and files.

mod files;
mod metrics;

use std::path::PathBuf;

use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use http::{Method, StatusCode};
use mainspring_executor::{Instant, time};

pub use files::FileServer;

use crate::{Body, Handler, IntoResponse, Request, Response, Shutdown, Telemetry};

/// The page: one document that asks for nothing from elsewhere.
const PAGE: &str = include_str!("page.html");

/// The binary's handler.
///
/// | path | answer |
/// |---|---|
/// | `/` | the page, or the index of the folder where one is served |
/// | `/-/status` | the page, always |
/// | `/-/status.json` | its numbers |
/// | `/healthz` | 200 while the process serves |
/// | `/readyz` | 200 while it should be sent requests, 503 from the first signal on |
/// | `/metrics` | all counters, in the text format of Prometheus |
/// | anything else | a file of the folder, or 404 |
pub struct App {
    telemetry: Telemetry,
    files: Option<FileServer>,
    shutdown: Shutdown,
    started: Instant,
}

impl App {
    /// Serves the numbers of `telemetry`, and the files below `root` if there is one, and says that it is ready until
    /// `shutdown` says otherwise.
    ///
    /// # Panics
    /// Outside of a shard.
    #[must_use]
    pub fn new(telemetry: Telemetry, root: Option<PathBuf>, shutdown: Shutdown) -> Self {
        Self { telemetry, files: root.map(FileServer::new), shutdown, started: time::now() }
    }

    async fn answer(&self, request: Request) -> Response {
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            // RFC 9110 §9.1: 501 for a method that the server does not know at all.
            if !is_known(request.method()) {
                return StatusCode::NOT_IMPLEMENTED.into_response();
            }
            let mut response = StatusCode::METHOD_NOT_ALLOWED.into_response();
            response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
            return response;
        }
        let uptime = time::now() - self.started;
        match (request.path(), &self.files) {
            ("/healthz", _) => live("text/plain; charset=utf-8", "ok\n"),
            ("/readyz", _) if self.shutdown.is_ready() => {
                live("text/plain; charset=utf-8", "ready\n")
            }
            ("/readyz", _) => {
                let mut response = live("text/plain; charset=utf-8", "leaving\n");
                *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
                response
            }
            ("/metrics", _) => {
                let text = metrics::prometheus(&self.telemetry, uptime);
                live("text/plain; version=0.0.4; charset=utf-8", text)
            }
            ("/-/status.json", _) => {
                live("application/json", metrics::json(&self.telemetry, uptime))
            }
            ("/-/status", _) | ("/", None) => live("text/html; charset=utf-8", PAGE),
            (path, Some(files)) => files.serve(path).await,
            (_, None) => StatusCode::NOT_FOUND.into_response(),
        }
    }
}

impl Handler for App {
    fn call(&self, request: Request) -> impl Future<Output: IntoResponse> {
        self.answer(request)
    }
}

/// Whether RFC 9110 §9.3 or RFC 5789 has it.
fn is_known(method: &Method) -> bool {
    const KNOWN: [Method; 9] = [
        Method::GET,
        Method::HEAD,
        Method::POST,
        Method::PUT,
        Method::DELETE,
        Method::CONNECT,
        Method::OPTIONS,
        Method::TRACE,
        Method::PATCH,
    ];
    KNOWN.contains(method)
}

/// A response that is out of date as soon as it is read.
fn live(content_type: &'static str, body: impl Into<Body>) -> Response {
    let mut response = Response::new(body.into());
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
