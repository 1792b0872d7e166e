//! A counter with a log of what was added, and a snapshot that takes the place of the log.

use core::cell::Cell;
use std::io;
use std::rc::Rc;

use mainspring_executor::file::{self, File, OpenOptions};
use mainspring_executor::time::sleep;
use mainspring_sim::harness::{Run, Setup};
use mainspring_sim::{Host, WorldConfig};

use super::journal::{Power, crash_and_look, folder, open, read, sync_folder};
use crate::net::line::ms;
use crate::specimen::{Specimen, Twin, specimen};

pub(super) const REPLAYED_TWICE: Specimen = specimen!(
    "replayed-twice",
    "what the snapshot has already is added again from the log",
    search: "a crash between the snapshot and the cut of the log",
    source: "turso #5109",
    run,
);

const SNAPSHOT_EVERY: u64 = 5;

/// Puts number and sum of all additions where the last snapshot was.
async fn snapshot(power: &Power, number: u64, sum: u64) -> io::Result<()> {
    let anew = OpenOptions::new().write(true).create(true).truncate(true);
    let next = anew.open(folder(), "snapshot.new".into()).await?;
    next.write_at(0, format!("{number} {sum}")).await?;
    next.sync_all().await?;
    file::rename(folder(), "snapshot.new".into(), "snapshot".into()).await?;
    sync_folder().await?;
    power.may_go().await;
    Ok(())
}

async fn count(on: Host, sums: Rc<Cell<[u64; 2]>>) -> io::Result<()> {
    let log: File = open("log").await?;
    sync_folder().await?;
    let (mut sum, power) = (0, Power::of(&on, 200));
    for number in 1..=1 + on.choose(200) {
        let more = 1 + on.choose(100);
        sums.set([sum, sum + more]);
        sum += more;
        log.append(format!("{number} {more}\n")).await?;
        power.may_go().await;
        log.sync_data().await?;
        sums.set([sum, sum]);
        if number % SNAPSHOT_EVERY == 0 {
            snapshot(&power, number, sum).await?;
            log.set_length(0).await?;
            log.sync_data().await?;
        }
        sleep(ms(on.choose(20))).await;
    }
    Ok(())
}

/// The numbers of a line; `None` where a crash has left a part of it.
fn numbers(line: &str) -> Option<(u64, u64)> {
    let (number, value) = line.split_once(' ')?;
    Some((number.parse().ok()?, value.parse().ok()?))
}

async fn recover(twin: Twin) -> u64 {
    let (last, mut sum) = numbers(&read("snapshot").await).unwrap_or((0, 0));
    let log = read("log").await;
    for line in log.split_inclusive('\n').filter(|line| line.ends_with('\n')) {
        let Some((number, more)) = numbers(line.trim_end()) else { continue };
        if number > last || !twin.is_fixed() {
            sum += more;
        }
    }
    sum
}

fn run(setup: &Setup, twin: Twin) -> Result<Run, String> {
    let world = setup.world(WorldConfig::rough());
    let host = world.host("service");
    host.add_folder(folder());
    let sums = Rc::new(Cell::new([0, 0]));
    let counting = count(host.clone(), Rc::clone(&sums));
    host.run(async move { counting.await.expect("the disk is in order") });
    crash_and_look(&world, &host, async move {
        let sum = recover(twin).await;
        // The last addition was done, or was not yet.
        assert!(sums.get().contains(&sum), "each addition counts once");
    })
}
