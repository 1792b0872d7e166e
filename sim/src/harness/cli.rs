//! The command line: lists scenarios, sweeps seeds, makes failures small, replays one run.

use core::fmt;
use core::ops::Range;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use super::captures::write_captures;
use super::sweeping::{Sweeping, Swept};
use super::viewing::{ViewArgs, view};
use super::{Kind, Run, Scenario, Sweep};
use crate::bypass::is_guarded;
use crate::quiet::quietly;
use crate::{Order, Source, Tape, TapeError};

/// Why `--strict` cannot be had.
const NO_GUARD: &str = "--strict needs the guard, and this binary has none: link mainspring-sim-guard (Linux on x86-64)";

/// So many kinds of failures are shown of a sweep.
const KINDS_SHOWN: usize = 10;

/// What a shell has for a command that SIGINT ended.
const INTERRUPTED: u8 = 130;

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
    /// Runs one seed or one tape of one scenario twice; where it fails, tells the least that has to go wrong for it.
    Run(MinimiseArgs),
    /// Runs many seeds of one scenario, each twice, and compares the traces.
    Sweep(SweepArgs),
    /// Runs one seed or one tape of one scenario once; `--trace` prints everything that happens.
    Replay(ReplayArgs),
    /// Finds the least that has to go wrong for a seed to fail as it does.
    Minimise(MinimiseArgs),
    /// Finds the choice with which a failure became inevitable.
    Explain(ExplainArgs),
    /// Drops the victims of a scenario wherever one of them waits.
    Cancel(CancelArgs),
    /// Writes a run as a page that shows it, or as a trace for Perfetto.
    View(ViewArgs),
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
    /// Part I of N of these seeds, from 1: for as many machines.
    #[arg(long, value_name = "I/N", value_parser = parse_shard)]
    shard: Option<(u64, u64)>,
    /// Ends with the first failure.
    #[arg(long)]
    fail_fast: bool,
    /// Keeps what is done in this file, and goes on from there when it is called again.
    #[arg(long, value_name = "FILE")]
    resume: Option<String>,
    /// Prints lines of JSON instead of text: one for each failure, as it is found, and one for the sweep.
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
pub(super) struct RunArgs {
    #[command(flatten)]
    which: Which,
    /// The seed.
    #[arg(long, required_unless_present = "tape", conflicts_with = "tape")]
    seed: Option<u64>,
    /// The tape: as text, or the name of a file with it.
    #[arg(long, value_name = "TEXT|FILE", value_parser = parse_tape)]
    tape: Option<Tape>,
}

impl SweepArgs {
    fn seeds(&self) -> Range<u64> {
        let (part, parts) = self.shard.unwrap_or((1, 1));
        // In 128 bits, in which no product is too large.
        let at = |part: u64| {
            let count = u128::from(self.count) * u128::from(part) / u128::from(parts);
            self.from.saturating_add(u64::try_from(count).expect("a part of all"))
        };
        at(part - 1)..at(part)
    }
}

