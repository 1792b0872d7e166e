//! A shop that knows an order again by its key, for ten seconds; its clients ask for longer.

use core::cell::RefCell;
use core::time::Duration;
use std::collections::BTreeMap;
use std::rc::Rc;

use mainspring_executor::Instant;
use mainspring_executor::net::TcpStream;
use mainspring_executor::time::{now, sleep, timeout};
use mainspring_sim::WorldConfig;
use mainspring_sim::harness::{Run, Setup};

use super::line::{answer_each, ask_once, finish, ms, serve};
use super::trouble;
use crate::specimen::{Specimen, Twin, specimen};

pub(super) const KEY_FORGOTTEN: Specimen = specimen!(
    "key-forgotten",
    "the key of an order is forgotten before its client stops asking",
    search: "answers that do not arrive for longer than that",
    source: "",
    run,
);

#[derive(Default)]
struct Shop {
    keys: BTreeMap<String, Instant>,
    orders: Vec<String>,
}

impl Shop {
    fn place(&mut self, key: &str, twin: Twin) {
        let memory = match twin {
            Twin::Buggy => Duration::from_secs(10),
            Twin::Fixed => Duration::from_secs(24 * 3600),
        };
        self.keys.retain(|_, placed| now() - *placed < memory);
        if self.keys.insert(key.to_owned(), now()).is_none() {
            self.orders.push(key.to_owned());
        }
    }
}

async fn sell(stream: TcpStream, shop: Rc<RefCell<Shop>>, twin: Twin) {
    let reply = async |key: String| {
        shop.borrow_mut().place(&key, twin);
        "sold"
    };
    answer_each(stream, reply).await;
}

fn run(setup: &Setup, twin: Twin) -> Result<Run, String> {
    let world = setup.world(WorldConfig::rough());
    let (host, front) = (world.host("shop"), world.host("front"));
    let shop = Rc::new(RefCell::new(Shop::default()));
    let selling = Rc::clone(&shop);
    host.spawn(serve(move |stream| sell(stream, Rc::clone(&selling), twin)));
    // For some time what the shop says does not arrive.
    let (cut, duration) = (world.choose(5_000), world.choose(30_000));
    trouble::cut(&world, &host, &front, ms(cut), ms(duration));
    let orders = 1 + world.choose(40);
    for number in 0..orders {
        let (shop, arrival) = (host.clone(), front.choose(5_000));
        front.run(async move {
            sleep(ms(arrival)).await;
            let (key, mut pause) = (format!("order {number}"), ms(500));
            while timeout(ms(1_000), ask_once(&shop, &key)).await != Ok(Some("sold".into())) {
                sleep(pause).await;
                pause *= 2;
            }
        });
    }
    let run = finish(&world, &[&host], orders)?;
    assert_eq!(shop.borrow().orders.len() as u64, orders, "each order is placed once");
    Ok(run)
}
