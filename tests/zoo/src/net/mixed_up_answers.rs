//! A client of a store on one connection, which goes on with it after an answer that it did not wait for.

use mainspring_executor::net::TcpStream;
use mainspring_executor::time::{sleep, timeout};
use mainspring_sim::harness::{Run, Setup};
use mainspring_sim::{Host, WorldConfig};

use super::line::{PORT, answer_each, ask, finish, ms, serve};
use crate::specimen::{Specimen, Twin, specimen};

pub(super) const MIXED_UP_ANSWERS: Specimen = specimen!(
    "mixed-up-answers",
    "after a timeout the next question gets the answer to the last one",
    search: "an answer that is late",
    source: "redis-py #2624",
    run,
);

/// Gives back the value of a key, which is the key; now and then it takes its time.
async fn store(on: Host, stream: TcpStream) {
    let reply = async |key| {
        if on.choose(50) == 49 {
            sleep(ms(200)).await;
        }
        key
    };
    answer_each(stream, reply).await;
}

struct Client {
    store: Host,
    connection: Option<TcpStream>,
    twin: Twin,
}

impl Client {
    /// The value of a key; `None` where it would take too long.
    async fn value(&mut self, key: &str) -> Option<String> {
        let stream = match &mut self.connection {
            Some(stream) => stream,
            none => none.insert(TcpStream::connect(self.store.address(PORT)).await.ok()?),
        };
        let value = timeout(ms(150), ask(stream, key)).await;
        if value.is_err() && self.twin.is_fixed() {
            self.connection = None;
        }
        value.ok().flatten()
    }
}

fn run(setup: &Setup, twin: Twin) -> Result<Run, String> {
    let world = setup.world(WorldConfig::rough());
    let store_host = world.host("store");
    let on = store_host.clone();
    store_host.spawn(serve(move |stream| store(on.clone(), stream)));
    let clients = 1 + world.choose(5);
    for number in 0..clients {
        let host = world.host(&format!("client-{number}"));
        let (questions, store) = (2 + host.choose(30), store_host.clone());
        host.run(async move {
            let mut client = Client { store, connection: None, twin };
            for question in 0..questions {
                let key = format!("key-{question}");
                if let Some(value) = client.value(&key).await {
                    assert_eq!(value, key, "the answer is to the question");
                }
            }
        });
    }
    finish(&world, &[&store_host], clients)
}
