//! `fetch`: the least client for a program that serves HTTP.

use core::net::SocketAddr;
use std::io::{self, ErrorKind};

use bytes::Bytes;
use http::{Response, StatusCode};
use mainspring_executor::net::TcpStream;

/// Fields of a response.
const FIELDS_MAX: usize = 100;

/// Asks for a path, on a connection of its own, and gives the whole answer. It speaks HTTP/1.0: the body is what comes until the
/// connection ends, as long as `Content-Length` says where that is there.
///
/// ```
/// use mainspring_sim::{World, WorldConfig};
/// use mainspring_stand_ins::{Http, fetch};
///
/// let world = World::new(7, WorldConfig::rough());
/// let upstream = Http::new().answer("/", "here").serve(&world.host("upstream"), 80);
/// let address = world.find("upstream").expect("it was made").address(80);
/// world.host("client").run(async move {
///     assert_eq!(fetch(address, "/").await.expect("an answer").status(), 200);
///     upstream.stop();
/// });
/// world.run().unwrap_or_else(|failure| panic!("{failure}"));
/// ```
///
/// Not for production: there is no bound on the time or on the length of an answer. Dropped, it closes its connection.
///
/// # Errors
/// Those of the connection; `UnexpectedEof` where an answer is cut off, `InvalidData` where it is none.
pub async fn fetch(address: SocketAddr, path: &str) -> io::Result<Response<Bytes>> {
    let mut stream = TcpStream::connect(address).await?;
    let request = format!("GET {path} HTTP/1.0\r\nHost: {address}\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut bytes = Vec::new();
    while stream.fill().await? > 0 {
        bytes.extend_from_slice(stream.buffered());
        stream.consume(stream.buffered().len());
    }
    parsed(&bytes)
}

fn parsed(bytes: &[u8]) -> io::Result<Response<Bytes>> {
    let mut fields = [httparse::EMPTY_HEADER; FIELDS_MAX];
    let mut head = httparse::Response::new(&mut fields);
    let httparse::Status::Complete(length) = head.parse(bytes).map_err(invalid)? else {
        return Err(ErrorKind::UnexpectedEof.into());
    };
    let code = head.code.unwrap_or_default();
    let mut response = Response::builder().status(StatusCode::from_u16(code).map_err(invalid)?);
    for field in head.headers.iter() {
        response = response.header(field.name, field.value);
    }
    let body = Bytes::copy_from_slice(&bytes[length..]);
    let response = response.body(body).map_err(invalid)?;
    match told_length(&response)? {
        Some(told) if told > response.body().len() => Err(ErrorKind::UnexpectedEof.into()),
        Some(told) if told < response.body().len() => Err(invalid(format!(
            "a body of {} bytes where {told} were told",
            response.body().len()
        ))),
        _ => Ok(response),
    }
}

fn told_length(response: &Response<Bytes>) -> io::Result<Option<usize>> {
    let Some(told) = response.headers().get(http::header::CONTENT_LENGTH) else {
        return Ok(None);
    };
    let told = told.to_str().map_err(invalid)?;
    told.parse().map(Some).map_err(invalid)
}

fn invalid(error: impl Into<Box<dyn core::error::Error + Send + Sync>>) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, error)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(answer: &str, expected: Result<(u16, &str), ErrorKind>) {
        let parsed = parsed(answer.as_bytes()).map_err(|error| error.kind());
        let parsed = parsed.map(|it| (it.status().as_u16(), it.into_body()));
        assert_eq!(parsed, expected.map(|(status, body)| (status, Bytes::from(body.to_owned()))));
    }

    #[test]
    fn an_answer_is_whole_or_an_error() {
        check("HTTP/1.0 200 OK\r\n\r\nall of it", Ok((200, "all of it")));
        check("HTTP/1.1 503 X\r\nContent-Length: 2\r\n\r\nno", Ok((503, "no")));
        check("HTTP/1.1 204 No Content\r\n\r\n", Ok((204, "")));
        check("", Err(ErrorKind::UnexpectedEof));
        check("HTTP/1.1 200 OK\r\nContent-", Err(ErrorKind::UnexpectedEof));
        check("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nno", Err(ErrorKind::UnexpectedEof));
        check("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nno", Err(ErrorKind::InvalidData));
        check("HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\nno", Err(ErrorKind::InvalidData));
        check("SSH-2.0-OpenSSH\r\n", Err(ErrorKind::InvalidData));
    }
}
