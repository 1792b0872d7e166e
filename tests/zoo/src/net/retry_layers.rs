//! Three services in a row, each of which asks the next one again when that fails.

use core::cell::Cell;
use core::ops::Range;
use std::rc::Rc;

use mainspring_executor::net::TcpStream;
use mainspring_executor::time::sleep;
use mainspring_sim::harness::{Run, Setup};
use mainspring_sim::{Host, WorldConfig};

use super::line::{answer_each, ask_once, finish, ms, serve};
use crate::specimen::{Specimen, Twin, specimen};

pub(super) const RETRY_LAYERS: Specimen = specimen!(
    "retry-layers",
    "each layer tries three times, so the last one gets nine calls for one",
    search: "a backend that fails for a while",
    source: "",
    run,
);

const TRIES: u64 = 3;

/// How an answer says that it is of no use to ask again: others have.
const TIRED: &str = "tired";

/// What the next service says, after some tries.
async fn insist(next: &Host, request: &str, twin: Twin) -> String {
    for _ in 0..TRIES {
        match ask_once(next, request).await {
            Some(answer) if answer == "failed" => {}
            Some(answer) if answer == TIRED && !twin.is_fixed() => {}
            Some(answer) => return answer,
            None => {}
        }
        sleep(ms(20)).await;
    }
    TIRED.to_owned()
}

/// Passes each request on.
async fn relay(stream: TcpStream, next: Host, twin: Twin) {
    answer_each(stream, async |request: String| insist(&next, &request, twin).await).await;
}

/// Counts how often it is asked for each request, and fails for some calls.
async fn backend(stream: TcpStream, asked: Rc<[Cell<u64>]>, failing: Range<u64>) {
    let reply = async |request: String| {
        let number: usize = request.parse().expect("requests are numbers");
        asked[number].set(asked[number].get() + 1);
        let calls = asked.iter().map(Cell::get).sum::<u64>();
        if failing.contains(&calls) { "failed" } else { "ok" }
    };
    answer_each(stream, reply).await;
}

fn run(setup: &Setup, twin: Twin) -> Result<Run, String> {
    let world = setup.world(WorldConfig::rough());
    let (last, middle) = (world.host("backend"), world.host("middle"));
    let requests = 1 + world.choose(100);
    let asked: Rc<[Cell<u64>]> = (0..requests).map(|_| Cell::new(0)).collect();
    let counted = Rc::clone(&asked);
    let first = 1 + world.choose(200);
    let failing = first..first + world.choose(12);
    last.spawn(serve(move |stream| backend(stream, Rc::clone(&counted), failing.clone())));
    let next = last.clone();
    middle.spawn(serve(move |stream| relay(stream, next.clone(), twin)));
    let front = world.host("front");
    let next = middle.clone();
    front.run(async move {
        for number in 0..requests {
            let _ = insist(&next, &number.to_string(), twin).await;
        }
    });
    let run = finish(&world, &[&last, &middle], requests)?;
    let most = asked.iter().map(Cell::get).max().unwrap_or(0);
    assert!(most <= TRIES, "a request is tried {TRIES} times, not {most} times");
    Ok(run)
}
