//! An exchange that takes the first order of what has come, and throws all of it away.

use core::cell::Cell;
use std::rc::Rc;

use mainspring_executor::net::TcpStream;
use mainspring_executor::time::sleep;
use mainspring_sim::WorldConfig;
use mainspring_sim::harness::{Run, Setup};

use super::line::{PORT, finish, ms, say, serve};
use crate::specimen::{Specimen, Twin, specimen};

pub(super) const TWO_IN_ONE: Specimen = specimen!(
    "two-in-one",
    "two messages that arrive together are taken for one",
    search: "the second comes while the first is worked on",
    source: "",
    run,
);

/// Takes orders, an amount a line; each is some work.
async fn trade(mut stream: TcpStream, traded: Rc<Cell<u64>>, twin: Twin) {
    loop {
        let buffered = stream.buffered();
        let Some(end) = buffered.iter().position(|byte| *byte == b'\n') else {
            match stream.fill().await {
                Ok(1..) => continue,
                _ => return,
            }
        };
        let order = String::from_utf8_lossy(&buffered[..end]).into_owned();
        let taken = if twin.is_fixed() { end + 1 } else { buffered.len() };
        stream.consume(taken);
        sleep(ms(2)).await;
        traded.set(traded.get() + order.parse::<u64>().expect("gateways send numbers"));
    }
}

fn run(setup: &Setup, twin: Twin) -> Result<Run, String> {
    let world = setup.world(WorldConfig { split_flights: false, ..WorldConfig::rough() });
    let exchange = world.host("exchange");
    let traded = Rc::new(Cell::new(0));
    let counted = Rc::clone(&traded);
    exchange.spawn(serve(move |stream| trade(stream, Rc::clone(&counted), twin)));
    let (gateways, mut sum) = (1 + world.choose(50), 0);
    for number in 0..gateways {
        let gateway = world.host(&format!("gateway-{number}"));
        let orders = 2 + gateway.choose(8);
        sum += orders;
        let (exchange, on) = (exchange.clone(), gateway.clone());
        gateway.run(async move {
            let connected = TcpStream::connect(exchange.address(PORT)).await;
            let mut stream = connected.expect("the exchange listens");
            for _ in 0..orders {
                say(&mut stream, 1).await.expect("it is taken");
                // Others come at any time; 0 is one that comes when the first is long done.
                sleep(ms(200 - on.choose(200))).await;
            }
            sleep(ms(500)).await;
        });
    }
    let run = finish(&world, &[&exchange], gateways)?;
    assert_eq!(traded.get(), sum, "each order is traded");
    Ok(run)
}
