//! `Problem`: an error as a response that programs can read.

use std::borrow::Cow;

use bytes::Bytes;
use http::StatusCode;

use crate::{Body, IntoResponse, MediaType, RequestId, Response};

/// A problem as RFC 9457 has it: `application/problem+json` with title, status and detail, and the id of the request, by
/// which the log tells more.
///
/// Every error becomes one of status 500 by `?`. What went wrong is logged then, once, and not told to the client.
///
/// ```
/// use mainspring::{Problem, Request};
///
/// async fn double(request: Request) -> Result<String, Problem> {
///     let number = request.query().ok_or_else(|| Problem::new(http::StatusCode::BAD_REQUEST).detail("no number"))?;
///     Ok((2 * number.parse::<i64>()?).to_string())
/// }
/// ```
#[derive(Debug)]
pub struct Problem {
    status: StatusCode,
    title: Option<Cow<'static, str>>,
    detail: Option<Cow<'static, str>>,
    /// For the log.
    cause: Option<String>,
}

impl Problem {
    /// A problem with the name of `status` as its title.
    #[must_use]
    pub fn new(status: StatusCode) -> Self {
        Self { status, title: None, detail: None, cause: None }
    }

    /// What kind of problem it is, in a few words.
    #[must_use]
    pub fn title(mut self, title: impl Into<Cow<'static, str>>) -> Self {
        self.title = Some(title.into());
        self
    }

    /// What went wrong this time, for the client.
    #[must_use]
    pub fn detail(mut self, detail: impl Into<Cow<'static, str>>) -> Self {
        self.detail = Some(detail.into());
        self
    }

    /// Its status.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// What the log is to tell.
    pub(crate) fn cause(&self) -> Option<&str> {
        self.cause.as_deref()
    }

    /// The document.
    pub(crate) fn render(&self, id: Option<RequestId>) -> Bytes {
        let title = self.title.as_deref().or(self.status.canonical_reason()).unwrap_or_default();
        let mut document = serde_json::Map::new();
        document.insert("title".into(), title.into());
        document.insert("status".into(), self.status.as_u16().into());
        if let Some(detail) = &self.detail {
            document.insert("detail".into(), detail.as_ref().into());
        }
        if let Some(id) = id {
            document.insert("request_id".into(), id.to_string().into());
        }
        let mut text = serde_json::Value::Object(document).to_string();
        text.push('\n');
        text.into()
    }
}

impl<E: core::error::Error> From<E> for Problem {
    fn from(error: E) -> Self {
        let mut cause = error.to_string();
        let mut source = error.source();
        while let Some(error) = source {
            cause = format!("{cause}: {error}");
            source = error.source();
        }
        Self { cause: Some(cause), ..Self::new(StatusCode::INTERNAL_SERVER_ERROR) }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = self.status;
        let media_type = MediaType::new("application/problem+json");
        let mut response = Response::new(Body::problem(self).with_media_type(media_type));
        *response.status_mut() = status;
        response
    }
}
