//! `RealServer`: a server of the operating system that a test starts, on a port of its own, gone when dropped.
#![expect(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "it is outside of the program under test: a server of the operating system"
)]

use core::net::SocketAddr;
use core::time::Duration;
use std::io::Write;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command};
use std::thread::sleep;
use std::time::Instant;

use rustix::process::{Pid, Signal, kill_process};

/// Set to `required` where a missing server is a failure, as where a change is decided on.
const SETTING: &str = "MAINSPRING_REAL_SERVERS";

/// How often one is started, each time on another port.
const STARTS_MAX: usize = 3;

/// What it may take to start, and to stop.
const START_TIMEOUT: Duration = Duration::from_secs(60);
const STOP_TIMEOUT: Duration = Duration::from_secs(20);

/// How often it is looked at meanwhile.
const PAUSE: Duration = Duration::from_millis(20);

/// A running server.
pub(super) struct RealServer {
    child: Child,
    address: SocketAddr,
}

impl RealServer {
    /// Starts the program that `serve` makes for an address, and waits until `is_ready` says that it answers there. `None`
    /// where it does not come to that.
    pub(super) fn start(
        serve: impl Fn(SocketAddr) -> Command,
        is_ready: impl Fn(SocketAddr) -> bool,
    ) -> Option<Self> {
        let start = |_| {
            let address = free_address();
            let child = serve(address).spawn().expect("it is installed");
            let mut server = Self { child, address };
            server.is_ready_in_time(&is_ready).then_some(server)
        };
        (0..STARTS_MAX).find_map(start)
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Waits until it is ready; whether that came in time. It ends at once where somebody else took the port meanwhile.
    fn is_ready_in_time(&mut self, is_ready: impl Fn(SocketAddr) -> bool) -> bool {
        let begin = Instant::now();
        while begin.elapsed() < START_TIMEOUT {
            if self.child.try_wait().expect("it is our child").is_some() {
                return false;
            }
            if is_ready(self.address) {
                return true;
            }
            sleep(PAUSE);
        }
        false
    }

    /// Waits for its end; whether it came in time.
    fn has_ended(&mut self) -> bool {
        let begin = Instant::now();
        while begin.elapsed() < STOP_TIMEOUT {
            match self.child.try_wait() {
                Ok(None) => sleep(PAUSE),
                _ => return true,
            }
        }
        false
    }
}

impl Drop for RealServer {
    /// Stops the server, also while a test panics: SIGINT closes all sessions and ends, SIGKILL is for one that hangs.
    fn drop(&mut self) {
        let pid = Pid::from_child(&self.child);
        // It may have ended by itself.
        kill_process(pid, Signal::INT).ok();
        if !self.has_ended() {
            drop(self.child.kill());
            drop(self.child.wait());
        }
    }
}

/// A program that runs as this user, or as ourselves. It is interrupted when the thread that started it is gone, should
/// that not have ended it.
pub(super) fn server_program(program: &Path, user: Option<&str>) -> Command {
    let mut command = Command::new("setpriv");
    if let Some(user) = user {
        command.args(["--reuid", user, "--regid", user, "--clear-groups"]);
    }
    // It becomes the program, so the child is the server itself.
    command.args(["--pdeathsig", "INT", "--"]).arg(program);
    command
}

/// Says that a test is skipped, for this program of this package is not installed.
///
/// # Panics
/// Where it is required.
pub(super) fn skip(program: &str, package: &str) {
    let is_required = std::env::var(SETTING).is_ok_and(|value| value == "required");
    assert!(!is_required, "{SETTING} is `required`, but {program} is not installed");
    // Not by a macro, whose text a passing test swallows.
    let line = format!("SKIPPED: {program} is not installed (Debian: {package})\n");
    std::io::stderr().write_all(line.as_bytes()).expect("standard error takes it");
}

/// An address on the loopback that is free right now.
fn free_address() -> SocketAddr {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
    listener.local_addr().expect("a listener has an address")
}
