//! Signals on the operating system. They are for the whole process: what must not meet is in one test, and what dies of
//! them is a process of its own.
#![expect(clippy::disallowed_methods, reason = "it starts this very test, to see it die")]

use std::num::NonZeroUsize;
use std::os::unix::process::ExitStatusExt;
use std::pin::pin;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Barrier, Mutex, MutexGuard, PoisonError};

use futures::poll;
use mainspring_executor::os::{hold_signals, run_shards};
use mainspring_executor::signal::{Signal, Signals};

use crate::worlds::{TIME_MAX, on_both, on_epoll};

/// Names what a child of this process is to do.
const VARIABLE: &str = "MAINSPRING_SIGNALS_CHILD";

/// What SIGTERM is.
const SIGTERM: i32 = 15;

/// One test at a time sends signals.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Sends a signal to this very process, as a service manager would, and waits until it was.
fn kill(name: &str) {
    let own = std::process::id().to_string();
    let status = Command::new("kill").args(["-s", name, &own]).status().expect("there is kill");
    assert!(status.success());
}

#[test]
fn each_subscriber_gets_each_signal() {
    // And the process lives.
    let _alone = alone();
    on_both(|| async {
        let [mut first, mut second] = [(); 2].map(|()| Signals::subscribe().unwrap());
        assert!(poll!(pin!(first.next())).is_pending());
        for (name, signal) in [("TERM", Signal::Terminate), ("INT", Signal::Interrupt)] {
            kill(name);
            assert_eq!(first.next().await.unwrap(), signal);
            assert_eq!(second.next().await.unwrap(), signal);
            assert!(poll!(pin!(first.next())).is_pending(), "once each");
        }
        // A subscription that is dropped while it waits takes nothing from the others.
        drop(second);
        kill("TERM");
        assert_eq!(first.next().await.unwrap(), Signal::Terminate);
    });
}

#[test]
fn signals_are_held_for_subscribers_to_come() {
    let _alone = alone();
    on_both(|| async {
        let held = hold_signals(&[Signal::Terminate, Signal::User1, Signal::User1]).unwrap();
        let mut early = Signals::subscribe_to(&Signal::ALL).unwrap();
        assert!(poll!(pin!(early.next())).is_pending());
        kill("TERM");
        assert_eq!(early.next().await.unwrap(), Signal::Terminate);
        // Two that come late are told, too, once each, and only of what they ask for.
        for _ in 0..2 {
            let mut late = Signals::subscribe().unwrap();
            assert_eq!(late.next().await.unwrap(), Signal::Terminate);
            assert!(poll!(pin!(late.next())).is_pending(), "once each");
        }
        let mut other = Signals::subscribe_to(&[Signal::User1]).unwrap();
        assert!(poll!(pin!(other.next())).is_pending());
        kill("USR1");
        assert_eq!(other.next().await.unwrap(), Signal::User1);
        drop(held);
        let mut too_late = Signals::subscribe_to(&Signal::ALL).unwrap();
        assert!(poll!(pin!(too_late.next())).is_pending(), "nothing is held any more");
        kill("TERM");
        assert_eq!(too_late.next().await.unwrap(), Signal::Terminate);
    });
}

#[test]
fn a_shard_that_starts_late_misses_no_signal() {
    // The signal comes when the first shard has subscribed and the second has not.
    let _alone = alone();
    let (subscribed, sent) = (Barrier::new(2), Barrier::new(2));
    let (subscribed, sent) = (&subscribed, &sent);
    let told = run_shards(NonZeroUsize::new(2).unwrap(), |peers| {
        let index = peers.own();
        // The second waits here, before its shard runs anything.
        if index == 1 {
            subscribed.wait();
            kill("TERM");
            sent.wait();
        }
        let signals = Signals::subscribe().unwrap();
        if index == 0 {
            subscribed.wait();
            sent.wait();
        }
        async move {
            let mut signals = signals;
            signals.next().await.unwrap()
        }
    });
    for told in told {
        assert_eq!(told.unwrap(), Signal::Terminate);
    }
}

/// In a process of its own: nobody subscribes, and SIGTERM is sent.
#[test]
fn what_nobody_subscribes_to_kills() {
    let Ok(what) = std::env::var(VARIABLE) else {
        for what in ["after a hold", "before a shard ran", "after the shards started"] {
            let mut command = Command::new(std::env::current_exe().unwrap());
            let command = command.args(["--exact", "signals::what_nobody_subscribes_to_kills"]);
            let output = command.env(VARIABLE, what).output().unwrap();
            assert_eq!(output.status.signal(), Some(SIGTERM), "{what}: {output:?}");
        }
        return;
    };
    match what.as_str() {
        "after a hold" => {
            let held = hold_signals(&[Signal::Terminate]).unwrap();
            kill("TERM");
            on_epoll(async {
                // Somebody who asked for other things.
                drop(Signals::subscribe_to(&[Signal::Interrupt]).unwrap());
            });
            drop(held);
        }
        "before a shard ran" => {
            drop(run_shards(NonZeroUsize::new(2).unwrap(), |_| {
                kill("TERM");
                async {}
            }));
        }
        _ => {
            let started = AtomicUsize::new(0);
            drop(run_shards(NonZeroUsize::new(2).unwrap(), |_| {
                started.fetch_add(1, Ordering::SeqCst);
                async {}
            }));
            assert_eq!(started.load(Ordering::SeqCst), 2);
            kill("TERM");
        }
    }
    // It is delivered to any of the threads, in its own time.
    std::thread::park_timeout(TIME_MAX);
    panic!("the signal kills this process");
}
