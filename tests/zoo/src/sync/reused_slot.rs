//! Requests in numbered slots: an answer that comes late finds another request in its slot.

use core::cell::RefCell;
use core::time::Duration;
use std::rc::Rc;

use mainspring_executor::spawn;
use mainspring_executor::sync::oneshot;
use mainspring_executor::time::{sleep, timeout};
use mainspring_sim::WorldConfig;
use mainspring_sim::harness::{Run, Setup, conclude};

use crate::specimen::{Specimen, Twin, specimen};
use crate::visitor::{Visitor, visit_count, visitors};

pub(super) const REUSED_SLOT: Specimen = specimen!(
    "reused-slot",
    "the answer to a request that was given up completes the one that took over its slot",
    search: "a timeout, a late answer, a request in between",
    source: "",
    run,
);

/// A request that waits for its answer.
struct Waiting {
    generation: u64,
    answer: oneshot::Sender<u64>,
}

#[derive(Default)]
struct Slots {
    places: RefCell<Vec<Option<Waiting>>>,
}

impl Slots {
    fn insert(&self, waiting: Waiting) -> usize {
        let mut places = self.places.borrow_mut();
        let free = places.iter().position(Option::is_none).unwrap_or_else(|| {
            places.push(None);
            places.len() - 1
        });
        places[free] = Some(waiting);
        free
    }

    fn complete(&self, slot: usize, generation: u64, answer: u64, twin: Twin) {
        let place = &mut self.places.borrow_mut()[slot];
        // The bug: whoever is there gets it.
        let is_meant = |waiting: &Waiting| !twin.is_fixed() || waiting.generation == generation;
        if let Some(waiting) = place.take_if(|waiting| is_meant(waiting)) {
            // Who asked may have gone.
            let _ = waiting.answer.send(answer);
        }
    }
}

fn run(setup: &Setup, twin: Twin) -> Result<Run, String> {
    let world = setup.world(WorldConfig::rough());
    let service = world.host("service");
    let slots = Rc::new(Slots::default());
    let clients = visitors(&world, 16, 12, 100);
    let count = visit_count(&clients);
    for (number, mut client) in (0..).zip(clients) {
        let slots = Rc::clone(&slots);
        service.run(async move {
            let mut question = number * 1_000;
            while client.comes().await {
                question += 1;
                ask(&slots, &client, question, twin).await;
            }
            // The last answers may be late.
            sleep(Duration::from_secs(1)).await;
        });
    }
    conclude(&world, count)
}

async fn ask(slots: &Rc<Slots>, client: &Visitor, number: u64, twin: Twin) {
    let (answer, answered) = oneshot::channel();
    let slot = slots.insert(Waiting { generation: number, answer });
    // One answer in three hundred is late.
    let late = if client.once_in(300) { 20 } else { 0 };
    let answer_time = client.millis(15) + Duration::from_millis(late);
    let answering = Rc::clone(slots);
    drop(spawn(async move {
        sleep(answer_time).await;
        answering.complete(slot, number, number, twin);
    }));
    match timeout(Duration::from_millis(20), answered).await {
        Ok(answer) => assert_eq!(answer, Ok(number), "the answer to another request"),
        Err(_) => drop(slots.places.borrow_mut()[slot].take()),
    }
}
