//! A number on three replicas: two ways in which a read is older than one before.

use core::cell::Cell;
use std::rc::Rc;

use mainspring_executor::Scope;
use mainspring_executor::net::TcpStream;
use mainspring_executor::sync::mpsc;
use mainspring_executor::time::sleep;
use mainspring_sim::harness::{Run, Setup};
use mainspring_sim::{Host, WorldConfig};

use super::line::{answer_each, ask_once, finish, ms, serve};
use super::trouble;
use crate::specimen::{Specimen, Twin, specimen};

pub(super) const STALE_REPLICA: Specimen = specimen!(
    "stale-replica",
    "what was written to two of three replicas is read from the third",
    search: "a replica that a write reaches late",
    source: "",
    read_from_one,
);

pub(super) const NEW_THEN_OLD: Specimen = specimen!(
    "new-then-old",
    "a read sees a write that is under way, and the next one does not",
    search: "two reads while a write is under way",
    source: "Attiya, Bar-Noy, Dolev, Sharing Memory Robustly in Message-Passing Systems, JACM 1995",
    write_not_back,
);

/// `read` gives the number, `write NUMBER` keeps it where it is higher.
async fn replica(stream: TcpStream, number: Rc<Cell<u64>>) {
    let reply = async |request: String| {
        if let Some(written) = request.strip_prefix("write ") {
            let written = written.parse().expect("clients send numbers");
            number.set(number.get().max(written));
        }
        number.get()
    };
    answer_each(stream, reply).await;
}

struct Register {
    replicas: [Host; 3],
    /// How many replicas a read asks.
    read_count: usize,
    writes_back: bool,
}

impl Register {
    /// Asks so many replicas, beginning with one of them, and takes the first `count` answers. What the others do goes on
    /// in the background.
    async fn ask(&self, request: String, whom: [usize; 2], count: usize, on: &Scope) -> u64 {
        let (answers, mut first) = mpsc::channel(3);
        let [start, length] = whom;
        for replica in self.replicas.iter().cycle().skip(start).take(length) {
            let (answers, replica, request) = (answers.clone(), replica.clone(), request.clone());
            drop(on.spawn(async move {
                let answer = ask_once(&replica, request).await.expect("a replica answers");
                // Enough others may have answered.
                let _ = answers.send(answer.parse().expect("replicas send numbers")).await;
            }));
        }
        let mut highest = 0;
        for _ in 0..count {
            highest = highest.max(first.recv().await.expect("all replicas answer"));
        }
        highest
    }

    /// Reads from so many, beginning with one of them.
    async fn read(&self, start: usize, on: &Scope) -> u64 {
        let count = self.read_count;
        let highest = self.ask("read".to_owned(), [start, count], count, on).await;
        if self.writes_back {
            self.ask(format!("write {highest}"), [0, 3], 2, on).await;
        }
        highest
    }
}

fn read_from_one(setup: &Setup, twin: Twin) -> Result<Run, String> {
    run(setup, if twin.is_fixed() { 2 } else { 1 }, true)
}

fn write_not_back(setup: &Setup, twin: Twin) -> Result<Run, String> {
    run(setup, 2, twin.is_fixed())
}

fn run(setup: &Setup, read_count: usize, writes_back: bool) -> Result<Run, String> {
    let world = setup.world(WorldConfig::rough());
    let replicas = ["one", "two", "three"].map(|name| world.host(name));
    for host in &replicas {
        let number = Rc::new(Cell::new(0));
        host.spawn(serve(move |stream| replica(stream, Rc::clone(&number))));
    }
    let register = Rc::new(Register { replicas: replicas.clone(), read_count, writes_back });
    let (writer, readers) = (world.host("writer"), world.host("readers"));
    // For some time a replica does not hear from the writer.
    for replica in &replicas {
        let (at, duration) = (ms(writer.choose(2_000)), ms(writer.choose(1_000)));
        trouble::cut(&world, &writer, replica, at, duration);
    }
    // What some operation has seen when it ended: all that begin later see as much.
    let seen = Rc::new(Cell::new(0));
    let (writes, on) = (1 + world.choose(20), writer.clone());
    let (writing, done) = (Rc::clone(&register), Rc::clone(&seen));
    writer.run(async move {
        let background = Scope::new();
        for number in 1..=writes {
            sleep(ms(on.choose(100))).await;
            writing.ask(format!("write {number}"), [0, 3], 2, &background).await;
            done.set(done.get().max(number));
        }
        background.join().await.expect("no write panics");
    });
    let reads = 1 + world.choose(100);
    for _ in 0..reads {
        let (register, seen) = (Rc::clone(&register), Rc::clone(&seen));
        let start = usize::try_from(readers.choose(3)).expect("there are three");
        let arrival = readers.choose(3_000);
        readers.run(async move {
            sleep(ms(arrival)).await;
            let (background, least) = (Scope::new(), seen.get());
            let read = register.read(start, &background).await;
            assert!(read >= least, "no read is older than one that ended before it");
            seen.set(seen.get().max(read));
            background.join().await.expect("no read panics");
        });
    }
    finish(&world, &replicas.each_ref(), writes)
}
