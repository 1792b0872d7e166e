//! A stock that is read, asked about, and written: what was sold meanwhile is sold again.

use core::cell::Cell;
use core::time::Duration;
use std::rc::Rc;

use mainspring_executor::time::sleep;
use mainspring_sim::WorldConfig;
use mainspring_sim::harness::{Run, Setup, conclude};

use crate::specimen::{Specimen, Twin, specimen};
use crate::visitor::{visit_count, visitors};

pub(super) const LOST_UPDATE: Specimen = specimen!(
    "lost-update",
    "a stock is read before an await and written after it, and a sale in between is lost",
    search: "two sales at one time",
    source: "",
    run,
);

#[derive(Default)]
struct Shop {
    stock: Cell<u64>,
    sold: Cell<u64>,
}

impl Shop {
    async fn sell(&self, payment_time: Duration, twin: Twin) {
        let stock = self.stock.get();
        if stock == 0 {
            return;
        }
        if twin.is_fixed() {
            self.stock.set(stock - 1);
            sleep(payment_time).await;
        } else {
            sleep(payment_time).await;
            // The bug: that was the stock before the payment.
            self.stock.set(stock - 1);
        }
        self.sold.set(self.sold.get() + 1);
    }
}

fn run(setup: &Setup, twin: Twin) -> Result<Run, String> {
    let world = setup.world(WorldConfig::rough());
    let service = world.host("service");
    let at_first = 10 + world.choose(50);
    let shop = Rc::new(Shop::default());
    shop.stock.set(at_first);
    let clients = visitors(&world, 12, 12, 1000);
    let count = visit_count(&clients);
    for mut client in clients {
        let shop = Rc::clone(&shop);
        service.run(async move {
            while client.comes().await {
                shop.sell(Duration::from_millis(1) + client.millis(5), twin).await;
            }
        });
    }
    let run = conclude(&world, count)?;
    assert_eq!(shop.stock.get() + shop.sold.get(), at_first, "more was sold than there was");
    Ok(run)
}
