//! Mainspring's HTTP client, with its patience, and what came of a request in one line.

use core::net::SocketAddr;
use core::time::Duration;

use http::Request;
use mainspring::Body;
use mainspring::client::{Client, Error, ErrorKind, Timeouts};
use mainspring_stand_ins::Http;

/// How long it waits for a head, and for a piece of a body.
pub(crate) const PATIENCE: Duration = Duration::from_secs(2);

/// An upstream with one path.
pub(crate) fn upstream() -> Http {
    Http::new()
        .answer("/", "the answer")
        .answer_with("/echo", |request| http::Response::new(request.body().clone()))
}

pub(crate) fn client() -> Client {
    let timeouts = Timeouts { head: PATIENCE, body: PATIENCE, ..Timeouts::default() };
    Client::builder().timeouts(timeouts).build()
}

/// A request by a client of its own, as a line.
pub(crate) async fn get(address: SocketAddr) -> String {
    get_by(&client(), address).await
}

/// A request, as a line.
pub(crate) async fn get_by(client: &Client, address: SocketAddr) -> String {
    let request = Request::get(format!("http://{address}/")).body(Body::empty());
    line(send(client, request.expect("a request")).await)
}

pub(crate) async fn send(client: &Client, request: Request<Body>) -> Result<(u16, String), Error> {
    let response = client.send(request).await?;
    let status = response.status().as_u16();
    let body = response.into_body().collect(1000).await?;
    Ok((status, String::from_utf8(body.to_vec()).expect("text")))
}

/// `200 the answer`, or where it failed and how: `Head Timeout`.
pub(crate) fn line(result: Result<(u16, String), Error>) -> String {
    match result {
        Ok((status, body)) => format!("{status} {body}").trim().to_owned(),
        Err(error) => {
            let kind = match error.kind() {
                ErrorKind::Io(error) => format!("{:?}", error.kind()),
                ErrorKind::Timeout => "Timeout".to_owned(),
                ErrorKind::Closed => "Closed".to_owned(),
                ErrorKind::Response(_) => "Response".to_owned(),
                ErrorKind::TooLong => "TooLong".to_owned(),
                other => format!("{other:?}"),
            };
            format!("{:?} {kind}", error.phase())
        }
    }
}
