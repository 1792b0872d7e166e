//! A client that remembers what a lookup of a name has given, also where that was an error.

use core::cell::RefCell;
use core::net::SocketAddr;
use std::collections::BTreeMap;
use std::io;
use std::rc::Rc;

use mainspring_executor::names;
use mainspring_executor::time::sleep;
use mainspring_sim::WorldConfig;
use mainspring_sim::harness::{Run, Setup, conclude};

use super::line::{PORT, ms};
use crate::specimen::{Specimen, Twin, specimen};

pub(super) const CACHED_FAILURE: Specimen = specimen!(
    "cached-failure",
    "a lookup that failed once is remembered as one that always fails",
    search: "a lookup that fails",
    source: "",
    run,
);

#[derive(Default)]
struct Resolver {
    known: RefCell<BTreeMap<String, Result<Vec<SocketAddr>, io::ErrorKind>>>,
}

impl Resolver {
    async fn look_up(&self, name: &str, twin: Twin) -> Result<Vec<SocketAddr>, io::ErrorKind> {
        if let Some(known) = self.known.borrow().get(name) {
            return known.clone();
        }
        let found = names::resolve(name, PORT).await.map_err(|error| error.kind());
        if found.is_ok() || !twin.is_fixed() {
            self.known.borrow_mut().insert(name.to_owned(), found.clone());
        }
        found
    }
}

fn run(setup: &Setup, twin: Twin) -> Result<Run, String> {
    let world = setup.world(WorldConfig { name_failure_one_in: 300, ..WorldConfig::rough() });
    let client = world.host("client");
    let resolver = Rc::new(Resolver::default());
    let requests = 1 + world.choose(60);
    for _ in 0..requests {
        let (resolver, arrival) = (Rc::clone(&resolver), client.choose(60_000));
        let name = format!("upstream-{}.example", client.choose(20));
        world.add_name(&name, &[client.ip().into()]);
        client.run(async move {
            sleep(ms(arrival)).await;
            let mut found = resolver.look_up(&name, twin).await;
            for _ in 0..5 {
                if found.is_ok() {
                    break;
                }
                sleep(ms(6_000)).await;
                found = resolver.look_up(&name, twin).await;
            }
            found.expect("a name that is there is found, if one asks often enough");
        });
    }
    conclude(&world, requests)
}
