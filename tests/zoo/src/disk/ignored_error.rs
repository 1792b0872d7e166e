//! A log on a disk that fails now and then, and a writer that does not ask whether it did.

use core::cell::Cell;
use std::io;
use std::rc::Rc;

use mainspring_executor::file::File;
use mainspring_executor::time::sleep;
use mainspring_sim::harness::{Run, Setup};
use mainspring_sim::{Host, WorldConfig};

use super::journal::{Power, crash_and_look, folder, open, sync_folder};
use crate::net::line::ms;
use crate::specimen::{Specimen, Twin, specimen};

pub(super) const IGNORED_ERROR: Specimen = specimen!(
    "ignored-error",
    "a sync that fails is taken for one that is done",
    search: "a sync that fails, and a crash before the next one",
    source: "neon #8140",
    run,
);

async fn write(log: &File, number: u64, twin: Twin) -> io::Result<()> {
    log.append(format!("{number}\n")).await?;
    let synced = log.sync_data().await;
    if twin.is_fixed() { synced } else { Ok(()) }
}

/// Writes until the disk fails: then nobody knows what is on it.
async fn service(on: Host, written: Rc<Cell<u64>>, twin: Twin) -> io::Result<()> {
    let log = open("log").await?;
    sync_folder().await?;
    let power = Power::of(&on, 100);
    for number in 0..1 + on.choose(100) {
        write(&log, number, twin).await?;
        written.set(number + 1);
        power.may_go().await;
        sleep(ms(on.choose(100))).await;
    }
    Ok(())
}

fn run(setup: &Setup, twin: Twin) -> Result<Run, String> {
    let world = setup.world(WorldConfig { disk_error_one_in: 100, ..WorldConfig::rough() });
    let host = world.host("service");
    host.add_folder(folder());
    let written = Rc::new(Cell::new(0));
    let writing = service(host.clone(), Rc::clone(&written), twin);
    // Where the disk fails, it ends.
    host.run(async move { drop(writing.await) });
    let on_disk = host.clone();
    crash_and_look(&world, &host, async move {
        let log = on_disk.file_on_disk(folder().join("log")).unwrap_or_default();
        let log = String::from_utf8_lossy(&log);
        for number in 0..written.get() {
            let is_there = log.lines().any(|line| line == number.to_string());
            assert!(is_there, "what was written is there");
        }
    })
}
