//! A registry of sessions that takes itself out of the way while it drops one, whose destructor asks the registry.

use core::cell::{Cell, RefCell};
use core::time::Duration;
use std::collections::BTreeMap;
use std::rc::{Rc, Weak};

use mainspring_executor::time::sleep;
use mainspring_sim::WorldConfig;
use mainspring_sim::harness::{Run, Setup, conclude};

use crate::specimen::{Specimen, Twin, specimen};
use crate::visitor::{Visitor, visit_count, visitors};

pub(super) const REENTRANT_DROP: Specimen = specimen!(
    "reentrant-drop",
    "a session is dropped while its registry is borrowed, and its destructor borrows it as well",
    search: "the registry holds the last reference",
    source: "",
    run,
);

#[derive(Default)]
struct Registry {
    sessions: RefCell<BTreeMap<u64, Rc<Session>>>,
    peak: Cell<usize>,
}

struct Session {
    registry: Weak<Registry>,
}

impl Drop for Session {
    fn drop(&mut self) {
        // Says how many are left, as one does in a log.
        if let Some(registry) = self.registry.upgrade() {
            let left = registry.sessions.borrow().len();
            registry.peak.set(registry.peak.get().max(left));
        }
    }
}

impl Registry {
    fn session(self: &Rc<Self>, key: u64) -> Rc<Session> {
        let make = || Rc::new(Session { registry: Rc::downgrade(self) });
        Rc::clone(self.sessions.borrow_mut().entry(key).or_insert_with(make))
    }

    fn evict(&self, key: u64, twin: Twin) {
        if twin.is_fixed() {
            let evicted = self.sessions.borrow_mut().remove(&key);
            drop(evicted);
        } else {
            // The bug: what is removed is dropped while the map is borrowed, where no request has it.
            self.sessions.borrow_mut().retain(|other, _| *other != key);
        }
    }
}

fn run(setup: &Setup, twin: Twin) -> Result<Run, String> {
    let world = setup.world(WorldConfig::rough());
    let service = world.host("service");
    let registry = Rc::new(Registry::default());
    let clients = visitors(&world, 16, 12, 100);
    let count = visit_count(&clients);
    for mut client in clients {
        let registry = Rc::clone(&registry);
        service.run(async move {
            while client.comes().await {
                visit(&registry, &client, twin).await;
            }
        });
    }
    conclude(&world, count)
}

async fn visit(registry: &Rc<Registry>, client: &Visitor, twin: Twin) {
    let key = client.choose(30);
    let session = registry.session(key);
    sleep(client.millis(10)).await;
    // Who logs out does so with the session in hand; an administrator, one in a hundred, without.
    match client.choose(100) {
        99 => {
            drop(session);
            registry.evict(client.choose(30), twin);
        }
        0..50 => registry.evict(key, twin),
        _ => sleep(Duration::from_millis(1)).await,
    }
}
