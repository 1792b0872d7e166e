//! Runs simulations by hand: lists them, sweeps seeds, replays one.

use core::ops::Range;
use std::process::ExitCode;
use std::rc::Rc;

use clap::{Args, Parser, Subcommand};
use mainspring_executor::driver::Driver;
use mainspring_executor::os::OsDriver;
use mainspring_tests::scenario::{Scenario, ScenarioFailure, Sweep};
use mainspring_tests::scenarios::{ALL, find};

/// Runs the simulations of Mainspring by hand.
#[derive(Parser)]
#[command(name = "scenarios")]
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
    /// Runs one seed of one scenario.
    Replay(ReplayArgs),
}

#[derive(Args)]
struct SweepArgs {
    /// Which; `list` tells.
    #[arg(long, value_name = "NAME", value_parser = parse_scenario)]
    scenario: &'static Scenario,
    /// First seed.
    #[arg(long, value_name = "SEED", default_value_t = 0)]
    from: u64,
    /// How many seeds.
    #[arg(long, value_name = "COUNT", default_value_t = 100)]
    count: u64,
    /// Prints one JSON object instead of text.
    #[arg(long)]
    json: bool,
}

#[derive(Args)]
struct ReplayArgs {
    /// Which; `list` tells.
    #[arg(long, value_name = "NAME", value_parser = parse_scenario)]
    scenario: &'static Scenario,
    /// The seed.
    #[arg(long)]
    seed: u64,
    /// Prints everything that happens.
    #[arg(long)]
    trace: bool,
}

fn parse_scenario(name: &str) -> Result<&'static Scenario, String> {
    find(name).ok_or_else(|| "no such scenario; `scenarios list` prints them".to_owned())
}

fn main() -> ExitCode {
    match Cli::parse().command {
        Command::List => list(),
        Command::Sweep(args) => sweep(&args),
        Command::Replay(args) => replay(&args),
    }
}

fn list() -> ExitCode {
    for scenario in ALL {
        println!("{:<20} {}", scenario.name, scenario.about);
    }
    ExitCode::SUCCESS
}

fn sweep(args: &SweepArgs) -> ExitCode {
    let seeds = args.from..args.from.saturating_add(args.count);
    let clock = Rc::new(OsDriver::new().expect("the system has a clock"));
    let start = clock.now();
    let sweep = args.scenario.sweep(seeds.clone());
    let seconds = (clock.now() - start).as_secs_f64();
    if args.json {
        print_json(args.scenario, &seeds, &sweep, seconds);
    } else {
        print_text(args.scenario, &sweep, seconds);
    }
    if sweep.failures.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn print_text(scenario: &Scenario, sweep: &Sweep, seconds: f64) {
    for failure in sweep.failures.iter().take(10) {
        println!("{failure}\n");
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
        "failures": sweep.failures.iter().map(failure).collect::<Vec<_>>(),
    });
    println!("{object}");
}

fn replay(args: &ReplayArgs) -> ExitCode {
    match args.scenario.run(args.seed, args.trace) {
        Ok(run) => {
            for line in &run.trace {
                println!("{line}");
            }
            println!(
                "{} held with seed {}: {} requests and {} events in {} virtual seconds, hash {:016x}",
                args.scenario.name,
                args.seed,
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
