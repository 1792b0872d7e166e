//! Bugs between a service and the processes around it: children, signals, names.

mod busy_at_the_end;
mod full_pipe;
mod half_output;
mod late_signals;

use crate::Specimen;

/// Those of this kind.
pub(crate) const ALL: &[&Specimen] = &[
    &busy_at_the_end::BUSY_AT_THE_END,
    &full_pipe::FULL_PIPE,
    &half_output::HALF_OUTPUT,
    &late_signals::LATE_SIGNALS,
];
