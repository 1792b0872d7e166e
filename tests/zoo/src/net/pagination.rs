//! A list that is read page by page while rows go.

use core::cell::RefCell;
use std::collections::BTreeSet;
use std::rc::Rc;

use mainspring_executor::net::TcpStream;
use mainspring_executor::time::sleep;
use mainspring_sim::WorldConfig;
use mainspring_sim::harness::{Run, Setup};

use super::line::{PORT, answer_each, ask, finish, ms, serve};
use crate::specimen::{Specimen, Twin, specimen};

pub(super) const PAGINATION: Specimen = specimen!(
    "pagination",
    "the next page is asked for by how many rows came before, and misses one when one of those is deleted",
    search: "a deletion between two pages",
    source: "",
    run,
);

const PAGE: usize = 5;

/// `offset N` and `after N` give the next page of the table, `delete N` takes a row out.
async fn table(stream: TcpStream, rows: Rc<RefCell<BTreeSet<u64>>>) {
    let reply = async |request: String| {
        let (word, number) = request.split_once(' ').expect("a word and a number");
        let number: usize = number.parse().expect("clients send numbers");
        let page: Vec<String> = match word {
            "delete" => {
                rows.borrow_mut().remove(&(number as u64));
                Vec::new()
            }
            "after" => {
                let rows = rows.borrow();
                let behind = rows.range(number as u64 + 1..);
                behind.take(PAGE).map(u64::to_string).collect()
            }
            _ => rows.borrow().iter().skip(number).take(PAGE).map(u64::to_string).collect(),
        };
        page.join(" ")
    };
    answer_each(stream, reply).await;
}

/// All rows, page by page.
async fn read_all(stream: &mut TcpStream, twin: Twin) -> BTreeSet<u64> {
    let mut rows = BTreeSet::new();
    loop {
        let next = match twin {
            Twin::Buggy => format!("offset {}", rows.len()),
            Twin::Fixed => format!("after {}", rows.last().unwrap_or(&0)),
        };
        let page = ask(stream, next).await.expect("the table answers");
        if page.is_empty() {
            return rows;
        }
        rows.extend(page.split(' ').map(|row| row.parse::<u64>().expect("rows are numbers")));
    }
}

fn run(setup: &Setup, twin: Twin) -> Result<Run, String> {
    let world = setup.world(WorldConfig::rough());
    let (host, count) = (world.host("table"), 1 + world.choose(60));
    let rows = Rc::new(RefCell::new((1..=count).collect::<BTreeSet<u64>>()));
    let table_rows = Rc::clone(&rows);
    host.spawn(serve(move |stream| table(stream, Rc::clone(&table_rows))));
    let (address, deleter) = (host.address(PORT), world.host("deleter"));
    let (deletions, on) = (world.choose(4), deleter.clone());
    deleter.run(async move {
        let mut stream = TcpStream::connect(address).await.expect("the table listens");
        for _ in 0..deletions {
            sleep(ms(on.choose(1_000))).await;
            let row = 1 + on.choose(count);
            ask(&mut stream, format!("delete {row}")).await.expect("the table answers");
        }
    });
    let readers = 1 + world.choose(6);
    for number in 0..readers {
        let reader = world.host(&format!("reader-{number}"));
        let (rows, start) = (Rc::clone(&rows), reader.choose(1_000));
        reader.run(async move {
            sleep(ms(start)).await;
            let mut stream = TcpStream::connect(address).await.expect("the table listens");
            let read = read_all(&mut stream, twin).await;
            let missed: Vec<u64> = rows.borrow().difference(&read).copied().collect();
            assert!(missed.is_empty(), "a row that is there all the time is read");
        });
    }
    finish(&world, &[&host], readers)
}
