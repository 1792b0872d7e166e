//! A worker that takes a message and stores it in one branch of a select, which another branch may cut short.

use core::cell::Cell;
use core::time::Duration;
use std::rc::Rc;

use mainspring_executor::select;
use mainspring_executor::sync::mpsc::{self, Receiver};
use mainspring_executor::time::sleep;
use mainspring_sim::WorldConfig;
use mainspring_sim::harness::{Run, Setup, conclude};

use crate::specimen::{Specimen, Twin, specimen};
use crate::visitor::{visit_count, visitors};

pub(super) const LOST_MESSAGE: Specimen = specimen!(
    "lost-message",
    "a message that was taken from its queue is dropped when a command wins the select",
    search: "a command while a message is stored",
    source: "marmot-protocol/mdk #712",
    run,
);

fn run(setup: &Setup, twin: Twin) -> Result<Run, String> {
    let world = setup.world(WorldConfig::rough());
    let service = world.host("service");
    let (messages, inbox) = mpsc::channel(8);
    let (commands, orders) = mpsc::channel(8);
    let clients = visitors(&world, 12, 12, 200);
    let pauses: Vec<_> = (0..world.choose(8)).map(|_| world.choose(200)).collect();
    let count = visit_count(&clients);
    for mut client in clients {
        let messages = messages.clone();
        service.run(async move {
            while client.comes().await {
                messages.send(()).await.expect("the worker stays");
            }
        });
    }
    drop(messages);
    service.run(async move {
        for pause in pauses {
            sleep(Duration::from_millis(pause)).await;
            if commands.send(()).await.is_err() {
                return;
            }
        }
    });
    let stored = Rc::new(Cell::new(0));
    service.run(work(inbox, orders, Rc::clone(&stored), twin));
    let run = conclude(&world, count)?;
    assert_eq!(stored.get(), count, "a message is not stored");
    Ok(run)
}

async fn work(
    mut inbox: Receiver<()>,
    mut orders: Receiver<()>,
    stored: Rc<Cell<u64>>,
    twin: Twin,
) {
    let store = async || {
        sleep(Duration::from_millis(2)).await;
        stored.set(stored.get() + 1);
    };
    loop {
        let taken = select! {
            taken = async {
                let message = inbox.recv().await;
                if message.is_some() && !twin.is_fixed() {
                    // The bug: a message that is here is nowhere else.
                    store().await;
                }
                message
            } => taken,
            Some(()) = orders.recv() => continue,
        };
        match taken {
            Some(()) if twin.is_fixed() => store().await,
            Some(()) => {}
            None => return,
        }
    }
}
