//! A breaker that lets one call through to see whether the service is back, and a caller that does not wait for it.

use core::cell::Cell;
use std::rc::Rc;

use mainspring_executor::Instant;
use mainspring_executor::net::TcpStream;
use mainspring_executor::time::{now, sleep, timeout};
use mainspring_sim::harness::{Run, Setup};
use mainspring_sim::{Host, WorldConfig};

use super::line::{answer_each, ask_once, finish, ms, serve};
use super::trouble;
use crate::specimen::{Specimen, Twin, specimen};

pub(super) const HALF_OPEN_BREAKER: Specimen = specimen!(
    "half-open-breaker",
    "the call that tries whether the service is back is cancelled, and nobody tries again",
    search: "a service that stalls, and a caller who gives up on the trial",
    source: "monix #1080",
    run,
);

const FAILURES_MAX: u32 = 3;

#[derive(Clone, Copy)]
enum State {
    Closed { failures: u32 },
    Open { until: Instant },
    HalfOpen,
}

struct Breaker {
    state: Cell<State>,
    twin: Twin,
}

/// A call that is under way: dropped without an outcome, it has failed.
struct Attempt<'b> {
    breaker: &'b Breaker,
    is_over: bool,
}

impl Breaker {
    fn failed(&self) {
        self.state.set(match self.state.get() {
            State::Closed { failures } if failures + 1 < FAILURES_MAX => {
                State::Closed { failures: failures + 1 }
            }
            _ => State::Open { until: now() + ms(2_000) },
        });
    }

    /// `None` where it failed, or is not let through.
    async fn call(&self, service: &Host) -> Option<String> {
        match self.state.get() {
            State::Open { until } if now() >= until => self.state.set(State::HalfOpen),
            State::Open { .. } | State::HalfOpen => return None,
            State::Closed { .. } => {}
        }
        let mut attempt = Attempt { breaker: self, is_over: false };
        let answer = timeout(ms(1_000), ask_once(service, "work")).await.ok().flatten();
        attempt.is_over = true;
        match answer {
            Some(_) => self.state.set(State::Closed { failures: 0 }),
            None => self.failed(),
        }
        answer
    }
}

impl Drop for Attempt<'_> {
    fn drop(&mut self) {
        if !self.is_over && self.breaker.twin.is_fixed() {
            self.breaker.failed();
        }
    }
}

async fn work(stream: TcpStream) {
    answer_each(stream, async |_| "done").await;
}

fn run(setup: &Setup, twin: Twin) -> Result<Run, String> {
    let world = setup.world(WorldConfig::rough());
    let (service, front) = (world.host("service"), world.host("front"));
    service.spawn(serve(work));
    let (pause, duration) = (world.choose(10_000), world.choose(10_000));
    trouble::pause(&world, &service, ms(pause), ms(duration));
    let breaker = Rc::new(Breaker { state: Cell::new(State::Closed { failures: 0 }), twin });
    let callers = 1 + world.choose(16);
    for _ in 0..callers {
        let (breaker, service, on) = (Rc::clone(&breaker), service.clone(), front.clone());
        // Some callers are in a hurry.
        let patience = 2_000 - front.choose(1_500);
        front.run(async move {
            for _ in 0..1 + on.choose(20) {
                let call = timeout(ms(patience), breaker.call(&service)).await;
                sleep(ms(100 + on.choose(1_000))).await;
                drop(call);
            }
        });
    }
    let patient = service.clone();
    front.run(async move {
        sleep(ms(30_000)).await;
        let mut answers = 0;
        for _ in 0..3 {
            answers += u32::from(breaker.call(&patient).await.is_some());
            sleep(ms(3_000)).await;
        }
        assert!(answers > 0, "a service that is back is asked again");
    });
    finish(&world, &[&service], callers)
}
