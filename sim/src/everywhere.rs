//! `Everywhere`: a scenario that is run once, and then once more for each place at which something may go wrong.

use core::fmt;
use core::panic::AssertUnwindSafe;
use core::time::Duration;
use std::panic::catch_unwind;

use mainspring_executor::driver::Signal;
use mainspring_executor::panic_message;

use crate::calls::{Call, Error};
use crate::config::WorldConfig;
use crate::host::Host;
use crate::victim::{Cut, Victims};
use crate::world::World;

/// A scenario that is rehearsed with one thing going wrong, at each place where it can, one run after the other.
///
/// The scenario is a function that fills an empty [`World`], and gives what is to be checked at the end of its run. Each run
/// has to end well, and leave nothing: no task, no socket, no timer.
///
/// ```
/// use core::time::Duration;
/// use mainspring_executor::driver::ListenOptions;
/// use mainspring_executor::net::{TcpListener, TcpStream};
/// use mainspring_sim::{Everywhere, World, WorldConfig};
///
/// let scenario = |world: &World| {
///     let (server, client) = (world.host("server"), world.host("client"));
///     let (address, victims) = (server.address(80), world.victims());
///     let serving = server.spawn(async move {
///         let listener = TcpListener::bind(address, ListenOptions::default())?;
///         loop {
///             let (mut stream, _) = listener.accept().await?;
///             drop(stream.write_all(b"hello").await);
///         }
///         # #[expect(unreachable_code, reason = "it says what the errors are")]
///         std::io::Result::Ok(())
///     });
///     client.run(async move {
///         // Wherever it is dropped, the server goes on, and the next client is greeted.
///         victims.wrap(async { drop(TcpStream::connect(address).await.unwrap().fill().await) }).await;
///         assert!(TcpStream::connect(address).await.unwrap().fill().await.unwrap() > 0);
///         serving.abort();
///     });
///     |_: &World| {}
/// };
/// let everywhere = Everywhere::new(7, WorldConfig::rough(), scenario);
/// let swept = everywhere.cancel().expect("it holds wherever the victim is dropped");
/// assert!(swept.run_count > 2);
/// ```
///
/// The runs of one seed differ in nothing but what goes wrong, and are the same each time.
#[derive(Clone, Debug)]
pub struct Everywhere<B> {
    seed: u64,
    config: WorldConfig,
    scenario: B,
}

/// What came of a sweep in which all runs held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Swept {
    /// Runs, with the one in which nothing went wrong.
    pub run_count: u64,
    /// The hashes of all runs together, in their order.
    pub trace_hash: u64,
}

/// A run of a sweep that did not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SweepFailure {
    /// What went wrong, and where.
    pub place: String,
    /// The seed of the sweep.
    pub seed: u64,
    /// What came of it.
    pub message: String,
}

impl fmt::Display for SweepFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { place, seed, message } = self;
        write!(f, "{place}, seed {seed}: {}", message.trim_end())
    }
}

impl core::error::Error for SweepFailure {}

