//! A request that is given up by reference: its future still has a lock, or stands in line for it, and nobody polls it.

use core::pin::pin;
use core::time::Duration;
use std::rc::Rc;

use mainspring_executor::select;
use mainspring_executor::sync::Mutex;
use mainspring_executor::time::sleep;
use mainspring_sim::WorldConfig;
use mainspring_sim::harness::{Run, Setup, conclude};

use crate::specimen::{Specimen, Twin, specimen};
use crate::visitor::{Visitor, visit_count, visitors};

pub(super) const FUTURELOCK: Specimen = specimen!(
    "futurelock",
    "a select on `&mut` of a request goes on to lock what the request has, or is the next to get",
    search: "two requests, a long one first",
    source: "Oxide RFD 609",
    run,
);

fn run(setup: &Setup, twin: Twin) -> Result<Run, String> {
    let world = setup.world(WorldConfig::rough());
    let service = world.host("service");
    let state = Rc::new(Mutex::new(0_u64));
    let clients = visitors(&world, 16, 12, 3_000);
    let count = visit_count(&clients);
    for mut client in clients {
        let state = Rc::clone(&state);
        service.run(async move {
            while client.comes().await {
                serve(&state, &client, twin).await;
            }
        });
    }
    conclude(&world, count)
}

async fn serve(state: &Mutex<u64>, client: &Visitor, twin: Twin) {
    // One in thirty takes nearly as long as others wait.
    let work = if client.once_in(30) {
        Duration::from_millis(14)
    } else {
        Duration::from_millis(2) + client.millis(4)
    };
    let mut request = pin!(update(state, work));
    let is_late = select! {
        () = &mut request => false,
        () = sleep(Duration::from_millis(15)) => true,
    };
    if is_late && !twin.is_fixed() {
        // The bug: the request is kept, and has, or is the next to get, the lock that its replacement wants.
        update(state, Duration::ZERO).await;
        request.await;
    } else if is_late {
        request.await;
        update(state, Duration::ZERO).await;
    }
}

async fn update(state: &Mutex<u64>, work: Duration) {
    let mut state = state.lock().await;
    sleep(work).await;
    *state += 1;
}
