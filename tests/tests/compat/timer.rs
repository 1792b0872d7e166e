//! `HyperTimer`: the driver's clock in hyper's words.

use core::cell::RefCell;
use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll};
use core::time::Duration;
use std::rc::Rc;

use futures::FutureExt;
use hyper::rt::{Sleep, Timer};
use mainspring_executor::compat::HyperTimer;
use mainspring_executor::time::{now, sleep};
use mainspring_sim::{World, WorldConfig};

use super::worlds::on_system;

const MOMENT: Duration = Duration::from_millis(3);
const LONG: Duration = Duration::from_secs(3600);

/// Where a sleep lies, to tell it from another one.
fn place(sleep: &Pin<Box<dyn Sleep>>) -> *const () {
    core::ptr::from_ref::<dyn Sleep>(&**sleep).cast()
}

/// A sleep of somebody else's timer.
struct Foreign;

impl Future for Foreign {
    type Output = ();

    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
        Poll::Pending
    }
}

impl Sleep for Foreign {}

async fn both_clocks_agree() {
    let (ours, theirs) = (now(), HyperTimer.now());
    HyperTimer.sleep(MOMENT).await;
    assert!(now() - ours >= MOMENT);
    assert_eq!(HyperTimer.now() - theirs, now() - ours);

    let ours = now();
    HyperTimer.sleep_until(HyperTimer.now() + MOMENT).await;
    assert!(now() - ours >= MOMENT);
    // A moment that has passed is ready at once.
    assert!(HyperTimer.sleep_until(theirs).now_or_never().is_some());
    assert!(HyperTimer.sleep_until(theirs + LONG).now_or_never().is_none());
}

async fn a_deadline_moves() {
    let ours = now();
    let mut moved = HyperTimer.sleep(LONG);
    assert!((&mut moved).now_or_never().is_none());
    let before = place(&moved);
    for moments in [2, 1] {
        HyperTimer.reset(&mut moved, HyperTimer.now() + moments * MOMENT);
        assert_eq!(place(&moved), before, "the timer is the same");
    }
    moved.await;
    assert!(now() - ours >= MOMENT);

    let mut foreign: Pin<Box<dyn Sleep>> = Box::pin(Foreign);
    HyperTimer.reset(&mut foreign, HyperTimer.now() + MOMENT);
    foreign.await;
}

async fn all() {
    both_clocks_agree().await;
    a_deadline_moves().await;
}

#[test]
fn time_is_the_drivers_on_the_system() {
    on_system(all);
}

/// To the nanosecond, and whatever the age of the process.
#[test]
fn time_is_the_drivers_in_the_room() {
    let moments = || {
        let world = World::new(1, WorldConfig::calm());
        let moments = Rc::new(RefCell::new(Vec::new()));
        let noted = Rc::clone(&moments);
        world.host("host").run(async move {
            let start = now();
            all().await;
            HyperTimer.sleep(LONG).await;
            sleep(MOMENT).await;
            assert_eq!(now() - start, LONG + 5 * MOMENT);
            noted.borrow_mut().push((now(), HyperTimer.now()));
        });
        world.run().expect("it ends well");
        assert!(world.leaks().is_empty());
        moments.take()
    };
    assert_eq!(moments(), moments());
}
