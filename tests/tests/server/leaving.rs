//! Clients that leave, and clients that only seem to: a FIN is not a reset, and what it means is up to the server.

use core::cell::Cell;
use core::time::Duration;
use std::rc::Rc;

use bytes::Bytes;
use futures::stream;
use mainspring::{Body, Handler, IntoResponse, OnClientFin, Request, Response, Server};
use mainspring_executor::Instant;
use mainspring_executor::time::{now, sleep};

use crate::playground::playground;
use crate::stage::{Case, LATENCY, Machines, Seen, Stage};
use crate::wire::{End, closes, get, request, rest};

fn finishing(stage: &Stage) -> Server<impl Handler + use<>> {
    playground(stage).on_client_fin(OnClientFin::Finish)
}

/// Lies in a handler, and tells when it is dropped.
struct Guard(Rc<Seen>);

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.note(now().to_string());
    }
}

/// A handler that takes a minute, and tells when it ends.
fn guarded(stage: &Stage, on_client_fin: OnClientFin) -> Server<impl Handler + use<>> {
    let seen = Rc::clone(&stage.seen);
    let server = Server::new(move |_: Request| {
        let guard = Guard(Rc::clone(&seen));
        async move {
            sleep(Duration::from_secs(60)).await;
            drop(guard);
            "at last"
        }
    });
    server.on_client_fin(on_client_fin)
}

/// A client that ends its side while it waits has left, unless the server is told otherwise: the handler is dropped as
/// soon as the news arrives, and nothing is said.
#[test]
fn a_fin_drops_the_handler() {
    let server = |stage: &Stage| guarded(stage, OnClientFin::Cancel);
    Case::new(server).on(Machines::Simulated).check(|stage| async move {
        let mut client = stage.connect().await;
        client.send(get("/").as_bytes()).await.expect("the server reads");
        sleep(Duration::from_secs(1)).await;
        client.stream().shutdown_write().expect("it is connected");
        let left = now();
        let (bytes, _) = rest(&mut client).await;
        assert!(bytes.is_empty(), "nothing is said");
        assert_eq!(stage.stats().handlers_cancelled, 1);
        dropped_at_once(&stage, left);
    });
}

/// A reset is a reset, whatever a FIN means.
#[test]
fn a_reset_drops_the_handler() {
    for on_client_fin in [OnClientFin::Cancel, OnClientFin::Finish] {
        let server = move |stage: &Stage| guarded(stage, on_client_fin);
        Case::new(server).on(Machines::Simulated).check(|stage| async move {
            let mut client = stage.connect().await;
            client.send(get("/").as_bytes()).await.expect("the server reads");
            sleep(Duration::from_secs(1)).await;
            client.abort();
            let left = now();
            sleep(Duration::from_millis(100)).await;
            assert_eq!(stage.stats().handlers_cancelled, 1);
            dropped_at_once(&stage, left);
        });
    }
}

/// The handler was dropped one way after `left`; in a rough room after a little more.
fn dropped_at_once(stage: &Stage, left: Instant) {
    let latest = if stage.is_exact { left + LATENCY } else { left + Duration::from_millis(25) };
    let notes = stage.seen.notes.borrow();
    assert_eq!(notes.len(), 1, "the handler ended once");
    assert!(notes[0] <= latest.to_string(), "{} is after {latest}", notes[0]);
}

/// Where a FIN may come from a client that still waits, all that it asked for is answered.
#[test]
fn a_client_that_has_said_all_gets_its_answers() {
    Case::new(finishing).check(|stage| async move {
        let mut client = stage.connect().await;
        let batch = get("/slow/20") + &get("/stream") + &get("/bytes/200000");
        client.send(batch.as_bytes()).await.expect("the server reads");
        client.stream().shutdown_write().expect("it is connected");
        assert_eq!(client.answer(false).await.expect("an answer").body, b"slow");
        assert_eq!(client.answer(false).await.expect("an answer").body, b"abcabcabc");
        assert_eq!(client.answer(false).await.expect("an answer").body.len(), 200_000);
        closes(&mut client).await;
        assert_eq!(stage.stats().handlers_cancelled, 0);
    });
}

