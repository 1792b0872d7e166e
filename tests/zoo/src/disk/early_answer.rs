//! A store that writes what it is given into a log, and puts the log on the disk now and then.

use core::cell::{Cell, RefCell};
use std::rc::Rc;

use mainspring_executor::file::File;
use mainspring_executor::sync::Notify;
use mainspring_executor::time::sleep;
use mainspring_executor::{Scope, select};
use mainspring_sim::harness::{Run, Setup};
use mainspring_sim::{Host, WorldConfig};

use super::journal::{Power, crash_and_look, folder, open, read, sync_folder};
use crate::net::line::ms;
use crate::specimen::{Specimen, Twin, specimen};

pub(super) const EARLY_ANSWER: Specimen = specimen!(
    "early-answer",
    "what is written is acknowledged before it is on the disk",
    search: "a crash between two syncs",
    source: "",
    run,
);

/// A log that many write to, and one puts on the disk for all.
struct Log {
    file: File,
    synced: Cell<u64>,
    advanced: Notify,
    twin: Twin,
}

impl Log {
    async fn put(&self, record: &str) {
        self.file.append(format!("{record}\n")).await.expect("the disk is in order");
        if self.twin.is_fixed() {
            // A sync that began after the write: the next one, or the one after it.
            let next = self.synced.get() + 2;
            while self.synced.get() < next {
                self.advanced.notified().await;
            }
        }
    }

    async fn sync_on(&self) {
        loop {
            sleep(ms(20)).await;
            self.file.sync_data().await.expect("the disk is in order");
            self.synced.set(self.synced.get() + 1);
            self.advanced.notify_waiters();
        }
    }
}

/// Opens the log, and lets writers write to it.
async fn store(on: Host, acknowledged: Rc<RefCell<Vec<String>>>, twin: Twin) {
    let file = open("log").await.expect("the folder is there");
    sync_folder().await.expect("the folder is there");
    let log = Log { file, synced: Cell::new(0), advanced: Notify::new(), twin };
    let log = Rc::new(log);
    let (writers, power) = (Scope::new(), Rc::new(Power::of(&on, 300)));
    for writer in 0..1 + on.choose(8) {
        let (log, acknowledged) = (Rc::clone(&log), Rc::clone(&acknowledged));
        let (on, power) = (on.clone(), Rc::clone(&power));
        drop(writers.spawn(async move {
            for number in 0..1 + on.choose(20) {
                sleep(ms(on.choose(20))).await;
                let record = format!("record {number} of {writer}");
                log.put(&record).await;
                acknowledged.borrow_mut().push(record);
                power.may_go().await;
            }
        }));
    }
    select! {
        () = log.sync_on() => {}
        ended = writers.join() => ended.expect("no writer panics"),
    }
}

fn run(setup: &Setup, twin: Twin) -> Result<Run, String> {
    let world = setup.world(WorldConfig::rough());
    let host = world.host("store");
    host.add_folder(folder());
    let acknowledged = Rc::new(RefCell::default());
    host.run(store(host.clone(), Rc::clone(&acknowledged), twin));
    crash_and_look(&world, &host, async move {
        let log = read("log").await;
        for record in &*acknowledged.borrow() {
            assert!(log.lines().any(|line| line == record), "what is acknowledged is there");
        }
    })
}
