//! `sooner`: faults and the clients that they hit, which shrink to an earlier time together.

use core::fmt::Debug;
use core::time::Duration;

use proptest::strategy::Strategy;

use crate::faults::FaultPlan;
use crate::number::highest;
use crate::together::together;
use crate::workload::Workload;

/// By how much all of it may come sooner, in milliseconds: an hour.
const SOONER_MAX_MS: u64 = 3_600_000;

/// A plan of faults and a workload. Beside what each of them shrinks to by itself, all faults and all clients come sooner by the
/// same time, down to the start of the run: a fault that has to be there during a request stays with it.
pub fn sooner<R: Debug>(
    faults: impl Strategy<Value = FaultPlan>,
    workload: impl Strategy<Value = Workload<R>>,
) -> impl Strategy<Value = (FaultPlan, Workload<R>)> {
    let parts = together((highest(0..=SOONER_MAX_MS), faults, workload));
    parts.prop_map(|(later, mut faults, mut workload)| {
        let by = Duration::from_millis(SOONER_MAX_MS - later);
        for fault in &mut faults.faults {
            fault.begin = fault.begin.saturating_sub(by);
        }
        for client in &mut workload.clients {
            client.start = client.start.saturating_sub(by);
        }
        (faults, workload)
    })
}
