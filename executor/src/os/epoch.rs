//! `std_epoch`: a fixed point for those who need the standard library's `Instant` and not its clock.

use std::sync::OnceLock;
use std::time::Instant;

/// The same moment for all who ask in this process. It tells nothing but itself: only distances to it mean anything,
/// and those come from a driver.
pub(crate) fn std_epoch() -> Instant {
    static EPOCH: OnceLock<Instant> = OnceLock::new();
    *EPOCH.get_or_init(Instant::now)
}
