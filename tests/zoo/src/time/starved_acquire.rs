//! A backup that needs all permits at one time, and looks for them now and then: there is always somebody who has one.

use core::cell::Cell;
use core::time::Duration;
use std::rc::Rc;

use mainspring_executor::sync::{Semaphore, SemaphorePermit};
use mainspring_executor::time::{now, sleep};
use mainspring_sim::WorldConfig;
use mainspring_sim::harness::{Run, Setup, conclude};

use crate::specimen::{Specimen, Twin, specimen};
use crate::visitor::{visit_count, visitors};

pub(super) const STARVED_ACQUIRE: Specimen = specimen!(
    "starved-acquire",
    "who wants all permits at once tries again and again, and small requests go first for ever",
    search: "a steady load for long",
    source: "",
    run,
);

const PERMITS: usize = 4;
const PATIENCE: Duration = Duration::from_millis(60);

fn run(setup: &Setup, twin: Twin) -> Result<Run, String> {
    let world = setup.world(WorldConfig::rough());
    let service = world.host("service");
    let permits = Rc::new(Semaphore::new(PERMITS));
    let clients = visitors(&world, 8, 60, 500);
    let count = visit_count(&clients);
    let left = Rc::new(Cell::new(clients.len()));
    for mut client in clients {
        let (permits, left) = (Rc::clone(&permits), Rc::clone(&left));
        service.run(async move {
            while client.comes().await {
                let _permit = permits.acquire().await.expect("nobody closes it");
                sleep(Duration::from_millis(1) + client.millis(40)).await;
            }
            left.set(left.get() - 1);
        });
    }
    service.run(async move {
        while left.get() > 0 {
            let start = now();
            let all = acquire_all(&permits, twin).await;
            assert!(now() - start <= PATIENCE, "the backup has to wait too long");
            sleep(Duration::from_millis(1)).await;
            drop(all);
            sleep(Duration::from_millis(100)).await;
        }
    });
    conclude(&world, count)
}

async fn acquire_all(permits: &Semaphore, twin: Twin) -> SemaphorePermit<'_> {
    if twin.is_fixed() {
        return permits.acquire_many(PERMITS).await.expect("nobody closes it");
    }
    loop {
        // The bug: who does not stand in line has no place in it.
        match permits.try_acquire_many(PERMITS) {
            Ok(all) => return all,
            Err(_) => sleep(Duration::from_millis(20)).await,
        }
    }
}
