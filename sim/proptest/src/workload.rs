//! `Workload`: who asks for what, and when. It knows nothing of rooms: what a request is, the property says.

use core::fmt::{self, Debug};
use core::time::Duration;

use proptest::strategy::Strategy;

use crate::items::items;
use crate::number::{highest, number};
use crate::together::together;

/// Of a pause that is as it was drawn.
const WHOLE_PERMILLE: u64 = 1000;

/// Clients, each with what it does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Workload<R> {
    /// At least one.
    pub clients: Vec<Client<R>>,
}

/// When a client comes, and what it does then, one after the other.
#[derive(Clone, PartialEq, Eq)]
pub struct Client<R> {
    /// Since the start of the run, in milliseconds.
    pub start: Duration,
    /// At least one.
    pub steps: Vec<Step<R>>,
}

/// A request, and the pause in front of it.
#[derive(Clone, PartialEq, Eq)]
pub struct Step<R> {
    /// In milliseconds.
    pub pause: Duration,
    /// What is asked.
    pub request: R,
}

impl<R> Workload<R> {
    /// Of all clients together.
    #[must_use]
    pub fn request_count(&self) -> u64 {
        self.clients.iter().map(|client| client.steps.len() as u64).sum()
    }
}

impl<R: Debug> Debug for Client<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "from {:?} ", self.start)?;
        f.debug_list().entries(&self.steps).finish()
    }
}

impl<R: Debug> Debug for Step<R> {
    /// On one line, for there are many.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "after {:?}: {:?}", self.pause, self.request)
    }
}

/// Up to so many clients with up to so many requests each, all of whom come, and pause before each request, for less than
/// `pause_max`. Shrinks to fewer clients, then to fewer requests, then to smaller ones at shorter pauses: to one client that comes at
/// once and asks one thing at once.
///
/// Who must meet for something to go wrong still meets when all times become shorter at once: that is tried as well.
///
/// # Panics
/// When there would be no clients, no requests, or no millisecond for a pause.
pub fn workload<R: Debug>(
    request: impl Strategy<Value = R>,
    clients_max: usize,
    requests_max: usize,
    pause_max: Duration,
) -> impl Strategy<Value = Workload<R>> {
    assert!(clients_max > 0 && requests_max > 0, "a workload has clients, and they have requests");
    let max = u64::try_from(pause_max.as_millis()).expect("a pause below 584 million years");
    assert!(max > 0, "a pause has room for a millisecond");
    let pause = number(0..=max - 1);
    let steps = items(together((pause.clone(), request)), 1..=requests_max);
    let clients = items(together((pause, steps)), 1..=clients_max);
    together((highest(0..=WHOLE_PERMILLE), clients)).prop_map(|(permille, clients)| {
        let shorten = |millis| Duration::from_millis(millis * permille / WHOLE_PERMILLE);
        let step = |(pause, request)| Step { pause: shorten(pause), request };
        let client = |(start, steps): (_, Vec<_>)| Client {
            start: shorten(start),
            steps: steps.into_iter().map(step).collect(),
        };
        Workload { clients: clients.into_iter().map(client).collect() }
    })
}
