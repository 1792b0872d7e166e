//! A request with a deadline, which is tried again when the backend fails: each try has all of the time.

use core::time::Duration;

use mainspring_executor::time::{now, sleep, timeout, timeout_at};
use mainspring_sim::WorldConfig;
use mainspring_sim::harness::{Run, Setup, conclude};

use crate::specimen::{Specimen, Twin, specimen};
use crate::visitor::{Visitor, visit_count, visitors};

pub(super) const RENEWED_DEADLINE: Specimen = specimen!(
    "renewed-deadline",
    "the deadline of a request begins anew with each retry",
    search: "a slow answer that is an error, and another",
    source: "",
    run,
);

const PROMISED: Duration = Duration::from_millis(300);

fn run(setup: &Setup, twin: Twin) -> Result<Run, String> {
    let world = setup.world(WorldConfig::rough());
    let service = world.host("service");
    let clients = visitors(&world, 16, 16, 500);
    let count = visit_count(&clients);
    for mut client in clients {
        service.run(async move {
            while client.comes().await {
                let start = now();
                // An answer or none, but in time.
                let _answered = request(&client, twin).await;
                assert!(now() - start <= PROMISED, "late beyond what was promised");
            }
        });
    }
    conclude(&world, count)
}

async fn request(client: &Visitor, twin: Twin) -> bool {
    let deadline = now() + PROMISED;
    loop {
        let tried = if twin.is_fixed() {
            timeout_at(deadline, attempt(client)).await
        } else {
            timeout(PROMISED, attempt(client)).await
        };
        match tried {
            Ok(Ok(())) => return true,
            Ok(Err(())) => {}
            Err(_) => return false,
        }
    }
}

/// Asks the backend, one in thirty of whose answers is an error, and one in thirty slow.
async fn attempt(client: &Visitor) -> Result<(), ()> {
    let is_error = client.once_in(30);
    let is_slow = client.once_in(30);
    sleep(if is_slow { Duration::from_millis(200) } else { client.millis(50) }).await;
    if is_error { Err(()) } else { Ok(()) }
}
