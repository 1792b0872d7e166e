//! `Machine`: the worlds that a case runs in, and how it is run in each.
#![expect(
    clippy::disallowed_methods,
    reason = "the operating system's side of a comparison needs real files, made from outside of the program"
)]

use core::sync::atomic::{AtomicU64, Ordering};
use core::time::Duration;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::{Once, mpsc};
use std::thread;

use mainspring_executor::Shard;
use mainspring_executor::driver::{Driver, Signal};
use mainspring_executor::os::OsDriver;
use mainspring_executor::time::timeout;
use mainspring_sim::{World, WorldConfig};

use super::stage::{FILES, Stage};
use super::witness::Witness;
use super::{Case, Expectation};

/// What a case may take on the operating system; what takes longer waits for something that was lost.
const CASE_TIMEOUT: Duration = Duration::from_secs(10);

/// After this, not even the shard's own clock ended the case.
const HANG_TIMEOUT: Duration = Duration::from_secs(20);

/// What a case may take in the simulator, in virtual time.
const VIRTUAL_TIME_MAX: Duration = Duration::from_secs(600);

/// Seeds of the rough simulator; each is run twice.
const ROUGH_SEEDS: core::ops::Range<u64> = 0..8;

/// Sockets that a program may have: few enough for a case to use them all up.
const SOCKETS_MAX: usize = 512;

/// Where the simulated files are.
const SIMULATED_FILES: &str = "/srv/conformance";

/// A world that cases run in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Machine {
    /// The operating system, by epoll.
    Epoll,
    /// The operating system, by the `polling` crate.
    Polling,
    /// The simulator without faults.
    Calm,
    /// The simulator with all its faults, over some seeds.
    Rough,
}

impl Machine {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Epoll, Self::Polling, Self::Calm, Self::Rough];

    /// Whether a FIN makes an edge of its own there.
    pub(super) const fn announces_fin(self) -> bool {
        !matches!(self, Self::Polling)
    }

    /// By which it is called.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Epoll => "epoll",
            Self::Polling => "polling",
            Self::Calm => "calm",
            Self::Rough => "rough",
        }
    }
}

/// Runs a case: once as the machine is, and once with edges that are late, out of order or for nothing.
///
/// Cases on the operating system must not run at one time: they share signals and descriptors.
///
/// # Errors
/// What did not hold.
pub fn run(case: Case, machine: Machine) -> Result<(), String> {
    if case.expectation(machine) == Expectation::Absent {
        return Ok(());
    }
    for is_meddling in [false, true] {
        let ran = match machine {
            Machine::Epoll | Machine::Polling => run_on_system(case, machine, is_meddling),
            Machine::Calm => simulate(case, machine, 0, is_meddling).map(drop),
            Machine::Rough => run_rough(case, is_meddling),
        };
        let edges = if is_meddling { "with disturbed edges" } else { "with edges as they come" };
        ran.map_err(|message| format!("{edges}: {message}"))?;
    }
    Ok(())
}

/// Runs a case on a thread of its own, so that one that hangs is left behind.
fn run_on_system(case: Case, machine: Machine, is_meddling: bool) -> Result<(), String> {
    limit_sockets();
    let (sender, receiver) = mpsc::channel();
    let body = move || {
        let ran = guarded(|| on_system(case, machine, is_meddling));
        // Nobody listens if it took too long.
        drop(sender.send(ran));
    };
    thread::Builder::new().name(case.name.to_owned()).spawn(body).expect("a thread can be had");
    let ran = receiver.recv_timeout(HANG_TIMEOUT);
    ran.unwrap_or_else(|_| Err("hangs: it neither ends nor lets time pass".to_owned()))
}

fn on_system(case: Case, machine: Machine, is_meddling: bool) -> Result<(), String> {
    let driver = match machine {
        Machine::Epoll => OsDriver::new(),
        Machine::Polling => OsDriver::portable(),
        Machine::Calm | Machine::Rough => unreachable!("simulated"),
    };
    let driver = driver.map_err(|error| error.to_string())?;
    let witness = Rc::new(Witness::new(Rc::new(driver)));
    if is_meddling {
        witness.meddle();
    }
    let folder = Folder::new().map_err(|error| format!("no files to test with: {error}"))?;
    let stage = Stage {
        case,
        machine,
        witness: Rc::clone(&witness),
        files: folder.path.clone(),
        raise: Rc::new(raise),
    };
    let shard = Shard::new(Rc::clone(&witness) as Rc<dyn Driver>);
    let observed = shard.clone();
    let ended = shard.run(async move {
        let mut body = (case.body)(stage);
        let ended = timeout(CASE_TIMEOUT, &mut body).await;
        // While the body is there: what it waits for.
        ended.map_err(|_| format!("did not end; alive:\n{}", observed.ledger()))
    });
    ended.map_err(|error| error.to_string())??;
    nothing_is_left(&shard.ledger().to_string(), &witness)
}

