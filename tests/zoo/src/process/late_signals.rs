//! A service that takes a lock file when it starts and gives it back when it is told to end; signals it watches a little later.

use std::io;

use mainspring_executor::driver::Signal;
use mainspring_executor::file::{self, OpenOptions};
use mainspring_executor::signal::Signals;
use mainspring_executor::time::sleep;
use mainspring_sim::WorldConfig;
use mainspring_sim::harness::{Run, Setup, conclude};

use crate::net::line::ms;
use crate::specimen::{Specimen, Twin, specimen};

pub(super) const LATE_SIGNALS: Specimen = specimen!(
    "late-signals",
    "a service that is told to end while it starts leaves its lock behind",
    search: "SIGTERM between the lock and the watch for signals",
    source: "",
    run,
);

async fn service(twin: Twin) -> io::Result<()> {
    let early = if twin.is_fixed() { Some(Signals::subscribe()?) } else { None };
    let new = OpenOptions::new().write(true).create_new(true);
    let lock = new.open("/run".into(), "lock".into()).await?;
    // It reads what it needs.
    let settings = file::read("/etc".into(), "settings".into(), 1000).await?;
    let mut signals = match early {
        Some(signals) => signals,
        None => Signals::subscribe()?,
    };
    drop((lock, settings));
    signals.next().await?;
    file::remove("/run".into(), "lock".into()).await
}

fn run(setup: &Setup, twin: Twin) -> Result<Run, String> {
    let world = setup.world(WorldConfig::rough());
    let host = world.host("service");
    host.add_folder("/run");
    host.add_file("/etc", "settings", b"none");
    // Deployments come one after the other, each some time after the last.
    let deployments = 1 + world.choose(40);
    let manager = world.host("manager");
    let (on, to) = (manager.clone(), host.clone());
    manager.run(async move {
        for _ in 0..deployments {
            let started = to.spawn(service(twin));
            sleep(ms(10_000 - on.choose(10_000))).await;
            to.signal(Signal::Terminate);
            sleep(ms(1_000)).await;
            match started.await {
                Ok(ended) => ended.expect("nobody else has the lock"),
                // It was killed.
                Err(_) => to.restart(),
            }
        }
    });
    conclude(&world, deployments)
}
