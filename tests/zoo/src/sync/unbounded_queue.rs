//! A log that is written behind the requests' backs: where the disk is slow, what waits for it grows without end.

use core::cell::Cell;
use core::time::Duration;
use std::rc::Rc;

use mainspring_executor::sync::{Notify, Semaphore};
use mainspring_executor::time::sleep;
use mainspring_sim::WorldConfig;
use mainspring_sim::harness::{Run, Setup, conclude};

use crate::specimen::{Specimen, Twin, specimen};
use crate::visitor::{visit_count, visitors};

pub(super) const UNBOUNDED_QUEUE: Specimen = specimen!(
    "unbounded-queue",
    "lines of a log wait for a slow disk, without a bound, until the memory is full",
    search: "many clients, and a slow disk",
    source: "",
    run,
);

/// What there is memory for.
const MEMORY: u64 = 20;
const BOUND: usize = 16;

struct Log {
    waiting: Cell<u64>,
    added: Notify,
    room: Semaphore,
    is_over: Cell<bool>,
}

impl Log {
    async fn add(&self, twin: Twin) {
        if twin.is_fixed() {
            self.room.acquire().await.expect("nobody closes it").forget();
        }
        self.waiting.set(self.waiting.get() + 1);
        assert!(self.waiting.get() <= MEMORY, "out of memory");
        self.added.notify_one();
    }

    async fn write(&self, disk_time: Duration) {
        loop {
            if self.waiting.get() > 0 {
                sleep(disk_time).await;
                self.waiting.set(self.waiting.get() - 1);
                self.room.add_permits(1);
            } else if self.is_over.get() {
                return;
            } else {
                self.added.notified().await;
            }
        }
    }
}

fn run(setup: &Setup, twin: Twin) -> Result<Run, String> {
    let world = setup.world(WorldConfig::rough());
    let service = world.host("service");
    let log = Rc::new(Log {
        waiting: Cell::new(0),
        added: Notify::new(),
        room: Semaphore::new(BOUND),
        is_over: Cell::new(false),
    });
    let disk_time = Duration::from_millis(world.choose(20));
    let clients = visitors(&world, 20, 30, 400);
    let (count, left) = (visit_count(&clients), Rc::new(Cell::new(clients.len())));
    for mut client in clients {
        let (log, left) = (Rc::clone(&log), Rc::clone(&left));
        service.run(async move {
            while client.comes().await {
                log.add(twin).await;
            }
            left.set(left.get() - 1);
            if left.get() == 0 {
                log.is_over.set(true);
                log.added.notify_one();
            }
        });
    }
    service.run(async move { log.write(disk_time).await });
    conclude(&world, count)
}
