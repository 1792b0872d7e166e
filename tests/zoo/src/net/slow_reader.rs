//! A hub that keeps for each subscriber what it could not write yet.

use core::cell::Cell;
use std::collections::VecDeque;
use std::rc::Rc;

use mainspring_executor::net::TcpStream;
use mainspring_executor::select;
use mainspring_executor::sync::broadcast;
use mainspring_executor::time::sleep;
use mainspring_sim::WorldConfig;
use mainspring_sim::harness::{Run, Setup};

use super::line::{PORT, finish, hear, ms, say, serve};
use super::trouble;
use crate::specimen::{Specimen, Twin, specimen};

pub(super) const SLOW_READER: Specimen = specimen!(
    "slow-reader",
    "what a subscriber does not read piles up in the hub",
    search: "a subscriber that stands still for a while",
    source: "",
    run,
);

/// Messages that the hub has memory for, for each subscriber.
const WAITING_MAX: usize = 16;

/// Passes on what is said, as fast as the subscriber reads.
async fn feed(
    mut stream: TcpStream,
    mut said: broadcast::Receiver<u64>,
    most: Rc<Cell<usize>>,
    twin: Twin,
) {
    let mut waiting = VecDeque::new();
    loop {
        while let Some(message) = waiting.pop_front() {
            let line = format!("{message:0>200}");
            let mut writing = core::pin::pin!(say(&mut stream, line));
            loop {
                select! {
                    written = &mut writing => match written {
                        Ok(()) => break,
                        Err(_) => return,
                    },
                    Ok(message) = said.recv() => waiting.push_back(message),
                }
                most.set(most.get().max(waiting.len()));
                // It may come back, and begin anew.
                if twin.is_fixed() && waiting.len() >= WAITING_MAX {
                    return;
                }
            }
        }
        let Ok(message) = said.recv().await else { return };
        waiting.push_back(message);
    }
}

fn run(setup: &Setup, twin: Twin) -> Result<Run, String> {
    let small = WorldConfig {
        send_buffer_bytes: 512,
        recv_buffer_bytes: 512,
        short_reads: false,
        short_writes: false,
        ..WorldConfig::rough()
    };
    let world = setup.world(small);
    let hub = world.host("hub");
    let (sayer, _) = broadcast::channel(64);
    let most = Rc::new(Cell::new(0));
    let (counted, subscriptions) = (Rc::clone(&most), sayer.clone());
    hub.spawn(serve(move |stream| {
        feed(stream, subscriptions.subscribe(), Rc::clone(&counted), twin)
    }));
    let (subscribers, messages) = (1 + world.choose(10), 1 + world.choose(100));
    for number in 0..subscribers {
        let host = world.host(&format!("subscriber-{number}"));
        let address = hub.address(PORT);
        host.spawn(async move {
            let mut stream = TcpStream::connect(address).await.expect("the hub listens");
            while hear(&mut stream).await.is_some() {}
        });
        // One in four collects garbage, some time.
        if host.choose(4) == 3 {
            let (at, duration) = (host.choose(4_000), host.choose(10_000));
            trouble::pause(&world, &host, ms(at), ms(duration));
        }
    }
    hub.run(async move {
        sleep(ms(100)).await;
        for message in 0..messages {
            // Nobody may be there any more.
            let _ = sayer.send(message);
            sleep(ms(50)).await;
        }
    });
    world.run().map_err(|failure| failure.to_string())?;
    assert!(most.get() <= WAITING_MAX, "what waits for a subscriber is bounded");
    let names = (0..subscribers).map(|number| format!("subscriber-{number}"));
    let hosts: Vec<_> = names.filter_map(|name| world.find(&name)).collect();
    let services: Vec<_> = hosts.iter().chain([&hub]).collect();
    finish(&world, &services, messages)
}
