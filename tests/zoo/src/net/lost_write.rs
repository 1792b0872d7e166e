//! Clients that read a number, add to it and write it back.

use core::cell::Cell;
use std::rc::Rc;

use mainspring_executor::net::TcpStream;
use mainspring_executor::time::sleep;
use mainspring_sim::WorldConfig;
use mainspring_sim::harness::{Run, Setup};

use super::line::{PORT, answer_each, ask, finish, ms, serve};
use crate::specimen::{Specimen, Twin, specimen};

pub(super) const LOST_WRITE: Specimen = specimen!(
    "lost-write",
    "a number is read, changed and written back over the network, as if nobody else did",
    search: "two clients at one time",
    source: "",
    run,
);

/// A number, and how often it was written.
#[derive(Default)]
struct Register {
    value: Cell<u64>,
    version: Cell<u64>,
}

/// `get` gives value and version, `put VALUE` writes, `put VALUE VERSION` only where it is still that.
async fn store(stream: TcpStream, register: Rc<Register>) {
    let reply = async |line: String| {
        let words: Vec<&str> = line.split(' ').collect();
        let number = |index: usize| words[index].parse::<u64>().expect("clients send numbers");
        match words.len() {
            1 => format!("{} {}", register.value.get(), register.version.get()),
            3 if number(2) != register.version.get() => "conflict".to_owned(),
            _ => {
                register.value.set(number(1));
                register.version.set(register.version.get() + 1);
                "ok".to_owned()
            }
        }
    };
    answer_each(stream, reply).await;
}

async fn add_one(stream: &mut TcpStream, twin: Twin) {
    loop {
        let found = ask(stream, "get").await.expect("the store answers");
        let (value, version) = found.split_once(' ').expect("a value and a version");
        let value = value.parse::<u64>().expect("values are numbers") + 1;
        let put = match twin {
            Twin::Buggy => format!("put {value}"),
            Twin::Fixed => format!("put {value} {version}"),
        };
        if ask(stream, put).await.expect("the store answers") == "ok" {
            return;
        }
    }
}

fn run(setup: &Setup, twin: Twin) -> Result<Run, String> {
    let world = setup.world(WorldConfig::rough());
    let host = world.host("store");
    let register = Rc::new(Register::default());
    let stored = Rc::clone(&register);
    host.spawn(serve(move |stream| store(stream, Rc::clone(&stored))));
    let (clients, additions) = (world.host("clients"), 1 + world.choose(60));
    for _ in 0..additions {
        let (address, arrival) = (host.address(PORT), clients.choose(10_000));
        clients.run(async move {
            sleep(ms(arrival)).await;
            let mut stream = TcpStream::connect(address).await.expect("the store listens");
            add_one(&mut stream, twin).await;
        });
    }
    let run = finish(&world, &[&host], additions)?;
    assert_eq!(register.value.get(), additions, "each addition counts");
    Ok(run)
}
