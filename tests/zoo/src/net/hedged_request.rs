//! A front that asks a second replica where the first is slow, and takes the answer that comes first.

use core::cell::RefCell;
use core::time::Duration;
use std::rc::Rc;

use mainspring_executor::net::TcpStream;
use mainspring_executor::sync::mpsc;
use mainspring_executor::time::{sleep, timeout};
use mainspring_executor::{Scope, spawn};
use mainspring_sim::harness::{Run, Setup};
use mainspring_sim::{Host, WorldConfig};

use super::line::{answer_each, ask_once, finish, ms, serve};
use crate::specimen::{Specimen, Twin, specimen};

pub(super) const HEDGED_REQUEST: Specimen = specimen!(
    "hedged-request",
    "of two replicas that are asked, the one that loses is waited for for ever",
    search: "a replica that crashes while it is asked",
    source: "",
    run,
);

const HEDGE_AFTER: Duration = Duration::from_millis(100);

/// The first answer of two replicas; the second is asked where the first is slow.
async fn hedged(replicas: &[Host; 2], twin: Twin) -> Option<String> {
    let (answers, mut first) = mpsc::channel(2);
    let attempts = Scope::new();
    for replica in replicas {
        let (answers, replica) = (answers.clone(), replica.clone());
        let attempt = async move {
            if let Some(answer) = ask_once(&replica, "get").await {
                // The other one may have been first.
                let _ = answers.send(answer).await;
            }
        };
        match twin {
            Twin::Fixed => drop(attempts.spawn(attempt)),
            Twin::Buggy => drop(spawn(attempt)),
        }
        if let Ok(Some(answer)) = timeout(HEDGE_AFTER, first.recv()).await {
            return Some(answer);
        }
    }
    drop(answers);
    first.recv().await
}

async fn work(on: Host, stream: TcpStream) {
    let reply = async |_| {
        sleep(ms(on.choose(50))).await;
        "ok"
    };
    answer_each(stream, reply).await;
}

fn run(setup: &Setup, twin: Twin) -> Result<Run, String> {
    let world = setup.world(WorldConfig::rough());
    let replicas = ["one", "two"].map(|name| world.host(name));
    let start = |replica: &Host| {
        let on = replica.clone();
        replica.spawn(serve(move |stream| work(on.clone(), stream)));
    };
    replicas.iter().for_each(start);
    // One of them loses its power, or does not.
    if world.choose(2) == 1 {
        let crashed = replicas[0].clone();
        world.at(mainspring_executor::Instant::START + ms(world.choose(3_000)), move |_| {
            crashed.crash();
        });
    }
    let front = world.host("front");
    let answers = Rc::new(RefCell::new(0));
    let users = 1 + world.choose(10);
    for _ in 0..users {
        let (replicas, on, answers) = (replicas.clone(), front.clone(), Rc::clone(&answers));
        front.run(async move {
            for _ in 0..1 + on.choose(10) {
                sleep(ms(on.choose(500))).await;
                hedged(&replicas, twin).await.expect("one of them is there");
                *answers.borrow_mut() += 1;
            }
        });
    }
    front.run(async { sleep(ms(60_000)).await });
    world.run().map_err(|failure| failure.to_string())?;
    let left = front.shard().ledger().to_string();
    assert!(left.is_empty(), "nothing is left of requests that were answered:\n{left}");
    finish(&world, &[&replicas[0], &replicas[1]], users)
}
