//! `Machine`: the worlds that a case runs in, and how it is run in each.
#![expect(
    clippy::disallowed_methods,
    reason = "the operating system's side of a comparison needs real files, made from outside of the program"
)]

use core::cell::RefCell;
use core::net::Ipv4Addr;
use core::pin::pin;
use core::sync::atomic::{AtomicU64, Ordering};
use core::time::Duration;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::{Once, mpsc};
use std::thread::{self, JoinHandle};

use mainspring_executor::Shard;
use mainspring_executor::driver::{Driver, Signal};
use mainspring_executor::os::{OsDriver, Pool, PoolOptions};
use mainspring_executor::time::timeout;
use mainspring_sim::WorldConfig;
use mainspring_sim::harness::{Run, Setup};

use super::stage::{COMPUTE_THREADS, Errand, FILES, JOBS_WAITING_MAX, KNOWN_NAME, Stage};
use super::witness::Witness;
use super::{CASES, Case, Expectation};
use super::{child, programs};

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
            Machine::Calm => simulate(case, machine, &Setup::of(0), is_meddling).map(drop),
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
        let ran = match case.death {
            Some(signal) => child::dies(case, machine, is_meddling, number(signal)),
            None => guarded(|| on_system(case, machine, is_meddling)),
        };
        // Nobody listens if it took too long.
        drop(sender.send(ran));
    };
    thread::Builder::new().name(case.name.to_owned()).spawn(body).expect("a thread can be had");
    let ran = receiver.recv_timeout(HANG_TIMEOUT);
    ran.unwrap_or_else(|_| Err("hangs: it neither ends nor lets time pass".to_owned()))
}

/// A thread with a shard of its own, for what happens elsewhere on the machine.
type Elsewhere = JoinHandle<Result<(), String>>;

pub(super) fn on_system(case: Case, machine: Machine, is_meddling: bool) -> Result<(), String> {
    let witness = system_witness(machine, is_meddling)?;
    let errands: Rc<RefCell<Vec<Elsewhere>>> = Rc::default();
    let started = Rc::clone(&errands);
    let folder = Folder::new().map_err(|error| format!("no files to test with: {error}"))?;
    let stage = Stage {
        case,
        machine,
        witness: Rc::clone(&witness),
        files: folder.path.clone(),
        raise: Rc::new(raise),
        has_children: Rc::new(has_children),
        elsewhere: Rc::new(move |errand| {
            let run = move || run_to_end(machine, is_meddling, errand);
            started.borrow_mut().push(thread::spawn(move || guarded(run)));
        }),
    };
    let ended = run_on(&witness, (case.body)(stage));
    for errand in errands.take() {
        errand.join().expect("a panic is an error").map_err(|text| format!("elsewhere: {text}"))?;
    }
    ended
}

/// A driver of the operating system, watched.
fn system_witness(machine: Machine, is_meddling: bool) -> Result<Rc<Witness>, String> {
    let driver = match machine {
        Machine::Epoll => OsDriver::builder(),
        Machine::Polling => OsDriver::builder().portable(),
        Machine::Calm | Machine::Rough => unreachable!("simulated"),
    };
    let driver = driver.pool(&pool()).build().map_err(|error| error.to_string())?;
    let witness = Rc::new(Witness::new(Rc::new(driver)));
    if is_meddling {
        witness.meddle();
    }
    Ok(witness)
}

/// Runs an errand of a case on this thread, in a shard of its own.
fn run_to_end(machine: Machine, is_meddling: bool, errand: Errand) -> Result<(), String> {
    let witness = system_witness(machine, is_meddling)?;
    run_on(&witness, async move { errand().await })
}

/// Runs `body` in a shard, after which nothing may be left.
fn run_on(witness: &Rc<Witness>, body: impl Future<Output = ()> + 'static) -> Result<(), String> {
    let shard = Shard::new(Rc::clone(witness) as Rc<dyn Driver>);
    let observed = shard.clone();
    let ended = shard.run(async move {
        let mut body = pin!(body);
        let ended = timeout(CASE_TIMEOUT, &mut body).await;
        // While the body is there: what it waits for.
        ended.map_err(|_| format!("did not end; alive:\n{}", observed.ledger()))
    });
    ended.map_err(|error| error.to_string())??;
    nothing_is_left(&shard.ledger().to_string(), witness)
}

/// Threads as the simulated hosts have them.
fn pool() -> Pool {
    Pool::new(PoolOptions {
        compute_threads_max: COMPUTE_THREADS.try_into().expect("not zero"),
        waiting_max: JOBS_WAITING_MAX.try_into().expect("not zero"),
        ..PoolOptions::default()
    })
}

fn raise(signal: Signal) {
    rustix::process::kill_process(rustix::process::getpid(), number(signal))
        .expect("a process may signal itself");
}

/// Asks, and takes nothing away.
fn has_children() -> bool {
    use rustix::process::{WaitId, WaitIdOptions, waitid};
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
    match waitid(WaitId::All, options) {
        Ok(_) => true,
        Err(rustix::io::Errno::CHILD) => false,
        Err(error) => panic!("the system cannot tell: {error}"),
    }
}

