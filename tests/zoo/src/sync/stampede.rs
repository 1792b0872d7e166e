//! A cache in front of a slow database: all who miss at one time ask it.

use core::cell::Cell;
use core::time::Duration;
use std::rc::Rc;

use mainspring_executor::Instant;
use mainspring_executor::sync::Mutex;
use mainspring_executor::time::{now, sleep};
use mainspring_sim::WorldConfig;
use mainspring_sim::harness::{Run, Setup, conclude};

use crate::specimen::{Specimen, Twin, specimen};
use crate::visitor::{visit_count, visitors};

pub(super) const STAMPEDE: Specimen = specimen!(
    "stampede",
    "when an entry of a cache expires, all who come before it is back load it again",
    search: "five clients at one time",
    source: "",
    run,
);

/// What the database bears at one time.
const LOADS_MAX: u32 = 4;
const LIFE: Duration = Duration::from_millis(300);

#[derive(Default)]
struct Cache {
    loaded: Cell<Option<Instant>>,
    loading: Mutex<()>,
    loads: Cell<u32>,
}

impl Cache {
    fn is_fresh(&self) -> bool {
        self.loaded.get().is_some_and(|loaded| now() < loaded + LIFE)
    }

    async fn read(&self, twin: Twin) {
        if self.is_fresh() {
            return;
        }
        if twin.is_fixed() {
            let _one_at_a_time = self.loading.lock().await;
            if !self.is_fresh() {
                self.load().await;
            }
        } else {
            self.load().await;
        }
    }

    async fn load(&self) {
        self.loads.set(self.loads.get() + 1);
        assert!(self.loads.get() <= LOADS_MAX, "the database is overrun");
        sleep(Duration::from_millis(10)).await;
        self.loaded.set(Some(now()));
        self.loads.set(self.loads.get() - 1);
    }
}

fn run(setup: &Setup, twin: Twin) -> Result<Run, String> {
    let world = setup.world(WorldConfig::rough());
    let service = world.host("service");
    let cache = Rc::new(Cache::default());
    let clients = visitors(&world, 20, 30, 200);
    let count = visit_count(&clients);
    for mut client in clients {
        let cache = Rc::clone(&cache);
        service.run(async move {
            while client.comes().await {
                cache.read(twin).await;
            }
        });
    }
    conclude(&world, count)
}
