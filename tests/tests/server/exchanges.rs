//! What surrounds a handler: the policy for when its client leaves, the scope of its request, the switch to another
//! protocol, errors as documents, and the connections that a peer may have.

use core::time::Duration;
use std::rc::Rc;

use http::StatusCode;
use http::header::HeaderValue;
use mainspring::{
    Handler, IntoResponse, OnDisconnect, Problem, Request, Response, Server, Timeouts, Upgraded,
    upgrade,
};
use mainspring_executor::time::{now, sleep};

use crate::playground::playground;
use crate::stage::{Case, LATENCY, Machines, Stage};
use crate::wire::{End, closes, get, goes_on, request, rest, rest_as_text};

const SECOND: Duration = Duration::from_secs(1);

/// A handler that takes ten seconds and tells that it came to its end. `/own/…` sets the policy by itself.
fn ten_seconds(stage: &Stage, on_disconnect: OnDisconnect) -> Server<impl Handler + use<>> {
    let seen = Rc::clone(&stage.seen);
    let server = Server::new(move |request: Request| {
        let seen = Rc::clone(&seen);
        async move {
            match request.path() {
                "/own/finish" => request.set_on_disconnect(OnDisconnect::Finish),
                "/own/cancel" => request.set_on_disconnect(OnDisconnect::Cancel),
                _ => {}
            }
            let inner = Rc::clone(&seen);
            request.scope().spawn(async move {
                sleep(5 * SECOND).await;
                inner.note("half");
            });
            sleep(10 * SECOND).await;
            seen.note(now().to_string());
            "done"
        }
    });
    server.on_disconnect(on_disconnect)
}

/// What the handler noted, and how many connections were open, ten seconds after its client left.
fn after_a_reset(on_disconnect: OnDisconnect, path: &'static str, notes: usize, open: u64) {
    let server = move |stage: &Stage| ten_seconds(stage, on_disconnect);
    Case::new(server).on(Machines::Simulated).check(move |stage| async move {
        let mut client = stage.connect().await;
        client.send(get(path).as_bytes()).await.expect("the server reads");
        sleep(SECOND).await;
        client.abort();
        sleep(SECOND).await;
        assert_eq!(stage.stats().connections_open, open);
        sleep(10 * SECOND).await;
        assert_eq!(stage.seen.notes.borrow().len(), notes, "{path}");
        let stats = stage.stats();
        assert_eq!(stats.handlers_cancelled, u64::from(notes == 0));
        assert_eq!(stats.handlers_detached, u64::from(notes == 2 && open == 0));
        assert_eq!(stats.connections_open, 0);
    });
}

/// A handler whose client has left is dropped, goes on with its connection, or goes on without it; and what it has spawned
/// shares its fate. It may choose by itself.
#[test]
fn policies_for_clients_that_leave() {
    after_a_reset(OnDisconnect::Cancel, "/", 0, 0);
    after_a_reset(OnDisconnect::Finish, "/", 2, 1);
    after_a_reset(OnDisconnect::Detach, "/", 2, 0);
    after_a_reset(OnDisconnect::Cancel, "/own/finish", 2, 1);
    after_a_reset(OnDisconnect::Detach, "/own/cancel", 0, 0);
}

/// A drain waits for a handler that goes on by itself.
#[test]
fn a_drain_waits_for_what_was_detached() {
    let server = |stage: &Stage| ten_seconds(stage, OnDisconnect::Detach);
    Case::new(server).on(Machines::Simulated).check(|stage| async move {
        let mut client = stage.connect().await;
        client.send(get("/").as_bytes()).await.expect("the server reads");
        sleep(SECOND).await;
        client.abort();
        sleep(SECOND).await;
        stage.drain();
        while !stage.has_ended() {
            sleep(SECOND / 10).await;
        }
        assert_eq!(stage.seen.notes.borrow().len(), 2, "it came to its end");
    });
}

/// A handler that goes on without its client still has no more than its time.
#[test]
fn what_goes_on_alone_has_its_time_too() {
    for (on_disconnect, open) in [(OnDisconnect::Detach, 0), (OnDisconnect::Finish, 1)] {
        let server = move |stage: &Stage| {
            let timeouts = Timeouts { handler: 6 * SECOND, ..Timeouts::default() };
            ten_seconds(stage, on_disconnect).timeouts(timeouts)
        };
        Case::new(server).on(Machines::Simulated).check(move |stage| async move {
            let mut client = stage.connect().await;
            client.send(get("/").as_bytes()).await.expect("the server reads");
            sleep(SECOND).await;
            client.abort();
            sleep(SECOND).await;
            assert_eq!(stage.stats().connections_open, open);
            sleep(10 * SECOND).await;
            assert_eq!(*stage.seen.notes.borrow(), ["half"]);
            assert_eq!(stage.stats().handlers_timed_out, 1);
            assert_eq!(stage.stats().connections_open, 0);
        });
    }
}

