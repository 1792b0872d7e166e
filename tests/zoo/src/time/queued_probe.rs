//! A queue of jobs, first come, first served, in which the probe that says whether the service is well waits as well.

use core::cell::{Cell, RefCell};
use core::time::Duration;
use std::collections::VecDeque;
use std::rc::Rc;

use mainspring_executor::sync::{Notify, oneshot};
use mainspring_executor::time::{now, sleep};
use mainspring_sim::WorldConfig;
use mainspring_sim::harness::{Run, Setup, conclude};

use crate::specimen::{Specimen, Twin, specimen};
use crate::visitor::{visit_count, visitors};

pub(super) const QUEUED_PROBE: Specimen = specimen!(
    "queued-probe",
    "a health probe stands in line behind the jobs, and a busy service is killed as a dead one",
    search: "ten jobs in front of a probe",
    source: "",
    run,
);

const JOB: Duration = Duration::from_millis(20);
const PROBE_TIME_MAX: Duration = Duration::from_millis(200);

struct Job {
    time: Duration,
    done: oneshot::Sender<()>,
}

#[derive(Default)]
struct Queue {
    jobs: RefCell<VecDeque<Job>>,
    added: Notify,
    is_over: Cell<bool>,
}

impl Queue {
    async fn run(&self, time: Duration, is_urgent: bool) {
        let (done, is_done) = oneshot::channel();
        let job = Job { time, done };
        if is_urgent {
            self.jobs.borrow_mut().push_front(job);
        } else {
            self.jobs.borrow_mut().push_back(job);
        }
        self.added.notify_one();
        is_done.await.expect("each job is done");
    }

    async fn work(&self) {
        loop {
            let job = self.jobs.borrow_mut().pop_front();
            match job {
                Some(Job { time, done }) => {
                    sleep(time).await;
                    // Who asked for it may have gone.
                    let _ = done.send(());
                }
                None if self.is_over.get() => return,
                None => self.added.notified().await,
            }
        }
    }
}

fn run(setup: &Setup, twin: Twin) -> Result<Run, String> {
    let world = setup.world(WorldConfig::rough());
    let service = world.host("service");
    let queue = Rc::new(Queue::default());
    let clients = visitors(&world, 24, 12, 300);
    let (count, left) = (visit_count(&clients), Rc::new(Cell::new(clients.len())));
    for mut client in clients {
        let (queue, left) = (Rc::clone(&queue), Rc::clone(&left));
        service.run(async move {
            while client.comes().await {
                queue.run(JOB, false).await;
            }
            left.set(left.get() - 1);
        });
    }
    let worker = Rc::clone(&queue);
    service.run(async move { worker.work().await });
    service.run(async move {
        while left.get() > 0 {
            let start = now();
            // The bug: it is a job like any other.
            queue.run(Duration::ZERO, twin.is_fixed()).await;
            assert!(now() - start <= PROBE_TIME_MAX, "the service is killed");
            sleep(Duration::from_millis(100)).await;
        }
        queue.is_over.set(true);
        queue.added.notify_one();
    });
    conclude(&world, count)
}
