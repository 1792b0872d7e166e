//! Prints the table of `docs/ZOO.md`: for each specimen how soon its bug is found, and what is left of the failure when it is made
//! small; and that the twins without are silent.

use std::process::ExitCode;

use clap::Parser;
use mainspring_sim::Order;
use mainspring_zoo::{Silence, all, find, header, observe, summary, watch};

/// Prints the table of the zoo.
#[derive(Parser)]
struct Cli {
    /// Only these.
    specimens: Vec<String>,
    /// Seeds that a search may take.
    #[arg(long, default_value_t = 10_000)]
    seeds: u64,
    /// Seeds that the twins without are run with, each twice.
    #[arg(long, default_value_t = 10_000)]
    twin_seeds: u64,
    /// Searches for each, from different seeds: the table has their medians.
    #[arg(long, default_value_t = 11)]
    searches: u64,
    /// Who goes next in all of them; without it that is as each specimen has it.
    #[arg(long)]
    order: Option<Order>,
    /// Runs that making a failure small may take.
    #[arg(long, default_value_t = 10_000)]
    attempts: u64,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let mut chosen = all();
    if !cli.specimens.is_empty() {
        chosen.clear();
        for name in &cli.specimens {
            let Some(specimen) = find(name) else {
                eprintln!("error: there is no specimen \"{name}\"; `zoo list` prints all");
                return ExitCode::from(2);
            };
            chosen.push(specimen);
        }
    }
    // Panics are what is looked for.
    std::panic::set_hook(Box::new(|_| {}));
    println!("{}", header());
    let (mut is_whole, mut rows) = (true, Vec::new());
    for specimen in chosen {
        let row = observe(specimen, cli.order, cli.seeds, cli.searches, cli.attempts);
        let silence = watch(specimen, cli.twin_seeds);
        is_whole &= row.is_found_always() && silence == Silence::Kept;
        println!("{row}");
        if let Silence::Broken(failure) = silence {
            println!("{} is not silent: {failure}", specimen.fixed.name);
        }
        rows.push(row);
    }
    println!("\n{}", summary(&rows));
    if is_whole { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
