//! A client that waits twice as long after each failure, up to a minute: in a long outage the number overflows.

use core::time::Duration;

use mainspring_executor::Instant;
use mainspring_executor::time::{now, sleep};
use mainspring_sim::WorldConfig;
use mainspring_sim::harness::{Run, Setup, conclude};

use crate::specimen::{Specimen, Twin, specimen};
use crate::visitor::{Visitor, visit_count, visitors};

pub(super) const OVERFLOWING_BACKOFF: Specimen = specimen!(
    "overflowing-backoff",
    "after half an hour of failures the time to wait overflows and is nothing",
    search: "an outage of half an hour",
    source: "onos-lib-go #127",
    run,
);

const BASE_MILLIS: u32 = 100;
const WAIT_MILLIS_MAX: u32 = 60_000;

fn run(setup: &Setup, twin: Twin) -> Result<Run, String> {
    let world = setup.world(WorldConfig::rough());
    let service = world.host("service");
    let begin = Instant::START + Duration::from_secs(world.choose(60));
    let outage = begin..begin + Duration::from_secs(world.choose(2_400));
    let clients = visitors(&world, 24, 12, 20_000);
    let count = visit_count(&clients);
    for mut client in clients {
        let outage = outage.clone();
        service.run(async move {
            while client.comes().await {
                request(&client, &outage, twin).await;
            }
        });
    }
    conclude(&world, count)
}

async fn request(client: &Visitor, outage: &core::ops::Range<Instant>, twin: Twin) {
    let mut failures = 0;
    while outage.contains(&now()) {
        // Both are capped, but what is capped may have lost its upper bits.
        let wait_millis = if twin.is_fixed() {
            BASE_MILLIS.saturating_mul(1_u32.checked_shl(failures).unwrap_or(u32::MAX))
        } else {
            BASE_MILLIS.wrapping_mul(1_u32.wrapping_shl(failures))
        };
        let wait = Duration::from_millis(wait_millis.min(WAIT_MILLIS_MAX).into());
        failures += 1;
        assert!(wait >= Duration::from_millis(BASE_MILLIS.into()), "a retry without a pause");
        sleep(wait + client.millis(100)).await;
    }
}
