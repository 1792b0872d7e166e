//! A lock with a lease, whose end is a date: where the clock is set, it ends early.

use core::cell::Cell;
use core::time::Duration;
use std::rc::Rc;

use mainspring_executor::Instant;
use mainspring_executor::time::{now, sleep, wall_clock};
use mainspring_sim::WorldConfig;
use mainspring_sim::harness::{Run, Setup, conclude};

use crate::specimen::{Specimen, Twin, specimen};
use crate::visitor::{Visitor, visit_count, visitors};

pub(super) const CLOCK_JUMP: Specimen = specimen!(
    "clock-jump",
    "a lease ends when the clock of the machine is set, and two hold it",
    search: "a jump of the clock during a lease",
    source: "",
    run,
);

const LEASE: Duration = Duration::from_millis(100);

/// Who works under the lock, and until when.
#[derive(Default)]
struct Lock {
    until: Cell<Duration>,
    working: Cell<u32>,
}

impl Lock {
    /// The time by which leases are measured.
    fn clock(twin: Twin) -> Duration {
        if twin.is_fixed() {
            return now() - Instant::START;
        }
        // The bug: it tells the date, and may be corrected.
        wall_clock().expect("it runs in a shard")
    }

    async fn work(&self, client: &Visitor, twin: Twin) {
        if Self::clock(twin) < self.until.get() {
            return;
        }
        self.until.set(Self::clock(twin) + LEASE);
        self.working.set(self.working.get() + 1);
        assert_eq!(self.working.get(), 1, "two hold one lease");
        sleep(Duration::from_millis(client.choose_named("milliseconds of work", 90))).await;
        self.working.set(self.working.get() - 1);
        self.until.set(Duration::ZERO);
    }
}

fn run(setup: &Setup, twin: Twin) -> Result<Run, String> {
    let world = setup.world(WorldConfig::rough());
    let service = world.host("service");
    let lock = Rc::new(Lock::default());
    let clients = visitors(&world, 12, 12, 2_000);
    let jumps: Vec<_> = (0..world.choose_named("corrections of the clock", 4))
        .map(|_| world.choose_named("milliseconds before one", 5_000))
        .collect();
    let count = visit_count(&clients);
    for mut client in clients {
        let lock = Rc::clone(&lock);
        service.run(async move {
            while client.comes().await {
                lock.work(&client, twin).await;
            }
        });
    }
    let machine = service.clone();
    service.run(async move {
        for (correction, pause) in (1..).zip(jumps) {
            sleep(Duration::from_millis(pause)).await;
            machine.set_date_ahead(correction * Duration::from_millis(500));
        }
    });
    conclude(&world, count)
}
