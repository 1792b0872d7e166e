//! A lock that is lent for some time: two ways in which its holder believes that it has it for longer.

use core::cell::Cell;
use core::time::Duration;
use std::rc::Rc;

use mainspring_executor::Instant;
use mainspring_executor::net::TcpStream;
use mainspring_executor::time::{now, sleep, sleep_until};
use mainspring_sim::harness::{Run, Setup};
use mainspring_sim::{Host, World, WorldConfig};

use super::line::{answer_each, ask_once, finish, ms, serve};
use crate::specimen::{Specimen, Twin, specimen};

pub(super) const LEASE_FROM_ANSWER: Specimen = specimen!(
    "lease-from-answer",
    "a lease is counted from when it arrives, not from when it was asked for",
    search: "a grant that is late, and another holder",
    source: "Gray and Cheriton, Leases, SOSP 1989",
    run_late,
);

pub(super) const LEASE_DRIFT: Specimen = specimen!(
    "lease-drift",
    "a lease is used up to its last moment by a clock that goes too slow",
    search: "clocks that drift apart, and another holder",
    source: "Gray and Cheriton, Leases, SOSP 1989",
    run_drifting,
);

const LEASE: Duration = Duration::from_secs(10);
/// What a holder that knows of drift leaves unused: more than two clocks differ by over a lease.
const MARGIN: Duration = Duration::from_secs(1);

/// Lends the lock to who asks, and tells others for how many milliseconds more it is taken.
async fn lend(stream: TcpStream, lent_until: Rc<Cell<Instant>>) {
    let reply = async |_| {
        let left = lent_until.get().saturating_duration_since(now());
        if left.is_zero() {
            lent_until.set(now() + LEASE);
        }
        left.as_nanos().div_ceil(1_000_000)
    };
    answer_each(stream, reply).await;
}

/// How many work under the lock, and whether that were ever two.
#[derive(Default)]
struct Work {
    holders: Cell<u32>,
    is_shared: Cell<bool>,
}

impl Work {
    async fn under_lock(&self, until: Instant) {
        self.holders.set(self.holders.get() + 1);
        self.is_shared.set(self.is_shared.get() || self.holders.get() > 1);
        sleep_until(until).await;
        self.holders.set(self.holders.get() - 1);
    }
}

struct Holder {
    lender: Host,
    counts_from_question: bool,
    margin: Duration,
}

impl Holder {
    /// Gets the lock so many times, and uses it as long as it may.
    async fn work(self, work: Rc<Work>, times: u64) {
        for _ in 0..times {
            let until = loop {
                let asked = now();
                let answer = ask_once(&self.lender, "lock").await.expect("the lender answers");
                let from = if self.counts_from_question { asked } else { now() };
                match answer.parse().expect("lenders send numbers") {
                    0 => break from + (LEASE - self.margin),
                    left => sleep(ms(left)).await,
                }
            };
            if until > now() {
                work.under_lock(until).await;
            }
        }
    }
}

/// A lender, and some holders.
fn run(world: &World, holder: impl Fn(Host, &Host) -> Holder) -> Result<Run, String> {
    let lender = world.host("lender");
    let lent_until = Rc::new(Cell::new(Instant::START));
    lender.spawn(serve(move |stream| lend(stream, Rc::clone(&lent_until))));
    let work = Rc::new(Work::default());
    let holders = 1 + world.choose(12);
    for number in 0..holders {
        let host = world.host(&format!("holder-{number}"));
        let times = 1 + host.choose(6);
        let working = holder(lender.clone(), &host).work(Rc::clone(&work), times);
        host.run(async move {
            sleep(ms(number)).await;
            working.await;
        });
    }
    let run = finish(world, &[&lender], holders)?;
    assert!(!work.is_shared.get(), "one holds the lock at a time");
    Ok(run)
}

fn run_late(setup: &Setup, twin: Twin) -> Result<Run, String> {
    let world = setup.world(WorldConfig::rough());
    run(&world, |lender, _| Holder {
        lender,
        counts_from_question: twin.is_fixed(),
        margin: Duration::ZERO,
    })
}

fn run_drifting(setup: &Setup, twin: Twin) -> Result<Run, String> {
    let world = setup.world(WorldConfig::rough());
    run(&world, |lender, host| {
        // Up to 2 % too slow.
        let slow = i32::try_from(host.choose(20_000)).expect("it is less");
        host.set_drift(-slow);
        let margin = if twin.is_fixed() { MARGIN } else { Duration::ZERO };
        Holder { lender, counts_from_question: true, margin }
    })
}
