//! A pool of connections: a query that is cancelled leaves its answer on the connection, and the next to ask reads it.

use core::cell::RefCell;
use core::time::Duration;
use std::collections::VecDeque;
use std::rc::Rc;

use mainspring_executor::time::{sleep, timeout};
use mainspring_sim::WorldConfig;
use mainspring_sim::harness::{Run, Setup, conclude};

use crate::specimen::{Specimen, Twin, specimen};
use crate::visitor::{Visitor, visit_count, visitors};

pub(super) const DIRTY_LEASE: Specimen = specimen!(
    "dirty-lease",
    "a connection goes back to its pool with the answer to a query that was given up",
    search: "a timeout between question and answer",
    source: "sqlx #1025",
    run,
);

/// A connection: answers come in the order of the questions.
#[derive(Default)]
struct Connection {
    unread: VecDeque<u64>,
}

#[derive(Default)]
struct Pool {
    idle: RefCell<Vec<Connection>>,
}

/// A connection on loan.
struct Lease<'a> {
    pool: &'a Pool,
    connection: Connection,
    twin: Twin,
}

impl Pool {
    fn lend(&self, twin: Twin) -> Lease<'_> {
        let connection = self.idle.borrow_mut().pop().unwrap_or_default();
        Lease { pool: self, connection, twin }
    }
}

impl Lease<'_> {
    async fn query(&mut self, number: u64, answer_time: Duration) -> u64 {
        self.connection.unread.push_back(number);
        sleep(answer_time).await;
        self.connection.unread.pop_front().expect("each question has an answer")
    }
}

impl Drop for Lease<'_> {
    fn drop(&mut self) {
        // The bug: nobody looks whether it is clean.
        if !self.twin.is_fixed() || self.connection.unread.is_empty() {
            self.pool.idle.borrow_mut().push(core::mem::take(&mut self.connection));
        }
    }
}

fn run(setup: &Setup, twin: Twin) -> Result<Run, String> {
    let world = setup.world(WorldConfig::rough());
    let service = world.host("service");
    let pool = Rc::new(Pool::default());
    let clients = visitors(&world, 16, 12, 100);
    let count = visit_count(&clients);
    for (number, mut client) in (0..).zip(clients) {
        let pool = Rc::clone(&pool);
        service.run(async move {
            let mut question = number * 1_000;
            while client.comes().await {
                question += 1;
                ask(&pool, &client, question, twin).await;
            }
        });
    }
    conclude(&world, count)
}

async fn ask(pool: &Pool, client: &Visitor, number: u64, twin: Twin) {
    // Once in four hundred times the database is slow.
    let answer_time = match client.choose_named("the answer takes 60 ms at the highest", 400) {
        399 => Duration::from_millis(60),
        _ => client.millis(20),
    };
    let answer = timeout(Duration::from_millis(50), async {
        pool.lend(twin).query(number, answer_time).await
    });
    if let Ok(answer) = answer.await {
        assert_eq!(answer, number, "an answer to another question");
    }
}
