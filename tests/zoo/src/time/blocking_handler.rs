//! A handler that computes at one go: nothing else runs meanwhile, and the leader forgets to say that it lives.

use core::cell::Cell;
use core::time::Duration;
use std::rc::Rc;

use mainspring_executor::time::{now, sleep, yield_now};
use mainspring_sim::harness::{Run, Setup, conclude};
use mainspring_sim::{WorldConfig, spend};

use crate::specimen::{Specimen, Twin, specimen};
use crate::visitor::{visit_count, visitors};

pub(super) const BLOCKING_HANDLER: Specimen = specimen!(
    "blocking-handler",
    "a report is computed in one poll, and the heartbeat of the service is late",
    search: "a large report",
    source: "",
    run,
);

const HEARTBEAT: Duration = Duration::from_millis(100);
/// Who is not heard of for so long is taken for dead.
const SILENCE_MAX: Duration = Duration::from_millis(500);
const ROW: Duration = Duration::from_millis(1);

fn run(setup: &Setup, twin: Twin) -> Result<Run, String> {
    let world = setup.world(WorldConfig::rough());
    let service = world.host("service");
    let clients = visitors(&world, 8, 16, 2_000);
    let (count, left) = (visit_count(&clients), Rc::new(Cell::new(clients.len())));
    for mut client in clients {
        let left = Rc::clone(&left);
        service.run(async move {
            while client.comes().await {
                // One report in two hundred is of a whole year.
                let rows = if client.once_in(200) { 600 } else { client.choose(40) };
                report(rows, twin).await;
            }
            left.set(left.get() - 1);
        });
    }
    service.run(async move {
        while left.get() > 0 {
            let last = now();
            sleep(HEARTBEAT).await;
            assert!(now() - last < SILENCE_MAX, "the service is taken for dead");
        }
    });
    conclude(&world, count)
}

async fn report(rows: u64, twin: Twin) {
    for _ in 0..rows {
        spend(ROW);
        // The bug is not to do so.
        if twin.is_fixed() {
            yield_now().await;
        }
    }
}
