//! Bugs between tasks: wakes, locks, permits, channels, cancellation.

mod lost_wake;

use crate::Specimen;

/// Those of this kind.
pub(crate) const ALL: &[&Specimen] = &[&lost_wake::LOST_WAKE];
