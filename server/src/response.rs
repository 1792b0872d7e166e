//! `IntoResponse`: what a handler may give instead of a whole response.

use bytes::Bytes;
use http::StatusCode;
use http::header::{CONTENT_TYPE, HeaderValue};

use crate::{Body, Response};

/// Becomes a response.
pub trait IntoResponse {
    /// The response.
    fn into_response(self) -> Response;
}

impl<B: Into<Body>> IntoResponse for http::Response<B> {
    fn into_response(self) -> Response {
        self.map(Into::into)
    }
}

/// A status with its name as text.
impl IntoResponse for StatusCode {
    fn into_response(self) -> Response {
        let body = format!("{} {}\n", self.as_str(), self.canonical_reason().unwrap_or_default());
        (self, body).into_response()
    }
}

/// A status with plain text.
impl IntoResponse for (StatusCode, String) {
    fn into_response(self) -> Response {
        let (status, text) = self;
        let mut response = text.into_response();
        *response.status_mut() = status;
        response
    }
}

/// Plain text.
impl IntoResponse for &'static str {
    fn into_response(self) -> Response {
        with_type(HeaderValue::from_static("text/plain; charset=utf-8"), self.into())
    }
}

/// Plain text.
impl IntoResponse for String {
    fn into_response(self) -> Response {
        with_type(HeaderValue::from_static("text/plain; charset=utf-8"), self.into())
    }
}

/// Bytes of no stated type.
impl IntoResponse for Bytes {
    fn into_response(self) -> Response {
        with_type(HeaderValue::from_static("application/octet-stream"), self.into())
    }
}

/// Whichever it is.
impl<T: IntoResponse, E: IntoResponse> IntoResponse for Result<T, E> {
    fn into_response(self) -> Response {
        match self {
            Ok(good) => good.into_response(),
            Err(bad) => bad.into_response(),
        }
    }
}

fn with_type(value: HeaderValue, body: Body) -> Response {
    let mut response = Response::new(body);
    response.headers_mut().insert(CONTENT_TYPE, value);
    response
}
