//! A limit of requests in each second: seconds of the clock, so that those around a full one see twice as many.

use core::cell::{Cell, RefCell};
use core::time::Duration;
use std::collections::VecDeque;
use std::rc::Rc;

use mainspring_executor::Instant;
use mainspring_executor::time::{now, sleep};
use mainspring_sim::WorldConfig;
use mainspring_sim::harness::{Run, Setup, conclude};

use crate::specimen::{Specimen, Twin, specimen};
use crate::visitor::{visit_count, visitors};

pub(super) const WINDOW_EDGE: Specimen = specimen!(
    "window-edge",
    "a limit for each second admits twice as many around the edge of two seconds",
    search: "bursts on both sides of an edge",
    source: "plausible/analytics #6497",
    run,
);

const WINDOW: Duration = Duration::from_secs(1);
const LIMIT: usize = 5;

#[derive(Default)]
struct Limiter {
    window: Cell<u128>,
    count: Cell<usize>,
    admitted: RefCell<VecDeque<Instant>>,
}

impl Limiter {
    fn admits(&self, twin: Twin) -> bool {
        if twin.is_fixed() { self.slides() } else { self.counts() }
    }

    /// The bug: the count begins anew with each second, whenever the requests of the last one came.
    fn counts(&self) -> bool {
        let window = (now() - Instant::START).as_millis() / WINDOW.as_millis();
        if self.window.replace(window) != window {
            self.count.set(0);
        }
        self.count.set(self.count.get() + 1);
        self.count.get() <= LIMIT
    }

    fn slides(&self) -> bool {
        let mut admitted = self.admitted.borrow_mut();
        while admitted.front().is_some_and(|first| now() >= *first + WINDOW) {
            admitted.pop_front();
        }
        let is_free = admitted.len() < LIMIT;
        if is_free {
            admitted.push_back(now());
        }
        is_free
    }
}

fn run(setup: &Setup, twin: Twin) -> Result<Run, String> {
    let world = setup.world(WorldConfig::rough());
    let service = world.host("service");
    let limiter = Rc::new(Limiter::default());
    let served = Rc::new(RefCell::new(Vec::new()));
    let clients = visitors(&world, 16, 12, 6_000);
    let count = visit_count(&clients);
    for mut client in clients {
        let (limiter, served) = (Rc::clone(&limiter), Rc::clone(&served));
        service.run(async move {
            while client.comes().await {
                if limiter.admits(twin) {
                    served.borrow_mut().push(now());
                }
            }
            sleep(WINDOW).await;
        });
    }
    let run = conclude(&world, count)?;
    let is_within = |some: &[Instant]| some[LIMIT] - some[0] >= WINDOW;
    assert!(served.borrow().windows(LIMIT + 1).all(is_within), "more than the limit in a second");
    Ok(run)
}
