//! Raw bytes at both ends: a server that answers from a can, and a client that takes so many bytes for an answer.

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

const REQUEST: &[u8] = b"GET /plaintext HTTP/1.1\r\nHost: server\r\n\r\n";
/// As long as one of Mainspring.
const RESPONSE: &[u8] =
    b"HTTP/1.1 200 OK\r\nServer: a server here\r\nDate: Mon, 30 Nov 2026 12:00:00 GMT\r\n\
    Content-Type: text/plain; charset=utf-8\r\nContent-Length: 13\r\n\r\nHello, World!";

/// Answers until the client is gone.
pub async fn serve<S: AsyncRead + AsyncWrite + Unpin>(mut stream: S) {
    let mut buffer = [0; 1024];
    let mut filled = 0;
    loop {
        match stream.read(&mut buffer[filled..]).await {
            Ok(0) | Err(_) => return,
            Ok(count) => filled += count,
        }
        if buffer[..filled].ends_with(b"\r\n\r\n") {
            filled = 0;
            stream.write_all(RESPONSE).await.expect("the client reads");
            stream.flush().await.expect("the client reads");
        }
    }
}

/// Asks so often, one request after the other.
pub async fn ask<S: AsyncRead + AsyncWrite + Unpin>(mut stream: S, requests: u64) {
    let mut buffer = [0; 1024];
    for _ in 0..requests {
        stream.write_all(REQUEST).await.expect("it reads");
        stream.flush().await.expect("it reads");
        let mut filled = 0;
        while filled < RESPONSE.len() {
            let count = stream.read(&mut buffer[filled..]).await.expect("it answers");
            assert!(count > 0, "it answers whole");
            filled += count;
        }
        assert_eq!(&buffer[..filled], RESPONSE);
    }
}
