//! Runs the simulations of Mainspring by hand: lists them, sweeps seeds, makes failures small, replays one run.

use std::process::ExitCode;

use mainspring_tests::scenarios::ALL;

fn main() -> ExitCode {
    mainspring_sim::harness::main(ALL)
}
