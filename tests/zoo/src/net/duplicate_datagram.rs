//! Payments in datagrams that are sent again until they are acknowledged.

use core::cell::Cell;
use std::collections::BTreeSet;
use std::rc::Rc;

use mainspring_executor::net::UdpSocket;
use mainspring_executor::time::timeout;
use mainspring_sim::harness::{Run, Setup};
use mainspring_sim::{Host, WorldConfig};

use super::line::{PORT, finish, ms};
use crate::specimen::{Specimen, Twin, specimen};

pub(super) const DUPLICATE_DATAGRAM: Specimen = specimen!(
    "duplicate-datagram",
    "a payment that comes twice is booked twice",
    search: "a datagram that comes twice, or an acknowledgement that is lost",
    source: "",
    run,
);

/// Books what comes: two bytes, who pays and the number of the payment.
async fn book(total: Rc<Cell<u64>>, twin: Twin) {
    let socket = UdpSocket::bind(([0, 0, 0, 0], PORT).into()).expect("the port is free");
    let mut booked = BTreeSet::new();
    loop {
        let mut payment = [0; 2];
        let Ok(received) = socket.recv_from(&mut payment).await else { continue };
        let is_new = booked.insert(payment);
        if is_new || !twin.is_fixed() {
            total.set(total.get() + 1);
        }
        socket.send_to(&payment, received.peer).await.expect("it is short");
    }
}

/// Pays, and asks again until the bank has said that it knows.
async fn pay(bank: Host, payer: u8, count: u8) {
    let socket = UdpSocket::bind(([0, 0, 0, 0], 0).into()).expect("a port is free");
    for number in 0..count {
        let payment = [payer, number];
        loop {
            socket.send_to(&payment, bank.address(PORT)).await.expect("it is short");
            if timeout(ms(100), acknowledged(&socket, payment)).await.is_ok() {
                break;
            }
        }
    }
}

async fn acknowledged(socket: &UdpSocket, payment: [u8; 2]) {
    let mut answer = [0; 2];
    while socket.recv_from(&mut answer).await.is_err() || answer != payment {}
}

fn run(setup: &Setup, twin: Twin) -> Result<Run, String> {
    let world = setup.world(WorldConfig::rough());
    let bank = world.host("bank");
    let total = Rc::new(Cell::new(0));
    bank.spawn(book(Rc::clone(&total), twin));
    let (payers, mut sum) = (1 + world.choose_named("further payers", 60), 0);
    for payer in 0..payers {
        let host = world.host(&format!("payer-{payer}"));
        let count = 1 + host.choose_named("further payments", 8);
        sum += count;
        let small = |number| u8::try_from(number).expect("few pay little");
        host.run(pay(bank.clone(), small(payer), small(count)));
    }
    let run = finish(&world, &[&bank], sum)?;
    assert_eq!(total.get(), sum, "each payment is booked once");
    Ok(run)
}
