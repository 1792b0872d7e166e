//! Workers that take jobs from a queue: a job that panics takes its worker with it, and nobody makes another.

use core::time::Duration;
use std::rc::Rc;

use mainspring_executor::spawn;
use mainspring_executor::sync::mpsc::{self, Receiver};
use mainspring_executor::sync::{Mutex, oneshot};
use mainspring_executor::time::sleep;
use mainspring_sim::WorldConfig;
use mainspring_sim::harness::{Run, Setup, conclude};

use crate::specimen::{Specimen, Twin, specimen};
use crate::visitor::{visit_count, visitors};

pub(super) const DEAD_WORKERS: Specimen = specimen!(
    "dead-workers",
    "each job that panics ends a worker, until none is left and the queue stands still",
    search: "as many bad jobs as there are workers",
    source: "",
    run,
);

const WORKERS: u64 = 2;

struct Job {
    is_bad: bool,
    answer: oneshot::Sender<()>,
}

fn run(setup: &Setup, twin: Twin) -> Result<Run, String> {
    let world = setup.world(WorldConfig::rough());
    let service = world.host("service");
    let (jobs, queue) = mpsc::channel::<Job>(64);
    let queue = Rc::new(Mutex::new(queue));
    for _ in 0..WORKERS {
        service.spawn(work(Rc::clone(&queue), twin));
    }
    let clients = visitors(&world, 16, 12, 100);
    let count = visit_count(&clients);
    for mut client in clients {
        let jobs = jobs.clone();
        service.run(async move {
            while client.comes().await {
                // One input in a hundred is one that nobody thought of.
                let is_bad = client.once_in(100);
                let (answer, answered) = oneshot::channel();
                assert!(jobs.send(Job { is_bad, answer }).await.is_ok(), "the queue is open");
                // A bad job has no answer.
                assert!(answered.await.is_ok() || is_bad, "a good job has an answer");
            }
        });
    }
    drop((jobs, queue));
    conclude(&world, count)
}

async fn work(queue: Rc<Mutex<Receiver<Job>>>, twin: Twin) {
    loop {
        let job = queue.lock().await.recv().await;
        let Some(job) = job else { return };
        if twin.is_fixed() {
            // A panic ends this task, and is known here.
            let _ = spawn(handle(job)).await;
        } else {
            handle(job).await;
        }
    }
}

async fn handle(Job { is_bad, answer }: Job) {
    sleep(Duration::from_millis(2)).await;
    assert!(!is_bad, "an input that nobody thought of");
    // Who asked may have gone.
    let _ = answer.send(());
}
