//! A worker that is told to stop while it works: it was not waiting then, and is not told again.

use core::cell::Cell;
use core::time::Duration;
use std::rc::Rc;

use mainspring_executor::select;
use mainspring_executor::sync::Notify;
use mainspring_executor::sync::mpsc::{self, Receiver};
use mainspring_executor::time::sleep;
use mainspring_sim::WorldConfig;
use mainspring_sim::harness::{Run, Setup, conclude};

use crate::specimen::{Specimen, Twin, specimen};
use crate::visitor::{visit_count, visitors};

pub(super) const MISSED_SHUTDOWN: Specimen = specimen!(
    "missed-shutdown",
    "the signal to stop wakes the workers that wait, and one is busy with a job",
    search: "shutdown during a job",
    source: "",
    run,
);

#[derive(Default)]
struct Stop {
    is_asked: Cell<bool>,
    asked: Notify,
}

fn run(setup: &Setup, twin: Twin) -> Result<Run, String> {
    let world = setup.world(WorldConfig::rough());
    let service = world.host("service");
    let stop = Rc::new(Stop::default());
    let clients = visitors(&world, 16, 12, 300);
    let shutdown = Duration::from_millis(world.choose(4_000));
    let count = visit_count(&clients);
    for mut client in clients {
        let (jobs, queue) = mpsc::channel(8);
        service.run(work(queue, Rc::clone(&stop), twin));
        service.run(async move {
            while client.comes().await {
                if jobs.send(()).await.is_err() {
                    return;
                }
            }
            // Who has no more jobs stays until it is sent away.
            jobs.closed().await;
        });
    }
    service.run(async move {
        sleep(shutdown).await;
        stop.is_asked.set(true);
        stop.asked.notify_waiters();
    });
    conclude(&world, count)
}

async fn work(mut queue: Receiver<()>, stop: Rc<Stop>, twin: Twin) {
    loop {
        // The bug: who was busy when it was asked to stop does not look.
        if twin.is_fixed() && stop.is_asked.get() {
            return;
        }
        select! {
            Some(()) = queue.recv() => sleep(Duration::from_millis(5)).await,
            () = stop.asked.notified() => return,
        }
    }
}
