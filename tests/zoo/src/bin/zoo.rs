//! Runs the specimens by hand: lists them, sweeps seeds, makes failures small, replays one run.

use std::process::ExitCode;

use mainspring_sim::harness::{Scenario, main as command_line};

fn main() -> ExitCode {
    let twins = |specimen: &'static mainspring_zoo::Specimen| [specimen.bug, specimen.fixed];
    command_line(&mainspring_zoo::all().into_iter().flat_map(twins).collect::<Vec<Scenario>>())
}
