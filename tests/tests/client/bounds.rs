//! Times that are over, and what an error says then.

use core::convert::Infallible;
use core::time::Duration;

use bytes::Bytes;
use futures::future::join;
use mainspring::Body;
use mainspring::client::{Client, Error, ErrorKind, Phase, Timeouts};
use mainspring_executor::time::now;
use mainspring_executor::{deadline, spawn};

use crate::peer::*;
use crate::stage::{check, simulate};

const SHORT: Duration = Duration::from_millis(50);

fn client(adjust: impl FnOnce(&mut Timeouts)) -> Client {
    let mut timeouts = Timeouts::default();
    adjust(&mut timeouts);
    Client::builder().timeouts(timeouts).build()
}

/// The request was sent, and its time was over in that phase; nothing is left of it.
#[track_caller]
fn too_late(client: &Client, error: &Error, phase: Phase) {
    assert!(matches!(error.kind(), ErrorKind::Timeout), "{error}");
    assert_eq!((error.phase(), error.may_be_processed()), (phase, true), "{error}");
    assert!(error.is_timeout());
    assert_eq!((client.stats().in_use, client.stats().idle), (0, 0));
}

#[test]
fn the_head_has_its_time() {
    for part in ["", "HTTP/1.1 100 Continue\r\n\r\n", "HTTP/1.1 200 OK\r\n"] {
        check(move || async move {
            let (listener, address) = listen();
            let client = client(|timeouts| timeouts.head = SHORT);
            let served = async {
                let mut peer = Peer::accept(&listener).await;
                peer.answer(part).await;
                peer.ends().await;
            };
            let (outcome, ()) = join(exchange(&client, get(address)), served).await;
            too_late(&client, &outcome.unwrap_err(), Phase::Head);
        });
    }
}

#[test]
fn the_body_has_its_time_for_each_read() {
    check(|| async {
        let (listener, address) = listen();
        let client = client(|timeouts| timeouts.body = MOMENT);
        let served = async {
            let mut peer = Peer::accept(&listener).await;
            peer.answer("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n").await;
            for _ in 0..6 {
                mainspring_executor::time::sleep(MOMENT / 2).await;
                peer.say("x").await;
            }
            peer.ends().await;
        };
        let asked = async {
            let mut body = client.send(get(address)).await.unwrap().into_body();
            // What nobody wants is not waited for.
            moment().await;
            let mut read = 0;
            while read < 6 {
                read += body.chunk().await.unwrap().unwrap().len();
            }
            let error = body.chunk().await.unwrap().unwrap_err();
            assert!(body.chunk().await.is_none(), "that was the last");
            error
        };
        let (error, ()) = join(asked, served).await;
        too_late(&client, &error, Phase::Body);
    });
}

#[test]
fn a_server_that_does_not_read_has_its_time() {
    check(|| async {
        let (listener, address) = listen();
        let client = client(|timeouts| timeouts.write = SHORT);
        let body = Body::from(vec![b'x'; 64 << 20]);
        let asking = client.clone();
        let asking = spawn(async move { exchange(&asking, request("POST", address, body)).await });
        let peer = Peer::accept(&listener).await;
        too_late(&client, &asking.await.unwrap().unwrap_err(), Phase::Send);
        drop(peer);
    });
}

#[test]
fn the_callers_own_body_has_all_the_time() {
    check(|| async {
        let (listener, address) = listen();
        let client = client(|timeouts| {
            timeouts.write = SHORT;
            timeouts.head = SHORT;
        });
        let served = async {
            let mut peer = Peer::accept(&listener).await;
            peer.head().await;
            assert_eq!(peer.take(2).await, b"xx");
            peer.say(OK).await;
        };
        let pieces = futures::stream::unfold(0, |count| async move {
            mainspring_executor::time::sleep(2 * SHORT).await;
            (count < 2).then_some((Ok::<_, Infallible>(Bytes::from("x")), count + 1))
        });
        let body = Body::stream(Some(2), Box::pin(pieces));
        let asked = exchange(&client, request("PUT", address, body));
        assert_eq!(join(asked, served).await.0.unwrap(), ok());
    });
}

