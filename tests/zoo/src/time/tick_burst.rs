//! A poll of a partner's service once in a while: after a long one all that were missed are made up for at once.

use core::time::Duration;

use mainspring_executor::time::{MissedTick, interval, now, sleep};
use mainspring_sim::WorldConfig;
use mainspring_sim::harness::{Run, Setup, conclude};

use crate::specimen::{Specimen, Twin, specimen};
use crate::visitor::{visit_count, visitors};

pub(super) const TICK_BURST: Specimen = specimen!(
    "tick-burst",
    "an interval makes up for the ticks that a slow answer made it miss, in one burst",
    search: "an answer slower than two periods",
    source: "",
    run,
);

const PERIOD: Duration = Duration::from_millis(100);

fn run(setup: &Setup, twin: Twin) -> Result<Run, String> {
    let world = setup.world(WorldConfig::rough());
    let service = world.host("service");
    let partners = visitors(&world, 6, 40, 1);
    let count = visit_count(&partners);
    for mut partner in partners {
        service.run(async move {
            let mut ticks = interval(PERIOD);
            // The bug: an interval does so unless it is told otherwise.
            if twin.is_fixed() {
                ticks.set_missed_tick(MissedTick::Delay);
            }
            let mut last = None;
            while partner.comes().await {
                ticks.tick().await;
                let is_soon = last.is_some_and(|last| now() - last < PERIOD / 2);
                assert!(!is_soon, "two requests within half a period");
                last = Some(now());
                // One answer in a hundred and fifty is slow.
                let time = if partner.once_in(150) { 3 * PERIOD } else { partner.millis(40) };
                sleep(time).await;
            }
        });
    }
    conclude(&world, count)
}
