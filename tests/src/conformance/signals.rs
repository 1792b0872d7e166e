//! Cases of signals.

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

pub(super) async fn after_the_last_subscriber(stage: Stage) {
    let mut signals = Signals::subscribe().expect("signals can be watched");
    stage.raise(Signal::Terminate);
    assert_eq!(signals.next().await.unwrap(), Signal::Terminate);
    drop(signals);
    // Were it not ignored, this would be the end of the program.
    stage.raise(Signal::Terminate);
    let mut signals = Signals::subscribe().expect("signals can be watched");
    stage.raise(Signal::Interrupt);
    // On a system with threads the one before may be delivered this late.
    while signals.next().await.unwrap() != Signal::Interrupt {}
}
