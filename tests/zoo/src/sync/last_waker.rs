//! A configuration that many wait for while it is loaded, with room for the waker of one.

use core::cell::{Cell, RefCell};
use core::future::poll_fn;
use core::task::{Poll, Waker};
use core::time::Duration;
use std::rc::Rc;

use mainspring_executor::time::sleep;
use mainspring_sim::WorldConfig;
use mainspring_sim::harness::{Run, Setup, conclude};

use crate::specimen::{Specimen, Twin, specimen};
use crate::visitor::{visit_count, visitors};

pub(super) const LAST_WAKER: Specimen = specimen!(
    "last-waker",
    "of those who wait for the configuration only the last to come is woken",
    search: "two that come during a reload",
    source: "",
    run,
);

/// A configuration, which is loaded anew now and then.
#[derive(Default)]
struct Config {
    limit: Cell<Option<u64>>,
    wakers: RefCell<Vec<Waker>>,
}

impl Config {
    async fn limit(&self, twin: Twin) -> u64 {
        poll_fn(|cx| {
            if let Some(limit) = self.limit.get() {
                return Poll::Ready(limit);
            }
            let mut wakers = self.wakers.borrow_mut();
            if !twin.is_fixed() {
                // The bug: as if there were room for one.
                wakers.clear();
            }
            wakers.push(cx.waker().clone());
            Poll::Pending
        })
        .await
    }

    fn load(&self, limit: u64) {
        self.limit.set(Some(limit));
        self.wakers.take().into_iter().for_each(Waker::wake);
    }
}

fn run(setup: &Setup, twin: Twin) -> Result<Run, String> {
    let world = setup.world(WorldConfig::rough());
    let service = world.host("service");
    let config = Rc::new(Config::default());
    let clients = visitors(&world, 16, 12, 1000);
    let reloads: Vec<_> = (0..1 + world.choose(20)).map(|_| world.choose(200)).collect();
    let count = visit_count(&clients);
    for mut client in clients {
        let config = Rc::clone(&config);
        service.run(async move {
            while client.comes().await {
                assert_eq!(config.limit(twin).await, 100);
            }
        });
    }
    service.run(async move {
        for pause in reloads {
            config.limit.set(None);
            sleep(Duration::from_millis(2)).await;
            config.load(100);
            sleep(Duration::from_millis(pause)).await;
        }
    });
    conclude(&world, count)
}
