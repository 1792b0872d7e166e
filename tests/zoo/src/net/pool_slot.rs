//! A pool of connections to a database, which counts those that it is about to open.

use core::cell::{Cell, RefCell};
use std::rc::Rc;

use mainspring_executor::Instant;
use mainspring_executor::driver::Signal;
use mainspring_executor::net::TcpStream;
use mainspring_executor::sync::Notify;
use mainspring_executor::time::sleep;
use mainspring_sim::harness::{Run, Setup};
use mainspring_sim::{Host, WorldConfig};

use super::line::{PORT, answer_each, ask, finish, ms, serve};
use crate::specimen::{Specimen, Twin, specimen};

pub(super) const POOL_SLOT: Specimen = specimen!(
    "pool-slot",
    "a place of the pool is lost when connecting fails",
    search: "a database that is not there for a while",
    source: "rust-mysql-simple #226",
    run,
);

const CONNECTIONS_MAX: usize = 3;

struct Pool {
    database: Host,
    idle: RefCell<Vec<TcpStream>>,
    open_count: Cell<usize>,
    freed: Notify,
    twin: Twin,
}

impl Pool {
    async fn take(&self) -> Option<TcpStream> {
        loop {
            let idle = self.idle.borrow_mut().pop();
            if let Some(stream) = idle {
                return Some(stream);
            }
            if self.open_count.get() < CONNECTIONS_MAX {
                return self.open().await;
            }
            self.freed.notified().await;
        }
    }

    async fn open(&self) -> Option<TcpStream> {
        self.open_count.update(|count| count + 1);
        let connected = TcpStream::connect(self.database.address(PORT)).await;
        if connected.is_err() && self.twin.is_fixed() {
            self.give_up();
        }
        connected.ok()
    }

    fn give_up(&self) {
        self.open_count.update(|count| count - 1);
        self.freed.notify_one();
    }

    async fn query(&self) -> Option<String> {
        let mut stream = self.take().await?;
        let answer = ask(&mut stream, "select").await;
        if answer.is_some() {
            self.idle.borrow_mut().push(stream);
            self.freed.notify_one();
        } else {
            self.give_up();
        }
        answer
    }
}

async fn database(stream: TcpStream) {
    answer_each(stream, async |_| "rows").await;
}

fn run(setup: &Setup, twin: Twin) -> Result<Run, String> {
    let world = setup.world(WorldConfig::rough());
    let (host, front) = (world.host("database"), world.host("front"));
    host.spawn(serve(database));
    let (down, duration) = (Instant::START + ms(world.choose(3_000)), ms(world.choose(500)));
    let restarted = host.clone();
    world.at(down, move |world| {
        restarted.signal(Signal::Terminate);
        world.at(world.now() + duration, move |_| {
            restarted.restart();
            restarted.spawn(serve(database));
        });
    });
    let pool = Rc::new(Pool {
        database: host.clone(),
        idle: RefCell::default(),
        open_count: Cell::new(0),
        freed: Notify::new(),
        twin,
    });
    let requests = 1 + world.choose(40);
    for _ in 0..requests {
        let (pool, arrival) = (Rc::clone(&pool), front.choose(3_000));
        let queries = 1 + front.choose(5);
        front.run(async move {
            sleep(ms(arrival)).await;
            for _ in 0..queries {
                while pool.query().await.is_none() {
                    sleep(ms(200)).await;
                }
            }
        });
    }
    world.run().map_err(|failure| failure.to_string())?;
    pool.idle.borrow_mut().clear();
    finish(&world, &[&host], requests)
}
