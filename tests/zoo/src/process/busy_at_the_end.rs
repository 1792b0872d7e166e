//! A worker that looks at its signals between two jobs, and a job that takes longer than one waits for its end.

use core::cell::Cell;
use core::time::Duration;
use std::rc::Rc;

use mainspring_executor::driver::Signal;
use mainspring_executor::signal::Signals;
use mainspring_executor::time::{now, sleep};
use mainspring_executor::{Instant, select};
use mainspring_sim::harness::{Run, Setup, conclude};
use mainspring_sim::{Host, WorldConfig};

use crate::net::line::ms;
use crate::specimen::{Specimen, Twin, specimen};

pub(super) const BUSY_AT_THE_END: Specimen = specimen!(
    "busy-at-the-end",
    "SIGTERM is looked at between two jobs, however long these take",
    search: "SIGTERM at the begin of a long job",
    source: "",
    run,
);

/// After so long the service manager kills.
const GRACE: Duration = Duration::from_secs(10);

/// A job in steps: between them it can be put back.
async fn job(on: &Host, mut signals: Option<&mut Signals>) -> bool {
    // One in twenty takes a quarter of a minute.
    let steps = if on.choose(20) == 19 { 30 } else { 1 + on.choose(10) };
    for _ in 0..steps {
        let step = sleep(ms(500));
        match &mut signals {
            None => step.await,
            Some(signals) => select! {
                () = step => {}
                _signal = signals.next() => return false,
            },
        }
    }
    true
}

async fn work(on: Host, end: Rc<Cell<Option<Instant>>>, twin: Twin) {
    let mut signals = Signals::subscribe().expect("signals can be watched");
    loop {
        // Jobs come now and then.
        let pause = sleep(ms(100 + on.choose(2_000)));
        select! {
            biased;
            _signal = signals.next() => break,
            () = pause => {}
        }
        let watched = if twin.is_fixed() { Some(&mut signals) } else { None };
        if !job(&on, watched).await {
            break;
        }
    }
    end.set(Some(now()));
}

fn run(setup: &Setup, twin: Twin) -> Result<Run, String> {
    let world = setup.world(WorldConfig::rough());
    let host = world.host("worker");
    let end = Rc::new(Cell::new(None));
    host.run(work(host.clone(), Rc::clone(&end), twin));
    let asked = Instant::START + ms(1_000 + world.choose(300_000));
    let told = host.clone();
    world.at(asked, move |_| told.signal(Signal::Terminate));
    let run = conclude(&world, 1)?;
    let end = end.get().expect("the run is over when it has ended");
    assert!(end - asked <= GRACE, "who is told to end has ended before it is killed");
    Ok(run)
}
