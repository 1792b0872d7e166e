//! Shards on the operating system: the same test body on each of its pollers.

use core::time::Duration;
use std::rc::Rc;

use mainspring_executor::Shard;
use mainspring_executor::driver::{Driver, Job, OpenMode};
use mainspring_executor::os::OsDriver;
use mainspring_executor::time::timeout;

/// No test takes so long, unless an edge or a wake was lost.
pub(crate) const TIME_MAX: Duration = Duration::from_secs(60);

/// How often a race is tried: `usual` times, or as `MAINSPRING_TEST_ROUNDS` says (valgrind is slow).
pub(crate) fn rounds(usual: usize) -> usize {
    let asked = std::env::var("MAINSPRING_TEST_ROUNDS").ok();
    asked.map_or(usual, |rounds| rounds.parse().expect("a number of rounds"))
}

/// Runs `body` with epoll, then with the portable poller; afterwards nothing may be left.
#[track_caller]
pub(crate) fn on_both<F: Future<Output = ()> + 'static>(body: impl Fn() -> F) {
    let drivers = [("epoll", OsDriver::new()), ("portable", OsDriver::portable())];
    for (name, driver) in drivers {
        let driver = Rc::new(driver.expect("the system has a poller"));
        run_on(name, &driver, body());
    }
}

/// As [`on_both`], where the portable poller cannot do it: it has no edge for the peer's FIN.
#[track_caller]
pub(crate) fn on_epoll(body: impl Future<Output = ()> + 'static) {
    run_on("epoll", &Rc::new(OsDriver::new().expect("the system has a poller")), body);
}

#[track_caller]
fn run_on(name: &str, driver: &Rc<OsDriver>, body: impl Future<Output = ()> + 'static) {
    let shard = Shard::new(Rc::<OsDriver>::clone(driver));
    let ended = shard.run(timeout_later(body)).expect("the driver works");
    assert!(ended, "{name}: an edge or a wake was lost:\n{}", shard.ledger());
    assert!(shard.ledger().is_empty(), "{name}: left behind:\n{}", shard.ledger());
    drop(shard);
    assert_eq!(Rc::strong_count(driver), 1, "{name}: the shard leaked");
    assert_no_tokens(name, &**driver);
}

/// Whether `body` ended in time.
async fn timeout_later(body: impl Future<Output = ()>) -> bool {
    timeout(TIME_MAX, body).await.is_ok()
}

/// More tokens than any of the tests has at a time.
const TOKENS_MAX: u32 = 256;

/// Shows from outside that a driver has no open token: so many new ones find all the first places free.
#[track_caller]
fn assert_no_tokens(name: &str, driver: &dyn Driver) {
    let job = || Job::Open { root: "/".into(), path: ".".into(), mode: OpenMode::READ };
    let submit = |_| driver.submit(job()).expect("so many jobs may wait");
    let tokens: Vec<_> = (0..TOKENS_MAX).map(submit).collect();
    let mut places: Vec<_> = tokens.iter().map(|token| token.index).collect();
    places.sort_unstable();
    for token in tokens {
        driver.close(token);
    }
    assert!(places.into_iter().eq(0..TOKENS_MAX), "{name}: a token was not closed");
}
