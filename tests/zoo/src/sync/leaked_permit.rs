//! A limit of requests at one time, counted by hand: who is cancelled is never counted down.

use core::cell::Cell;
use core::time::Duration;
use std::rc::Rc;

use mainspring_executor::time::{sleep, timeout};
use mainspring_sim::WorldConfig;
use mainspring_sim::harness::{Run, Setup, conclude};

use crate::specimen::{Specimen, Twin, specimen};
use crate::visitor::{Visitor, visit_count, visitors};

pub(super) const LEAKED_PERMIT: Specimen = specimen!(
    "leaked-permit",
    "a request that times out stays counted, and at last an idle service refuses everybody",
    search: "as many timeouts as there are permits",
    source: "",
    run,
);

const LIMIT: u32 = 4;

#[derive(Default)]
struct Service {
    /// Counted by the service.
    admitted: Rc<Cell<u32>>,
    /// Counted by the scenario.
    really_running: Rc<Cell<u32>>,
}

/// Counts down when it is dropped.
struct Counted(Rc<Cell<u32>>);

impl Counted {
    fn new(count: &Rc<Cell<u32>>) -> Self {
        count.set(count.get() + 1);
        Self(Rc::clone(count))
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

impl Service {
    async fn serve(&self, work: Duration, twin: Twin) {
        if self.admitted.get() >= LIMIT {
            let running = self.really_running.get();
            assert!(running > 0, "refused, though the service is idle");
            return;
        }
        let _running = Counted::new(&self.really_running);
        if twin.is_fixed() {
            let _admitted = Counted::new(&self.admitted);
            return sleep(work).await;
        }
        self.admitted.set(self.admitted.get() + 1);
        sleep(work).await;
        // The bug: who is dropped while it works does not come here.
        self.admitted.set(self.admitted.get() - 1);
    }
}

fn run(setup: &Setup, twin: Twin) -> Result<Run, String> {
    let world = setup.world(WorldConfig::rough());
    let host = world.host("service");
    let service = Rc::new(Service::default());
    let clients = visitors(&world, 16, 12, 100);
    let count = visit_count(&clients);
    for mut client in clients {
        let service = Rc::clone(&service);
        host.run(async move {
            while client.comes().await {
                visit(&service, &client, twin).await;
            }
        });
    }
    conclude(&world, count)
}

async fn visit(service: &Service, client: &Visitor, twin: Twin) {
    // One in thirty takes longer than anybody waits.
    let work = if client.once_in_named("its work takes a second at the highest", 30) {
        Duration::from_secs(1)
    } else {
        client.millis(15)
    };
    // Who is not served in time goes away: that is no failure.
    let _ = timeout(Duration::from_millis(20), service.serve(work, twin)).await;
}
