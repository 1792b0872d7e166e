//! A request that spawns a task for its subscription, and is cancelled: the task goes on.

use core::time::Duration;
use std::rc::Rc;

use mainspring_executor::scope::scope;
use mainspring_executor::sync::Semaphore;
use mainspring_executor::time::{sleep, timeout};
use mainspring_executor::{JoinHandle, spawn};
use mainspring_sim::WorldConfig;
use mainspring_sim::harness::{Run, Setup, conclude};

use crate::specimen::{Specimen, Twin, specimen};
use crate::visitor::{Visitor, visit_count, visitors};

pub(super) const ZOMBIE_TASK: Specimen = specimen!(
    "zombie-task",
    "a task that was spawned for a request holds its connection after the request was cancelled",
    search: "a client that gives up",
    source: "",
    run,
);

const CONNECTIONS: usize = 64;

fn run(setup: &Setup, twin: Twin) -> Result<Run, String> {
    let world = setup.world(WorldConfig::rough());
    let service = world.host("service");
    let connections = Rc::new(Semaphore::new(CONNECTIONS));
    let clients = visitors(&world, 16, 12, 50);
    let count = visit_count(&clients);
    for mut client in clients {
        let connections = Rc::clone(&connections);
        service.run(async move {
            while client.comes().await {
                // Who gives up is served no more.
                let _ =
                    timeout(Duration::from_millis(20), serve(&connections, &client, twin)).await;
            }
        });
    }
    conclude(&world, count)
}

async fn serve(connections: &Rc<Semaphore>, client: &Visitor, twin: Twin) {
    // One in four hundred answers is late.
    let late = if client.once_in_named("the answer takes 20 ms more at the highest", 400) {
        20
    } else {
        0
    };
    let answer_time = Duration::from_millis(client.choose_named("milliseconds to the answer", 15))
        + Duration::from_millis(late);
    let connections = Rc::clone(connections);
    let listen = async move {
        let _connection = connections.acquire().await.expect("nobody closes it");
        loop {
            sleep(Duration::from_millis(5)).await;
        }
    };
    if twin.is_fixed() {
        scope(async |scope| {
            let listener = scope.spawn(listen);
            answer(listener, answer_time).await;
        })
        .await;
    } else {
        // The bug: it ends when it is asked to, and nobody is left to ask.
        answer(spawn(listen), answer_time).await;
    }
}

async fn answer(listener: JoinHandle<()>, time: Duration) {
    sleep(time).await;
    listener.abort();
}
