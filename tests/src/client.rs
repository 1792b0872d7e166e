//! A client that says exactly the bytes it is told to, and judges the answers by itself.
//!
//! It shares nothing with the server's protocol code: what both got wrong in the same way would look right.

use core::fmt;
use core::net::SocketAddr;

use mainspring_executor::net::TcpStream;

/// A connection to a server.
#[derive(Debug)]
pub struct Client {
    stream: TcpStream,
}

/// A whole response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// Names in lower case, in order.
    pub fields: Vec<(String, String)>,
    /// The content, without framing.
    pub body: Vec<u8>,
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClientError {
    /// The connection failed.
    Io(std::io::ErrorKind),
    /// The connection ended before the first byte of an answer.
    Closed,
    /// It ended within an answer.
    Truncated,
    /// The answer is not HTTP.
    Malformed(String),
}

impl fmt::Display for ClientError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self:?}")
    }
}

impl core::error::Error for ClientError {}

impl From<std::io::Error> for ClientError {
    fn from(error: std::io::Error) -> Self {
        Self::Io(error.kind())
    }
}

impl Answer {
    /// The first field of that name.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(other, _)| other == name).map(|(_, value)| value.as_str())
    }
}

/// What frames the content of an answer.
enum Framing {
    Nothing,
    Length(usize),
    Chunked,
    Close,
}

impl Client {
    /// Connects.
    ///
    /// # Errors
    /// [`ClientError::Io`].
    pub async fn connect(address: SocketAddr) -> Result<Self, ClientError> {
        Ok(Self { stream: TcpStream::connect(address).await? })
    }

    /// The connection itself.
    pub fn stream(&mut self) -> &mut TcpStream {
        &mut self.stream
    }

    /// Ends the connection by a reset.
    pub fn abort(self) {
        self.stream.abort();
    }

    /// Says `bytes`.
    ///
    /// # Errors
    /// [`ClientError::Io`].
    pub async fn send(&mut self, bytes: &[u8]) -> Result<(), ClientError> {
        Ok(self.stream.write_all(bytes).await?)
    }

    /// Says `request` and waits for its answer; `to_head` where it was a HEAD request.
    ///
    /// # Errors
    /// As [`Client::answer`].
    pub async fn exchange(&mut self, request: &[u8], to_head: bool) -> Result<Answer, ClientError> {
        self.send(request).await?;
        self.answer(to_head).await
    }

    /// Waits for the next answer that is not 1xx.
    ///
    /// # Errors
    /// All of [`ClientError`].
    pub async fn answer(&mut self, to_head: bool) -> Result<Answer, ClientError> {
        loop {
            let (status, fields) = self.head().await?;
            if !(100..200).contains(&status) {
                let body = self.body(framing(status, &fields, to_head)?).await?;
                return Ok(Answer { status, fields, body });
            }
        }
    }

    /// True if the server ended the connection in good order, with nothing more said.
    ///
    /// # Errors
    /// [`ClientError::Io`].
    pub async fn is_closed(&mut self) -> Result<bool, ClientError> {
        Ok(self.stream.buffered().is_empty() && self.stream.fill().await? == 0)
    }

    async fn head(&mut self) -> Result<(u16, Vec<(String, String)>), ClientError> {
        loop {
            let mut slots = [httparse::EMPTY_HEADER; 64];
            let mut head = httparse::Response::new(&mut slots);
            let malformed = |error: httparse::Error| ClientError::Malformed(error.to_string());
            let parsed = head.parse(self.stream.buffered()).map_err(malformed)?;
            if let httparse::Status::Complete(length) = parsed {
                let status = head.code.expect("a complete head has a status");
                let fields = head.headers.iter().map(|field| {
                    let value = String::from_utf8_lossy(field.value).into_owned();
                    (field.name.to_ascii_lowercase(), value)
                });
                let fields = fields.collect();
                self.stream.consume(length);
                return Ok((status, fields));
            }
            let nothing_yet = self.stream.buffered().is_empty();
            if self.stream.fill().await? == 0 {
                return Err(if nothing_yet { ClientError::Closed } else { ClientError::Truncated });
            }
        }
    }

    async fn body(&mut self, framing: Framing) -> Result<Vec<u8>, ClientError> {
        let mut body = Vec::new();
        match framing {
            Framing::Nothing => {}
            Framing::Length(length) => self.take(length, &mut body).await?,
            Framing::Close => {
                while self.stream.fill().await? > 0 {
                    let count = self.stream.buffered().len();
                    self.take(count, &mut body).await?;
                }
            }
            Framing::Chunked => loop {
                let line = self.line().await?;
                let size = usize::from_str_radix(&line, 16)
                    .map_err(|_| ClientError::Malformed(format!("chunk size {line:?}")))?;
                self.take(size, &mut body).await?;
                let end = self.line().await?;
                if !end.is_empty() {
                    return Err(ClientError::Malformed(format!("after a chunk: {end:?}")));
                }
                if size == 0 {
                    break;
                }
            },
        }
        Ok(body)
    }

    /// Appends exactly `count` bytes to `target`.
    async fn take(&mut self, mut count: usize, target: &mut Vec<u8>) -> Result<(), ClientError> {
        while count > 0 {
            if self.stream.buffered().is_empty() && self.stream.fill().await? == 0 {
                return Err(ClientError::Truncated);
            }
            let part = count.min(self.stream.buffered().len());
            target.extend_from_slice(&self.stream.buffered()[..part]);
            self.stream.consume(part);
            count -= part;
        }
        Ok(())
    }

    /// A line without its CRLF.
    async fn line(&mut self) -> Result<String, ClientError> {
        loop {
            let buffered = self.stream.buffered();
            if let Some(end) = buffered.windows(2).position(|pair| pair == b"\r\n") {
                let line = String::from_utf8_lossy(&buffered[..end]).into_owned();
                self.stream.consume(end + 2);
                return Ok(line);
            }
            if self.stream.fill().await? == 0 {
                return Err(ClientError::Truncated);
            }
        }
    }
}

/// RFC 9112 §6.3, for a client.
fn framing(
    status: u16,
    fields: &[(String, String)],
    to_head: bool,
) -> Result<Framing, ClientError> {
    let all = |name: &str| -> Vec<&str> {
        let named = fields.iter().filter(|(other, _)| other == name);
        named.map(|(_, value)| value.as_str()).collect()
    };
    if to_head || status == 204 || status == 304 {
        return Ok(Framing::Nothing);
    }
    match (all("transfer-encoding").as_slice(), all("content-length").as_slice()) {
        (["chunked"], []) => Ok(Framing::Chunked),
        ([], [length]) => match length.parse() {
            Ok(length) => Ok(Framing::Length(length)),
            Err(_) => Err(ClientError::Malformed(format!("content-length {length:?}"))),
        },
        ([], []) => Ok(Framing::Close),
        other => Err(ClientError::Malformed(format!("framing fields {other:?}"))),
    }
}

/// `body` in the chunked coding, in pieces of `size` bytes.
#[must_use]
pub fn chunked(body: &[u8], size: usize) -> Vec<u8> {
    let mut coded = Vec::new();
    for piece in body.chunks(size.max(1)) {
        coded.extend_from_slice(format!("{:x}\r\n", piece.len()).as_bytes());
        coded.extend_from_slice(piece);
        coded.extend_from_slice(b"\r\n");
    }
    coded.extend_from_slice(b"0\r\n\r\n");
    coded
}
