//! A barrier that counts those who have come: who is quick to come again finds a count that is not over.

use core::cell::{Cell, RefCell};
use core::future::poll_fn;
use core::task::{Poll, Waker};
use core::time::Duration;
use std::rc::Rc;

use mainspring_executor::time::sleep;
use mainspring_sim::WorldConfig;
use mainspring_sim::harness::{Run, Setup, conclude};

use crate::specimen::{Specimen, Twin, specimen};

pub(super) const BARRIER_REUSE: Specimen = specimen!(
    "barrier-reuse",
    "a barrier is used for the next phase while one has not left the last",
    search: "order of tasks",
    source: "",
    run,
);

struct Barrier {
    size: u64,
    arrived: Cell<u64>,
    phase: Cell<u64>,
    wakers: RefCell<Vec<Waker>>,
}

impl Barrier {
    async fn wait(&self, twin: Twin) {
        let phase = self.phase.get();
        self.arrived.set(self.arrived.get() + 1);
        if self.arrived.get() == self.size {
            self.arrived.set(0);
            self.phase.set(phase + 1);
            self.wakers.take().into_iter().for_each(Waker::wake);
            return;
        }
        poll_fn(|cx| {
            // The bug: somebody has arrived again, so the count tells nothing of this phase.
            let is_over =
                if twin.is_fixed() { self.phase.get() > phase } else { self.arrived.get() == 0 };
            if is_over {
                return Poll::Ready(());
            }
            self.wakers.borrow_mut().push(cx.waker().clone());
            Poll::Pending
        })
        .await;
    }
}

fn run(setup: &Setup, twin: Twin) -> Result<Run, String> {
    let world = setup.world(WorldConfig::rough());
    let service = world.host("service");
    let (size, phases) = (1 + world.choose(6), 1 + world.choose(40));
    let barrier = Rc::new(Barrier {
        size,
        arrived: Cell::new(0),
        phase: Cell::new(0),
        wakers: RefCell::default(),
    });
    for _ in 0..size {
        let works: Vec<_> = (0..phases).map(|_| world.choose(500)).collect();
        let barrier = Rc::clone(&barrier);
        service.run(async move {
            for work in works {
                // One share in five hundred is empty.
                sleep(Duration::from_millis(work)).await;
                barrier.wait(twin).await;
            }
        });
    }
    conclude(&world, size * phases)
}
