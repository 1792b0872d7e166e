//! Permits that are given back early, once the work is done, and again by the path that cleans up after a timeout.

use core::cell::Cell;
use core::time::Duration;
use std::rc::Rc;

use mainspring_executor::sync::Semaphore;
use mainspring_executor::time::{sleep, timeout};
use mainspring_sim::WorldConfig;
use mainspring_sim::harness::{Run, Setup, conclude};

use crate::specimen::{Specimen, Twin, specimen};
use crate::visitor::{Visitor, visit_count, visitors};

pub(super) const DOUBLE_RELEASE: Specimen = specimen!(
    "double-release",
    "a permit that was given back is given back again when writing the answer times out",
    search: "a timeout after the work, then a full house",
    source: "",
    run,
);

const LIMIT: usize = 3;

#[derive(Default)]
struct Ticket {
    is_held: Cell<bool>,
}

fn run(setup: &Setup, twin: Twin) -> Result<Run, String> {
    let world = setup.world(WorldConfig::rough());
    let service = world.host("service");
    let (permits, working) = (Rc::new(Semaphore::new(LIMIT)), Rc::new(Cell::new(0)));
    let clients = visitors(&world, 16, 12, 150);
    let count = visit_count(&clients);
    for mut client in clients {
        let (permits, working) = (Rc::clone(&permits), Rc::clone(&working));
        service.run(async move {
            while client.comes().await {
                visit(&permits, &working, &client, twin).await;
            }
        });
    }
    conclude(&world, count)
}

async fn visit(permits: &Semaphore, working: &Cell<usize>, client: &Visitor, twin: Twin) {
    let ticket = Ticket::default();
    permits.acquire().await.expect("nobody closes it").forget();
    ticket.is_held.set(true);
    working.set(working.get() + 1);
    assert!(working.get() <= LIMIT, "more work at one time than there are permits");
    // One in three hundred clients reads its answer slowly.
    let writing = if client.once_in(300) { Duration::from_secs(1) } else { client.millis(12) };
    let answer = timeout(Duration::from_millis(20), async {
        sleep(Duration::from_millis(8)).await;
        working.set(working.get() - 1);
        permits.add_permits(1);
        ticket.is_held.set(false);
        sleep(writing).await;
    });
    if answer.await.is_err() && (ticket.is_held.get() || !twin.is_fixed()) {
        permits.add_permits(1);
    }
}
