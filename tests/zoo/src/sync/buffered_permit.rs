//! A download of many pages, some at a time, each with a permit, and a permit for what is done with each.

use core::time::Duration;
use std::rc::Rc;

use futures::StreamExt;
use futures::stream;
use mainspring_executor::sync::Semaphore;
use mainspring_executor::time::sleep;
use mainspring_sim::WorldConfig;
use mainspring_sim::harness::{Run, Setup, conclude};

use crate::specimen::{Specimen, Twin, specimen};
use crate::visitor::{Visitor, visit_count, visitors};

pub(super) const BUFFERED_PERMIT: Specimen = specimen!(
    "buffered-permit",
    "fetches in a buffered stream hold all permits while the loop that would poll them waits for one",
    search: "more pages than permits, order of arrival",
    source: "futures-rs #2387",
    run,
);

const PERMITS: usize = 6;

fn run(setup: &Setup, twin: Twin) -> Result<Run, String> {
    let world = setup.world(WorldConfig::rough());
    let crawler = world.host("crawler");
    let permits = Rc::new(Semaphore::new(PERMITS));
    let stores =
        if twin.is_fixed() { Rc::new(Semaphore::new(PERMITS)) } else { Rc::clone(&permits) };
    let clients = visitors(&world, 6, 12, 800);
    let count = visit_count(&clients);
    for mut client in clients {
        let (permits, stores) = (Rc::clone(&permits), Rc::clone(&stores));
        crawler.run(async move {
            while client.comes().await {
                crawl(&permits, &stores, &client).await;
            }
        });
    }
    conclude(&world, count)
}

async fn crawl(permits: &Semaphore, stores: &Semaphore, client: &Visitor) {
    let fetch = |page: u64| async move {
        let _permit = permits.acquire().await.expect("nobody closes it");
        sleep(Duration::from_millis(1) + client.millis(10)).await;
        page
    };
    // One in sixty is a long one.
    let pages = if client.once_in(60) { 12 } else { client.choose(2) };
    let mut pages = stream::iter(0..pages).map(fetch).buffer_unordered(8);
    while let Some(_page) = pages.next().await {
        // While this waits, no fetch goes on, and none gives back its permit.
        let _permit = stores.acquire().await.expect("nobody closes it");
        sleep(Duration::from_millis(1)).await;
    }
}