fn raise(signal: Signal) {
    let signal = match signal {
        Signal::Interrupt => rustix::process::Signal::INT,
        Signal::Terminate => rustix::process::Signal::TERM,
    };
    rustix::process::kill_process(rustix::process::getpid(), signal)
        .expect("a process may signal itself");
}

/// Lowers the limit of descriptors, for good: a process that runs conformance does nothing else.
fn limit_sockets() {
    use rustix::process::{Resource, getrlimit, setrlimit};
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let mut limit = getrlimit(Resource::Nofile);
        limit.current = Some(SOCKETS_MAX as u64);
        setrlimit(Resource::Nofile, limit).expect("a process may lower its own limit");
    });
}

/// A folder with [`FILES`], removed when dropped.
struct Folder {
    path: PathBuf,
}

impl Folder {
    fn new() -> std::io::Result<Self> {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("mainspring-conformance-{}-{count}", std::process::id());
        let folder = Self { path: std::env::temp_dir().join(name) };
        for (path, bytes) in FILES {
            let path = folder.path.join(path);
            std::fs::create_dir_all(path.parent().expect("it is below the folder"))?;
            std::fs::write(path, bytes)?;
        }
        Ok(folder)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // A folder that stays does no harm.
        drop(std::fs::remove_dir_all(&self.path));
    }
}

/// Runs all seeds, each twice.
fn run_rough(case: Case, is_meddling: bool) -> Result<(), String> {
    for seed in ROUGH_SEEDS {
        let run = || simulate(case, Machine::Rough, seed, is_meddling);
        let (first, second) = (run()?, run()?);
        if first != second {
            return Err(format!("seed {seed}: two runs differ: {first:016x}, {second:016x}"));
        }
    }
    Ok(())
}

/// Runs a case once on a simulated host, and gives the hash of the trace.
fn simulate(case: Case, machine: Machine, seed: u64, is_meddling: bool) -> Result<u64, String> {
    guarded(|| on_host(case, machine, seed, is_meddling))
        .map_err(|message| format!("seed {seed}: {message}"))
}

fn on_host(case: Case, machine: Machine, seed: u64, is_meddling: bool) -> Result<u64, String> {
    let config = match machine {
        Machine::Calm => WorldConfig::calm(),
        Machine::Rough => WorldConfig::rough(),
        Machine::Epoll | Machine::Polling => unreachable!("not simulated"),
    };
    let world = World::new(
        seed,
        WorldConfig {
            tokens_max: SOCKETS_MAX,
            virtual_time_max: VIRTUAL_TIME_MAX,
            event_count_max: 10_000_000,
            ..config
        },
    );
    let mut witness = None;
    let host = world.host_with("host", |driver| {
        Rc::clone(witness.insert(Rc::new(Witness::new(driver)))) as Rc<dyn Driver>
    });
    let witness = witness.expect("the host has a driver");
    if is_meddling {
        witness.meddle();
    }
    for (path, bytes) in FILES {
        host.add_file(SIMULATED_FILES, path, bytes);
    }
    let signalled = host.clone();
    host.run((case.body)(Stage {
        case,
        machine,
        witness: Rc::clone(&witness),
        files: Path::new(SIMULATED_FILES).to_owned(),
        raise: Rc::new(move |signal| signalled.signal(signal)),
    }));
    let report = world.run().map_err(|failure| failure.to_string())?;
    if !report.killed.is_empty() {
        return Err("a signal killed the program".to_owned());
    }
    nothing_is_left(&world.leaks().join("\n"), &witness)?;
    Ok(report.trace_hash)
}

fn nothing_is_left(ledger: &str, witness: &Witness) -> Result<(), String> {
    let open = witness.open();
    match ledger.is_empty() && open.is_empty() {
        true => Ok(()),
        false => Err(format!("still alive after the end:\n{ledger}\nstill open: {open:?}")),
    }
}

/// Makes a panic an error.
fn guarded<T>(body: impl FnOnce() -> Result<T, String>) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(body)).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
        Err(format!("panic: {}", text.unwrap_or("without words")))
    })
}
