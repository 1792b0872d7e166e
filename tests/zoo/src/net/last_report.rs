//! Machines that report to a monitor how they are, in datagrams.

use core::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use mainspring_executor::Instant;
use mainspring_executor::net::UdpSocket;
use mainspring_executor::time::{now, sleep};
use mainspring_sim::harness::{Run, Setup};
use mainspring_sim::{Host, WorldConfig};

use super::line::{PORT, finish, ms};
use super::trouble;
use crate::specimen::{Specimen, Twin, specimen};

pub(super) const LAST_REPORT: Specimen = specimen!(
    "last-report",
    "a machine whose kernel has no memory for a part of its report never reports again",
    search: "a long report while there is no memory for sockets (ENOBUFS)",
    source: "liboping #28",
    run,
);

const PAUSE_MS: u64 = 1_000;

const PART_BYTES: usize = 1_400;

/// When the machines were heard the last time.
type Heard = Rc<RefCell<BTreeMap<u8, Instant>>>;

async fn listen_to_all(heard: Heard) {
    let socket = UdpSocket::bind(([0, 0, 0, 0], PORT).into()).expect("the port is free");
    loop {
        let mut machine = [0];
        if socket.recv_from(&mut machine).await.is_ok() {
            heard.borrow_mut().insert(machine[0], now());
        }
    }
}

/// Reports of so many parts, until `end`.
async fn report(monitor: Host, machine: u8, parts: u64, end: Instant, twin: Twin) {
    let socket = UdpSocket::bind(([0, 0, 0, 0], 0).into()).expect("a port is free");
    while now() < end {
        for _ in 0..parts {
            let part = [machine; PART_BYTES];
            while socket.send_to(&part, monitor.address(PORT)).await.is_err() {
                if !twin.is_fixed() {
                    return;
                }
                sleep(ms(50)).await;
            }
        }
        sleep(ms(PAUSE_MS)).await;
    }
}

fn run(setup: &Setup, twin: Twin) -> Result<Run, String> {
    let world = setup.world(WorldConfig { datagram_loss_permille: 0, ..WorldConfig::rough() });
    let monitor = world.host("monitor");
    let machines = 1 + world.choose(5);
    let heard = Heard::default();
    monitor.spawn(listen_to_all(Rc::clone(&heard)));
    let end = Instant::START + ms(30_000);
    for machine in 0..machines {
        let host = world.host(&format!("machine-{machine}"));
        let (after, length) = (ms(host.choose(20_000)), ms(host.choose(3_000)));
        trouble::no_memory(&world, &host, after, length);
        let number = u8::try_from(machine).expect("few machines");
        heard.borrow_mut().insert(number, Instant::START);
        host.run(report(monitor.clone(), number, 1 + host.choose(6), end, twin));
    }
    let run = finish(&world, &[&monitor], machines)?;
    let is_heard = |last: &Instant| *last + ms(5_000) >= end;
    assert!(heard.borrow().values().all(is_heard), "a machine that is there is heard");
    Ok(run)
}
