//! A service that works off what has come, in order, for clients that ask again when they have waited for long enough.

use core::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;

use mainspring_executor::Instant;
use mainspring_executor::net::UdpSocket;
use mainspring_executor::sync::Notify;
use mainspring_executor::time::{now, sleep, timeout};
use mainspring_sim::harness::{Run, Setup};
use mainspring_sim::{Host, WorldConfig};

use super::line::{PORT, finish, ms};
use super::trouble;
use crate::specimen::{Specimen, Twin, specimen};

pub(super) const METASTABLE: Specimen = specimen!(
    "metastable",
    "a service stays down after a pause, busy with requests that nobody waits for any more",
    search: "a pause, with enough clients",
    source: "Bronson et al., Metastable Failures in Distributed Systems, HotOS 2021",
    run,
);

const WORK_MS: u64 = 400;
const PATIENCE_MS: u64 = 800;
/// There and back.
const TRAVEL_MS: u64 = 100;

struct Request {
    came: Instant,
    peer: core::net::SocketAddr,
    number: u8,
}

#[derive(Default)]
struct Queue {
    requests: RefCell<VecDeque<Request>>,
    grew: Notify,
}

async fn take_in(socket: Rc<UdpSocket>, queue: Rc<Queue>) {
    loop {
        let mut number = [0];
        let Ok(received) = socket.recv_from(&mut number).await else { continue };
        let request = Request { came: now(), peer: received.peer, number: number[0] };
        queue.requests.borrow_mut().push_back(request);
        queue.grew.notify_one();
    }
}

async fn work_off(socket: Rc<UdpSocket>, queue: Rc<Queue>, twin: Twin) {
    loop {
        let next = queue.requests.borrow_mut().pop_front();
        let Some(request) = next else {
            queue.grew.notified().await;
            continue;
        };
        // Who came so long ago has given up before the answer is there.
        if twin.is_fixed() && now() - request.came >= ms(PATIENCE_MS - WORK_MS - TRAVEL_MS) {
            continue;
        }
        sleep(ms(WORK_MS)).await;
        socket.send_to(&[request.number], request.peer).await.expect("it is short");
    }
}

/// Asks until there is an answer, then rests; until `end`. Tells when it had its last answer.
async fn ask_on(service: Host, rest_ms: u64, end: Instant, last: Rc<Cell<Instant>>) {
    let socket = UdpSocket::bind(([0, 0, 0, 0], 0).into()).expect("a port is free");
    let mut number = 0;
    while now() < end {
        number = (number + 1) % 250;
        socket.send_to(&[number], service.address(PORT)).await.expect("it is short");
        let mut answer = [0];
        let answered =
            async { while socket.recv_from(&mut answer).await.is_err() || answer[0] != number {} };
        if timeout(ms(PATIENCE_MS), answered).await.is_ok() {
            last.set(last.get().max(now()));
            sleep(ms(rest_ms)).await;
        }
    }
}

fn run(setup: &Setup, twin: Twin) -> Result<Run, String> {
    let world = setup.world(WorldConfig { datagram_loss_permille: 0, ..WorldConfig::rough() });
    let service = world.host("service");
    let queue = Rc::new(Queue::default());
    service.spawn(async move {
        let socket = UdpSocket::bind(([0, 0, 0, 0], PORT).into()).expect("the port is free");
        let socket = Rc::new(socket);
        let taking = mainspring_executor::spawn(take_in(Rc::clone(&socket), Rc::clone(&queue)));
        work_off(socket, queue, twin).await;
        taking.abort();
    });
    let pause = world.choose(6_000);
    trouble::pause(&world, &service, ms(2_000), ms(pause));
    // Long after the pause.
    let end = Instant::START + ms(16_000);
    let last = Rc::new(Cell::new(Instant::START));
    let clients = 1 + world.choose(8);
    for number in 0..clients {
        let host = world.host(&format!("client-{number}"));
        let rest = 3_000 + host.choose(1_000);
        let asking = ask_on(service.clone(), rest, end, Rc::clone(&last));
        host.run(async move {
            sleep(ms(number * 450)).await;
            asking.await;
        });
    }
    let run = finish(&world, &[&service], clients)?;
    assert!(last.get() + ms(5_000) >= end, "a service that is back answers");
    Ok(run)
}
