//! A service that replaces its settings in one step, as it believes.

use core::cell::Cell;
use std::io;
use std::rc::Rc;

use mainspring_executor::file::{self, OpenOptions};
use mainspring_executor::time::sleep;
use mainspring_sim::harness::{Run, Setup};
use mainspring_sim::{Host, WorldConfig};

use super::journal::{Power, crash_and_look, folder, read, sync_folder};
use crate::net::line::ms;
use crate::specimen::{Specimen, Twin, specimen};

pub(super) const UNSYNCED_RENAME: Specimen = specimen!(
    "unsynced-rename",
    "a file takes the place of another before its content is on the disk",
    search: "a crash after the rename",
    source: "Pillai et al., All File Systems Are Not Created Equal, OSDI 2014",
    run,
);

/// Writes another file, and gives it the name.
async fn replace(power: &Power, settings: &str, twin: Twin) -> io::Result<()> {
    let anew = OpenOptions::new().write(true).create(true).truncate(true);
    let next = anew.open(folder(), "settings.new".into()).await?;
    next.write_at(0, settings).await?;
    if twin.is_fixed() {
        next.sync_all().await?;
    }
    power.may_go().await;
    file::rename(folder(), "settings.new".into(), "settings".into()).await?;
    power.may_go().await;
    sync_folder().await?;
    power.may_go().await;
    Ok(())
}

fn settings(version: u64) -> String {
    format!("version {version}, and it ends here.")
}

async fn service(on: Host, kept: Rc<Cell<u64>>, twin: Twin) {
    let power = Power::of(&on, 300);
    for version in 1..=1 + on.choose(100) {
        replace(&power, &settings(version), twin).await.expect("the disk is in order");
        kept.set(version);
        sleep(ms(on.choose(100))).await;
    }
}

fn run(setup: &Setup, twin: Twin) -> Result<Run, String> {
    let world = setup.world(WorldConfig::rough());
    let host = world.host("service");
    host.add_file(folder(), "settings", settings(0).as_bytes());
    let kept = Rc::new(Cell::new(0));
    host.run(service(host.clone(), Rc::clone(&kept), twin));
    crash_and_look(&world, &host, async move {
        let found = read("settings").await;
        // The last that was kept, or the one after it.
        let is_one = [0, 1].iter().any(|more| found == settings(kept.get() + more));
        assert!(is_one, "settings are whole, and those that were kept");
    })
}