/// Even a server that takes a FIN for good-bye answers what needs no waiting: `printf … | nc` gets its answers.
#[test]
fn what_is_ready_is_answered_whatever_a_fin_means() {
    Case::new(playground).check(|stage| async move {
        let mut client = stage.connect().await;
        client.send(get("/hello").repeat(3).as_bytes()).await.expect("the server reads");
        client.stream().shutdown_write().expect("it is connected");
        for _ in 0..3 {
            assert_eq!(client.answer(false).await.expect("an answer").body, b"hello");
        }
        closes(&mut client).await;
    });
}

/// A request that is cut off is not answered, not even with a refusal: who would send it is gone. Its handler learns it.
#[test]
fn a_request_that_is_cut_off_is_not_answered() {
    Case::new(finishing).check(|stage| async move {
        let parts = [
            "GET / HT".to_owned(),
            "GET / HTTP/1.1\r\nHost: x\r\n".to_owned(),
            request("POST", "/collect", "Content-Length: 10\r\n") + "12345",
            request("POST", "/collect", "Transfer-Encoding: chunked\r\n") + "5\r\n123",
        ];
        for part in parts {
            let mut client = stage.connect().await;
            client.send(part.as_bytes()).await.expect("the server reads");
            client.stream().shutdown_write().expect("it is connected");
            closes(&mut client).await;
        }
        assert_eq!(*stage.seen.notes.borrow(), ["Protocol(Incomplete)", "Protocol(Incomplete)"]);
    });
}

/// A response that its client's FIN cuts short must not look whole to a client that still reads.
#[test]
fn a_response_that_a_fin_cuts_is_seen_to_be_cut() {
    let server = |_: &Stage| {
        Server::new(async |_: Request| {
            let pieces = stream::unfold((), |()| async {
                sleep(Duration::from_millis(20)).await;
                Some((Ok::<_, std::io::Error>(Bytes::from_static(b"tick\n")), ()))
            });
            Response::new(Body::stream(None, pieces))
        })
    };
    Case::new(server).check(|stage| async move {
        for version in ["1.0", "1.1"] {
            let mut client = stage.connect().await;
            let request = format!("GET / HTTP/{version}\r\nHost: x\r\n\r\n");
            client.send(request.as_bytes()).await.expect("the server reads");
            sleep(Duration::from_millis(100)).await;
            client.stream().shutdown_write().expect("it is connected");
            let (bytes, end) = rest(&mut client).await;
            let text = String::from_utf8(bytes).expect("text");
            assert!(text.contains("tick"), "some of it has come: {text:?}");
            assert_eq!(end, End::Reset, "HTTP/{version}: {text:?}");
        }
    });
}

/// What runs beside the handler that is dropped goes on: other connections do not notice.
#[test]
fn others_do_not_notice() {
    let server = |stage: &Stage| {
        let seen = Rc::clone(&stage.seen);
        Server::new(move |_: Request| {
            let seen = Rc::clone(&seen);
            async move {
                let running = Rc::new(Cell::new(true));
                sleep(Duration::from_millis(50)).await;
                running.set(false);
                seen.add();
                "done".into_response()
            }
        })
    };
    Case::new(server).on(Machines::Simulated).check(|stage| async move {
        let mut stays = stage.connect().await;
        stays.send(get("/").as_bytes()).await.expect("the server reads");
        for _ in 0..5 {
            let mut leaves = stage.connect().await;
            leaves.send(get("/").as_bytes()).await.expect("the server reads");
            leaves.abort();
        }
        assert_eq!(stays.answer(false).await.expect("an answer").body, b"done");
        assert_eq!(stage.seen.count.get(), 1);
    });
}
