//! The command line: lists scenarios, sweeps seeds, makes failures small, replays one run.

use core::fmt;
use core::ops::Range;
use std::process::ExitCode;
use std::rc::Rc;

use clap::{Args, Parser, Subcommand};
use mainspring_executor::driver::Driver;
use mainspring_executor::os::OsDriver;

use super::{Scenario, ScenarioFailure, Sweep};
use crate::bypass::is_guarded;
use crate::{Order, Source, Tape, TapeError};

/// Why `--strict` cannot be had.
const NO_GUARD: &str = "--strict needs the guard, and this binary has none: link mainspring-sim-guard (Linux on x86-64)";

/// Runs simulations by hand.
#[derive(Parser)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Prints the scenarios.
    List,
    /// Runs many seeds of one scenario, each twice, and compares the traces.
    Sweep(SweepArgs),
    /// Runs one seed or one tape of one scenario.
    Replay(ReplayArgs),
    /// Finds the least that has to go wrong for a seed to fail as it does.
    Minimise(MinimiseArgs),
    /// Finds the choice with which a failure became inevitable.
    Explain(ExplainArgs),
    /// Runs all orders of one seed that pass somebody over at most a few times.
    Explore(ExploreArgs),
}

#[derive(Args)]
struct Which {
    /// Which scenario; `list` tells.
    #[arg(long = "scenario", value_name = "NAME")]
    name: String,
    /// Fails a run in which a program asks libc for a time or for entropy, with the place. Needs the guard in this binary.
    #[arg(long)]
    strict: bool,
    /// Who goes next, of the tasks that are ready: `fifo`, `random`, `pct:DEPTH:POLLS` (`pct` is `pct:3:1000`), or `urw`. Without it
    /// that is as the scenario has it.
    #[arg(long)]
    order: Option<Order>,
}

impl Which {
    fn among(&self, scenarios: &[Scenario]) -> Result<Scenario, String> {
        let found = scenarios.iter().find(|scenario| scenario.name == self.name).copied();
        let scenario = found
            .ok_or_else(|| format!("there is no scenario \"{}\"; `list` prints all", self.name))?;
        if self.strict && !is_guarded() {
            return Err(NO_GUARD.to_owned());
        }
        let order = self.order.or(scenario.order);
        Ok(Scenario { is_strict: scenario.is_strict || self.strict, order, ..scenario })
    }
}

#[derive(Args)]
struct SweepArgs {
    #[command(flatten)]
    which: Which,
    /// First seed.
    #[arg(long, value_name = "SEED", default_value_t = 0)]
    from: u64,
    /// How many seeds.
    #[arg(long, value_name = "COUNT", default_value_t = 100)]
    count: u64,
    /// Prints one JSON object instead of text.
    #[arg(long)]
    json: bool,
    /// Prints which faults happened, and which sites of the programs were passed; `--json` has that in any case.
    #[arg(long)]
    coverage: bool,
    /// Fails as well where no run reaches what some run should, and tells what that is.
    #[arg(long)]
    reach: bool,
}

/// One run of one scenario.
#[derive(Args)]
struct RunArgs {
    #[command(flatten)]
    which: Which,
    /// The seed.
    #[arg(long, required_unless_present = "tape", conflicts_with = "tape")]
    seed: Option<u64>,
    /// The tape: as text, or the name of a file with it.
    #[arg(long, value_name = "TEXT|FILE", value_parser = parse_tape)]
    tape: Option<Tape>,
}

impl RunArgs {
    fn source(&self) -> Source {
        match &self.tape {
            Some(tape) => tape.clone().into(),
            None => self.seed.expect("one of the two is required").into(),
        }
    }
}

#[derive(Args)]
struct ReplayArgs {
    #[command(flatten)]
    run: RunArgs,
    /// Prints everything that happens.
    #[arg(long)]
    trace: bool,
}

#[derive(Args)]
struct MinimiseArgs {
    #[command(flatten)]
    run: RunArgs,
    /// At most so many runs.
    #[arg(long, value_name = "COUNT", default_value_t = 10_000)]
    attempts: u64,
}

#[derive(Args)]
struct ExplainArgs {
    #[command(flatten)]
    minimise: MinimiseArgs,
    /// How often what comes behind each choice is drawn anew.
    #[arg(long, value_name = "COUNT", default_value_t = 200)]
    runs: u64,
}

#[derive(Args)]
struct ExploreArgs {
    #[command(flatten)]
    which: Which,
    /// Decides all but the order.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// How often somebody is passed over, at most.
    #[arg(long, value_name = "COUNT", default_value_t = 1)]
    delays: u64,
    /// At most so many runs.
    #[arg(long, value_name = "COUNT", default_value_t = 100_000)]
    runs: u64,
}

/// The text of a tape, or the name of a file with it.
fn parse_tape(argument: &str) -> Result<Tape, String> {
    if argument.trim_start().starts_with('{') {
        return argument.parse().map_err(|error: TapeError| error.to_string());
    }
    let text = read_file(argument).map_err(|error| error.to_string())?;
    text.parse().map_err(|error: TapeError| error.to_string())
}

#[expect(clippy::disallowed_methods, reason = "a tool of its own, outside of any run")]
fn read_file(path: &str) -> std::io::Result<String> {
    std::fs::read_to_string(path)
}

