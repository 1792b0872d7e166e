//! An API that is told by "Retry-After" when it may be asked again.

use core::cell::Cell;
use std::rc::Rc;

use http::{StatusCode, header};
use mainspring::client::Client;
use mainspring::{Body, Request, Response};
use mainspring_executor::Instant;
use mainspring_executor::driver::Signal;
use mainspring_executor::time::{now, sleep};
use mainspring_sim::harness::{Run, Setup, conclude};
use mainspring_sim::{Host, WorldConfig};

use super::line::{PORT, ms, serve_http};
use crate::specimen::{Specimen, Twin, specimen};

pub(super) const RETRY_AFTER: Specimen = specimen!(
    "retry-after",
    "the time that an answer 429 asks to wait for is not waited for",
    search: "more requests than the API takes in a second",
    source: "RFC 9110 §10.2.3",
    run,
);

const REQUESTS_MAX: u64 = 3;

/// Takes so many requests a second, and asks the rest to wait for two.
#[derive(Default)]
struct Limiter {
    second: Cell<u64>,
    count: Cell<u64>,
    closed_until: Cell<Option<Instant>>,
    /// Requests that came though they were told not to.
    ignored: Cell<u64>,
}

impl Limiter {
    fn answer(&self) -> Response {
        let second = now().as_nanos() / 1_000_000_000;
        if self.second.replace(second) != second {
            self.count.set(0);
        }
        self.count.set(self.count.get() + 1);
        let is_closed = self.closed_until.get().is_some_and(|until| now() < until);
        self.ignored.set(self.ignored.get() + u64::from(is_closed));
        if !is_closed && self.count.get() <= REQUESTS_MAX {
            return Response::new(Body::from("ok"));
        }
        if !is_closed {
            self.closed_until.set(Some(now() + ms(2_000)));
        }
        let answer = http::Response::builder()
            .status(StatusCode::TOO_MANY_REQUESTS)
            .header(header::RETRY_AFTER, "2");
        answer.body(Body::empty()).expect("it is well formed")
    }
}

/// One caller, so nobody else is told to wait for it.
async fn call(api: Host, pauses: Vec<u64>, twin: Twin) {
    let client = Client::new();
    for pause in pauses {
        sleep(ms(pause)).await;
        loop {
            let uri = format!("http://{}/", api.address(PORT));
            let request = http::Request::get(uri).body(Body::empty()).expect("it is well formed");
            let answer = client.send(request).await.expect("the server answers");
            if answer.status().is_success() {
                break;
            }
            let told = answer.headers().get(header::RETRY_AFTER).and_then(|it| it.to_str().ok());
            let told = told.and_then(|it| it.parse::<u64>().ok()).unwrap_or(1);
            sleep(ms(if twin.is_fixed() { told * 1_000 } else { 500 })).await;
        }
    }
}

fn run(setup: &Setup, twin: Twin) -> Result<Run, String> {
    let world = setup.world(WorldConfig::rough());
    let (api, caller) = (world.host("api"), world.host("caller"));
    let limiter = Rc::new(Limiter::default());
    let limiting = Rc::clone(&limiter);
    api.run(async move {
        let handler = move |_: Request| {
            let limiting = Rc::clone(&limiting);
            async move { limiting.answer() }
        };
        serve_http(handler).await;
    });
    let requests = 1 + world.choose(60);
    // In a hurry now and then.
    let pauses = (0..requests).map(|_| 500 - caller.choose(500)).collect();
    let end = api.clone();
    caller.run(async move {
        call(api, pauses, twin).await;
        end.signal(Signal::Terminate);
    });
    let run = conclude(&world, requests)?;
    assert_eq!(limiter.ignored.get(), 0, "who is told to wait waits");
    Ok(run)
}
