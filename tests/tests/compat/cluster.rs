//! `Cluster`: a PostgreSQL server of our own, in a folder of its own, gone when dropped. It needs the programs of the
//! package `postgresql`, and refuses to be root: where we are, it runs as the user that the package made.
#![expect(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "it is outside of the program under test: a server of the operating system"
)]

use core::net::SocketAddr;
use core::sync::atomic::{AtomicU32, Ordering};
use core::time::Duration;
use std::fs;
use std::io::Write;
use std::net::TcpListener;
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::rc::Rc;
use std::thread::sleep;
use std::time::Instant;

use rustix::process::{Pid, Signal, geteuid, kill_process};

/// Set to `required` where a missing server is a failure, as where a change is decided on.
const SETTING: &str = "MAINSPRING_REAL_SERVERS";

/// The user that the package makes, and that owns the server.
const USER: &str = "postgres";

/// How often it is started, each time on another port.
const STARTS_MAX: usize = 3;

/// What it may take to start, and to stop.
const START_TIMEOUT: Duration = Duration::from_secs(60);
const STOP_TIMEOUT: Duration = Duration::from_secs(20);

/// How often it is looked at meanwhile.
const PAUSE: Duration = Duration::from_millis(20);

/// A running server, which trusts whoever comes over the loopback.
pub(super) struct Cluster {
    server: Child,
    address: SocketAddr,
    // After the server, which uses it.
    _folder: Rc<Folder>,
}

impl Cluster {
    /// Starts a server; `None`, and a line on standard error, where none is installed and none is required.
    pub(super) fn start() -> Option<Self> {
        let Some(programs) = programs() else {
            let is_required = std::env::var(SETTING).is_ok_and(|value| value == "required");
            assert!(!is_required, "{SETTING} is `required`, but no PostgreSQL server is installed");
            // Not by a macro, whose text a passing test swallows.
            let line = "SKIPPED: no PostgreSQL server is installed (Debian: postgresql)\n";
            std::io::stderr().write_all(line.as_bytes()).expect("standard error takes it");
            return None;
        };
        let folder = Rc::new(Folder::new());
        folder.initialize(&programs);
        for _ in 0..STARTS_MAX {
            let address = free_address();
            let server = folder.serve(&programs, address);
            let mut cluster = Self { server, address, _folder: Rc::clone(&folder) };
            if cluster.is_ready_in_time(&programs) {
                return Some(cluster);
            }
        }
        panic!("the server does not start:\n{}", folder.log());
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Waits until it takes connections; whether that came in time. It ends at once where somebody else took the port
    /// meanwhile.
    fn is_ready_in_time(&mut self, programs: &Path) -> bool {
        let begin = Instant::now();
        while begin.elapsed() < START_TIMEOUT {
            if self.server.try_wait().expect("it is our child").is_some() {
                return false;
            }
            let mut ask = Command::new(programs.join("pg_isready"));
            ask.args(["-q", "-h", "127.0.0.1", "-p", &self.address.port().to_string()]);
            if ask.status().expect("it is installed").success() {
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
            match self.server.try_wait() {
                Ok(None) => sleep(PAUSE),
                _ => return true,
            }
        }
        false
    }
}

impl Drop for Cluster {
    /// Stops the server, also while a test panics: SIGINT closes all sessions and ends, SIGKILL is for one that hangs.
    fn drop(&mut self) {
        let pid = Pid::from_child(&self.server);
        // It may have ended by itself.
        kill_process(pid, Signal::INT).ok();
        if !self.has_ended() {
            drop(self.server.kill());
            drop(self.server.wait());
        }
    }
}

/// Where the programs of the newest version are; Debian keeps them off the path.
fn programs() -> Option<PathBuf> {
    let versions = fs::read_dir("/usr/lib/postgresql").ok()?;
    let version = |path: &PathBuf| path.file_name()?.to_str()?.parse::<u32>().ok();
    let newest = versions.filter_map(|entry| Some(entry.ok()?.path())).max_by_key(version)?;
    Some(newest.join("bin")).filter(|programs| programs.join("initdb").exists())
}

/// An address on the loopback that is free right now.
fn free_address() -> SocketAddr {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
    listener.local_addr().expect("a listener has an address")
}

/// A program that runs as [`USER`] where we are root, and as ourselves otherwise. It is interrupted when the thread that
/// started it is gone, should that not have ended it.
fn as_server(program: &Path) -> Command {
    let mut command = Command::new("setpriv");
    if geteuid().is_root() {
        command.args(["--reuid", USER, "--regid", USER, "--clear-groups"]);
    }
    // It becomes the program, so the child is the server itself.
    command.args(["--pdeathsig", "INT", "--"]).arg(program);
    command
}

/// The server's folder, removed when dropped.
struct Folder {
    path: PathBuf,
}

impl Folder {
    fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("mainspring-postgresql-{}-{count}", std::process::id());
        let folder = Self { path: std::env::temp_dir().join(name) };
        // What a process of the same number left when it was killed.
        drop(fs::remove_dir_all(&folder.path));
        fs::create_dir(&folder.path).expect("a new folder");
        if geteuid().is_root() {
            let (user, group) = user_and_group();
            chown(&folder.path, Some(user), Some(group)).expect("root may");
        }
        folder
    }

    fn data(&self) -> PathBuf {
        self.path.join("data")
    }

    fn log_path(&self) -> PathBuf {
        self.path.join("log")
    }

    fn log(&self) -> String {
        fs::read_to_string(self.log_path()).unwrap_or_default()
    }

    fn initialize(&self, programs: &Path) {
        let mut initialize = as_server(&programs.join("initdb"));
        initialize.args(["--auth=trust", "--no-sync", "--encoding=UTF8", "--locale=C"]);
        initialize.args(["--username", USER, "--pgdata"]).arg(self.data());
        let output = initialize.current_dir(&self.path).output().expect("it is installed");
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "no cluster can be made: {errors}");
    }

    fn serve(&self, programs: &Path, address: SocketAddr) -> Child {
        let log = fs::File::create(self.log_path()).expect("a new file");
        let mut serve = as_server(&programs.join("postgres"));
        serve.arg("-D").arg(self.data()).arg("-k").arg(&self.path);
        serve.args(["-h", "127.0.0.1", "-p", &address.port().to_string(), "-F"]);
        serve.current_dir(&self.path).stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        serve.spawn().expect("it is installed")
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // A folder that stays does no harm.
        drop(fs::remove_dir_all(&self.path));
    }
}

/// The numbers of [`USER`].
fn user_and_group() -> (u32, u32) {
    let users = fs::read_to_string("/etc/passwd").expect("the system has users");
    let line = users.lines().find(|line| line.split(':').next() == Some(USER));
    let fields: Vec<&str> = line.expect("the package makes its user").split(':').collect();
    let number = |field: &str| field.parse().expect("users and groups have numbers");
    (number(fields[2]), number(fields[3]))
}
