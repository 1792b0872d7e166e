//! A relay that says "queued" to who hands it a mail, and sends it later; or is told to end.

use core::cell::Cell;
use std::rc::Rc;

use mainspring_executor::driver::Signal;
use mainspring_executor::net::TcpStream;
use mainspring_executor::signal::Signals;
use mainspring_executor::sync::mpsc;
use mainspring_executor::time::sleep;
use mainspring_executor::{select, spawn};
use mainspring_sim::WorldConfig;
use mainspring_sim::harness::{Run, Setup, conclude};

use super::line::{PORT, ask, hear, ms, say, serve};
use crate::specimen::{Specimen, Twin, specimen};

pub(super) const DRAINED_QUEUE: Specimen = specimen!(
    "drained-queue",
    "what is queued and acknowledged is lost when the service is told to end",
    search: "SIGTERM while the queue is not empty",
    source: "stoq #6",
    run,
);

async fn take_in(mut stream: TcpStream, queue: mpsc::Sender<String>) {
    while let Some(mail) = hear(&mut stream).await {
        if queue.send(mail).await.is_err() || say(&mut stream, "queued").await.is_err() {
            return;
        }
    }
}

async fn relay(sent: Rc<Cell<u64>>, twin: Twin) {
    let mut signals = Signals::subscribe().expect("signals can be watched");
    let (queue, mut mails) = mpsc::channel(64);
    let intake = spawn(serve(move |stream| take_in(stream, queue.clone())));
    let send = async || {
        sleep(ms(50)).await;
        sent.set(sent.get() + 1);
    };
    loop {
        select! {
            Some(_mail) = mails.recv() => send().await,
            _signal = signals.next() => break,
        }
    }
    intake.abort();
    if twin.is_fixed() {
        mails.close();
        while mails.recv().await.is_some() {
            send().await;
        }
    }
}

fn run(setup: &Setup, twin: Twin) -> Result<Run, String> {
    let world = setup.world(WorldConfig::rough());
    let service = world.host("relay");
    let (sent, queued) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(0)));
    service.run(relay(Rc::clone(&sent), twin));
    let clients = 1 + world.choose(40);
    for number in 0..clients {
        let host = world.host(&format!("client-{number}"));
        let (queued, service, on) = (Rc::clone(&queued), service.clone(), host.clone());
        host.run(async move {
            sleep(ms(on.choose(2_000))).await;
            let connected = TcpStream::connect(service.address(PORT)).await;
            let Ok(mut stream) = connected else { return };
            for _ in 0..1 + on.choose(10) {
                if ask(&mut stream, "mail").await.is_none() {
                    return;
                }
                queued.set(queued.get() + 1);
            }
        });
    }
    let end = world.choose(3_000);
    let ending = service.clone();
    world.at(mainspring_executor::Instant::START + ms(end), move |_| {
        ending.signal(Signal::Terminate);
    });
    let run = conclude(&world, clients)?;
    assert!(sent.get() >= queued.get(), "what was queued is sent");
    Ok(run)
}
