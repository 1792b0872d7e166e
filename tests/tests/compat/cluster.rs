//! `Cluster`: a PostgreSQL server of our own, in a folder of its own, gone when dropped. It needs the programs of the
//! package `postgresql`, and refuses to be root: where we are, it runs as the user that the package made.
#![expect(
    clippy::disallowed_methods,
    reason = "it is outside of the program under test: a server of the operating system"
)]

use core::net::SocketAddr;
use core::sync::atomic::{AtomicU32, Ordering};
use std::fs;
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rustix::process::geteuid;

use super::real_server::{RealServer, server_program, skip};

/// The user that the package makes, and that owns the server.
const USER: &str = "postgres";

/// A running server, which trusts whoever comes over the loopback.
pub(super) struct Cluster {
    server: RealServer,
    // After the server, which uses it.
    _folder: Folder,
}

impl Cluster {
    /// Starts a server; `None`, and a line on standard error, where none is installed and none is required.
    pub(super) fn start() -> Option<Self> {
        let Some(programs) = programs() else {
            skip("PostgreSQL", "postgresql");
            return None;
        };
        let folder = Folder::new();
        folder.initialize(&programs);
        let is_ready = |address: SocketAddr| {
            let mut ask = Command::new(programs.join("pg_isready"));
            ask.args(["-q", "-h", "127.0.0.1", "-p", &address.port().to_string()]);
            ask.status().expect("it is installed").success()
        };
        let server = RealServer::start(|address| folder.serve(&programs, address), is_ready);
        let Some(server) = server else { panic!("the server does not start:\n{}", folder.log()) };
        Some(Self { server, _folder: folder })
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.server.address()
    }
}

/// Where the programs of the newest version are; Debian keeps them off the path.
fn programs() -> Option<PathBuf> {
    let versions = fs::read_dir("/usr/lib/postgresql").ok()?;
    let version = |path: &PathBuf| path.file_name()?.to_str()?.parse::<u32>().ok();
    let newest = versions.filter_map(|entry| Some(entry.ok()?.path())).max_by_key(version)?;
    Some(newest.join("bin")).filter(|programs| programs.join("initdb").exists())
}

/// A program that runs as [`USER`] where we are root, and as ourselves otherwise.
fn as_server(program: &Path) -> Command {
    server_program(program, geteuid().is_root().then_some(USER))
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

    fn serve(&self, programs: &Path, address: SocketAddr) -> Command {
        let log = fs::File::create(self.log_path()).expect("a new file");
        let mut serve = as_server(&programs.join("postgres"));
        serve.arg("-D").arg(self.data()).arg("-k").arg(&self.path);
        serve.args(["-h", "127.0.0.1", "-p", &address.port().to_string(), "-F"]);
        serve.current_dir(&self.path).stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        serve
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
