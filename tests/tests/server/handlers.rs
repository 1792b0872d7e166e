//! Handlers that misbehave, and handlers that do uncommon things with the bodies of their requests.

use core::time::Duration;
use std::rc::Rc;

use bytes::Bytes;
use futures::stream::{self, FuturesUnordered, StreamExt};
use mainspring::{Body, Handler, Incoming, IntoResponse, Request, Response, Server};
use mainspring_executor::time::{now, sleep, timeout};
use mainspring_executor::{Scope, spawn};

use crate::playground::playground;
use crate::stage::{Case, Machines, Seen, Stage};
use crate::wire::{End, closes, get, goes_on, pattern, post, request, rest, rest_as_text};

/// A panic is answered with 500 and counted; the connection goes on, and so does everybody else.
#[test]
fn a_panic_is_answered() {
    Case::new(playground).check(|stage| async move {
        let mut client = stage.connect().await;
        for when in ["at-once", "later", "as-a-response"] {
            let request = get(&format!("/panic/{when}"));
            let answer = client.exchange(request.as_bytes(), false).await.expect("an answer");
            assert_eq!((answer.status, answer.field("connection")), (500, None), "{when}");
            goes_on(&mut client).await;
        }
        assert_eq!(stage.stats().handler_panics, 3);
        assert_eq!(stage.stats().responses, [0, 3, 0, 0, 3]);
    });
}

/// A response that breaks in the middle is cut by a reset: in no framing can it be taken for a whole one. Its source
/// may fail, panic, end too soon, or give too much.
#[test]
fn a_response_that_breaks_is_seen_to_break() {
    Case::new(playground).check(|stage| async move {
        let mut panics = 0;
        for (path, panicked) in [
            ("/fails", 0),
            ("/fails/9", 0),
            ("/panics-in-body", 1),
            ("/panics-in-body/9", 1),
            ("/stream/10", 0),
            ("/stream/8", 0),
        ] {
            for version in ["1.1", "1.0"] {
                let mut client = stage.connect().await;
                let request = format!("GET {path} HTTP/{version}\r\nHost: x\r\n\r\n");
                client.send(request.as_bytes()).await.expect("the server reads");
                let (text, end) = rest_as_text(&mut client).await;
                assert_eq!(end, End::Reset, "{path} for HTTP/{version}: {text:?}");
                assert!(!text.ends_with("0\r\n\r\n"), "{path} for HTTP/{version}: {text:?}");
                panics += panicked;
            }
        }
        assert_eq!(stage.stats().handler_panics, panics);
        let mut client = stage.connect().await;
        goes_on(&mut client).await;
    });
}

/// What breaks before the head is out can still be answered; what comes before it is not lost.
#[test]
fn a_response_that_breaks_costs_no_other_its_answer() {
    Case::new(playground).check(|stage| async move {
        let mut client = stage.connect().await;
        client.send((get("/hello") + &get("/fails")).as_bytes()).await.expect("it reads");
        assert_eq!(client.answer(false).await.expect("an answer").body, b"hello");
        assert_eq!(rest(&mut client).await.1, End::Reset);
    });
}

/// A response that cannot be sent as it is becomes a 500, and the connection goes on.
#[test]
fn a_response_that_cannot_be_is_a_500() {
    Case::new(playground).check(|stage| async move {
        let mut client = stage.connect().await;
        for path in [
            "/promise/7",
            "/promise/5x",
            "/field/connection/upgrade",
            "/field/transfer-encoding/chunked",
            "/status/101",
        ] {
            let answer = client.exchange(get(path).as_bytes(), false).await.expect("an answer");
            assert_eq!(answer.status, 500, "{path}");
            goes_on(&mut client).await;
        }
    });
}

/// Handlers that do not read the body of their request in their own future, or not only there.
fn keeper(stage: &Stage) -> Server<impl Handler + use<>> {
    let seen = Rc::clone(&stage.seen);
    Server::new(move |request| keep(Rc::clone(&seen), request))
}

