//! `Victim`: a future that is dropped at one of the points where it is suspended. It does not know what it is, nor on what
//! driver it runs.

use core::cell::Cell;
use core::pin::Pin;
use core::task::{Context, Poll};
use std::rc::Rc;

use futures::FutureExt;
use futures::future::LocalBoxFuture;

/// More suspensions than any victim has.
const SUSPENSIONS_MAX: usize = 1000;

/// What becomes of the victim.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Cut {
    /// It ends by itself.
    Never,
    /// It is dropped as soon as it is suspended for this time, from 1.
    WhenSuspended(usize),
    /// It is dropped at the first poll after it was suspended for this time.
    WhenWoken(usize),
}

/// A future that is dropped at some point.
pub(crate) struct Victim {
    future: Option<LocalBoxFuture<'static, ()>>,
    cut: Cut,
    fate: Rc<Fate>,
}

/// What became of a victim so far.
#[derive(Default)]
pub(crate) struct Fate {
    suspensions: Cell<usize>,
    has_ended: Cell<bool>,
}

impl Fate {
    /// How often it was suspended.
    pub(crate) fn suspensions(&self) -> usize {
        self.suspensions.get()
    }

    /// Whether it came to its end.
    pub(crate) fn has_ended(&self) -> bool {
        self.has_ended.get()
    }
}

impl Victim {
    pub(crate) fn new(future: impl Future<Output = ()> + 'static, cut: Cut) -> (Self, Rc<Fate>) {
        let fate = Rc::<Fate>::default();
        (Self { future: Some(future.boxed_local()), cut, fate: Rc::clone(&fate) }, fate)
    }
}

impl Future for Victim {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let before = self.fate.suspensions();
        if matches!(self.cut, Cut::WhenWoken(point) if point == before) {
            self.future = None;
            return Poll::Ready(());
        }
        let future = self.future.as_mut().expect("polled until it is ready");
        if future.as_mut().poll(cx).is_ready() {
            self.fate.has_ended.set(true);
            self.future = None;
            return Poll::Ready(());
        }
        let suspensions = before + 1;
        self.fate.suspensions.set(suspensions);
        assert!(suspensions < SUSPENSIONS_MAX, "the victim goes round in circles");
        if matches!(self.cut, Cut::WhenSuspended(point) if point == suspensions) {
            self.future = None;
            return Poll::Ready(());
        }
        Poll::Pending
    }
}
