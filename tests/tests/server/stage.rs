//! `Case`: a server and a client, run on every machine that it holds for. `Stage`: what both of them see.
//!
//! Each run in the simulated room happens twice and must leave the same trace; each run, wherever, must leave nothing.

use core::cell::{Cell, RefCell};
use core::future::Future;
use core::net::SocketAddr;
use core::time::Duration;
use std::rc::Rc;

use futures::FutureExt;
use futures::future::LocalBoxFuture;
use mainspring::{Handler, Incoming, Server, Shutdown, StatsSnapshot, Summary, Telemetry};
use mainspring_executor::driver::{Driver, ListenOptions};
use mainspring_executor::net::TcpListener;
use mainspring_executor::os::OsDriver;
use mainspring_executor::signal::Signal;
use mainspring_executor::time::timeout;
use mainspring_executor::{Instant, Shard, spawn};
use mainspring_sim::{Host, Order, World, WorldConfig};
use mainspring_tests::client::{Client, ClientError};

/// Where the server listens in the simulated room.
pub(crate) const PORT: u16 = 80;

/// One way between two hosts of a calm room, exactly.
pub(crate) const LATENCY: Duration = Duration::from_millis(1);

/// Nothing differs from seed to seed in a calm room but what the seed itself is.
const CALM_SEEDS: u64 = 2;
const ROUGH_SEEDS: u64 = 20;

/// A case on the operating system that takes longer hangs.
const OS_DURATION_MAX: Duration = Duration::from_secs(10);

/// On which machines a case holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Machines {
    /// The operating system as well: nothing depends on exact time.
    All,
    /// The simulated room only: it takes long, or looks at what only the room knows.
    Simulated,
    /// The calm room only: instants are exact.
    Calm,
}

/// What is noted in a run, by handlers and clients alike.
#[derive(Default)]
pub(crate) struct Seen {
    pub(crate) count: Cell<usize>,
    pub(crate) notes: RefCell<Vec<String>>,
    /// The body of a request whose handler did not want to let go of it.
    pub(crate) kept: RefCell<Option<Incoming>>,
    pub(crate) ended_at: Cell<Instant>,
    summary: Cell<Option<Summary>>,
    is_draining: Cell<bool>,
    connections_cut: Cell<usize>,
}

impl Seen {
    pub(crate) fn note(&self, note: impl Into<String>) {
        self.notes.borrow_mut().push(note.into());
    }

    pub(crate) fn add(&self) -> usize {
        self.count.set(self.count.get() + 1);
        self.count.get()
    }
}

/// A run of a case. Clones are handles to the same one.
#[derive(Clone)]
pub(crate) struct Stage {
    pub(crate) address: SocketAddr,
    pub(crate) seen: Rc<Seen>,
    /// Whether what happens takes exactly as long as it says.
    pub(crate) is_exact: bool,
    telemetry: Telemetry,
    control: Control,
}

/// How the server of a stage is told to end.
#[derive(Clone)]
enum Control {
    Signals(Host),
    Flags(Shutdown),
}

impl Stage {
    fn new(address: SocketAddr, control: Control, is_exact: bool) -> Self {
        Self { address, seen: Rc::default(), is_exact, telemetry: Telemetry::new(), control }
    }

    pub(crate) async fn connect(&self) -> Client {
        self.try_connect().await.expect("the server listens")
    }

    pub(crate) async fn try_connect(&self) -> Result<Client, ClientError> {
        Client::connect(self.address).await
    }

    pub(crate) fn stats(&self) -> StatsSnapshot {
        self.telemetry.snapshot().0
    }

    /// SIGTERM, or what comes closest.
    pub(crate) fn drain(&self) {
        self.seen.is_draining.set(true);
        match &self.control {
            Control::Signals(host) => host.signal(Signal::Terminate),
            Control::Flags(shutdown) => shutdown.drain(),
        }
    }

    /// Another signal, after [`Stage::drain`]; so many connections will be cut by it.
    pub(crate) fn stop_now(&self, connections_cut: usize) {
        self.expect_cut(connections_cut);
        match &self.control {
            Control::Signals(host) => host.signal(Signal::Interrupt),
            Control::Flags(shutdown) => shutdown.stop_now(),
        }
    }

    /// So many connections will be cut when the server ends, instead of none.
    pub(crate) fn expect_cut(&self, connections_cut: usize) {
        self.seen.connections_cut.set(connections_cut);
    }

    /// Whether the server has come to its end.
    pub(crate) fn has_ended(&self) -> bool {
        self.seen.summary.get().is_some()
    }

    /// [`Stage::drain`], unless that was said before.
    pub(crate) fn finish(&self) {
        if !self.seen.is_draining.get() {
            self.drain();
        }
    }

    async fn serve<H: Handler>(&self, server: Server<H>, listener: TcpListener, until: Shutdown) {
        let summary = server.telemetry(&self.telemetry).serve(vec![listener], until).await;
        self.seen.summary.set(Some(summary));
        self.seen.ended_at.set(mainspring_executor::time::now());
    }

    /// What must hold at the end of every run.
    fn judge(&self) {
        let cut = self.seen.summary.get().expect("the server came to its end").connections_cut;
        assert_eq!(cut, self.seen.connections_cut.get(), "connections cut");
        assert_eq!(self.stats().connections_open, 0, "connections open at the end");
        self.seen.kept.take();
    }
}

/// Serves on a stage until it is told to end.
type Serve = dyn Fn(Stage, TcpListener, Shutdown) -> LocalBoxFuture<'static, ()>;

