//! A mirror that follows a broadcast, and takes it for its end that it was too slow.

use core::cell::Cell;
use core::time::Duration;
use std::rc::Rc;

use mainspring_executor::sync::broadcast::{self, Receiver, RecvError};
use mainspring_executor::time::sleep;
use mainspring_sim::WorldConfig;
use mainspring_sim::harness::{Run, Setup, conclude};

use crate::specimen::{Specimen, Twin, specimen};

pub(super) const IGNORED_LAG: Specimen = specimen!(
    "ignored-lag",
    "a mirror that has missed messages of a broadcast takes that for its end, and stands still",
    search: "a burst, and a slow reader",
    source: "base/base #1221",
    run,
);

const CAPACITY: usize = 4;

fn run(setup: &Setup, twin: Twin) -> Result<Run, String> {
    let world = setup.world(WorldConfig::rough());
    let service = world.host("service");
    let (sender, receiver) = broadcast::channel(CAPACITY);
    let pauses: Vec<_> = (0..1 + world.choose(200)).map(|_| world.choose(10)).collect();
    let works: Vec<_> = (0..pauses.len()).map(|_| world.choose(10)).collect();
    let count = pauses.len() as u64;
    service.run(async move {
        for (version, pause) in (1..).zip(pauses) {
            sleep(Duration::from_millis(pause)).await;
            // It may be that nobody listens any more.
            let _ = sender.send(version);
        }
    });
    let mirrored = Rc::new(Cell::new(0));
    service.run(follow(receiver, works, Rc::clone(&mirrored), twin));
    let run = conclude(&world, count)?;
    assert_eq!(mirrored.get(), count, "the mirror stands still");
    Ok(run)
}

async fn follow(mut receiver: Receiver<u64>, works: Vec<u64>, mirrored: Rc<Cell<u64>>, twin: Twin) {
    let mut works = works.into_iter();
    loop {
        match receiver.recv().await {
            Ok(version) => mirrored.set(version),
            // The bug: it is not the end.
            Err(RecvError::Lagged(_)) if twin.is_fixed() => continue,
            Err(_) => return,
        }
        sleep(Duration::from_millis(works.next().unwrap_or(0))).await;
    }
}
