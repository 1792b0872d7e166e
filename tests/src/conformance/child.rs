//! Cases that end with the death of their program: on the operating system, a process of their own.
//!
//! It is the test's own executable, started once more and told by a variable of its environment which case to run.

use std::os::unix::process::ExitStatusExt;
use std::process::Command;

use rustix::process::Signal;

use super::machine::on_system;
use super::{CASES, Case, Machine};

/// Names the case, the machine, and whether edges are disturbed.
const VARIABLE: &str = "MAINSPRING_CONFORMANCE_CHILD";

/// The test in which the child runs its case; see [`run_as_child`].
const TEST: &str = "a_case_that_dies";

/// Runs a case in a process of its own, which `signal` has to kill.
#[expect(clippy::disallowed_methods, reason = "it is outside of the program under test")]
pub(super) fn dies(
    case: Case,
    machine: Machine,
    is_meddling: bool,
    signal: Signal,
) -> Result<(), String> {
    let what = format!("{} {} {is_meddling}", case.name, machine.name());
    let itself = std::env::current_exe().map_err(|error| error.to_string())?;
    let mut command = Command::new(itself);
    let command = command.args(["--exact", TEST, "--nocapture"]).env(VARIABLE, what);
    let output = command.output().map_err(|error| error.to_string())?;
    match output.status.signal() == Some(signal.as_raw()) {
        true => Ok(()),
        false => Err(format!(
            "{signal:?} did not kill the process: {}\n{}{}",
            output.status,
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        )),
    }
}

/// In a process that [`run`](super::run) started for a case that dies: runs the case. In any other it does nothing. An
/// executable that runs cases has a test `a_case_that_dies` with nothing but this.
///
/// # Panics
/// When the case ends by itself.
pub fn run_as_child() {
    let Ok(what) = std::env::var(VARIABLE) else { return };
    let words: Vec<&str> = what.split(' ').collect();
    let case = CASES.iter().find(|case| case.name == words[0]).expect("a case by its name");
    let machine = Machine::ALL.iter().find(|machine| machine.name() == words[1]);
    let ran = on_system(*case, *machine.expect("a machine by its name"), words[2] == "true");
    panic!("the case ended by itself: {ran:?}");
}
