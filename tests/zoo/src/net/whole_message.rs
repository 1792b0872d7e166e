//! A collector that takes what one read gives for one report.

use core::cell::Cell;
use std::rc::Rc;

use mainspring_executor::net::TcpStream;
use mainspring_sim::WorldConfig;
use mainspring_sim::harness::{Run, Setup};

use super::line::{PORT, ask, finish, hear, say, serve};
use crate::specimen::{Specimen, Twin, specimen};

pub(super) const WHOLE_MESSAGE: Specimen = specimen!(
    "whole-message",
    "what one read gives is taken for one message",
    search: "a message that arrives in pieces",
    source: "",
    run,
);

/// Adds up what the meters report, a number a line.
async fn collect(mut stream: TcpStream, total: Rc<Cell<u64>>, twin: Twin) {
    while let Some(report) = next_report(&mut stream, twin).await {
        total.set(total.get() + report.trim_end().parse::<u64>().unwrap_or(0));
        if say(&mut stream, "ok").await.is_err() {
            return;
        }
    }
}

async fn next_report(stream: &mut TcpStream, twin: Twin) -> Option<String> {
    if twin.is_fixed() {
        return hear(stream).await;
    }
    let mut report = [0; 64];
    let count = stream.read(&mut report).await.ok().filter(|count| *count > 0)?;
    Some(String::from_utf8_lossy(&report[..count]).into_owned())
}

fn run(setup: &Setup, twin: Twin) -> Result<Run, String> {
    let world = setup.world(WorldConfig::rough());
    let collector = world.host("collector");
    let total = Rc::new(Cell::new(0));
    let counted = Rc::clone(&total);
    collector.spawn(serve(move |stream| collect(stream, Rc::clone(&counted), twin)));
    let (meters, mut sum) = (1 + world.choose(100), 0);
    let meter = world.host("meters");
    for _ in 0..meters {
        let reports: Vec<u64> =
            (0..1 + meter.choose(8)).map(|_| 10 + meter.choose(1_000_000)).collect();
        sum += reports.iter().sum::<u64>();
        let collector = collector.clone();
        meter.run(async move {
            let connected = TcpStream::connect(collector.address(PORT)).await;
            let mut stream = connected.expect("the collector listens");
            for report in reports {
                ask(&mut stream, report).await.expect("it is taken");
            }
        });
    }
    let run = finish(&world, &[&collector], meters)?;
    assert_eq!(total.get(), sum, "all reports are counted");
    Ok(run)
}
