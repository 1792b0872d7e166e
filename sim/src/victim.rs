//! `Victims`: futures that are dropped, or panic, at one of the points where they are suspended. They do not know what they
//! are.

use core::cell::Cell;
use core::pin::Pin;
use core::task::{Context, Poll};
use std::rc::Rc;

/// Makes futures into victims. A clone makes victims of the same run: their suspension points are counted together, in the
/// order in which they come.
///
/// A victim does what its future does, unless [`Everywhere`](crate::Everywhere) has chosen one of its suspension points:
/// then the future is dropped there, and the victim is ready with `None`.
#[derive(Clone, Debug, Default)]
pub struct Victims {
    fate: Rc<Fate>,
}

#[derive(Debug, Default)]
struct Fate {
    /// Suspensions so far.
    count: Cell<u64>,
    cut: Cell<Cut>,
}

/// What becomes of victims.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) enum Cut {
    /// They end by themselves.
    #[default]
    Never,
    /// One is dropped as soon as it is suspended for this time, of all from 1.
    WhenSuspended(u64),
    /// One is dropped at the first poll after that.
    WhenWoken(u64),
    /// One panics at the first poll after that.
    Panics(u64),
}

impl Victims {
    pub(crate) fn choose(&self, cut: Cut) {
        self.fate.cut.set(cut);
    }

    pub(crate) fn suspension_count(&self) -> u64 {
        self.fate.count.get()
    }

    /// A future that may be dropped wherever it waits.
    pub fn wrap<F: Future>(&self, future: F) -> Victim<F> {
        Victim { future: Some(Box::pin(future)), fate: Rc::clone(&self.fate), last: 0 }
    }
}

/// See [`Victims`].
#[must_use = "futures do nothing unless polled"]
#[derive(Debug)]
pub struct Victim<F> {
    /// `None`: it was dropped, or has ended.
    future: Option<Pin<Box<F>>>,
    fate: Rc<Fate>,
    /// The number of its last suspension.
    last: u64,
}

impl<F: Future> Future for Victim<F> {
    type Output = Option<F::Output>;

    /// # Panics
    /// When polled after its end, and where a panic was chosen.
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<F::Output>> {
        let is_this = |point: u64, last: u64| point == last && last > 0;
        match self.fate.cut.get() {
            Cut::WhenWoken(point) if is_this(point, self.last) => {
                self.future = None;
                return Poll::Ready(None);
            }
            Cut::Panics(point) if is_this(point, self.last) => panic!("a victim panics"),
            _ => {}
        }
        let future = self.future.as_mut().expect("polled until it is ready");
        if let Poll::Ready(output) = future.as_mut().poll(cx) {
            self.future = None;
            return Poll::Ready(Some(output));
        }
        let count = self.fate.count.get() + 1;
        self.fate.count.set(count);
        self.last = count;
        if matches!(self.fate.cut.get(), Cut::WhenSuspended(point) if point == count) {
            self.future = None;
            return Poll::Ready(None);
        }
        Poll::Pending
    }
}
