//! A table that is read under a lock by a function that calls another, which reads it as well.

use core::time::Duration;
use std::rc::Rc;

use mainspring_executor::sync::RwLock;
use mainspring_executor::time::sleep;
use mainspring_sim::WorldConfig;
use mainspring_sim::harness::{Run, Setup, conclude};

use crate::specimen::{Specimen, Twin, specimen};
use crate::visitor::{visit_count, visitors};

pub(super) const RECURSIVE_READ: Specimen = specimen!(
    "recursive-read",
    "a reader reads again under its own lock, and a writer came in between",
    search: "a writer between two reads",
    source: "tokio #2849",
    run,
);

type Table = RwLock<Vec<u64>>;

fn run(setup: &Setup, twin: Twin) -> Result<Run, String> {
    let world = setup.world(WorldConfig::rough());
    let service = world.host("service");
    let table = Rc::new(Table::new(vec![1, 2, 3]));
    let clients = visitors(&world, 12, 12, 6_000);
    let updates: Vec<_> =
        (0..1 + world.choose(3)).map(|_| Duration::from_millis(world.choose(20_000))).collect();
    let count = visit_count(&clients);
    for mut client in clients {
        let table = Rc::clone(&table);
        service.run(async move {
            while client.comes().await {
                sum_of_routes(&table, client.millis(20), twin).await;
            }
        });
    }
    service.run(async move {
        for pause in updates {
            sleep(Duration::from_millis(10) + pause).await;
            table.write().await.push(4);
        }
    });
    conclude(&world, count)
}

async fn sum_of_routes(table: &Table, weighing: Duration, twin: Twin) -> u64 {
    let routes = table.read().await;
    // What it takes to ask for the weight of the first.
    sleep(Duration::from_millis(1) + weighing).await;
    if twin.is_fixed() {
        return routes.iter().sum();
    }
    // The bug: it holds a lock, and takes it again behind whoever wants to write.
    routes[0] + table.read().await[1..].iter().sum::<u64>()
}
