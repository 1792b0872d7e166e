//! A shop whose clients ask again when there is no answer.

use core::cell::RefCell;
use std::collections::BTreeSet;
use std::rc::Rc;

use mainspring_executor::net::TcpStream;
use mainspring_executor::time::{sleep, timeout};
use mainspring_sim::WorldConfig;
use mainspring_sim::harness::{Run, Setup};

use super::line::{answer_each, ask_once, finish, ms, serve};
use super::trouble;
use crate::specimen::{Specimen, Twin, specimen};

pub(super) const RETRIED_ORDER: Specimen = specimen!(
    "retried-order",
    "an order without an answer is placed again, though the shop has it",
    search: "a shop that is slower than its client waits",
    source: "",
    run,
);

#[derive(Default)]
struct Shop {
    known: BTreeSet<String>,
    orders: Vec<String>,
}

impl Shop {
    fn place(&mut self, order: String, twin: Twin) {
        let is_new = self.known.insert(order.clone());
        if is_new || !twin.is_fixed() {
            self.orders.push(order);
        }
    }
}

async fn sell(stream: TcpStream, shop: Rc<RefCell<Shop>>, twin: Twin) {
    let reply = async |order| {
        shop.borrow_mut().place(order, twin);
        sleep(ms(20)).await;
        "sold"
    };
    answer_each(stream, reply).await;
}

fn run(setup: &Setup, twin: Twin) -> Result<Run, String> {
    let world = setup.world(WorldConfig::rough());
    let host = world.host("shop");
    let shop = Rc::new(RefCell::new(Shop::default()));
    let selling = Rc::clone(&shop);
    host.spawn(serve(move |stream| sell(stream, Rc::clone(&selling), twin)));
    // A collection of garbage, perhaps.
    let (pause, duration) = (world.choose(2_000), world.choose(1_000));
    trouble::pause(&world, &host, ms(pause), ms(duration));
    let (clients, mut sum) = (1 + world.choose(8), 0);
    for number in 0..clients {
        let client = world.host(&format!("client-{number}"));
        let orders = 1 + client.choose(8);
        sum += orders;
        let (shop, on) = (host.clone(), client.clone());
        client.run(async move {
            for order in 0..orders {
                sleep(ms(on.choose(300))).await;
                let order = format!("order {order} of client {number}");
                while timeout(ms(500), ask_once(&shop, &order)).await != Ok(Some("sold".into())) {
                    sleep(ms(100)).await;
                }
            }
        });
    }
    let run = finish(&world, &[&host], sum)?;
    assert_eq!(shop.borrow().orders.len() as u64, sum, "each order is placed once");
    Ok(run)
}
