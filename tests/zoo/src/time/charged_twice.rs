//! A request that is sent a second time when the first is slow: the answer of one is taken, and the other goes on.

use core::cell::Cell;
use core::time::Duration;
use std::rc::Rc;

use mainspring_executor::time::{sleep, timeout};
use mainspring_executor::{JoinHandle, spawn};
use mainspring_sim::WorldConfig;
use mainspring_sim::harness::{Run, Setup, conclude};

use crate::specimen::{Specimen, Twin, specimen};
use crate::visitor::{Visitor, visit_count, visitors};

pub(super) const CHARGED_TWICE: Specimen = specimen!(
    "charged-twice",
    "a slow payment is tried a second time, and the first one is not called off",
    search: "an answer slower than the timeout",
    source: "",
    run,
);

const TIMEOUT: Duration = Duration::from_millis(50);

fn run(setup: &Setup, twin: Twin) -> Result<Run, String> {
    let world = setup.world(WorldConfig::rough());
    let service = world.host("service");
    let charged = Rc::new(Cell::new(0));
    let clients = visitors(&world, 12, 12, 300);
    let count = visit_count(&clients);
    for mut client in clients {
        let charged = Rc::clone(&charged);
        service.run(async move {
            while client.comes().await {
                pay(&charged, &client, twin).await;
            }
            // What is under way arrives.
            sleep(Duration::from_secs(1)).await;
        });
    }
    let run = conclude(&world, count)?;
    assert_eq!(charged.get(), count, "somebody was charged twice");
    Ok(run)
}

async fn pay(charged: &Rc<Cell<u64>>, client: &Visitor, twin: Twin) {
    let mut first = charge(charged, client);
    if timeout(TIMEOUT, &mut first).await.is_ok() {
        return;
    }
    // The bug: a handle that is dropped calls nothing off.
    if twin.is_fixed() {
        first.abort();
    }
    charge(charged, client).await.expect("it does not panic");
}

fn charge(charged: &Rc<Cell<u64>>, client: &Visitor) -> JoinHandle<()> {
    // One in three hundred is slow.
    let time = if client.once_in(300) { 2 * TIMEOUT } else { client.millis(45) };
    let charged = Rc::clone(charged);
    spawn(async move {
        sleep(time).await;
        charged.set(charged.get() + 1);
    })
}
