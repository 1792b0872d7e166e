//! Connections that are kept: used again, capped, and not used when they have gone stale.

use core::cell::Cell;
use core::time::Duration;
use std::rc::Rc;

use futures::future::{join, join_all};
use mainspring::client::{Client, ErrorKind, Limits, Phase, Timeouts};
use mainspring::http1::Error as ProtocolError;
use mainspring::http1::exchange::ResponseError;
use mainspring::{Body, Request, Server, Shutdown};
use mainspring_executor::spawn;
use mainspring_executor::time::sleep;

use crate::peer::*;
use crate::stage::check;

#[test]
fn a_connection_is_used_again() {
    check(|| async {
        let (listener, address) = listen();
        let shutdown = Shutdown::new();
        let server = Server::new(async |request: Request| {
            let body = request.into_body().collect(1024).await.expect("a short body");
            String::from_utf8(body.to_vec()).expect("text")
        });
        let until = shutdown.clone();
        let serving = spawn(async move { server.serve(vec![listener], until).await });
        let client = Client::new();
        for body in ["", "abc", "defg"] {
            let answer = exchange(&client, request("POST", address, body)).await.unwrap();
            assert_eq!(answer, (200, body.to_owned()));
        }
        let answer = exchange(&client, request("PUT", address, stream(&["a", "", "bc"]))).await;
        assert_eq!(answer.unwrap(), (200, "abc".to_owned()));
        assert_eq!(exchange(&client, request("HEAD", address, "abc")).await.unwrap().1, "");
        let stats = client.stats();
        assert_eq!((stats.opened, stats.reused, stats.idle, stats.in_use), (1, 4, 1, 0));
        // The server ends: so does what is idle, without being asked for.
        shutdown.drain();
        serving.await.expect("it does not panic");
        moment().await;
        assert_eq!(client.stats().idle, 0, "its end was seen");
        let refused = exchange(&client, get(address)).await.unwrap_err();
        assert_eq!((refused.phase(), refused.may_be_processed()), (Phase::Connect, false));
        assert!(matches!(refused.kind(), ErrorKind::Io(_)), "{refused}");
    });
}

#[test]
fn connections_are_capped_and_others_wait_in_line() {
    check(|| async {
        let (listener, address) = listen();
        let open = Rc::new(Cell::new(0));
        let most = Rc::new(Cell::new(0));
        let (now_open, most_open) = (Rc::clone(&open), Rc::clone(&most));
        let serving = spawn(async move {
            let serve = async || {
                let mut peer = Peer::accept(&listener).await;
                now_open.set(now_open.get() + 1);
                most_open.set(most_open.get().max(now_open.get()));
                for _ in 0..3 {
                    peer.head().await;
                    sleep(Duration::from_millis(5)).await;
                    peer.say(OK).await;
                }
            };
            join(serve(), serve()).await;
        });
        let limits = Limits { connections_per_origin_max: 2, queue_max: 4, ..Limits::default() };
        let client = Client::builder().limits(limits).build();
        let answers = join_all((0..6).map(|_| exchange(&client, get(address)))).await;
        assert!(answers.into_iter().all(|answer| answer.unwrap() == ok()));
        let stats = client.stats();
        assert_eq!((stats.opened, stats.reused, stats.waiting, stats.in_use), (2, 4, 0, 0));
        serving.await.expect("it ends");
        assert_eq!(most.get(), 2);
    });
}

#[test]
fn the_queue_is_bounded() {
    check(|| async {
        let (listener, address) = listen();
        let limits = Limits { connections_per_origin_max: 1, queue_max: 1, ..Limits::default() };
        let timeouts = Timeouts { queue: Duration::from_millis(50), ..Timeouts::default() };
        let client = Client::builder().limits(limits).timeouts(timeouts).build();
        let first = client.clone();
        let first = spawn(async move { exchange(&first, get(address)).await });
        let mut peer = Peer::accept(&listener).await;
        let second = client.clone();
        let second = spawn(async move { exchange(&second, get(address)).await });
        while client.stats().waiting == 0 {
            sleep(Duration::from_millis(1)).await;
        }
        let full = exchange(&client, get(address)).await.unwrap_err();
        assert!(matches!(full.kind(), ErrorKind::QueueFull), "{full}");
        assert_eq!((full.phase(), full.host()), (Phase::Queue, &*address.to_string()));
        let late = second.await.unwrap().unwrap_err();
        assert!(matches!(late.kind(), ErrorKind::Timeout), "{late}");
        assert_eq!((late.phase(), late.may_be_processed()), (Phase::Queue, false));
        // Another origin has a line of its own.
        let (other, elsewhere) = listen();
        let asked = exchange(&client, get(elsewhere));
        let served = async { Peer::accept(&other).await.answer(OK).await };
        assert_eq!(join(asked, served).await.0.unwrap(), ok());
        peer.answer(OK).await;
        assert_eq!(first.await.unwrap().unwrap(), ok());
        assert_eq!((client.stats().in_use, client.stats().waiting), (0, 0));
    });
}

