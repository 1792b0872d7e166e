//! Readings in datagrams, with a number of one byte, of which the highest is taken for the newest.

use core::cell::Cell;
use std::rc::Rc;

use mainspring_executor::net::UdpSocket;
use mainspring_executor::time::sleep;
use mainspring_sim::WorldConfig;
use mainspring_sim::harness::{Run, Setup};

use super::line::{PORT, finish, ms};
use crate::specimen::{Specimen, Twin, specimen};

pub(super) const SEQUENCE_WRAP: Specimen = specimen!(
    "sequence-wrap",
    "after number 255 comes number 0, and counts as old",
    search: "a sensor whose numbers have come so far",
    source: "RFC 1982",
    run,
);

/// Keeps the newest reading of each sensor: two bytes, sensor and number.
async fn keep(newest: Rc<[Cell<Option<u8>>]>, twin: Twin) {
    let socket = UdpSocket::bind(([0, 0, 0, 0], PORT).into()).expect("the port is free");
    loop {
        let mut reading = [0; 2];
        if socket.recv_from(&mut reading).await.is_err() {
            continue;
        }
        let [sensor, number] = reading;
        let newest = &newest[usize::from(sensor)];
        let is_newer = newest.get().is_none_or(|newest| match twin {
            Twin::Buggy => number > newest,
            // RFC 1982 §3.2: ahead by less than half of all numbers.
            Twin::Fixed => (1..128).contains(&number.wrapping_sub(newest)),
        });
        if is_newer {
            newest.set(Some(number));
        }
    }
}

fn run(setup: &Setup, twin: Twin) -> Result<Run, String> {
    let world = setup.world(WorldConfig { datagram_loss_permille: 0, ..WorldConfig::rough() });
    let service = world.host("service");
    let sensors = 1 + world.choose(20);
    let newest: Rc<[Cell<Option<u8>>]> = (0..sensors).map(|_| Cell::new(None)).collect();
    service.spawn(keep(Rc::clone(&newest), twin));
    let mut last = Vec::new();
    for sensor in 0..sensors {
        let host = world.host(&format!("sensor-{sensor}"));
        let small = |number: u64| u8::try_from(number).expect("it is below 256");
        // It has been on for some time.
        let (start, count) = (small(host.choose(256)), small(1 + host.choose(30)));
        last.push(Some(start.wrapping_add(count - 1)));
        let address = service.address(PORT);
        host.run(async move {
            let socket = UdpSocket::bind(([0, 0, 0, 0], 0).into()).expect("a port is free");
            for number in 0..count {
                let reading = [small(sensor), start.wrapping_add(number)];
                socket.send_to(&reading, address).await.expect("it is short");
                sleep(ms(10)).await;
            }
        });
    }
    let run = finish(&world, &[&service], sensors)?;
    let newest: Vec<Option<u8>> = newest.iter().map(Cell::get).collect();
    assert_eq!(newest, last, "the newest reading of each sensor is known");
    Ok(run)
}
