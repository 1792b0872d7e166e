//! Cases of signals.

use core::future::pending;

use futures::join;
use mainspring_executor::driver::Signal;
use mainspring_executor::signal::Signals;

use super::pair::poll_once;
use super::stage::Stage;

pub(super) async fn subscribers(stage: Stage) {
    let mut first = Signals::subscribe().expect("signals can be watched");
    let mut second = Signals::subscribe().expect("signals can be watched");
    let mut gone = Signals::subscribe().expect("signals can be watched");
    assert!(poll_once(&mut Box::pin(gone.next())).await.is_none());
    drop(gone);
    for signal in [Signal::Terminate, Signal::Interrupt, Signal::Terminate] {
        let raise = async { stage.raise(signal) };
        let (one, other, ()) = join!(first.next(), second.next(), raise);
        assert_eq!((one.unwrap(), other.unwrap()), (signal, signal));
    }
    assert!(poll_once(&mut Box::pin(first.next())).await.is_none(), "each is told once");
}

pub(super) async fn kept_until_asked(stage: Stage) {
    let mut signals = Signals::subscribe().expect("signals can be watched");
    stage.raise(Signal::Terminate);
    // One that is dropped does not take it along.
    drop(signals.next());
    assert_eq!(signals.next().await.unwrap(), Signal::Terminate);
    stage.raise(Signal::Interrupt);
    stage.raise(Signal::Terminate);
    let mut both = [signals.next().await.unwrap(), signals.next().await.unwrap()];
    // Two of different kind have no order that anyone could know.
    both.sort_by_key(|signal| *signal == Signal::Terminate);
    assert_eq!(both, [Signal::Interrupt, Signal::Terminate]);
    // A later subscriber gets none of the past.
    let mut late = Signals::subscribe().expect("signals can be watched");
    assert!(poll_once(&mut Box::pin(late.next())).await.is_none());
}

pub(super) async fn chosen(stage: Stage) {
    let subscribe = |signals: &[Signal]| Signals::subscribe_to(signals).expect("can be watched");
    let mut all = subscribe(&Signal::ALL);
    let mut users = subscribe(&[Signal::User2, Signal::User1, Signal::User2]);
    let mut hangup = subscribe(&[Signal::Hangup]);
    let mut ends = Signals::subscribe().expect("signals can be watched");
    for signal in [Signal::User1, Signal::User2, Signal::User1] {
        let (one, other, ()) = join!(all.next(), users.next(), async { stage.raise(signal) });
        assert_eq!((one.unwrap(), other.unwrap()), (signal, signal));
    }
    let raise = async { stage.raise(Signal::Hangup) };
    let (one, other, ()) = join!(all.next(), hangup.next(), raise);
    assert_eq!((one.unwrap(), other.unwrap()), (Signal::Hangup, Signal::Hangup));
    for signal in [Signal::Interrupt, Signal::Terminate] {
        let (one, other, ()) = join!(all.next(), ends.next(), async { stage.raise(signal) });
        assert_eq!((one.unwrap(), other.unwrap()), (signal, signal));
    }
    for (number, signals) in [all, users, hangup, ends].iter_mut().enumerate() {
        let next = poll_once(&mut Box::pin(signals.next())).await;
        assert!(next.is_none(), "each is told once, and only of what it asked for: {number}");
    }
}

/// Sends a signal that kills this program.
async fn die(stage: &Stage, signal: Signal) {
    stage.raise(signal);
    // On a system with threads it may be delivered a little later.
    pending::<()>().await;
}

pub(super) async fn after_the_last_subscriber(stage: Stage) {
    for _ in 0..3 {
        let signals = [(); 2].map(|()| Signals::subscribe().expect("signals can be watched"));
        let [first, mut second] = signals;
        drop(first);
        stage.raise(Signal::Terminate);
        assert_eq!(second.next().await.unwrap(), Signal::Terminate, "one is left to be told");
    }
    die(&stage, Signal::Terminate).await;
}

pub(super) async fn not_subscribed_to(stage: Stage) {
    let mut signals =
        Signals::subscribe_to(&[Signal::Hangup, Signal::User1]).expect("can be watched");
    stage.raise(Signal::Hangup);
    assert_eq!(signals.next().await.unwrap(), Signal::Hangup);
    die(&stage, Signal::Terminate).await;
}

pub(super) async fn never_subscribed(stage: Stage) {
    die(&stage, Signal::User2).await;
}
