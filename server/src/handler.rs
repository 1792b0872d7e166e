//! `Handler`: what a server calls for each request.

use core::future::Future;

use crate::{IntoResponse, Request};

/// Answers requests. Every `async fn(Request) -> impl IntoResponse` is one, and every closure like it.
///
/// The future is dropped when the client goes away (see [`OnClientFin`](crate::OnClientFin)) or the server stops: at any
/// of its awaits, so what must not be left half done belongs into a task of its own. A panic is answered with 500.
pub trait Handler: 'static {
    /// Answers one request.
    fn call(&self, request: Request) -> impl Future<Output: IntoResponse>;
}

impl<F, Fut> Handler for F
where
    F: Fn(Request) -> Fut + 'static,
    Fut: Future<Output: IntoResponse>,
{
    fn call(&self, request: Request) -> impl Future<Output: IntoResponse> {
        self(request)
    }
}
