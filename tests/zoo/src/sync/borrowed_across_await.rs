//! A session that is written to while it is borrowed, and the write has to wait.

use core::cell::RefCell;
use core::time::Duration;
use std::rc::Rc;

use mainspring_executor::time::sleep;
use mainspring_sim::WorldConfig;
use mainspring_sim::harness::{Run, Setup, conclude};

use crate::specimen::{Specimen, Twin, specimen};
use crate::visitor::{Visitor, visit_count, visitors};

pub(super) const BORROWED_ACROSS_AWAIT: Specimen = specimen!(
    "borrowed-across-await",
    "a list is borrowed while a full disk is waited for, and somebody else adds to it",
    search: "a slow write, and another task meanwhile",
    source: "",
    run,
);

type Log = RefCell<Vec<u64>>;

fn run(setup: &Setup, twin: Twin) -> Result<Run, String> {
    let world = setup.world(WorldConfig::rough());
    let service = world.host("service");
    let log = Rc::new(Log::default());
    let clients = visitors(&world, 12, 20, 400);
    let count = visit_count(&clients);
    for mut client in clients {
        let log = Rc::clone(&log);
        service.run(async move {
            while client.comes().await {
                log.borrow_mut().push(1);
                if client.once_in(5) {
                    flush(&log, &client, twin).await;
                }
            }
        });
    }
    conclude(&world, count)
}

#[expect(clippy::await_holding_refcell_ref, reason = "it is the bug")]
async fn flush(log: &Log, client: &Visitor, twin: Twin) {
    if twin.is_fixed() {
        let entries = log.take();
        return write(&entries, client).await;
    }
    let mut entries = log.borrow_mut();
    write(&entries, client).await;
    entries.clear();
}

/// Most writes are over at once: they go to a cache, and one in two hundred to the disk.
async fn write(entries: &[u64], client: &Visitor) {
    if !entries.is_empty() && client.once_in(200) {
        sleep(Duration::from_millis(4)).await;
    }
}
