//! A gate that looks, and only then says that it waits: who opens it in between wakes nobody.

use core::cell::{Cell, RefCell};
use core::future::poll_fn;
use core::task::{Poll, Waker};
use core::time::Duration;
use std::rc::Rc;

use mainspring_executor::time::{sleep, yield_now};
use mainspring_sim::WorldConfig;
use mainspring_sim::harness::{Run, Setup, conclude};

use crate::specimen::{Specimen, Twin, specimen};

pub(super) const LOST_WAKE: Specimen = specimen!(
    "lost-wake",
    "a gate is opened between the look at it and the waiting for it",
    search: "an arrival at the instant of the opening, order of tasks",
    source: "",
    run,
);

/// Closed, until it is opened.
#[derive(Default)]
struct Gate {
    is_open: Cell<bool>,
    waiters: RefCell<Vec<Waker>>,
}

impl Gate {
    fn open(&self) {
        self.is_open.set(true);
        self.waiters.take().into_iter().for_each(Waker::wake);
    }

    async fn passed(&self, twin: Twin) {
        if self.is_open.get() {
            return;
        }
        // As one does who writes it into a log, or takes a lock, before it waits.
        yield_now().await;
        let mut has_waited = false;
        poll_fn(|cx| {
            let is_open = if twin.is_fixed() { self.is_open.get() } else { has_waited };
            if is_open {
                return Poll::Ready(());
            }
            has_waited = true;
            self.waiters.borrow_mut().push(cx.waker().clone());
            Poll::Pending
        })
        .await;
    }
}

fn run(setup: &Setup, twin: Twin) -> Result<Run, String> {
    let world = setup.world(WorldConfig::rough());
    let service = world.host("service");
    let gate = Rc::new(Gate::default());
    let visitors = 1 + world.choose(8);
    let (opened, opening) = (Rc::clone(&gate), service.choose(20));
    service.run(async move {
        sleep(Duration::from_micros(opening)).await;
        opened.open();
    });
    for _ in 0..visitors {
        let (gate, arrival) = (Rc::clone(&gate), service.choose(20));
        service.run(async move {
            sleep(Duration::from_micros(arrival)).await;
            gate.passed(twin).await;
        });
    }
    conclude(&world, visitors)
}
