//! A lock that wakes the first in line: where that one is cancelled before it comes, the next is never told.

use core::cell::{Cell, RefCell};
use core::future::poll_fn;
use core::task::{Poll, Waker};
use core::time::Duration;
use std::collections::VecDeque;
use std::rc::Rc;

use mainspring_executor::select;
use mainspring_executor::time::sleep;
use mainspring_sim::WorldConfig;
use mainspring_sim::harness::{Run, Setup, conclude};

use crate::specimen::{Specimen, Twin, specimen};
use crate::visitor::{Visitor, visit_count, visitors};

pub(super) const SWALLOWED_WAKE: Specimen = specimen!(
    "swallowed-wake",
    "who is woken for a lease and cancelled in the same turn does not pass the wake on",
    search: "hang-up at the instant of a release",
    source: "tokio #3652",
    run,
);

/// One connection, which is lent.
#[derive(Default)]
struct Connection {
    is_lent: Cell<bool>,
    line: RefCell<VecDeque<Rc<Place>>>,
}

/// A place in line.
#[derive(Default)]
struct Place {
    waker: RefCell<Option<Waker>>,
    is_called: Cell<bool>,
}

impl Connection {
    fn release(&self) {
        self.is_lent.set(false);
        self.call_next();
    }

    fn call_next(&self) {
        let Some(place) = self.line.borrow_mut().pop_front() else { return };
        place.is_called.set(true);
        if let Some(waker) = place.waker.take() {
            waker.wake();
        }
    }

    async fn lend(&self, twin: Twin) {
        let mut waiting = Waiting { connection: self, place: None, twin };
        poll_fn(|cx| {
            // Nobody overtakes those who wait.
            let is_next = match &waiting.place {
                Some(place) => place.is_called.get(),
                None => self.line.borrow().is_empty(),
            };
            if is_next && !self.is_lent.replace(true) {
                waiting.place = None;
                return Poll::Ready(());
            }
            if is_next || waiting.place.is_none() {
                let place = Rc::<Place>::default();
                self.line.borrow_mut().push_back(Rc::clone(&place));
                waiting.place = Some(place);
            }
            if let Some(place) = &waiting.place {
                place.waker.replace(Some(cx.waker().clone()));
            }
            Poll::Pending
        })
        .await;
    }
}

struct Waiting<'a> {
    connection: &'a Connection,
    place: Option<Rc<Place>>,
    twin: Twin,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let Some(place) = self.place.take() else { return };
        self.connection.line.borrow_mut().retain(|other| !Rc::ptr_eq(other, &place));
        // The bug: it was called, and leaves.
        if self.twin.is_fixed() && place.is_called.get() {
            self.connection.call_next();
        }
    }
}

fn run(setup: &Setup, twin: Twin) -> Result<Run, String> {
    let world = setup.world(WorldConfig::rough());
    let service = world.host("service");
    let connection = Rc::new(Connection::default());
    let clients = visitors(&world, 16, 12, 80);
    let count = visit_count(&clients);
    for mut client in clients {
        let connection = Rc::clone(&connection);
        service.run(async move {
            while client.comes().await {
                visit(&connection, &client, twin).await;
            }
        });
    }
    conclude(&world, count)
}

async fn visit(connection: &Connection, client: &Visitor, twin: Twin) {
    if client.once_in(2) {
        // Some hang up when it takes too long.
        select! {
            () = sleep(Duration::from_millis(1) + client.millis(6)) => return,
            () = connection.lend(twin) => {}
        }
    } else {
        connection.lend(twin).await;
    }
    sleep(Duration::from_millis(1)).await;
    connection.release();
}
