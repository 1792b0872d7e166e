//! `RedisServer`: a Redis server of our own, without a disk, gone when dropped. It needs the program of the package
//! `redis-server`.
#![expect(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "it is outside of the program under test: a server of the operating system"
)]

use core::net::SocketAddr;
use core::time::Duration;
use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::Instant;

/// Set to `required` where a missing server is a failure, as where a change is decided on.
const SETTING: &str = "MAINSPRING_REAL_SERVERS";

/// How often it is started, each time on another port.
const STARTS_MAX: usize = 3;

/// What it may take to start, and how often it is looked at meanwhile.
const START_TIMEOUT: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(20);

/// A running server.
pub(super) struct RedisServer {
    server: Child,
    address: SocketAddr,
}

impl RedisServer {
    /// Starts a server; `None`, and a line on standard error, where none is installed and none is required.
    pub(super) fn start() -> Option<Self> {
        if Command::new("redis-server").arg("--version").output().is_err() {
            let is_required = std::env::var(SETTING).is_ok_and(|value| value == "required");
            assert!(!is_required, "{SETTING} is `required`, but no Redis server is installed");
            // Not by a macro, whose text a passing test swallows.
            let line = "SKIPPED: no Redis server is installed (Debian: redis-server)\n";
            std::io::stderr().write_all(line.as_bytes()).expect("standard error takes it");
            return None;
        }
        for _ in 0..STARTS_MAX {
            let address = free_address();
            let mut server = Self { server: serve(address), address };
            if server.is_ready_in_time() {
                return Some(server);
            }
        }
        panic!("the server does not start");
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Waits until it takes connections; whether that came in time. It ends at once where somebody else took the port
    /// meanwhile.
    fn is_ready_in_time(&mut self) -> bool {
        let begin = Instant::now();
        while begin.elapsed() < START_TIMEOUT {
            if self.server.try_wait().expect("it is our child").is_some() {
                return false;
            }
            if TcpStream::connect(self.address).is_ok() {
                return true;
            }
            sleep(PAUSE);
        }
        false
    }
}

impl Drop for RedisServer {
    /// It has nothing to lose.
    fn drop(&mut self) {
        drop(self.server.kill());
        drop(self.server.wait());
    }
}

/// An address on the loopback that is free right now.
fn free_address() -> SocketAddr {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
    listener.local_addr().expect("a listener has an address")
}

/// Starts the program. It is ended when the thread that started it is gone, should that not have done it.
fn serve(address: SocketAddr) -> Child {
    let mut serve = Command::new("setpriv");
    serve.args(["--pdeathsig", "KILL", "--", "redis-server", "--bind", "127.0.0.1"]);
    serve.args(["--port", &address.port().to_string(), "--save", "", "--appendonly", "no"]);
    serve.current_dir(std::env::temp_dir());
    serve.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    serve.spawn().expect("it is installed")
}
