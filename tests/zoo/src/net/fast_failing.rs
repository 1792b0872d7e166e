//! A balancer that sends each request to the backend with the fewest under way.

use core::cell::Cell;
use std::rc::Rc;

use mainspring_executor::Instant;
use mainspring_executor::net::TcpStream;
use mainspring_executor::time::{now, sleep};
use mainspring_sim::harness::{Run, Setup};
use mainspring_sim::{Host, WorldConfig};

use super::line::{answer_each, ask_once, finish, ms, serve};
use crate::specimen::{Specimen, Twin, specimen};

pub(super) const FAST_FAILING: Specimen = specimen!(
    "fast-failing",
    "the backend that fails at once always has the fewest requests, so it gets the most",
    search: "a backend that fails, and enough requests",
    source: "",
    run,
);

struct Backend {
    host: Host,
    under_way: Cell<u64>,
    failed: Cell<Option<Instant>>,
}

impl Backend {
    /// Those that failed a moment ago come last.
    fn load(&self, twin: Twin) -> (bool, u64) {
        let has_failed = self.failed.get().is_some_and(|at| now() - at < ms(1_000));
        (twin.is_fixed() && has_failed, self.under_way.get())
    }

    async fn request(&self) -> bool {
        self.under_way.set(self.under_way.get() + 1);
        let answer = ask_once(&self.host, "get").await;
        self.under_way.set(self.under_way.get() - 1);
        let is_good = answer.is_some_and(|answer| answer == "ok");
        if !is_good {
            self.failed.set(Some(now()));
        }
        is_good
    }
}

/// One that is ill says so at once; the others take some time.
async fn work(stream: TcpStream, is_ill: bool) {
    let reply = async |_| {
        if is_ill {
            return "unavailable";
        }
        sleep(ms(100)).await;
        "ok"
    };
    answer_each(stream, reply).await;
}

fn run(setup: &Setup, twin: Twin) -> Result<Run, String> {
    let world = setup.world(WorldConfig::rough());
    let balancer = world.host("balancer");
    let ill = world.choose(4);
    let backends: Rc<[Backend]> = (1..=3)
        .map(|number| {
            let host = world.host(&format!("backend-{number}"));
            let is_ill = number == ill;
            host.spawn(serve(move |stream| work(stream, is_ill)));
            Backend { host, under_way: Cell::new(0), failed: Cell::new(None) }
        })
        .collect();
    let failures = Rc::new(Cell::new(0));
    let requests = 1 + world.choose(200);
    for _ in 0..requests {
        let (backends, failures) = (Rc::clone(&backends), Rc::clone(&failures));
        let arrival = balancer.choose(6_000);
        balancer.run(async move {
            sleep(ms(arrival)).await;
            let least = backends.iter().min_by_key(|backend| backend.load(twin));
            if !least.expect("there are three").request().await {
                failures.set(failures.get() + 1);
            }
        });
    }
    let hosts: Vec<&Host> = backends.iter().map(|backend| &backend.host).collect();
    let run = finish(&world, &hosts, requests)?;
    // A third is its share, and some are under way before the first fails.
    let share = requests.div_ceil(3) + 5;
    assert!(failures.get() <= share, "a backend that fails gets its share at most");
    Ok(run)
}