async fn keep(seen: Rc<Seen>, request: Request) -> Response {
    let path = request.uri().path().to_owned();
    match &*path {
        "/keep" => {
            seen.kept.replace(Some(request.into_body()));
            "kept".into_response()
        }
        "/read-kept" => {
            let kept = seen.kept.take().expect("an earlier request kept it");
            read_on(&seen, kept).await;
            "read".into_response()
        }
        "/later" => {
            drop(spawn(async move {
                sleep(Duration::from_secs(1)).await;
                read_on(&seen, request.into_body()).await;
            }));
            "later".into_response()
        }
        "/meanwhile" => {
            drop(spawn(async move { read_on(&seen, request.into_body()).await }));
            // A slow stream, so that both go on at one time for long.
            let piece = Bytes::from(pattern(20_000));
            let pieces = stream::repeat_with(move || Ok::<_, std::io::Error>(piece.clone()));
            Response::new(Body::stream(None, pieces.take(50)))
        }
        "/child" => {
            let children = Scope::new();
            let reader = children.spawn(async move { read_on(&seen, request.into_body()).await });
            reader.await.expect("it does not panic");
            "read".into_response()
        }
        "/unordered" => {
            let mut reads: FuturesUnordered<_> =
                [request.into_body().collect(1_000)].into_iter().collect();
            let body = reads.next().await.expect("one read").expect("a good body");
            body.into_response()
        }
        "/hello" => "hello".into_response(),
        _ => Bytes::from(pattern(15_000)).into_response(),
    }
}

/// Reads a body to its end; notes how much it was, and how it ended.
async fn read_on(seen: &Seen, mut body: Incoming) {
    let mut length = 0;
    loop {
        match body.chunk().await {
            Some(Ok(chunk)) => length += chunk.len(),
            Some(Err(error)) => return seen.note(format!("{length} bytes, {error:?}")),
            None => return seen.note(format!("{length} bytes")),
        }
    }
}

/// Waits until something is noted; gives it.
async fn noted(stage: &Stage) -> String {
    let since = now();
    loop {
        if let Some(note) = stage.seen.notes.borrow_mut().pop() {
            return note;
        }
        assert!(now() - since < Duration::from_secs(8), "nothing is noted: the reader hangs");
        sleep(Duration::from_millis(5)).await;
    }
}

/// A body that is kept beyond its response says so when it is read, whether the next request runs by then, the
/// connection waits, or the next head is half here; and nobody's bytes go astray.
#[test]
fn a_body_kept_too_long_is_over() {
    Case::new(keeper).check(|stage| async move {
        let mut client = stage.connect().await;
        client.exchange(&post("/keep", b"12345"), false).await.expect("an answer");
        client.exchange(get("/read-kept").as_bytes(), false).await.expect("an answer");
        assert_eq!(noted(&stage).await, "0 bytes, ExchangeOver");
        for half in [0, 10] {
            client.exchange(&post("/later", b"12345"), false).await.expect("an answer");
            let next = get("/hello");
            client.send(&next.as_bytes()[..half]).await.expect("the server reads");
            assert_eq!(noted(&stage).await, "0 bytes, ExchangeOver");
            client.send(&next.as_bytes()[half..]).await.expect("the server reads");
            assert_eq!(client.answer(false).await.expect("an answer").body, b"hello");
        }
    });
}

/// A body that is kept beyond its connection says that nobody is there.
#[test]
fn a_body_kept_beyond_its_connection_is_disconnected() {
    Case::new(keeper).check(|stage| async move {
        let mut client = stage.connect().await;
        client.exchange(&post("/later", b"12345"), false).await.expect("an answer");
        client.abort();
        assert_eq!(noted(&stage).await, "0 bytes, Disconnected");
    });
}

/// Whoever is still reading a body when its response is complete is told, though nothing more comes; and the
/// connection goes on if the rest does come.
#[test]
fn a_reader_is_told_that_the_response_is_complete() {
    Case::new(keeper).check(|stage| async move {
        let head = request("POST", "/meanwhile", "Content-Length: 10\r\n");
        let mut client = stage.connect().await;
        client.send((head.clone() + "abc").as_bytes()).await.expect("the server reads");
        assert_eq!(client.answer(false).await.expect("an answer").body.len(), 1_000_000);
        assert_eq!(noted(&stage).await, "3 bytes, ExchangeOver");
        client.send(b"1234567").await.expect("the server reads");
        goes_on(&mut client).await;
        // And if its connection ends before the response does.
        client.send((head + "abc").as_bytes()).await.expect("the server reads");
        assert!(client.stream().fill().await.expect("an answer begins") > 0);
        client.abort();
        // The response may have fitted into the buffers of a kernel.
        let note = noted(&stage).await;
        let expected = ["3 bytes, Disconnected", "3 bytes, ExchangeOver"];
        assert!(expected.contains(&&*note), "{note}");
    });
}