fn number(signal: Signal) -> rustix::process::Signal {
    match signal {
        Signal::Interrupt => rustix::process::Signal::INT,
        Signal::Terminate => rustix::process::Signal::TERM,
        Signal::Hangup => rustix::process::Signal::HUP,
        Signal::User1 => rustix::process::Signal::USR1,
        Signal::User2 => rustix::process::Signal::USR2,
    }
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
        let run = || simulate(case, Machine::Rough, &Setup::of(seed), is_meddling);
        let (first, second) = (run()?.trace_hash, run()?.trace_hash);
        if first != second {
            return Err(format!("seed {seed}: two runs differ: {first:016x}, {second:016x}"));
        }
    }
    Ok(())
}

/// Runs the cases once on rough simulated hosts that are decided by one seed, as they are and with disturbed edges. Of those
/// that take long it is one, which changes from seed to seed.
///
/// # Errors
/// What did not hold, in which case.
pub fn simulate_all(setup: &Setup) -> Result<Run, String> {
    let long = CASES.iter().filter(|case| case.is_long);
    let turn = setup.seed() % long.clone().count() as u64;
    let whose_turn = long.zip(0..).filter(|(_, number)| *number == turn).map(|(case, _)| case);
    let mut all = Run::default();
    for case in CASES.iter().filter(|case| !case.is_long).chain(whose_turn) {
        for is_meddling in [false, true] {
            let ran = simulate(*case, Machine::Rough, setup, is_meddling);
            let run = ran.map_err(|message| format!("{}: {message}", case.name))?;
            all.trace_hash = all.trace_hash.rotate_left(1).wrapping_add(run.trace_hash);
            all.event_count += run.event_count;
            all.virtual_end = all.virtual_end.max(run.virtual_end);
            all.trace.extend(run.trace.iter().map(|event| format!("{}: {event}", case.name)));
        }
    }
    Ok(all)
}

/// Runs a case once on a simulated host.
fn simulate(case: Case, machine: Machine, setup: &Setup, is_meddling: bool) -> Result<Run, String> {
    guarded(|| on_host(case, machine, setup, is_meddling))
        .map_err(|message| format!("seed {}: {message}", setup.seed()))
}

fn on_host(case: Case, machine: Machine, setup: &Setup, is_meddling: bool) -> Result<Run, String> {
    let config = match machine {
        Machine::Calm => WorldConfig::calm(),
        Machine::Rough => WorldConfig::rough(),
        Machine::Epoll | Machine::Polling => unreachable!("not simulated"),
    };
    let world = Rc::new(setup.world(WorldConfig {
        tokens_max: SOCKETS_MAX,
        compute_threads_max: COMPUTE_THREADS,
        jobs_waiting_max: JOBS_WAITING_MAX,
        virtual_time_max: VIRTUAL_TIME_MAX,
        event_count_max: 10_000_000,
        ..config
    }));
    world.add_name(KNOWN_NAME, &[Ipv4Addr::LOCALHOST.into()]);
    programs::install(&world);
    let witnesses: Rc<RefCell<Vec<Rc<Witness>>>> = Rc::default();
    let wrap = move |driver: Rc<dyn Driver>, witnesses: &RefCell<Vec<Rc<Witness>>>| {
        let witness = Rc::new(Witness::new(driver));
        if is_meddling {
            witness.meddle();
        }
        witnesses.borrow_mut().push(Rc::clone(&witness));
        witness as Rc<dyn Driver>
    };
    let watched = Rc::clone(&witnesses);
    let host = world.host_with("host", move |driver| wrap(driver, &watched));
    for (path, bytes) in FILES {
        host.add_file(SIMULATED_FILES, path, bytes);
    }
    let (signalled, first, parent) = (host.clone(), host.clone(), host.clone());
    let (room, watched) = (Rc::downgrade(&world), Rc::clone(&witnesses));
    let witness = Rc::clone(&witnesses.borrow()[0]);
    host.run((case.body)(Stage {
        case,
        machine,
        witness,
        files: Path::new(SIMULATED_FILES).to_owned(),
        raise: Rc::new(move |signal| signalled.signal(signal)),
        has_children: Rc::new(move || !parent.processes().is_empty()),
        elsewhere: Rc::new(move |errand| {
            let world = room.upgrade().expect("a case runs in a world");
            let watched = Rc::clone(&watched);
            let shard = world.add_shard_with(&first, move |driver| wrap(driver, &watched));
            shard.run(async move { errand().await });
        }),
    }));
    let report = world.run().map_err(|failure| failure.to_string())?;
    match (case.death, report.killed.is_empty()) {
        (None, true) | (Some(_), false) => {}
        (None, false) => return Err("a signal killed the program".to_owned()),
        (Some(signal), true) => return Err(format!("{signal:?} did not kill the program")),
    }
    for witness in &*witnesses.borrow() {
        nothing_is_left(&world.leaks().join("\n"), witness)?;
    }
    Ok(Run {
        trace_hash: report.trace_hash,
        virtual_end: report.at,
        event_count: report.event_count,
        trace: world.trace(),
        ..Run::default()
    })
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
        Err(format!("panic: {}", mainspring_executor::panic_message(&*panic)))
    })
}
