//! What the `mainspring` binary serves: a page with the live numbers of the process, health, metrics, and files.

mod files;
mod metrics;

use std::path::PathBuf;

use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use http::{Method, StatusCode};
use mainspring_executor::{Instant, time};

pub use files::FileServer;

use crate::{Body, Handler, IntoResponse, Request, Response, Telemetry};

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
/// | `/metrics` | all counters, in the text format of Prometheus |
/// | anything else | a file of the folder, or 404 |
pub struct App {
    telemetry: Telemetry,
    files: Option<FileServer>,
    started: Instant,
}

impl App {
    /// Serves the numbers of `telemetry`, and the files below `root` if there is one.
    ///
    /// # Panics
    /// Outside of a shard.
    #[must_use]
    pub fn new(telemetry: Telemetry, root: Option<PathBuf>) -> Self {
        Self { telemetry, files: root.map(FileServer::new), started: time::now() }
    }

    async fn answer(&self, request: Request) -> Response {
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            let mut response = StatusCode::METHOD_NOT_ALLOWED.into_response();
            response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
            return response;
        }
        let uptime = time::now() - self.started;
        match (request.uri().path(), &self.files) {
            ("/healthz", _) => live("text/plain; charset=utf-8", "ok\n"),
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

/// A response that is out of date as soon as it is read.
fn live(content_type: &'static str, body: impl Into<Body>) -> Response {
    let mut response = Response::new(body.into());
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
