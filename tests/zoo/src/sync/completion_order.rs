//! A request to several shards of a database, whose answers are put together in the order in which they come.

use core::time::Duration;

use futures::StreamExt;
use futures::stream::{FuturesOrdered, FuturesUnordered};
use mainspring_executor::time::sleep;
use mainspring_sim::WorldConfig;
use mainspring_sim::harness::{Run, Setup, conclude};

use crate::specimen::{Specimen, Twin, specimen};
use crate::visitor::{Visitor, visit_count, visitors};

pub(super) const COMPLETION_ORDER: Specimen = specimen!(
    "completion-order",
    "the parts of a page are put together in the order in which they were ready",
    search: "a part that overtakes another",
    source: "",
    run,
);

fn run(setup: &Setup, twin: Twin) -> Result<Run, String> {
    let world = setup.world(WorldConfig::rough());
    let service = world.host("service");
    let clients = visitors(&world, 16, 12, 300);
    let count = visit_count(&clients);
    for mut client in clients {
        service.run(async move {
            while client.comes().await {
                let parts = page(&client, twin).await;
                assert!(parts.is_sorted(), "a page in disorder");
            }
        });
    }
    conclude(&world, count)
}

async fn page(client: &Visitor, twin: Twin) -> Vec<u64> {
    let part = async |number| {
        // Most of it is in a cache, and there at once.
        let time = if client.once_in(600) { client.millis(10) } else { Duration::ZERO };
        sleep(time).await;
        number
    };
    let numbers = 0..1 + client.choose(6);
    if twin.is_fixed() {
        numbers.map(part).collect::<FuturesOrdered<_>>().collect().await
    } else {
        numbers.map(part).collect::<FuturesUnordered<_>>().collect().await
    }
}