impl RunArgs {
    pub(super) fn source(&self) -> Source {
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
    /// Writes all packets into this file, for Wireshark; those of a second world into FILE.2, and so on.
    #[arg(long, value_name = "FILE")]
    pcap: Option<String>,
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
    #[arg(long, value_name = "COUNT", default_value_t = 200, value_parser = clap::value_parser!(u64).range(1..))]
    runs: u64,
}

#[derive(Args)]
struct CancelArgs {
    #[command(flatten)]
    which: Which,
    /// Decides all else.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// At this point alone, from 1.
    #[arg(long)]
    point: Option<u64>,
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

/// Such as `2/8`.
fn parse_shard(argument: &str) -> Result<(u64, u64), String> {
    let numbers = argument.split_once('/');
    let numbers = numbers.and_then(|(part, parts)| part.parse().ok().zip(parts.parse().ok()));
    let is_one = |&(part, parts): &(u64, u64)| (1..=parts).contains(&part);
    numbers.filter(is_one).ok_or_else(|| "expected is I/N, with I from 1 to N".to_owned())
}

/// The text of a tape, or the name of a file with it.
pub(super) fn parse_tape(argument: &str) -> Result<Tape, String> {
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

/// The command line for some scenarios, as the `main` of a binary: `list`, `run`, `sweep`, `replay`, `minimise`, `explain`, `cancel`, `view`,
/// `explore`; `--help`
/// tells what each takes. Its exit code is 1 where a run does not hold, or there is nothing to make smaller (`view` has shown what there is, and
/// ends with 0), and 2 where the
/// command is not understood, there is no such scenario, `--strict` is asked of a binary without the guard, or the file of `--resume` or `--pcap`
/// cannot be used or written; 130 where a sweep was told to end.
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
        Command::Sweep(args) => args.which.among(scenarios).and_then(|it| sweep(it, &args)),
        Command::Run(args) => args.run.which.among(scenarios).map(|it| run(&it, &args)),
        Command::Cancel(args) => args.which.among(scenarios).and_then(|it| cancel(&it, &args)),
        Command::Replay(args) => args.run.which.among(scenarios).and_then(|it| replay(&it, &args)),
        Command::Minimise(args) => args.run.which.among(scenarios).map(|it| minimise(&it, &args)),
        Command::Explain(args) => {
            args.minimise.run.which.among(scenarios).map(|it| explain(&it, &args))
        }
        Command::View(args) => args.run.which.among(scenarios).and_then(|it| {
            println!("{}", view(&it, &args)?);
            Ok(ExitCode::SUCCESS)
        }),
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

fn sweep(scenario: Scenario, args: &SweepArgs) -> Result<ExitCode, String> {
    let sweeping = Sweeping {
        seeds: args.seeds(),
        is_over_by_failure: args.fail_fast,
        tells_failures: args.json,
        journal: args.resume.clone(),
    };
    let swept = quietly(|| sweeping.run(scenario))?;
    if let Some(error) = swept.output_error {
        return Err(format!("standard output: {error}"));
    }
    if swept.signal_count > 1 {
        // At once: whoever is to read it may not do so.
        return Ok(ExitCode::from(INTERRUPTED));
    }
    if args.json {
        print_json(&scenario, args, &swept);
    } else {
        print_text(&scenario, args, &swept);
    }
    let Swept { sweep, signal_count, error, .. } = swept;
    if let Some(error) = error {
        return Err(error);
    }
    let is_well = sweep.failure_count == 0 && (!args.reach || sweep.findings.is_empty());
    Ok(match (signal_count > 0, is_well) {
        (true, _) => ExitCode::from(INTERRUPTED),
        (false, true) => ExitCode::SUCCESS,
        (false, false) => ExitCode::FAILURE,
    })
}

fn print_text(scenario: &Scenario, args: &SweepArgs, swept: &Swept) {
    let Swept { sweep, seconds, before_count, left_count, .. } = swept;
    let now_count = sweep.seed_count - before_count;
    if args.coverage {
        print!("{}", sweep.coverage);
    }
    let kinds = sweep.kinds.by_count();
    for (_, kind) in kinds.iter().take(KINDS_SHOWN) {
        println!("{kind}\n");
    }
    if kinds.len() > KINDS_SHOWN {
        println!("and {} other ways to fail; --json has all\n", kinds.len() - KINDS_SHOWN);
    }
    if args.coverage || args.reach {
        for finding in &sweep.findings {
            println!("not reached: {finding}");
        }
    } else if !sweep.findings.is_empty() {
        println!("{} sites were not reached; --coverage tells", sweep.findings.len());
    }
    println!(
        "{}: {} seeds, each twice, in {seconds:.2} s ({:.0} seeds/s): {}; {} requests, {} events, hash {:016x}",
        scenario.name,
        sweep.seed_count,
        now_count as f64 / seconds,
        verdict(sweep),
        sweep.request_count,
        sweep.event_count,
        sweep.hash,
    );
    if *before_count > 0 {
        println!("{before_count} of them were run before; the times are of the others");
    }
    if *left_count > 0 {
        let how = args.resume.as_ref().map_or("", |_| "; the same command goes on with them");
        println!("{left_count} seeds were not run{how}");
    }
}

/// How many failed, and in how many ways.
fn verdict(sweep: &Sweep) -> String {
    match (sweep.failure_count, sweep.kinds.len()) {
        (count, 0 | 1) => format!("{count} failed"),
        (count, kinds) => format!("{count} failed, in {kinds} ways"),
    }
}

fn print_json(scenario: &Scenario, args: &SweepArgs, swept: &Swept) {
    let Swept { sweep, seconds, before_count, left_count, signal_count, .. } = swept;
    let kind = |(signature, kind): (&str, &Kind)| serde_json::json!({ "signature": signature, "count": kind.count, "first_seed": kind.first.seed });
    let object = serde_json::json!({
        "type": "sweep",
        "scenario": scenario.name,
        "from": args.seeds().start,
        "count": sweep.seed_count,
        "before": before_count,
        "left": left_count,
        "is_interrupted": *signal_count > 0,
        "seconds": seconds,
        "requests": sweep.request_count,
        "events": sweep.event_count,
        "hash": format!("{:016x}", sweep.hash),
        "coverage": sweep.coverage.json(),
        "findings": sweep.findings,
        "failures": sweep.failure_count,
        "kinds": sweep.kinds.by_count().into_iter().map(kind).collect::<Vec<_>>(),
    });
    println!("{object}");
}

fn run(scenario: &Scenario, args: &MinimiseArgs) -> ExitCode {
    match quietly(|| scenario.verdict(args.run.source(), args.attempts)) {
        Ok(run) => {
            println!("{}", held(scenario, args.run.source().seed(), &run));
            ExitCode::SUCCESS
        }
        Err(story) => {
            println!("{story}");
            ExitCode::FAILURE
        }
    }
}

fn held(scenario: &Scenario, seed: u64, run: &Run) -> String {
    let &Run { request_count, event_count, virtual_end, trace_hash, .. } = run;
    let name = scenario.name;
    format!(
        "{name} held with seed {seed}: {request_count} requests and {event_count} events in {virtual_end} virtual seconds, hash {trace_hash:016x}"
    )
}

fn cancel(scenario: &Scenario, args: &CancelArgs) -> Result<ExitCode, String> {
    let cancelled = quietly(|| scenario.cancel(args.seed, args.point))?;
    let (points, runs) = (cancelled.point_count, cancelled.run_count);
    Ok(match cancelled.failure {
        None => {
            println!(
                "{} held with seed {} in {runs} runs: victims wait at {points} points",
                scenario.name, args.seed
            );
            ExitCode::SUCCESS
        }
        Some(failure) => {
            println!("{failure}");
            ExitCode::FAILURE
        }
    })
}

fn replay(scenario: &Scenario, args: &ReplayArgs) -> Result<ExitCode, String> {
    let source = args.run.source();
    let seed = source.seed();
    let result = match &args.pcap {
        Some(path) => {
            let (result, captures) = scenario.run_captured(source, args.trace);
            write_captures(&captures, path)?;
            result
        }
        None => scenario.run(source, args.trace),
    };
    Ok(match result {
        Ok(run) => {
            for line in &run.trace {
                println!("{line}");
            }
            println!("{}", held(scenario, seed, &run));
            ExitCode::SUCCESS
        }
        Err(failure) => {
            println!("{failure}");
            ExitCode::FAILURE
        }
    })
}

fn minimise(scenario: &Scenario, args: &MinimiseArgs) -> ExitCode {
    tell(quietly(|| scenario.minimise(args.run.source(), args.attempts)))
}

fn explain(scenario: &Scenario, args: &ExplainArgs) -> ExitCode {
    let MinimiseArgs { run, attempts } = &args.minimise;
    tell(quietly(|| scenario.explain(run.source(), *attempts, args.runs)))
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