/// What a handler spawns in the scope of its request ends with the response.
#[test]
fn a_scope_ends_with_its_response() {
    let server = |stage: &Stage| {
        let seen = Rc::clone(&stage.seen);
        Server::new(move |request: Request| {
            let seen = Rc::clone(&seen);
            let scope = request.scope();
            scope.spawn(async move {
                sleep(SECOND).await;
                seen.note("it outlived its request");
            });
            async move {
                let _kept = scope;
                "answered"
            }
        })
    };
    Case::new(server).on(Machines::Simulated).check(|stage| async move {
        let mut client = stage.connect().await;
        goes_on_with(&mut client, "answered").await;
        sleep(2 * SECOND).await;
        goes_on_with(&mut client, "answered").await;
        assert!(stage.seen.notes.borrow().is_empty());
    });
}

async fn goes_on_with(client: &mut mainspring_tests::client::Client, body: &str) {
    let answer = client.exchange(get("/").as_bytes(), false).await.expect("an answer");
    assert_eq!(answer.body, body.as_bytes());
}

/// Echoes lines in a protocol of its own until its client's FIN or the drain.
fn echoing(_: &Stage) -> Server<impl Handler + use<>> {
    Server::new(async |request: Request| {
        if request.upgrade() != Some(b"echo".as_slice()) {
            let mut response = Response::new("say echo".into());
            *response.status_mut() = StatusCode::UPGRADE_REQUIRED;
            response.headers_mut().insert("upgrade", HeaderValue::from_static("echo"));
            return response;
        }
        let id = request.id();
        upgrade(HeaderValue::from_static("echo"), move |upgraded| async move {
            let Upgraded { mut stream, draining } = upgraded;
            assert!(id.to_string().ends_with("-1"), "the first request of its connection");
            let echo = async {
                while !stream.buffered().is_empty() || stream.fill().await.expect("it goes on") > 0
                {
                    let bytes = stream.buffered().to_vec();
                    stream.consume(bytes.len());
                    stream.write_all(&bytes).await.expect("it goes on");
                }
            };
            if draining.run_until_cancelled(echo).await.is_none() {
                stream.write_all(b"good-bye").await.expect("it is still there");
            }
        })
    })
}

fn upgrade_request() -> String {
    request("GET", "/", "Connection: Upgrade\r\nUpgrade: echo\r\n")
}

/// A connection that switches is the handler's, with what the client sent behind its request; HTTP has no say any more.
#[test]
fn an_upgrade_hands_over_the_stream() {
    Case::new(echoing).check(|stage| async move {
        let mut client = stage.connect().await;
        let head = upgrade_request();
        // The first bytes of the other protocol come with the request, and would be none of HTTP.
        client.send((head + "\0GET one").as_bytes()).await.expect("the server reads");
        let expected = "HTTP/1.1 101 Switching Protocols\r\nupgrade: echo\r\nconnection: upgrade\r\n\r\n\0GET onetwo";
        client.send(b"two").await.expect("the server reads");
        let mut seen = Vec::new();
        while seen.len() < expected.len() {
            let stream = client.stream();
            assert!(stream.fill().await.expect("it goes on") > 0);
            seen.extend_from_slice(stream.buffered());
            stream.consume(stream.buffered().len());
        }
        assert_eq!(seen.escape_ascii().to_string(), expected.as_bytes().escape_ascii().to_string());
        assert_eq!((stage.stats().upgrades, stage.stats().connections_open), (1, 1));
        client.stream().shutdown_write().expect("it is connected");
        let (bytes, end) = rest(&mut client).await;
        assert!(bytes.is_empty() && end == End::Fin);
    });
}

/// A drain tells what was upgraded, and lets it say good-bye.
#[test]
fn a_drain_reaches_what_was_upgraded() {
    Case::new(echoing).check(|stage| async move {
        let mut client = stage.connect().await;
        client.send(upgrade_request().as_bytes()).await.expect("the server reads");
        sleep(Duration::from_millis(50)).await;
        stage.drain();
        let (text, end) = rest_as_text(&mut client).await;
        assert!(text.starts_with("HTTP/1.1 101 ") && text.ends_with("\r\n\r\ngood-bye"), "{text}");
        assert!(matches!(end, End::Fin));
    });
}

