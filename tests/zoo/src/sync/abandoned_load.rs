//! A cache that loads each entry once, for all who ask: the one who loads is cancelled, and the others wait for ever.

use core::cell::RefCell;
use core::time::Duration;
use std::collections::BTreeMap;
use std::rc::Rc;

use mainspring_executor::sync::Notify;
use mainspring_executor::time::{sleep, timeout};
use mainspring_sim::WorldConfig;
use mainspring_sim::harness::{Run, Setup, conclude};

use crate::specimen::{Specimen, Twin, specimen};
use crate::visitor::{Visitor, visit_count, visitors};

pub(super) const ABANDONED_LOAD: Specimen = specimen!(
    "abandoned-load",
    "who loads an entry is cancelled, the entry stays marked as loading, and others wait for it",
    search: "a timeout of the first who asks",
    source: "moka #59 (there it panics)",
    run,
);

#[derive(Clone, Copy, PartialEq, Eq)]
enum Entry {
    Loading,
    Loaded,
}

#[derive(Default)]
struct Cache {
    entries: RefCell<BTreeMap<u64, Entry>>,
    changed: Notify,
}

/// Takes back the mark of a load that was not brought to its end.
struct Unmark<'a> {
    cache: &'a Cache,
    key: u64,
}

impl Drop for Unmark<'_> {
    fn drop(&mut self) {
        let mut entries = self.cache.entries.borrow_mut();
        if entries.get(&self.key) == Some(&Entry::Loading) {
            entries.remove(&self.key);
            self.cache.changed.notify_waiters();
        }
    }
}

impl Cache {
    async fn read(&self, key: u64, load_time: Duration, twin: Twin) {
        loop {
            let entry = self.entries.borrow().get(&key).copied();
            match entry {
                Some(Entry::Loaded) => return,
                Some(Entry::Loading) => self.changed.notified().await,
                None => break,
            }
        }
        self.entries.borrow_mut().insert(key, Entry::Loading);
        // The bug: without it, who is dropped while it loads leaves its mark.
        let _unmark = twin.is_fixed().then(|| Unmark { cache: self, key });
        sleep(load_time).await;
        self.entries.borrow_mut().insert(key, Entry::Loaded);
        self.changed.notify_waiters();
    }
}

fn run(setup: &Setup, twin: Twin) -> Result<Run, String> {
    let world = setup.world(WorldConfig::rough());
    let service = world.host("service");
    let cache = Rc::new(Cache::default());
    let clients = visitors(&world, 16, 12, 100);
    let count = visit_count(&clients);
    for mut client in clients {
        let cache = Rc::clone(&cache);
        service.run(async move {
            while client.comes().await {
                visit(&cache, &client, twin).await;
            }
        });
    }
    conclude(&world, count)
}

async fn visit(cache: &Cache, client: &Visitor, twin: Twin) {
    let key = client.choose(20);
    // Some have no patience, and most have a lot.
    let patience = match client.choose(60) {
        59 => Duration::from_millis(1),
        _ => Duration::MAX,
    };
    // Who gives up gets nothing.
    let _ = timeout(patience, cache.read(key, client.millis(10), twin)).await;
}
