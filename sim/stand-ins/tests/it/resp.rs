//! A Redis client: the crate `redis-protocol` on a stream. Other clients bring a runtime.

use core::net::SocketAddr;
use std::io::{self, ErrorKind};

use mainspring_executor::net::TcpStream;
use redis_protocol::resp2::decode::decode;
use redis_protocol::resp2::encode::encode;
use redis_protocol::resp2::types::{OwnedFrame, Resp2Frame};

pub(crate) struct Resp(TcpStream);

impl Resp {
    pub(crate) async fn connect(address: SocketAddr) -> Self {
        Self(TcpStream::connect(address).await.expect("it listens"))
    }

    /// Sends a command, of words with spaces between.
    pub(crate) async fn say(&mut self, command: &str) -> io::Result<()> {
        let words = command.split(' ');
        let words = words.map(|word| OwnedFrame::BulkString(word.as_bytes().to_vec()));
        let frame = OwnedFrame::Array(words.collect());
        let mut bytes = vec![0; frame.encode_len(false)];
        encode(&mut bytes, &frame, false).expect("its length is known");
        self.0.write_all(&bytes).await
    }

    /// The next reply, as text: see [`text`].
    pub(crate) async fn reply(&mut self) -> io::Result<String> {
        loop {
            let decoded = decode(self.0.buffered()).map_err(|_| ErrorKind::InvalidData)?;
            if let Some((frame, count)) = decoded {
                self.0.consume(count);
                return Ok(text(&frame));
            }
            if self.0.fill().await? == 0 {
                return Err(ErrorKind::UnexpectedEof.into());
            }
        }
    }

    pub(crate) async fn ask(&mut self, command: &str) -> io::Result<String> {
        self.say(command).await?;
        self.reply().await
    }
}

/// `+OK`, `-ERR …`, `:7`, `"text"`, `nil`, `[a, b]`.
fn text(frame: &OwnedFrame) -> String {
    let lossy = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    match frame {
        OwnedFrame::SimpleString(bytes) => format!("+{}", lossy(bytes)),
        OwnedFrame::Error(text) => format!("-{text}"),
        OwnedFrame::Integer(number) => format!(":{number}"),
        OwnedFrame::BulkString(bytes) => format!("\"{}\"", lossy(bytes)),
        OwnedFrame::Null => "nil".to_owned(),
        OwnedFrame::Array(frames) => {
            let frames: Vec<String> = frames.iter().map(text).collect();
            format!("[{}]", frames.join(", "))
        }
    }
}
