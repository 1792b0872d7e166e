//! A file that many share: the last to leave closes it, and it takes a while until it is flushed.

use core::cell::Cell;
use core::time::Duration;
use std::rc::Rc;

use mainspring_executor::time::sleep;
use mainspring_sim::WorldConfig;
use mainspring_sim::harness::{Run, Setup, conclude};

use crate::specimen::{Specimen, Twin, specimen};
use crate::visitor::{Visitor, visit_count, visitors};

pub(super) const CLOSED_IN_USE: Specimen = specimen!(
    "closed-in-use",
    "the last user of a shared file flushes and closes it, and another came during the flush",
    search: "a user who comes during a flush",
    source: "",
    run,
);

#[derive(Default)]
struct SharedFile {
    users: Cell<u64>,
    is_open: Cell<bool>,
}

impl SharedFile {
    fn enter(&self) {
        self.users.set(self.users.get() + 1);
        self.is_open.set(true);
    }

    async fn leave(&self, twin: Twin) {
        self.users.set(self.users.get() - 1);
        if self.users.get() > 0 {
            return;
        }
        // A flush.
        sleep(Duration::from_millis(1)).await;
        // The bug: what was true before the flush need not be any more.
        if !twin.is_fixed() || self.users.get() == 0 {
            self.is_open.set(false);
        }
    }
}

fn run(setup: &Setup, twin: Twin) -> Result<Run, String> {
    let world = setup.world(WorldConfig::rough());
    let service = world.host("service");
    let file = Rc::new(SharedFile::default());
    let clients = visitors(&world, 12, 12, 4000);
    let count = visit_count(&clients);
    for mut client in clients {
        let file = Rc::clone(&file);
        service.run(async move {
            while client.comes().await {
                visit(&file, &client, twin).await;
            }
        });
    }
    conclude(&world, count)
}

async fn visit(file: &SharedFile, client: &Visitor, twin: Twin) {
    file.enter();
    sleep(Duration::from_millis(1) + client.millis(10)).await;
    assert!(file.is_open.get(), "a file was closed in use");
    file.leave(twin).await;
}
