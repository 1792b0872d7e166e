//! A meter that writes each reading to its log, and after a crash takes up the last one.

use core::cell::RefCell;
use std::rc::Rc;

use mainspring_executor::time::sleep;
use mainspring_sim::harness::{Run, Setup};
use mainspring_sim::{Host, WorldConfig};

use super::journal::{Power, crash_and_look, folder, open, read, sync_folder};
use crate::net::line::ms;
use crate::specimen::{Specimen, Twin, specimen};

pub(super) const TORN_RECORD: Specimen = specimen!(
    "torn-record",
    "the part of a record that a crash has left is taken for a record",
    search: "a crash while a record is written",
    source: "raft-wal #10",
    run,
);

/// Enough to tell a part of a reading from the whole.
fn checksum(reading: &str) -> u32 {
    reading.bytes().fold(7, |sum, byte| sum * 31 % 65_521 + u32::from(byte))
}

async fn meter(on: Host, readings: Rc<RefCell<Vec<u64>>>) {
    let log = open("readings").await.expect("the folder is there");
    sync_folder().await.expect("the folder is there");
    let power = Power::of(&on, 200);
    for _ in 0..1 + on.choose_named("further readings", 200) {
        let reading = 1_000_000_000 + on.choose_named("the reading", 1 << 30);
        readings.borrow_mut().push(reading);
        let record = format!("{reading} {}\n", checksum(&reading.to_string()));
        log.append(record).await.expect("the disk is in order");
        power.may_go().await;
        log.sync_data().await.expect("the disk is in order");
        sleep(ms(on.choose_named("milliseconds to the next reading", 20))).await;
    }
}

/// The last reading of the log.
fn last(log: &str, twin: Twin) -> Option<u64> {
    let mut last = None;
    for record in log.split('\n') {
        let (reading, sum) = record.split_once(' ').unwrap_or((record, ""));
        let is_whole = sum == checksum(reading).to_string();
        if is_whole || !twin.is_fixed() {
            last = reading.parse().ok().or(last);
        }
    }
    last
}

fn run(setup: &Setup, twin: Twin) -> Result<Run, String> {
    let world = setup.world(WorldConfig::rough());
    let host = world.host("meter");
    host.add_folder(folder());
    let readings = Rc::new(RefCell::default());
    host.run(meter(host.clone(), Rc::clone(&readings)));
    crash_and_look(&world, &host, async move {
        let last = last(&read("readings").await, twin);
        let was_read = last.is_none_or(|last| readings.borrow().contains(&last));
        assert!(was_read, "the last reading is one that was made");
    })
}