/// A task that reads a request and the response that is written meanwhile do not take each other's turns.
#[test]
fn a_request_may_be_read_while_its_response_is_written() {
    Case::new(keeper).on(Machines::Simulated).check(|stage| async move {
        let mut client = stage.connect().await;
        let head = request("POST", "/meanwhile", "Content-Length: 100\r\n");
        client.send(head.as_bytes()).await.expect("the server reads");
        let mut received = 0;
        for _ in 0..10 {
            client.send(&[b'x'; 10]).await.expect("the server reads");
            // Long enough for the response to fill every buffer on its way.
            sleep(Duration::from_millis(100)).await;
            received += client.stream().fill().await.expect("the response goes on");
            let stream = client.stream();
            stream.consume(stream.buffered().len());
        }
        assert_eq!(noted(&stage).await, "100 bytes");
        while received < 1_000_000 {
            let stream = client.stream();
            stream.consume(stream.buffered().len());
            let more = timeout(Duration::from_secs(20), stream.fill()).await;
            let more = more.unwrap_or_else(|_| panic!("the response hangs after {received} bytes"));
            received += more.expect("the response goes on");
        }
    });
}

/// A handler may leave the reading to a task that it waits for.
#[test]
fn a_child_may_read_the_body() {
    Case::new(keeper).check(|stage| async move {
        let mut client = stage.connect().await;
        for length in [0, 10, 100_000] {
            client.exchange(&post("/child", &pattern(length)), false).await.expect("an answer");
            assert_eq!(noted(&stage).await, format!("{length} bytes"));
        }
    });
}

/// A body is asked for with 100 (Continue) even if the answers before it fill the output when it is wanted, and who
/// wants it is a future that listens to its own waker only.
#[test]
fn continue_waits_for_room() {
    Case::new(keeper).check(|stage| async move {
        for path in ["/unordered", "/child"] {
            let mut client = stage.connect().await;
            let fields = "Expect: 100-continue\r\nContent-Length: 5\r\n";
            let batch = get("/big").repeat(200) + &request("POST", path, fields);
            client.send(batch.as_bytes()).await.expect("the server reads");
            sleep(Duration::from_millis(200)).await;
            for _ in 0..200 {
                assert_eq!(client.answer(false).await.expect("an answer").body.len(), 15_000);
            }
            while !client.stream().buffered().ends_with(b"100 Continue\r\n\r\n") {
                let more = client.stream().fill();
                let more = timeout(Duration::from_secs(5), more).await;
                assert!(more.expect("it is asked for").expect("the server is there") > 0);
            }
            client.send(b"12345").await.expect("the server reads");
            assert_eq!(client.answer(false).await.expect("an answer").status, 200);
        }
    });
}

/// A server whose future is dropped leaves nothing: no task, no socket.
#[test]
fn a_dropped_server_is_gone() {
    let mut config = mainspring_sim::WorldConfig::rough();
    config.record = false;
    for seed in 0..20 {
        let world = mainspring_sim::World::new(seed, config.clone());
        let host = world.host("server");
        let address = host.address(80);
        host.run(async {
            let options = mainspring_executor::driver::ListenOptions::default();
            let any = ([0, 0, 0, 0], 80).into();
            let listener = mainspring_executor::net::TcpListener::bind(any, options);
            let server = Server::new(async |_: Request| {
                sleep(Duration::from_secs(100)).await;
                "too late"
            });
            let serving = server.serve(vec![listener.expect("free")], mainspring::Shutdown::new());
            let time = Duration::from_secs(1);
            timeout(time, serving).await.expect_err("it serves on");
        });
        world.host("client").run(async move {
            let mut client = mainspring_tests::client::Client::connect(address).await.expect("it");
            client.send(get("/").as_bytes()).await.expect("the server reads");
            closes(&mut client).await;
        });
        world.run().unwrap_or_else(|failure| panic!("{failure}"));
        assert!(world.leaks().is_empty(), "seed {seed}: {:?}", world.leaks());
    }
}
