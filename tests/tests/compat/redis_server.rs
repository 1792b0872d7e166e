//! `RedisServer`: a Redis server of our own, without a disk, gone when dropped. It needs the program of the package
//! `redis-server`.
#![expect(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "it is outside of the program under test: a server of the operating system"
)]

use core::net::SocketAddr;
use core::time::Duration;
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, Stdio};

use super::real_server::{RealServer, server_program, skip};

const PROGRAM: &str = "redis-server";

/// How long one answer is waited for while it starts.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);

/// A running server.
pub(super) struct RedisServer(RealServer);

impl RedisServer {
    /// Starts a server; `None`, and a line on standard error, where none is installed and none is required.
    pub(super) fn start() -> Option<Self> {
        if Command::new(PROGRAM).arg("--version").output().is_err() {
            skip("Redis", PROGRAM);
            return None;
        }
        let is_ready = |address| answers_ping(address).unwrap_or(false);
        Some(Self(RealServer::start(serve, is_ready).expect("the server starts")))
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.0.address()
    }
}

/// Whether a PING is answered as by a server that has all that it needs.
fn answers_ping(address: SocketAddr) -> io::Result<bool> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(ANSWER_TIMEOUT))?;
    stream.write_all(b"PING\r\n")?;
    let mut answer = [0; 7];
    stream.read_exact(&mut answer)?;
    Ok(&answer == b"+PONG\r\n")
}

fn serve(address: SocketAddr) -> Command {
    let mut serve = server_program(Path::new(PROGRAM), None);
    serve.args(["--bind", "127.0.0.1", "--port", &address.port().to_string()]);
    serve.args(["--save", "", "--appendonly", "no"]).current_dir(std::env::temp_dir());
    serve.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    serve
}
