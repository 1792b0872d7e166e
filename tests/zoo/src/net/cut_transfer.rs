//! A handler that takes from one account and gives to another, and is dropped in between when its client leaves.

use core::cell::Cell;
use core::time::Duration;
use std::rc::Rc;

use mainspring::Request;
use mainspring_executor::driver::Signal;
use mainspring_executor::net::TcpStream;
use mainspring_executor::shield::shield;
use mainspring_executor::time::sleep;
use mainspring_sim::WorldConfig;
use mainspring_sim::harness::{Run, Setup, conclude};

use super::line::{PORT, ms, serve_http};
use crate::specimen::{Specimen, Twin, specimen};

pub(super) const CUT_TRANSFER: Specimen = specimen!(
    "cut-transfer",
    "a transfer ends half way, for its client has left",
    search: "a client that leaves in a certain moment",
    source: "komodo-defi-framework #2237",
    run,
);

#[derive(Default)]
struct Accounts {
    one: Cell<i64>,
    other: Cell<i64>,
}

impl Accounts {
    async fn transfer(self: Rc<Self>) {
        self.one.set(self.one.get() - 1);
        // The other account is somewhere else.
        sleep(ms(10)).await;
        self.other.set(self.other.get() + 1);
    }
}

fn run(setup: &Setup, twin: Twin) -> Result<Run, String> {
    let world = setup.world(WorldConfig::rough());
    let (bank, clients) = (world.host("bank"), world.host("clients"));
    let accounts = Rc::new(Accounts::default());
    let of_bank = Rc::clone(&accounts);
    bank.run(async move {
        let handler = move |_: Request| {
            let transfer = Rc::clone(&of_bank).transfer();
            async move {
                match twin {
                    Twin::Buggy => transfer.await,
                    Twin::Fixed => {
                        let section = shield(Duration::from_secs(60), transfer);
                        section.await.expect("it takes no minute");
                    }
                }
                "done"
            }
        };
        serve_http(handler).await;
    });
    let transfers = 1 + world.choose(40);
    let (arrivals, address) = (clients.clone(), bank.address(PORT));
    let all: Vec<_> = (0..transfers)
        .map(|_| {
            let arrival = arrivals.choose(5_000);
            // Most are patient.
            let patience = if arrivals.choose(10) == 9 { arrivals.choose(100) } else { 10_000 };
            clients.spawn(async move {
                sleep(ms(arrival)).await;
                let mut stream = TcpStream::connect(address).await.expect("the bank listens");
                let request = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n";
                stream.write_all(request).await.expect("the bank reads");
                let _ = mainspring_executor::time::timeout(ms(patience), stream.fill()).await;
            })
        })
        .collect();
    clients.run(async move {
        for transfer in all {
            transfer.await.expect("no client panics");
        }
        sleep(ms(1_000)).await;
        bank.signal(Signal::Terminate);
    });
    let run = conclude(&world, transfers)?;
    assert_eq!(accounts.one.get() + accounts.other.get(), 0, "nothing is taken that is not given");
    Ok(run)
}
