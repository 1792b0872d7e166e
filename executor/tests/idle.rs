//! What a watched process costs while it has nothing to do. Alone in its process: the watchdog looks at all shards of it.
#![expect(clippy::unwrap_used, reason = "a test: an unwrap asserts")]
#![expect(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "it looks at threads from outside"
)]
#![cfg(target_os = "linux")]

use core::future::pending;
use core::time::Duration;
use std::rc::Rc;
use std::thread;

use mainspring_executor::os::OsDriver;
use mainspring_executor::{Shard, ShardHandle, handle};

/// So short that a watchdog that looks is seen at once.
const BUDGET: Duration = Duration::from_millis(4);

/// How often the watchdog was off its core so far, of its own will or not. `None` before it has run at all.
fn switches() -> Option<u64> {
    let threads = std::fs::read_dir("/proc/self/task").unwrap();
    let status = threads.filter_map(|thread| {
        let path = thread.unwrap().path();
        let name = std::fs::read_to_string(path.join("comm")).ok()?;
        (name == "watchdog\n").then(|| std::fs::read_to_string(path.join("status")).unwrap())
    });
    let status: Vec<String> = status.collect();
    assert!(status.len() <= 1, "one watchdog for all shards");
    let counts = status.first()?.lines().filter(|line| line.contains("voluntary_ctxt_switches"));
    Some(counts.map(|line| line.rsplit('\t').next().unwrap().parse::<u64>().unwrap()).sum())
}

/// Whether the watchdog did nothing at all for ten budgets. If not, asks again, as often as a slow machine may need.
fn comes_to_rest() -> bool {
    (0..100).any(|_| {
        let before = switches();
        thread::sleep(10 * BUDGET);
        before.is_some() && switches() == before
    })
}

#[test]
fn while_all_shards_wait_the_watchdog_sleeps_and_it_wakes_with_them() {
    let (tell, told) = std::sync::mpsc::channel::<ShardHandle>();
    for _ in 0..2 {
        let tell = tell.clone();
        thread::spawn(move || {
            let driver = OsDriver::new().and_then(|driver| driver.watchdog(BUDGET)).unwrap();
            let shard = Shard::new(Rc::new(driver));
            shard
                .run(async move {
                    tell.send(handle()).unwrap();
                    pending::<()>().await;
                })
                .unwrap();
        });
    }
    let shards = [told.recv().unwrap(), told.recv().unwrap()];
    for shard in &shards {
        assert!(comes_to_rest(), "it goes on looking at shards that wait");
        // Blocks the shard until it is found out.
        let stalls = shard.metrics();
        let woken = shard.spawn(move || async move {
            let started = std::time::Instant::now();
            while stalls.snapshot().stalls == 0 {
                assert!(started.elapsed() < Duration::from_secs(60), "it slept on");
                thread::sleep(Duration::from_millis(1));
            }
        });
        let here = Shard::new(Rc::new(OsDriver::new().unwrap()));
        here.run(woken).unwrap().expect("it is found out");
    }
    assert!(comes_to_rest(), "it goes on looking at shards that wait");
}
