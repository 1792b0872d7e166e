//! `Progress`: what a sweep shows while it runs, on standard error, where that is a terminal.

use core::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use super::Sweep;

/// Seeds, how many a second, how long it will take, and how many failed.
const TEMPLATE: &str = "{bar:30} {human_pos} of {human_len} seeds, {per_sec}, {eta} left{msg}";

/// See the file.
#[derive(Debug)]
pub(super) struct Progress(ProgressBar);

impl Progress {
    /// Of so many seeds, of which some were done before.
    pub(super) fn new(seeds: u64, done: u64) -> Self {
        let bar = ProgressBar::new(seeds);
        let style = ProgressStyle::with_template(TEMPLATE).expect("the template is one");
        bar.set_style(style.with_key(
            "per_sec",
            |state: &indicatif::ProgressState, w: &mut dyn core::fmt::Write| {
                // Where it cannot be written there is nothing to see.
                let _ = write!(w, "{:.0}/s", state.per_sec());
            },
        ));
        bar.set_position(done);
        bar.reset_eta();
        Self(bar)
    }

    /// So far.
    pub(super) fn tell(&self, sweep: &Sweep) {
        self.0.set_position(sweep.seed_count);
        if sweep.failure_count > 0 {
            let (failed, kinds) = (sweep.failure_count, sweep.kinds.len());
            self.0.set_message(format!("; {failed} failed, in {kinds} ways"));
        }
    }

    /// How often it is told, at most.
    pub(super) const PAUSE: Duration = Duration::from_millis(100);

    /// Takes the line away.
    pub(super) fn end(self) {
        self.0.finish_and_clear();
    }
}
