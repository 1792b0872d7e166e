//! `IntoResponse`: what a handler may give instead of a whole response.

use bytes::Bytes;
use http::StatusCode;

use crate::{Body, MediaType, Response};

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
        Response::new(Body::from(self).with_media_type(MediaType::TEXT))
    }
}

/// Plain text.
impl IntoResponse for String {
    fn into_response(self) -> Response {
        Response::new(Body::from(self).with_media_type(MediaType::TEXT))
    }
}

/// Bytes of no stated type.
impl IntoResponse for Bytes {
    fn into_response(self) -> Response {
        Response::new(Body::from(self).with_media_type(MediaType::BYTES))
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
