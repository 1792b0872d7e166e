//! A log in segments: each is a file of its own, and on the disk before it counts.

use core::cell::Cell;
use std::rc::Rc;

use mainspring_executor::time::sleep;
use mainspring_sim::harness::{Run, Setup};
use mainspring_sim::{Host, WorldConfig};

use super::journal::{Power, crash_and_look, folder, open, read, sync_folder};
use crate::net::line::ms;
use crate::specimen::{Specimen, Twin, specimen};

pub(super) const UNSYNCED_FOLDER: Specimen = specimen!(
    "unsynced-folder",
    "the content of a new file is on the disk, and its name is not",
    search: "a crash after a new file",
    source: "leveldb #196",
    run,
);

const SEGMENT: u64 = 5;

async fn log(on: Host, written: Rc<Cell<u64>>, twin: Twin) {
    let (mut segment, power) = (None, Power::of(&on, 100));
    for number in 0..1 + on.choose(100) {
        if number % SEGMENT == 0 {
            let name = format!("segment-{}", number / SEGMENT);
            segment = Some(open(&name).await.expect("the folder is there"));
            if twin.is_fixed() {
                sync_folder().await.expect("the folder is there");
            }
        }
        let file = segment.as_ref().expect("the first number opens one");
        file.append(format!("{number}\n")).await.expect("the disk is in order");
        file.sync_data().await.expect("the disk is in order");
        written.set(number + 1);
        power.may_go().await;
        sleep(ms(on.choose(20))).await;
    }
}

fn run(setup: &Setup, twin: Twin) -> Result<Run, String> {
    let world = setup.world(WorldConfig::rough());
    let host = world.host("service");
    host.add_folder(folder());
    let written = Rc::new(Cell::new(0));
    host.run(log(host.clone(), Rc::clone(&written), twin));
    crash_and_look(&world, &host, async move {
        for number in 0..written.get() {
            let segment = read(&format!("segment-{}", number / SEGMENT)).await;
            let is_there = segment.lines().any(|line| line == number.to_string());
            assert!(is_there, "what was written is there");
        }
    })
}
