//! Sessions that expire: each login starts a timer, and the one of the login before still runs.

use core::cell::{Cell, RefCell};
use core::time::Duration;
use std::collections::BTreeMap;
use std::rc::Rc;

use mainspring_executor::time::{now, sleep};
use mainspring_executor::{Instant, JoinHandle, spawn};
use mainspring_sim::WorldConfig;
use mainspring_sim::harness::{Run, Setup, conclude};

use crate::specimen::{Specimen, Twin, specimen};
use crate::visitor::{visit_count, visitors};

pub(super) const STALE_EXPIRY: Specimen = specimen!(
    "stale-expiry",
    "the timer of an earlier login ends the session of a later one",
    search: "a second login within the life of the first",
    source: "",
    run,
);

const LIFE: Duration = Duration::from_millis(500);

struct Session {
    login: Instant,
    timer: JoinHandle<()>,
}

#[derive(Default)]
struct Sessions {
    live: RefCell<BTreeMap<u64, Session>>,
    ended_early: Cell<bool>,
}

impl Sessions {
    fn log_in(self: &Rc<Self>, user: u64, twin: Twin) {
        let sessions = Rc::clone(self);
        let timer = spawn(async move {
            sleep(LIFE).await;
            sessions.expire(user);
        });
        let before = self.live.borrow_mut().insert(user, Session { login: now(), timer });
        // The bug: a handle that is dropped is a timer that runs.
        if let Some(before) = before.filter(|_| twin.is_fixed()) {
            before.timer.abort();
        }
    }

    fn expire(&self, user: u64) {
        if let Some(session) = self.live.borrow_mut().remove(&user)
            && now() < session.login + LIFE
        {
            self.ended_early.set(true);
        }
    }
}

fn run(setup: &Setup, twin: Twin) -> Result<Run, String> {
    let world = setup.world(WorldConfig::rough());
    let service = world.host("service");
    let sessions = Rc::new(Sessions::default());
    let clients = visitors(&world, 16, 12, 15_000);
    let count = visit_count(&clients);
    for (user, mut client) in (0..).zip(clients) {
        let sessions = Rc::clone(&sessions);
        service.run(async move {
            while client.comes().await {
                sessions.log_in(user, twin);
            }
            // Nobody stays longer than that.
            sleep(2 * LIFE).await;
        });
    }
    let run = conclude(&world, count)?;
    assert!(!sessions.ended_early.get(), "a session ended before its time");
    Ok(run)
}