impl<B, C> Everywhere<B>
where
    B: Fn(&World) -> C,
    C: FnOnce(&World),
{
    /// A scenario, in worlds that are like `config`.
    pub fn new(seed: u64, config: WorldConfig, scenario: B) -> Self {
        Self { seed, config, scenario }
    }

    /// Drops the victims, see [`World::victims`], at each point where one is suspended: as soon as it is, and when it was
    /// woken again.
    ///
    /// # Errors
    /// The first run that does not hold.
    ///
    /// # Panics
    /// When there are no victims that wait.
    pub fn cancel(&self) -> Result<Swept, SweepFailure> {
        let mut sweep = Sweep::new(self);
        for point in 1..=self.suspension_count(&mut sweep)? {
            let suspended = format!("dropped when suspended for the {point}. time");
            sweep.run(&suspended, |world| world.victims().choose(Cut::WhenSuspended(point)))?;
            let woken = format!("dropped when woken after it was suspended for the {point}. time");
            sweep.run(&woken, |world| world.victims().choose(Cut::WhenWoken(point)))?;
        }
        Ok(sweep.swept)
    }

    /// Lets the victims panic at each point where one is suspended. A panic of a task that the run waits for fails the run:
    /// victims are what a server has to survive, its handlers.
    ///
    /// # Errors
    /// The first run that does not hold.
    ///
    /// # Panics
    /// When there are no victims that wait.
    pub fn panic(&self) -> Result<Swept, SweepFailure> {
        let mut sweep = Sweep::new(self);
        for point in 1..=self.suspension_count(&mut sweep)? {
            let place = format!("panics after it was suspended for the {point}. time");
            sweep.run(&place, |world| world.victims().choose(Cut::Panics(point)))?;
        }
        Ok(sweep.swept)
    }

    /// Sends a signal to the program of a host, at each instant at which anything happens in the room.
    ///
    /// # Errors
    /// The first run that does not hold; one without such a host is none.
    pub fn signal(&self, host: &str, signal: Signal) -> Result<Swept, SweepFailure> {
        let (what, host) = (format!("{signal:?} to {host}"), host.to_owned());
        self.at_each_instant(&what, move |world| named(world, &host).signal(signal))
    }

    /// Lets a host crash, at each instant at which anything happens in the room, and come back so much later, with no
    /// program on it; `revive` starts one. Where the run is over by then, it does not come back.
    ///
    /// # Errors
    /// The first run that does not hold; one without such a host is none.
    pub fn crash(
        &self,
        host: &str,
        downtime: Duration,
        revive: impl Fn(&World) + Clone + 'static,
    ) -> Result<Swept, SweepFailure> {
        let (what, host) = (format!("crash of {host}"), host.to_owned());
        self.at_each_instant(&what, move |world| {
            let host = named(world, &host);
            host.crash();
            let revive = revive.clone();
            world.at(world.now() + downtime, move |world| {
                host.restart();
                revive(world);
            });
        })
    }

    /// Does something at each instant at which anything happens in the room: a signal, a cut link, a pause. It comes before all
    /// else that happens then ([`World::at`]), so what lies between two events of one instant is not tried: a room in which
    /// latencies are drawn has few of those.
    ///
    /// # Errors
    /// The first run that does not hold; `what` says in its report what was done.
    pub fn at_each_instant(
        &self,
        what: &str,
        act: impl Fn(&World) + Clone + 'static,
    ) -> Result<Swept, SweepFailure> {
        let mut sweep = Sweep::new(self);
        let mut instants = Vec::new();
        let record = WorldConfig { record: true, ..self.config.clone() };
        sweep.run_in(record, NOTHING, |_| {}, |world| instants = world.instants())?;
        for instant in instants {
            let act = act.clone();
            let place = format!("{what} at {instant} s");
            sweep.run(&place, |world| world.at(instant, act))?;
        }
        Ok(sweep.swept)
    }

    /// Lets each call of the programs of a host to its machine fail, in each way in which it may, one in each run: no more
    /// sockets, a connection that was reset, a full queue.
    ///
    /// # Errors
    /// The first run that does not hold; one without such a host is none.
    pub fn fail_each_call(&self, host: &str) -> Result<Swept, SweepFailure> {
        let mut sweep = Sweep::new(self);
        let mut made: Vec<Call> = Vec::new();
        let config = || self.config.clone();
        let count = |world: &World, fails: Option<(usize, Error)>| {
            world.count_calls(&named(world, host), fails);
        };
        sweep.run_in(
            config(),
            NOTHING,
            |world| count(world, None),
            |world| made = world.calls_made(),
        )?;
        for (number, call) in made.iter().enumerate() {
            for error in call.errors() {
                let place = format!("call {number} of {host}, {call:?}, fails by {error:?}");
                sweep.run(&place, |world| count(world, Some((number, *error))))?;
            }
        }
        Ok(sweep.swept)
    }

    fn suspension_count(&self, sweep: &mut Sweep<'_, B>) -> Result<u64, SweepFailure> {
        let mut victims = Victims::default();
        sweep.run(NOTHING, |world| victims = world.victims())?;
        let count = victims.suspension_count();
        assert!(count > 0, "a victim that never waits tests nothing");
        Ok(count)
    }
}

/// Where nothing goes wrong.
const NOTHING: &str = "nothing goes wrong";

fn named(world: &World, name: &str) -> Host {
    world.find(name).unwrap_or_else(|| panic!("the scenario has a host that is named {name}"))
}

/// The runs so far.
struct Sweep<'e, B> {
    everywhere: &'e Everywhere<B>,
    swept: Swept,
}

impl<'e, B, C> Sweep<'e, B>
where
    B: Fn(&World) -> C,
    C: FnOnce(&World),
{
    fn new(everywhere: &'e Everywhere<B>) -> Self {
        Self { everywhere, swept: Swept { run_count: 0, trace_hash: 0 } }
    }

    /// One run, for which `prepare` says what goes wrong.
    fn run(&mut self, place: &str, prepare: impl FnOnce(&World)) -> Result<(), SweepFailure> {
        self.run_in(self.everywhere.config.clone(), place, prepare, |_| {})
    }

    fn run_in(
        &mut self,
        config: WorldConfig,
        place: &str,
        prepare: impl FnOnce(&World),
        after: impl FnOnce(&World),
    ) -> Result<(), SweepFailure> {
        let Everywhere { seed, scenario, .. } = self.everywhere;
        let run = || {
            let world = World::new(*seed, config);
            let check = scenario(&world);
            prepare(&world);
            let report = world.run_to_end()?;
            check(&world);
            after(&world);
            Ok(report.trace_hash)
        };
        // A panic outside of all tasks, as of a check, is a run that does not hold.
        let ran = catch_unwind(AssertUnwindSafe(run))
            .unwrap_or_else(|panic| Err(panic_message(&*panic).to_owned()));
        let fails = |message| SweepFailure { place: place.to_owned(), seed: *seed, message };
        let trace_hash = ran.map_err(fails)?;
        self.swept.run_count += 1;
        self.swept.trace_hash = self.swept.trace_hash.rotate_left(1) ^ trace_hash;
        Ok(())
    }
}