/// The command line for some scenarios, as the `main` of a binary: `list`, `sweep`, `replay`, `minimise`, `explain`, `explore`; `--help`
/// tells what each takes. Its exit code is 1 where a run does not hold, or there is nothing to make smaller, and 2 where the
/// command is not understood, there is no such scenario, or `--strict` is asked of a binary without the guard.
///
/// ```no_run
/// use std::process::ExitCode;
/// use mainspring_sim::harness::{self, Scenario};
///
/// const ALL: &[Scenario] = &[];
///
/// fn main() -> ExitCode {
///     harness::main(ALL)
/// }
/// ```
#[must_use]
pub fn main(scenarios: &[Scenario]) -> ExitCode {
    let done = match Cli::parse().command {
        Command::List => {
            list(scenarios);
            Ok(ExitCode::SUCCESS)
        }
        Command::Sweep(args) => args.which.among(scenarios).map(|it| sweep(&it, &args)),
        Command::Replay(args) => args.run.which.among(scenarios).map(|it| replay(&it, &args)),
        Command::Minimise(args) => args.run.which.among(scenarios).map(|it| minimise(&it, &args)),
        Command::Explain(args) => {
            args.minimise.run.which.among(scenarios).map(|it| explain(&it, &args))
        }
        Command::Explore(args) => args.which.among(scenarios).map(|it| explore(&it, &args)),
    };
    done.unwrap_or_else(|error| {
        eprintln!("error: {error}");
        ExitCode::from(2)
    })
}

fn list(scenarios: &[Scenario]) {
    let width = scenarios.iter().map(|scenario| scenario.name.len()).max().unwrap_or(0);
    for Scenario { name, about, .. } in scenarios {
        println!("{name:<width$}  {about}");
    }
}

fn sweep(scenario: &Scenario, args: &SweepArgs) -> ExitCode {
    let seeds = args.from..args.from.saturating_add(args.count);
    let clock = Rc::new(OsDriver::new().expect("the system has a clock"));
    let start = clock.now();
    let sweep = scenario.sweep(seeds.clone());
    let seconds = (clock.now() - start).as_secs_f64();
    if args.json {
        print_json(scenario, &seeds, &sweep, seconds);
    } else {
        print_text(scenario, args, &sweep, seconds);
    }
    let is_well = sweep.failures.is_empty() && (!args.reach || sweep.findings.is_empty());
    if is_well { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn print_text(scenario: &Scenario, args: &SweepArgs, sweep: &Sweep, seconds: f64) {
    if args.coverage {
        print!("{}", sweep.coverage);
    }
    for failure in sweep.failures.iter().take(10) {
        println!("{failure}\n");
    }
    if args.coverage || args.reach {
        for finding in &sweep.findings {
            println!("not reached: {finding}");
        }
    } else if !sweep.findings.is_empty() {
        println!("{} sites were not reached; --coverage tells", sweep.findings.len());
    }
    println!(
        "{}: {} seeds, each twice, in {seconds:.2} s ({:.0} seeds/s): {} failed; {} requests, {} events, hash {:016x}",
        scenario.name,
        sweep.seed_count,
        sweep.seed_count as f64 / seconds,
        sweep.failures.len(),
        sweep.request_count,
        sweep.event_count,
        sweep.hash,
    );
}

fn print_json(scenario: &Scenario, seeds: &Range<u64>, sweep: &Sweep, seconds: f64) {
    let failure = |failure: &ScenarioFailure| serde_json::json!({ "seed": failure.seed, "message": failure.message });
    let object = serde_json::json!({
        "scenario": scenario.name,
        "from": seeds.start,
        "count": sweep.seed_count,
        "seconds": seconds,
        "requests": sweep.request_count,
        "events": sweep.event_count,
        "hash": format!("{:016x}", sweep.hash),
        "coverage": sweep.coverage.json(),
        "findings": sweep.findings,
        "failures": sweep.failures.iter().map(failure).collect::<Vec<_>>(),
    });
    println!("{object}");
}

fn replay(scenario: &Scenario, args: &ReplayArgs) -> ExitCode {
    let source = args.run.source();
    let seed = source.seed();
    match scenario.run(source, args.trace) {
        Ok(run) => {
            for line in &run.trace {
                println!("{line}");
            }
            println!(
                "{} held with seed {}: {} requests and {} events in {} virtual seconds, hash {:016x}",
                scenario.name,
                seed,
                run.request_count,
                run.event_count,
                run.virtual_end,
                run.trace_hash,
            );
            ExitCode::SUCCESS
        }
        Err(failure) => {
            println!("{failure}");
            ExitCode::FAILURE
        }
    }
}

fn minimise(scenario: &Scenario, args: &MinimiseArgs) -> ExitCode {
    tell(silenced(|| scenario.minimise(args.run.source(), args.attempts)))
}

fn explain(scenario: &Scenario, args: &ExplainArgs) -> ExitCode {
    let MinimiseArgs { run, attempts } = &args.minimise;
    tell(silenced(|| scenario.explain(run.source(), *attempts, args.runs)))
}

fn tell(result: Result<impl fmt::Display, String>) -> ExitCode {
    match result {
        Ok(text) => {
            println!("{text}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            println!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn explore(scenario: &Scenario, args: &ExploreArgs) -> ExitCode {
    let explored = scenario.explore(args.seed, args.delays, args.runs);
    let count = explored.run_count;
    match explored.failure {
        Some(failure) => {
            println!("{failure}\nthat was run {count}");
            ExitCode::FAILURE
        }
        None if explored.is_exhausted => {
            println!("{}: all {count} orders hold", scenario.name);
            ExitCode::SUCCESS
        }
        None => {
            println!("{}: the first {count} orders hold, and there are more", scenario.name);
            ExitCode::SUCCESS
        }
    }
}

/// The same panic, over and over, is no news.
fn silenced<R>(body: impl FnOnce() -> R) -> R {
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    let result = body();
    std::panic::set_hook(hook);
    result
}