#[test]
fn what_is_idle_is_bounded_in_number_and_age() {
    check(|| async {
        let limits = Limits { idle_max: 2, ..Limits::default() };
        let timeouts = Timeouts { idle: Duration::from_millis(400), ..Timeouts::default() };
        let client = Client::builder().limits(limits).timeouts(timeouts).build();
        let mut peers = Vec::new();
        for _ in 0..3 {
            let (listener, address) = listen();
            let served = async {
                let mut peer = Peer::accept(&listener).await;
                peer.answer(OK).await;
                peer
            };
            let (answer, peer) = join(exchange(&client, get(address)), served).await;
            assert_eq!(answer.unwrap(), ok());
            peers.push(peer);
        }
        assert_eq!(client.stats().idle, 2);
        // The first was idle for the longest time.
        peers.remove(0).ends().await;
        for peer in peers {
            peer.ends().await;
        }
        assert_eq!(client.stats().idle, 0);
    });
}

/// Serves one answer, says `more`, then waits until the case lets it close.
///
/// After a moment the reaper has seen it; before, who would use the connection does.
fn spoiled(more: &'static str, closes: bool) {
    spoiled_for(more, closes, MOMENT);
    spoiled_for(more, closes, Duration::from_millis(30));
}

fn spoiled_for(more: &'static str, closes: bool, pause: Duration) {
    check(move || async move {
        let (listener, address) = listen();
        let client = Client::new();
        let served = async {
            let mut peer = Peer::accept(&listener).await;
            peer.answer(OK).await;
            peer
        };
        let (answer, mut peer) = join(exchange(&client, get(address)), served).await;
        assert_eq!(answer.unwrap(), ok());
        peer.say(more).await;
        let peer = (!closes).then_some(peer);
        sleep(pause).await;
        if pause == MOMENT {
            assert_eq!(client.stats().idle, 0, "it is closed, not kept until somebody needs it");
        }
        let served = async { Peer::accept(&listener).await.answer(OK).await };
        let (answer, _) = join(exchange(&client, request("POST", address, "x")), served).await;
        assert_eq!(answer.unwrap(), ok());
        let stats = client.stats();
        assert_eq!((stats.opened, stats.reused, stats.retried), (2, 0, 0));
        if let Some(peer) = peer {
            peer.ends().await;
        }
    });
}

#[test]
fn an_idle_connection_that_ended_is_not_used() {
    spoiled("", true);
}

#[test]
fn an_idle_connection_with_bytes_that_nobody_asked_for_is_not_used() {
    spoiled("HTTP/1.1 408 Request Timeout\r\nConnection: close\r\n\r\n", true);
    spoiled("x", false);
}

#[test]
fn bytes_behind_a_response_end_its_connection() {
    check(|| async {
        let (listener, address) = listen();
        let client = Client::new();
        let served = async {
            let mut peer = Peer::accept(&listener).await;
            peer.answer(&format!("{OK}HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nevil!")).await;
            peer
        };
        let (answer, peer) = join(exchange(&client, get(address)), served).await;
        assert_eq!(answer.unwrap(), ok());
        moment().await;
        assert_eq!(client.stats().idle, 0);
        peer.ends().await;
    });
}

/// What becomes of a second request when its connection ends under it; gives how often it was sent again.
async fn second_request(
    second: http::Request<Body>,
    listener: mainspring_executor::net::TcpListener,
    last_words: &'static str,
    is_reset: bool,
) -> (Result<(u16, String), mainspring::client::Error>, u64) {
    let address = listener.local_addr().expect("it listens");
    let client = Client::new();
    let serving = spawn(async move {
        let mut peer = Peer::accept(&listener).await;
        peer.answer(OK).await;
        // The request has come, and then the server goes away.
        peer.answer(last_words).await;
        if is_reset {
            moment().await;
            peer.0.abort();
        } else {
            drop(peer);
        }
        let mut peer = Peer::accept(&listener).await;
        peer.answer(OK).await;
        peer
    });
    assert_eq!(exchange(&client, get(address)).await.unwrap(), ok());
    let outcome = exchange(&client, second).await;
    let retried = client.stats().retried;
    assert_eq!(client.stats().in_use, 0);
    serving.abort();
    drop(serving.await);
    (outcome, retried)
}