/// What a client does on a stage.
type Play<'a> = dyn Fn(Stage) -> LocalBoxFuture<'static, ()> + 'a;

/// A server, where it is tried, and what the room is like.
pub(crate) struct Case {
    serve: Rc<Serve>,
    machines: Machines,
    adjust: fn(&mut WorldConfig),
    files: &'static [(&'static str, &'static [u8])],
}

impl Case {
    /// The server that `make` makes, on all machines.
    pub(crate) fn new<H: Handler>(make: impl Fn(&Stage) -> Server<H> + 'static) -> Self {
        let serve = move |stage: Stage, listener, until| {
            let server = make(&stage);
            async move { stage.serve(server, listener, until).await }.boxed_local()
        };
        Self { serve: Rc::new(serve), machines: Machines::All, adjust: |_| {}, files: &[] }
    }

    pub(crate) fn on(self, machines: Machines) -> Self {
        Self { machines, ..self }
    }

    /// Changes the simulated rooms.
    pub(crate) fn adjusted(self, adjust: fn(&mut WorldConfig)) -> Self {
        Self { adjust, ..self }
    }

    /// Gives the simulated server files.
    pub(crate) fn with_files(self, files: &'static [(&'static str, &'static [u8])]) -> Self {
        Self { files, ..self }
    }

    /// Runs it everywhere. The client's panics are what makes it fail.
    pub(crate) fn check<F>(&self, client: impl Fn(Stage) -> F)
    where
        F: Future<Output = ()> + 'static,
    {
        let client: &Play<'_> = &|stage| client(stage).boxed_local();
        for seed in 0..CALM_SEEDS {
            self.simulate_twice(seed, WorldConfig::calm(), client);
        }
        if self.machines != Machines::Calm {
            for seed in 0..ROUGH_SEEDS {
                self.simulate_twice(seed, WorldConfig::rough(), client);
            }
        }
        if self.machines == Machines::All {
            self.play_on_os(Rc::new(OsDriver::new().expect("a driver")), client);
        }
    }

    fn simulate_twice(&self, seed: u64, mut config: WorldConfig, client: &Play<'_>) {
        (self.adjust)(&mut config);
        let first = self.play(seed, config.clone(), client, |_, _| {});
        let second = self.play(seed, config, client, |_, _| {});
        assert_eq!(first.trace_hash(), second.trace_hash(), "seed {seed}: two runs differ");
    }

    /// One run in a simulated room, which `direct` may have changed before; gives the room as it is left.
    pub(crate) fn simulate<F>(
        &self,
        seed: u64,
        config: WorldConfig,
        client: impl Fn(Stage) -> F,
        direct: impl FnOnce(&World, &Stage),
    ) -> World
    where
        F: Future<Output = ()> + 'static,
    {
        self.play(seed, config, &|stage| client(stage).boxed_local(), direct)
    }

    fn play(
        &self,
        seed: u64,
        config: WorldConfig,
        client: &Play<'_>,
        direct: impl FnOnce(&World, &Stage),
    ) -> World {
        let name = if config.order == Order::Fifo { "calm" } else { "rough" };
        let is_exact = config.order == Order::Fifo;
        let world = World::new(seed, config);
        let host = world.host("server");
        for (path, bytes) in self.files {
            host.add_file("/srv", path, bytes);
        }
        let stage = Stage::new(host.address(PORT), Control::Signals(host.clone()), is_exact);
        let (serve, on) = (Rc::clone(&self.serve), stage.clone());
        host.run(async move {
            let address = SocketAddr::from(([0, 0, 0, 0], PORT));
            let shutdown = Shutdown::on_signals().expect("signals can be watched");
            let listener = TcpListener::bind(address, ListenOptions::default());
            serve(on, listener.expect("a free port"), shutdown).await;
        });
        let (client, on) = (client(stage.clone()), stage.clone());
        world.host("client").run(async move {
            client.await;
            on.finish();
        });
        direct(&world, &stage);
        if let Err(failure) = world.run() {
            panic!("{name} room, seed {seed}: {failure}");
        }
        stage.judge();
        let leaks = world.leaks();
        assert!(leaks.is_empty(), "{name} room, seed {seed}: left behind:\n{}", leaks.join("\n"));
        world
    }

    /// One run on the operating system, or on what stands between it and the program.
    pub(crate) fn run_on_os<F>(&self, driver: Rc<dyn Driver>, client: impl Fn(Stage) -> F)
    where
        F: Future<Output = ()> + 'static,
    {
        self.play_on_os(driver, &|stage| client(stage).boxed_local());
    }

    fn play_on_os(&self, driver: Rc<dyn Driver>, client: &Play<'_>) {
        let shard = Shard::new(driver);
        let shutdown = Shutdown::new();
        let localhost = SocketAddr::from(([127, 0, 0, 1], 0));
        let listener = shard.enter(|| TcpListener::bind(localhost, ListenOptions::default()));
        let listener = listener.expect("a free port");
        let address = listener.local_addr().expect("it listens");
        let stage = Stage::new(address, Control::Flags(shutdown.clone()), false);
        let (serve, on, client) = (Rc::clone(&self.serve), stage.clone(), client(stage.clone()));
        let run = async move {
            let serving = spawn(serve(on.clone(), listener, shutdown));
            client.await;
            on.finish();
            serving.await.expect("the server does not panic");
        };
        let run = shard.run(async { timeout(OS_DURATION_MAX, run).await });
        run.expect("the driver works").expect("on the operating system it takes no ten seconds");
        stage.judge();
        let left = shard.ledger().to_string();
        assert!(left.is_empty(), "left behind on the operating system:\n{left}");
    }
}
