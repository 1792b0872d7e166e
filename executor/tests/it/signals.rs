//! Signals on the operating system.

use core::pin::pin;
use std::process::Command;

use futures::poll;
use mainspring_executor::signal::{Signal, Signals};

use crate::worlds::on_both;

/// Sends a signal to this very process, as a service manager would.
fn kill(name: &str) {
    let own = std::process::id().to_string();
    let status = Command::new("kill").args(["-s", name, &own]).status().expect("there is kill");
    assert!(status.success());
}

#[test]
fn each_subscriber_gets_each_signal() {
    // And the process lives. One test for all of it: a signal is for the whole process.
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
