//! `Sweeping`: a sweep by hand. It shows how far it is, keeps what is done in a journal, and ends in good order when it is told to.
//!
//! ```text
//!  workers ── each few seeds ──► Done (sums, journal, lines of JSON)
//!                                  ▲
//!  this shard: progress, ten times a second; signals: the first ends the sweep after the seeds that run, the second at once
//! ```

use core::ops::{ControlFlow, Range};
use core::pin::pin;
use core::time::Duration;
use std::io::{self, Write};
use std::rc::Rc;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::{FutureExt, select_biased};
use mainspring_executor::driver::{Driver, Signal};
use mainspring_executor::os::OsDriver;
use mainspring_executor::signal::Signals;
use mainspring_executor::time::{now, sleep};
use mainspring_executor::{Shard, offload};

use super::journal::Journal;
use super::progress::Progress;
use super::{Scenario, ScenarioFailure, Sweep};

/// How often the journal is written.
const WRITE_PAUSE: Duration = Duration::from_millis(200);

/// How a sweep goes.
#[derive(Clone, Debug)]
pub(super) struct Sweeping {
    pub(super) seeds: Range<u64>,
    /// Ends with the first failure.
    pub(super) is_over_by_failure: bool,
    /// Prints a line of JSON for each failure, when it is found.
    pub(super) tells_failures: bool,
    /// The file in which it keeps what is done.
    pub(super) journal: Option<String>,
}

/// What came of it.
#[derive(Debug)]
pub(super) struct Swept {
    pub(super) sweep: Sweep,
    pub(super) seconds: f64,
    /// Seeds that were done by the same command before.
    pub(super) before_count: u64,
    /// Seeds that were asked for and not run.
    pub(super) left_count: u64,
    /// Why what is done could not be kept.
    pub(super) error: Option<String>,
    /// Why nobody hears what is printed.
    pub(super) output_error: Option<io::Error>,
    /// Told to end, by so many signals.
    pub(super) signal_count: u32,
}

/// What the workers have done.
#[derive(Debug)]
struct Done {
    sweep: Sweep,
    journal: Option<Journal>,
    error: Option<String>,
    output_error: Option<io::Error>,
    is_over: bool,
}

impl Sweeping {
    /// Runs it.
    ///
    /// # Errors
    /// Why it could not be begun.
    pub(super) fn run(self, scenario: Scenario) -> Result<Swept, String> {
        let driver = OsDriver::new().map_err(|error| error.to_string())?;
        let shard = Shard::new(Rc::new(driver) as Rc<dyn Driver>);
        shard.run(self.play(scenario)).map_err(|error| error.to_string())?
    }

    async fn play(self, scenario: Scenario) -> Result<Swept, String> {
        let all = self.seeds.end.saturating_sub(self.seeds.start);
        let (journal, before, mut left) = match &self.journal {
            None => (None, Sweep::default(), vec![self.seeds.clone()]),
            Some(path) => {
                let (journal, before, left) = Journal::open(path, &scenario, self.seeds.clone())?;
                (Some(journal), before, left)
            }
        };
        let progress = Progress::new(all, before.seed_count);
        progress.tell(&before);
        let before_count = before.seed_count;
        if self.is_over_by_failure && before.failure_count > 0 {
            left.clear();
        }
        let (error, output_error) = (None, None);
        let done = Done { sweep: before, journal, error, output_error, is_over: false };
        let done = Arc::new(Mutex::new(done));
        let shared = Arc::clone(&done);
        let start = now();
        let mut signals = Signals::subscribe_to(&[Signal::Interrupt, Signal::Terminate])
            .map_err(|error| error.to_string())?;
        let running = offload::blocking(move || {
            scenario.sweep_with(left, &|seeds, block| self.watch(&shared, seeds, block));
        });
        let mut running = pin!(running.fuse());
        let mut signal_count = 0;
        let mut written_at = start;
        loop {
            select_biased! {
                ended = running => {
                    ended.map_err(|error| error.to_string())?;
                    break;
                }
                _ = pin!(signals.next().fuse()) => {
                    signal_count += 1;
                    locked(&done).is_over = true;
                    if signal_count > 1 {
                        break;
                    }
                }
                () = pin!(sleep(Progress::PAUSE).fuse()) => {}
            }
            let mut done = locked(&done);
            progress.tell(&done.sweep);
            if now() - written_at >= WRITE_PAUSE {
                written_at = now();
                done.write();
            }
        }
        progress.end();
        let mut done = locked(&done);
        done.write();
        let mut sweep = core::mem::take(&mut done.sweep);
        sweep.findings = sweep.coverage.findings(scenario.expected);
        Ok(Swept {
            seconds: (now() - start).as_secs_f64(),
            before_count,
            left_count: all - sweep.seed_count,
            error: done.error.take(),
            output_error: done.output_error.take(),
            signal_count,
            sweep,
        })
    }
}

impl Sweeping {
    /// Workers come by here.
    fn watch(&self, done: &Mutex<Done>, seeds: Range<u64>, block: Sweep) -> ControlFlow<()> {
        // With nothing locked: who reads may take his time, and have had enough.
        let told = if self.tells_failures { tell(&block.failures) } else { Ok(()) };
        let mut done = locked(done);
        if let Err(error) = told {
            done.output_error.get_or_insert(error);
        }
        if let Some(journal) = &mut done.journal {
            journal.add(seeds, &block);
        }
        done.sweep.merge(block);
        done.is_over |= self.is_over_by_failure && done.sweep.failure_count > 0;
        if done.is_over || done.error.is_some() || done.output_error.is_some() {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    }
}

impl Done {
    /// Writes what was done since into the journal, if there is one; nothing any more, once that has failed.
    fn write(&mut self) {
        let Some(mut journal) = self.journal.take() else { return };
        match journal.write() {
            Ok(()) => self.journal = Some(journal),
            Err(error) => {
                self.error.get_or_insert_with(|| format!("the journal: {error}"));
            }
        }
    }
}

/// A line for each.
fn tell(failures: &[ScenarioFailure]) -> io::Result<()> {
    failures.iter().try_for_each(|failure| writeln!(io::stdout(), "{}", json(failure)))
}

/// A failure, for machines.
fn json(failure: &ScenarioFailure) -> serde_json::Value {
    serde_json::json!({
        "type": "failure",
        "scenario": failure.scenario,
        "seed": failure.seed,
        "signature": failure.signature(),
        "message": failure.message,
        "replay": format!("{} {}", failure.command, failure.replay()),
    })
}

/// A worker that panics with it ends the sweep anyway.
fn locked(done: &Mutex<Done>) -> MutexGuard<'_, Done> {
    done.lock().unwrap_or_else(PoisonError::into_inner)
}
