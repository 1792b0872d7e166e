//! A front that gives up after a second, and a backend that does not know.

use core::cell::Cell;
use std::rc::Rc;

use mainspring_executor::net::TcpStream;
use mainspring_executor::sync::Semaphore;
use mainspring_executor::time::{now, sleep, timeout};
use mainspring_sim::WorldConfig;
use mainspring_sim::harness::{Run, Setup};

use super::line::{answer_each, ask_once, finish, ms, serve};
use crate::specimen::{Specimen, Twin, specimen};

pub(super) const DEADLINE_CHAIN: Specimen = specimen!(
    "deadline-chain",
    "work is begun for a caller who has given up by then",
    search: "a queue that is longer than its callers wait",
    source: "",
    run,
);

const PATIENCE_MS: u64 = 1_000;

/// The backend: two reports at a time. A request says how many milliseconds are left for it.
struct Reports {
    places: Semaphore,
    /// Begun when nobody waited for them any more.
    in_vain: Cell<u64>,
    twin: Twin,
}

impl Reports {
    async fn make(&self, left_ms: u64) -> &'static str {
        let deadline = now() + ms(left_ms);
        let place = self.places.acquire().await;
        let is_late = now() > deadline;
        if is_late && self.twin.is_fixed() {
            return "too late";
        }
        self.in_vain.set(self.in_vain.get() + u64::from(is_late));
        sleep(ms(300)).await;
        drop(place);
        "report"
    }
}

async fn report(stream: TcpStream, reports: Rc<Reports>) {
    let reply = async |left: String| reports.make(left.parse().expect("fronts send numbers")).await;
    answer_each(stream, reply).await;
}

fn run(setup: &Setup, twin: Twin) -> Result<Run, String> {
    let world = setup.world(WorldConfig::rough());
    let (backend, front) = (world.host("backend"), world.host("front"));
    let places = Semaphore::new(2);
    let reports = Rc::new(Reports { places, in_vain: Cell::new(0), twin });
    let making = Rc::clone(&reports);
    backend.spawn(serve(move |stream| report(stream, Rc::clone(&making))));
    let users = 1 + world.choose(40);
    for _ in 0..users {
        let (backend, arrival) = (backend.clone(), front.choose(5_000));
        front.run(async move {
            sleep(ms(arrival)).await;
            // It tells how long it waits, and is gone by then.
            let _ = timeout(ms(PATIENCE_MS), ask_once(&backend, PATIENCE_MS)).await;
        });
    }
    front.run(async { sleep(ms(30_000)).await });
    let run = finish(&world, &[&backend], users)?;
    assert_eq!(reports.in_vain.get(), 0, "nothing is begun for who has given up");
    Ok(run)
}
