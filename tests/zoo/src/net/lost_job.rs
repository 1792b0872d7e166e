//! A queue of jobs that forgets a job when it gives it to a worker.

use core::cell::RefCell;
use std::collections::{BTreeSet, VecDeque};
use std::rc::Rc;

use mainspring_executor::Instant;
use mainspring_executor::net::TcpStream;
use mainspring_executor::time::{now, sleep, sleep_until, timeout};
use mainspring_sim::harness::{Run, Setup};
use mainspring_sim::{Host, WorldConfig};

use super::line::{PORT, ask, finish, hear, ms, say, serve};
use crate::specimen::{Specimen, Twin, specimen};

pub(super) const LOST_JOB: Specimen = specimen!(
    "lost-job",
    "a job is gone with the worker that had it",
    search: "a worker that crashes while it works",
    source: "",
    run,
);

#[derive(Default)]
struct Queue {
    waiting: RefCell<VecDeque<u64>>,
    done: RefCell<BTreeSet<u64>>,
}

/// `next` gives a job, or "none"; `done JOB` takes it back.
async fn give(mut stream: TcpStream, queue: Rc<Queue>, twin: Twin) {
    let mut given = None;
    // One that says nothing for so long is gone.
    while let Ok(Some(request)) = timeout(ms(2_000), hear(&mut stream)).await {
        let answer = match request.strip_prefix("done ") {
            Some(job) => {
                queue.done.borrow_mut().insert(job.parse().expect("jobs are numbers"));
                given = None;
                "ok".to_owned()
            }
            None => {
                given = queue.waiting.borrow_mut().pop_front();
                given.map_or_else(|| "none".to_owned(), |job| job.to_string())
            }
        };
        if say(&mut stream, answer).await.is_err() {
            break;
        }
    }
    if twin.is_fixed() {
        queue.waiting.borrow_mut().extend(given);
    }
}

/// Works until `end`.
async fn work(queue: Host, on: Host, end: Instant) {
    while now() < end {
        let Ok(mut stream) = TcpStream::connect(queue.address(PORT)).await else { continue };
        while now() < end {
            let Some(job) = ask(&mut stream, "next").await else { break };
            if job == "none" {
                sleep(ms(500)).await;
                continue;
            }
            sleep(ms(20 + on.choose(200))).await;
            if ask(&mut stream, format!("done {job}")).await.is_none() {
                break;
            }
        }
    }
}

fn run(setup: &Setup, twin: Twin) -> Result<Run, String> {
    let world = setup.world(WorldConfig::rough());
    let host = world.host("queue");
    let queue = Rc::new(Queue::default());
    let jobs = 1 + world.choose(40);
    queue.waiting.borrow_mut().extend(0..jobs);
    let giving = Rc::clone(&queue);
    host.spawn(serve(move |stream| give(stream, Rc::clone(&giving), twin)));
    let workers = 1 + world.choose(5);
    let end = Instant::START + ms(10_000);
    host.run(async move { sleep_until(end).await });
    for number in 0..workers {
        let worker = world.host(&format!("worker-{number}"));
        worker.run(work(host.clone(), worker.clone(), end));
        // One in three crashes, and is back soon; each has some time to make up for the others.
        if worker.choose(3) == 2 {
            let (at, host) = (Instant::START + ms(worker.choose(2_000)), host.clone());
            world.at(at, move |world| {
                worker.crash();
                world.at(world.now() + ms(500), move |_| {
                    worker.restart();
                    worker.run(work(host, worker.clone(), end));
                });
            });
        }
    }
    let run = finish(&world, &[&host], jobs)?;
    assert_eq!(queue.done.borrow().len() as u64, jobs, "each job is done");
    Ok(run)
}
