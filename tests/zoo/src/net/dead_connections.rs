//! A pool that hands out connections as it finds them, and a caller who tries three times.

use core::cell::RefCell;
use std::rc::Rc;

use mainspring_executor::driver::Signal;
use mainspring_executor::net::TcpStream;
use mainspring_executor::time::sleep;
use mainspring_sim::harness::{Run, Setup};
use mainspring_sim::{Host, WorldConfig};

use super::line::{PORT, answer_each, ask, finish, ms, serve};
use crate::specimen::{Specimen, Twin, specimen};

pub(super) const DEAD_CONNECTIONS: Specimen = specimen!(
    "dead-connections",
    "each new try gets another one of the connections that died with the server",
    search: "a server that starts anew when the pool is full",
    source: "",
    run,
);

const TRIES: usize = 3;

struct Pool {
    server: Host,
    idle: RefCell<Vec<TcpStream>>,
    twin: Twin,
}

impl Pool {
    async fn request(&self) -> Option<String> {
        for attempt in 0..TRIES {
            // One that died says something of the others.
            if attempt > 0 && self.twin.is_fixed() {
                self.idle.borrow_mut().clear();
            }
            let idle = self.idle.borrow_mut().pop();
            let mut stream = match idle {
                Some(stream) => stream,
                None => TcpStream::connect(self.server.address(PORT)).await.ok()?,
            };
            if let Some(answer) = ask(&mut stream, "get").await {
                self.idle.borrow_mut().push(stream);
                return Some(answer);
            }
        }
        None
    }
}

async fn work(stream: TcpStream) {
    let reply = async |_| {
        sleep(ms(20)).await;
        "ok"
    };
    answer_each(stream, reply).await;
}

fn run(setup: &Setup, twin: Twin) -> Result<Run, String> {
    let world = setup.world(WorldConfig::rough());
    let (server, front) = (world.host("server"), world.host("front"));
    server.spawn(serve(work));
    let pool = Rc::new(Pool { server: server.clone(), idle: RefCell::default(), twin });
    let clients = 1 + world.choose(40);
    for _ in 0..clients {
        let (pool, on) = (Rc::clone(&pool), front.clone());
        front.run(async move {
            for _ in 0..1 + on.choose(10) {
                sleep(ms(on.choose(100))).await;
                pool.request().await.expect("the server is there");
            }
        });
    }
    // A new version is rolled out when nobody asks for anything, or is not.
    let rolled_out = world.choose(2) == 1;
    let (restarted, later) = (server.clone(), Rc::clone(&pool));
    front.run(async move {
        sleep(ms(10_000)).await;
        if rolled_out {
            restarted.signal(Signal::Terminate);
            sleep(ms(1_000)).await;
            restarted.restart();
            restarted.spawn(serve(work));
        }
        sleep(ms(1_000)).await;
        later.request().await.expect("a server that started anew is there");
        later.idle.borrow_mut().clear();
    });
    finish(&world, &[&server], clients)
}