#[test]
fn an_idempotent_request_on_a_stale_connection_is_sent_again() {
    for method in ["GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"] {
        check(move || async move {
            let (listener, address) = listen();
            let body = if method == "PUT" { "x" } else { "" };
            let (outcome, retried) =
                second_request(request(method, address, body), listener, "", false).await;
            let expected = if method == "HEAD" { "" } else { "ok" };
            assert_eq!(outcome.unwrap(), (200, expected.to_owned()), "{method}");
            assert_eq!(retried, 1, "{method}");
        });
    }
}

#[test]
fn others_are_not_sent_again() {
    for method in ["POST", "PATCH", "LINK"] {
        check(move || async move {
            let (listener, address) = listen();
            let (outcome, retried) =
                second_request(request(method, address, "x"), listener, "", false).await;
            let error = outcome.unwrap_err();
            assert!(matches!(error.kind(), ErrorKind::Closed | ErrorKind::Io(_)), "{error}");
            assert!(error.may_be_processed() && retried == 0);
        });
    }
    // A reset without an answer is no other reason than an end.
    check(|| async {
        let (listener, address) = listen();
        let (outcome, retried) = second_request(get(address), listener, "", true).await;
        assert_eq!((outcome.unwrap(), retried), (ok(), 1));
    });
    // A body that is gone once it is read.
    check(|| async {
        let (listener, address) = listen();
        let (outcome, retried) =
            second_request(request("PUT", address, stream(&["x"])), listener, "", false).await;
        assert!(outcome.unwrap_err().may_be_processed() && retried == 0);
    });
    // An answer that has begun, and a reset.
    check(|| async {
        let (listener, address) = listen();
        let (outcome, retried) = second_request(get(address), listener, "HTTP/1.1 2", true).await;
        let error = outcome.unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::Io(_)), "{error}");
        assert_eq!((error.phase(), retried), (Phase::Head, 0));
    });
    // An answer that has begun, and the end.
    check(|| async {
        let (listener, address) = listen();
        let (outcome, retried) = second_request(get(address), listener, "HTTP/1.1 2", false).await;
        let error = outcome.unwrap_err();
        let cut_off = ResponseError::Message(ProtocolError::Incomplete);
        assert!(matches!(error.kind(), ErrorKind::Response(error) if *error == cut_off), "{error}");
        assert_eq!((error.phase(), retried), (Phase::Head, 0));
    });
    // A connection that is new: the server does not want it.
    check(|| async {
        let (listener, address) = listen();
        let client = Client::new();
        let served = async { drop(Peer::accept(&listener).await.head().await) };
        let (outcome, ()) = join(exchange(&client, get(address)), served).await;
        assert!(matches!(outcome.unwrap_err().kind(), ErrorKind::Closed | ErrorKind::Io(_)));
        assert_eq!(client.stats().retried, 0);
    });
}

#[test]
fn a_connection_that_says_close_is_not_kept() {
    for (answer, asked) in [
        ("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok", ""),
        ("HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok", ""),
        (OK, "close"),
    ] {
        check(move || async move {
            let (listener, address) = listen();
            let client = Client::new();
            let served = async {
                let mut peer = Peer::accept(&listener).await;
                peer.answer(answer).await;
                peer.ends().await;
            };
            let mut request = get(address);
            if !asked.is_empty() {
                request.headers_mut().insert("connection", asked.parse().unwrap());
            }
            let (outcome, ()) = join(exchange(&client, request), served).await;
            assert_eq!(outcome.unwrap(), ok());
            assert_eq!(client.stats().idle, 0);
        });
    }
}

#[test]
fn the_last_clone_closes_what_is_idle() {
    check(|| async {
        let (listener, address) = listen();
        let client = Client::new();
        let clone = client.clone();
        let served = async {
            let mut peer = Peer::accept(&listener).await;
            peer.answer(OK).await;
            peer
        };
        let (answer, mut peer) = join(client.send(get(address)), served).await;
        let body = answer.unwrap().into_body();
        drop(client);
        peer.stays().await;
        drop(clone);
        // The body is the reader's still.
        assert_eq!(text(body).await.unwrap(), "ok");
        peer.ends().await;
    });
}