#[test]
fn the_whole_has_its_time() {
    check(|| async {
        let (listener, address) = listen();
        let client = client(|timeouts| timeouts.total = SHORT);
        let served = async {
            let mut peer = Peer::accept(&listener).await;
            peer.head().await;
            peer.ends().await;
        };
        let (outcome, ()) = join(exchange(&client, get(address)), served).await;
        let error = outcome.unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::Deadline), "{error}");
        assert_eq!((error.phase(), error.may_be_processed()), (Phase::Head, true));
        // Also where the head came in time.
        let served = async {
            let mut peer = Peer::accept(&listener).await;
            peer.answer("HTTP/1.1 200 OK\r\n\r\n").await;
            peer.ends().await;
        };
        let (outcome, ()) = join(exchange(&client, get(address)), served).await;
        let error = outcome.unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::Deadline), "{error}");
        assert_eq!((error.phase(), client.stats().in_use), (Phase::Body, 0));
    });
}

#[test]
fn the_callers_deadline_is_kept() {
    for (answer, phase) in [("", Phase::Head), ("HTTP/1.1 200 OK\r\n\r\nx", Phase::Body)] {
        check(move || async move {
            let (listener, address) = listen();
            let client = Client::new();
            let served = async {
                let mut peer = Peer::accept(&listener).await;
                peer.answer(answer).await;
                peer.ends().await;
            };
            let until = now() + MOMENT;
            // A task knows of the deadline of who spawned it, and is not ended by it.
            let (asking, mut handle) = (client.clone(), None);
            let spawning = deadline::until(until, async {
                handle = Some(spawn(async move { exchange(&asking, get(address)).await }));
            });
            spawning.await.expect("that took no time");
            let asking = handle.expect("it was spawned");
            let (outcome, ()) = join(asking, served).await;
            let error = outcome.unwrap().unwrap_err();
            assert!(matches!(error.kind(), ErrorKind::Deadline), "{error}");
            assert!(now() >= until);
            assert_eq!((error.phase(), client.stats().in_use), (phase, 0));
        });
    }
}

#[test]
fn a_connection_has_its_time() {
    simulate(|| async {
        let client = client(|timeouts| timeouts.connect = Duration::from_millis(500));
        let nobody = "10.9.9.9:80".parse().expect("an address");
        let started = now();
        let error = exchange(&client, get(nobody)).await.unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::Timeout), "{error}");
        assert_eq!((error.phase(), error.may_be_processed()), (Phase::Connect, false));
        assert!(now() - started <= Duration::from_millis(600));
        assert_eq!(client.stats(), mainspring::client::ClientStats::default());
    });
}

#[test]
fn a_host_is_looked_up_and_its_addresses_tried() {
    check(|| async {
        let (listener, address) = listen();
        let client = Client::new();
        let uri = format!("http://LocalHost:{}/", address.port());
        let request = http::Request::get(uri).body(Body::empty()).unwrap();
        let served = async { Peer::accept(&listener).await.answer(OK).await };
        let (outcome, head) = join(exchange(&client, request), served).await;
        assert_eq!(outcome.unwrap(), ok());
        assert!(head.contains(&format!("host: LocalHost:{}", address.port())), "{head}");
    });
    simulate(|| async {
        let client = Client::new();
        let request = http::Request::get("http://nobody.example/").body(Body::empty()).unwrap();
        let error = exchange(&client, request).await.unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::Io(_)), "{error}");
        assert_eq!((error.phase(), error.host()), (Phase::Resolve, "nobody.example:80"));
    });
}

#[test]
fn what_cannot_be_asked_is_refused_at_once() {
    check(|| async {
        let client = Client::new();
        for (method, uri, expected) in [
            ("GET", "https://a/", "a:443: checking the request: the scheme is not http"),
            ("GET", "/path", ": checking the request: the URI cannot be a request target"),
            (
                "CONNECT",
                "http://a/",
                "a:80: checking the request: the URI cannot be a request target",
            ),
            (
                "GET",
                "http://u@a/",
                "a:80: checking the request: the URI cannot be a request target",
            ),
        ] {
            let request = http::Request::builder().method(method).uri(uri).body(Body::empty());
            let error = client.send(request.unwrap()).await.unwrap_err();
            assert_eq!(error.to_string(), expected);
            assert!(!error.may_be_processed());
        }
        assert_eq!(client.stats(), mainspring::client::ClientStats::default());
    });
}
