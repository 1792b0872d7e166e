//! Transfers between accounts, each of which locks the account that pays and then the one that is paid.

use core::time::Duration;
use std::rc::Rc;

use mainspring_executor::sync::Mutex;
use mainspring_executor::time::sleep;
use mainspring_sim::WorldConfig;
use mainspring_sim::harness::{Run, Setup, conclude};

use crate::specimen::{Specimen, Twin, specimen};
use crate::visitor::{visit_count, visitors};

pub(super) const LOCK_ORDER: Specimen = specimen!(
    "lock-order",
    "a transfer and one the other way lock two accounts in opposite order",
    search: "two transfers at one time",
    source: "",
    run,
);

fn run(setup: &Setup, twin: Twin) -> Result<Run, String> {
    let world = setup.world(WorldConfig::rough());
    let bank = world.host("bank");
    let clients = visitors(&world, 16, 12, 8_000);
    let count = visit_count(&clients);
    let accounts: Rc<[Mutex<i64>]> = clients.iter().map(|_| Mutex::new(1_000)).collect();
    for (own, mut client) in clients.into_iter().enumerate() {
        let accounts = Rc::clone(&accounts);
        bank.run(async move {
            while client.comes().await {
                let drawn = client.choose(accounts.len() as u64);
                let to = usize::try_from(drawn).expect("it is below a usize");
                let to = if to == own { (own + 1) % accounts.len() } else { to };
                // One who is alone pays nobody.
                if to != own {
                    transfer(&accounts, own, to, twin).await;
                }
            }
        });
    }
    conclude(&world, count)
}

async fn transfer(accounts: &[Mutex<i64>], from: usize, to: usize, twin: Twin) {
    let (first, second) = if twin.is_fixed() { (from.min(to), from.max(to)) } else { (from, to) };
    let mut one = accounts[first].lock().await;
    // What the ledger takes to answer.
    sleep(Duration::from_millis(2)).await;
    let mut other = accounts[second].lock().await;
    let sign = if first == from { 1 } else { -1 };
    *one -= 10 * sign;
    *other += 10 * sign;
}
