//! An editor that saves at most once in a while: what comes in the meantime is not saved, and nobody comes back for it.

use core::cell::Cell;
use core::time::Duration;
use std::rc::Rc;

use mainspring_executor::Instant;
use mainspring_executor::spawn;
use mainspring_executor::time::{now, sleep};
use mainspring_sim::WorldConfig;
use mainspring_sim::harness::{Run, Setup, conclude};

use crate::specimen::{Specimen, Twin, specimen};
use crate::visitor::{visit_count, visitors};

pub(super) const DROPPED_EDIT: Specimen = specimen!(
    "dropped-edit",
    "the last of several quick edits is never saved",
    search: "a last edit soon after another",
    source: "",
    run,
);

const QUIET: Duration = Duration::from_millis(100);

#[derive(Default)]
struct Document {
    version: Cell<u64>,
    saved: Cell<u64>,
    saved_at: Cell<Option<Instant>>,
    is_save_planned: Cell<bool>,
}

impl Document {
    fn edit(self: &Rc<Self>, twin: Twin) {
        self.version.set(self.version.get() + 1);
        let next = self.saved_at.get().map_or(now(), |saved_at| saved_at + QUIET);
        if now() >= next {
            self.save();
        } else if twin.is_fixed() && !self.is_save_planned.replace(true) {
            let document = Rc::clone(self);
            drop(spawn(async move {
                sleep(next - now()).await;
                document.is_save_planned.set(false);
                document.save();
            }));
        }
        // The bug, without the branch above: another edit is to come, is it not?
    }

    fn save(&self) {
        self.saved.set(self.version.get());
        self.saved_at.set(Some(now()));
    }
}

fn run(setup: &Setup, twin: Twin) -> Result<Run, String> {
    let world = setup.world(WorldConfig::rough());
    let service = world.host("service");
    let document = Rc::new(Document::default());
    let clients = visitors(&world, 4, 40, 2_000);
    let count = visit_count(&clients);
    for mut client in clients {
        let document = Rc::clone(&document);
        service.run(async move {
            while client.comes().await {
                document.edit(twin);
            }
            sleep(QUIET).await;
        });
    }
    let run = conclude(&world, count)?;
    assert_eq!(document.saved.get(), document.version.get(), "the last edit is not saved");
    Ok(run)
}