/// Nobody is upgraded who does not ask for it; and a handler that tries gets a 500 for it, and the connection goes on.
#[test]
fn an_upgrade_has_to_be_asked_for() {
    Case::new(echoing).check(|stage| async move {
        let mut client = stage.connect().await;
        let answer = client.exchange(get("/").as_bytes(), false).await.expect("an answer");
        assert_eq!((answer.status, answer.field("upgrade")), (426, Some("echo")));
        assert_eq!(answer.field("connection"), Some("upgrade"));
        let unasked =
            request("POST", "/", "Connection: Upgrade\r\nUpgrade: echo\r\nContent-Length: 1\r\n");
        let answer = client.exchange((unasked + "x").as_bytes(), false).await.expect("an answer");
        assert_eq!(answer.status, 426, "not over a body");
    });
    let always = |_: &Stage| {
        Server::new(async |_: Request| {
            upgrade(HeaderValue::from_static("x"), |_| async { panic!("nobody asked") })
        })
    };
    Case::new(always).check(|stage| async move {
        let mut client = stage.connect().await;
        for _ in 0..2 {
            let answer = client.exchange(get("/").as_bytes(), false).await.expect("an answer");
            assert_eq!(answer.status, 500);
            assert_eq!(answer.field("content-type"), Some("application/problem+json"));
        }
    });
}

/// Fails in the ways there are.
fn failing(_: &Stage) -> Server<impl Handler + use<>> {
    async fn handle(request: Request) -> Result<Response, Problem> {
        match request.path() {
            "/error" => Ok(request
                .field("number")
                .map_or(Ok(0), |text| str::from_utf8(text)?.parse::<u8>().map_err(Problem::from))?
                .to_string()
                .into_response()),
            "/panic" => panic!("as it was told to"),
            "/teapot" => Err(Problem::new(StatusCode::IM_A_TEAPOT)
                .title("Short and stout")
                .detail("no \"coffee\"\n")),
            _ => Ok("fine".into_response()),
        }
    }
    Server::new(handle)
}

/// Errors and panics are documents with the id of the request; what went wrong inside stays inside; the connection goes on.
#[test]
fn failures_are_problems() {
    Case::new(failing).check(|stage| async move {
        let mut client = stage.connect().await;
        for (number, (path, fields, status)) in
            [("/error", "Number: 300\r\n", 500), ("/panic", "", 500), ("/teapot", "", 418)]
                .into_iter()
                .enumerate()
        {
            let ask = request("GET", path, fields);
            let answer = client.exchange(ask.as_bytes(), false).await.expect("an answer");
            assert_eq!(answer.status, status, "{path}");
            assert_eq!(answer.field("content-type"), Some("application/problem+json"));
            let text = String::from_utf8(answer.body).expect("JSON is UTF-8");
            let document: serde_json::Value = serde_json::from_str(&text).expect("a document");
            assert_eq!(document["status"], status);
            let id = document["request_id"].as_str().expect("an id");
            assert!(id.ends_with(&format!("-1-{}", number + 1)), "{id}");
            if path == "/teapot" {
                assert_eq!(document["title"], "Short and stout");
                assert_eq!(document["detail"], "no \"coffee\"\n");
            } else {
                assert_eq!(document["title"], "Internal Server Error");
                assert_eq!(document.get("detail"), None);
            }
        }
        goes_on_with(&mut client, "fine").await;
        assert_eq!(stage.stats().handler_panics, 1);
    });
}

/// A peer has no more connections than it may; one that it gives up is there for it again.
#[test]
fn a_peer_has_so_many_connections_and_no_more() {
    let server = |stage: &Stage| playground(stage).peer_connections_max(2);
    Case::new(server).check(|stage| async move {
        let mut first = stage.connect().await;
        let mut second = stage.connect().await;
        goes_on(&mut first).await;
        goes_on(&mut second).await;
        if let Ok(mut third) = stage.try_connect().await {
            let _ = third.send(get("/hello").as_bytes()).await;
            assert!(third.answer(false).await.is_err(), "it is turned away");
        }
        assert_eq!((stage.stats().connections_refused, stage.stats().connections_open), (1, 2));
        drop(first);
        sleep(Duration::from_millis(100)).await;
        goes_on(&mut stage.connect().await).await;
        goes_on(&mut second).await;
    });
}

/// From the first signal on the server is not ready any more, but serves as before until the lame duck's time is over.
#[test]
fn a_lame_duck_serves() {
    let server = |stage: &Stage| {
        let timeouts = Timeouts { lame_duck: 3 * SECOND, ..Timeouts::default() };
        playground(stage).timeouts(timeouts)
    };
    Case::new(server).on(Machines::Calm).check(|stage| async move {
        let mut old = stage.connect().await;
        goes_on(&mut old).await;
        stage.drain();
        let signalled = now();
        sleep(2 * SECOND).await;
        goes_on(&mut old).await;
        goes_on(&mut stage.connect().await).await;
        closes(&mut old).await;
        assert_eq!(now() - signalled, 3 * SECOND + LATENCY);
        assert!(stage.try_connect().await.is_err());
    });
}
