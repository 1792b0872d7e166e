//! Every wait that the client decides ends, and when. In a calm room the instants are exact.

use core::time::Duration;
use std::rc::Rc;

use mainspring::{Handler, IntoResponse, Pace, Request, Server, Timeouts};
use mainspring_executor::time::{now, sleep, sleep_until, timeout};

use crate::playground::playground;
use crate::stage::{Case, LATENCY, Machines, Stage};
use crate::wire::{End, closes, get, goes_on, pattern, request, rest};

const SECOND: Duration = Duration::from_secs(1);

/// Long enough for whatever is on its way in a rough room.
const A_WHILE: Duration = Duration::from_millis(500);

/// That took `expected` and the way there and back: exactly, or no less and not much more.
#[track_caller]
fn took(stage: &Stage, took: Duration, expected: Duration) {
    if stage.is_exact {
        assert_eq!(took, expected + 2 * LATENCY);
    } else {
        let late = took.checked_sub(expected).expect("not before its time");
        assert!(late < A_WHILE, "{late:?} late");
    }
}

/// A connection that says nothing is closed after a minute without a word: before a request, and after one.
#[test]
fn an_idle_connection_is_closed_after_a_minute() {
    Case::new(playground).on(Machines::Simulated).check(|stage| async move {
        for requests in 0..3 {
            let mut client = stage.connect().await;
            let mut since = now();
            for _ in 0..requests {
                sleep(50 * SECOND).await;
                since = now();
                goes_on(&mut client).await;
            }
            closes(&mut client).await;
            let idle = now() - since;
            match requests {
                // The handshake has come to its end here when the server has waited for half of it already, or less.
                0 => assert!(60 * SECOND - 2 * A_WHILE < idle && idle < 60 * SECOND + A_WHILE),
                _ => took(&stage, idle, 60 * SECOND),
            }
        }
    });
}

/// Empty lines before a request are not a request.
#[test]
fn empty_lines_are_idle() {
    Case::new(playground).on(Machines::Simulated).check(|stage| async move {
        let mut client = stage.connect().await;
        client.send(b"\r\n").await.expect("the server reads");
        let since = now();
        closes(&mut client).await;
        took(&stage, now() - since, 60 * SECOND);
    });
}

/// A head has ten seconds from its first byte to its end, however busily its bytes trickle in.
#[test]
fn a_head_has_ten_seconds() {
    Case::new(playground).on(Machines::Simulated).check(|stage| async move {
        for (begins, pause) in [("G", 20 * SECOND), ("GET / HTTP/1.1\r\nX: ", SECOND / 2)] {
            let mut client = stage.connect().await;
            goes_on(&mut client).await;
            sleep(5 * SECOND).await;
            let since = now();
            client.send(begins.as_bytes()).await.expect("the server reads");
            while now() - since + pause < 10 * SECOND {
                sleep(pause).await;
                client.send(b"a").await.expect("the server reads");
            }
            let answer = client.answer(false).await.expect("an answer");
            assert_eq!((answer.status, answer.field("connection")), (408, Some("close")));
            took(&stage, now() - since, 10 * SECOND);
            closes(&mut client).await;
        }
        assert_eq!(stage.stats().rejections, 2);
    });
}

/// A head that comes slowly, but in time, is served.
#[test]
fn a_slow_head_is_served() {
    Case::new(playground).on(Machines::Simulated).check(|stage| async move {
        let mut client = stage.connect().await;
        for byte in get("/hello").bytes() {
            client.send(&[byte]).await.expect("the server reads");
            sleep(SECOND / 5).await;
        }
        assert_eq!(client.answer(false).await.expect("an answer").body, b"hello");
        goes_on(&mut client).await;
    });
}

/// A body that stalls for thirty seconds: the handler's read fails, and whatever it says, the client gets 408.
#[test]
fn a_body_that_stalls_is_given_up_after_thirty_seconds() {
    Case::new(without_pace).on(Machines::Simulated).check(|stage| async move {
        for (fields, part) in
            [("Content-Length: 9\r\n", "abc"), ("Transfer-Encoding: chunked\r\n", "9\r\nabc")]
        {
            let mut client = stage.connect().await;
            client.send(request("POST", "/collect", fields).as_bytes()).await.expect("it reads");
            sleep(29 * SECOND).await;
            client.send(part.as_bytes()).await.expect("the server reads");
            let since = now();
            let answer = client.answer(false).await.expect("an answer");
            assert_eq!((answer.status, answer.field("connection")), (408, Some("close")));
            took(&stage, now() - since, 30 * SECOND);
            closes(&mut client).await;
        }
        assert_eq!(*stage.seen.notes.borrow(), ["Protocol(Timeout)", "Protocol(Timeout)"]);
        assert_eq!(stage.stats().rejections, 2);
    });
}

/// One that asks for nothing but that there is some progress.
fn without_pace(stage: &Stage) -> Server<impl Handler + use<>> {
    let pace = Pace { bytes_per_second_min: 0, ..Pace::default() };
    playground(stage).timeouts(Timeouts { pace, ..Timeouts::default() })
}

/// A body that trickles, never stalling for long, has thirty seconds for nothing and then its pace.
#[test]
fn a_body_that_trickles_is_given_up() {
    Case::new(playground).on(Machines::Calm).check(|stage| async move {
        let mut client = stage.connect().await;
        let head = request("POST", "/collect", "Content-Length: 100000\r\n");
        client.send(head.as_bytes()).await.expect("the server reads");
        let since = now();
        // 4,000 bytes in ten seconds of waiting pay for eight more.
        for _ in 0..10 {
            sleep(SECOND).await;
            client.send(&[b'a'; 400]).await.expect("the server reads");
        }
        let answer = client.answer(false).await.expect("an answer");
        assert_eq!((answer.status, answer.field("connection")), (408, Some("close")));
        took(&stage, now() - since, 38 * SECOND);
        closes(&mut client).await;
    });
}

/// Where there is no pace to keep, a body that comes slowly is read to its end.
#[test]
fn a_slow_body_is_read() {
    Case::new(without_pace).on(Machines::Simulated).check(|stage| async move {
        let mut client = stage.connect().await;
        let head = request("POST", "/collect", "Content-Length: 9\r\n");
        client.send(head.as_bytes()).await.expect("the server reads");
        for _ in 0..9 {
            sleep(29 * SECOND).await;
            client.send(b"a").await.expect("the server reads");
        }
        assert_eq!(client.answer(false).await.expect("an answer").body, b"9 bytes");
        goes_on(&mut client).await;
    });
}

/// A request for more than any buffer between here and there holds.
fn big(version: &str) -> String {
    format!("GET /bytes/1000000 HTTP/{version}\r\nHost: x\r\n\r\n")
}

/// A stream without end, of pieces that are there at once, as one response to HTTP/1.0: only a reset can tell that it
/// was cut.
fn endless(_: &Stage) -> Server<impl Handler + use<>> {
    Server::new(async |_: Request| {
        let pieces = futures::stream::repeat_with(|| {
            Ok::<_, std::io::Error>(bytes::Bytes::from(pattern(1_000)))
        });
        mainspring::Response::new(mainspring::Body::stream(None, pieces))
    })
}

/// A client that takes nothing is reset after thirty seconds, however its response is framed, and whatever of it the
/// kernel still holds.
#[test]
fn a_client_that_reads_nothing_is_reset() {
    Case::new(playground).on(Machines::Simulated).check(|stage| async move {
        for version in ["1.0", "1.1"] {
            is_reset_after_thirty_seconds(&stage, &big(version)).await;
        }
    });
    Case::new(endless).on(Machines::Simulated).check(|stage| async move {
        for version in ["1.0", "1.1"] {
            is_reset_after_thirty_seconds(&stage, &big(version)).await;
        }
    });
}

/// The same where all of the response is made already, and only its end is still to be written; and where the client
/// stalls on the answer of the request before.
#[test]
fn a_client_that_takes_no_answer_is_reset_wherever_its_loop_is() {
    Case::new(playground).on(Machines::Simulated).check(|stage| async move {
        let close = "Connection: close\r\n";
        let batches = [
            // Copied, not referenced: 150 of them do not fit.
            get("/bytes/1000").repeat(150),
            get("/bytes/1000").repeat(150) + &get("/slow/50000"),
            get("/bytes/1000").repeat(63) + &request("GET", "/bytes/60000", close),
            get("/bytes/15000").repeat(8) + &request("GET", "/bytes/15000", close),
        ];
        for batch in batches {
            is_reset_after_thirty_seconds(&stage, &batch).await;
        }
    });
}

async fn is_reset_after_thirty_seconds(stage: &Stage, requests: &str) {
    let mut client = stage.connect().await;
    client.send(requests.as_bytes()).await.expect("the server reads");
    sleep(30 * SECOND - A_WHILE).await;
    assert_eq!(stage.stats().connections_open, 1, "there is still hope");
    sleep(3 * A_WHILE).await;
    assert_eq!(stage.stats().connections_open, 0, "it has been given up: {requests:.60}");
    let (bytes, end) = rest(&mut client).await;
    assert!(!bytes.is_empty(), "what had arrived is there");
    assert_eq!(end, End::Reset, "it must not look whole: {requests:.60}");
}

/// A client that takes a little at a time, again and again, is served however long it takes.
#[test]
fn a_client_that_reads_slowly_is_served() {
    Case::new(playground).on(Machines::Simulated).check(|stage| async move {
        let mut client = stage.connect().await;
        client.send(big("1.1").as_bytes()).await.expect("the server reads");
        let whole = pattern(1_000_000);
        let mut bytes = Vec::new();
        while !bytes.ends_with(&whole[990_000..]) {
            if bytes.len() < 600_000 {
                sleep(25 * SECOND).await;
            }
            // What has arrived, which makes room for more.
            for _ in 0..4 {
                let stream = client.stream();
                if !bytes.ends_with(&whole[990_000..]) {
                    assert!(stream.fill().await.expect("the server is patient") > 0);
                    bytes.extend_from_slice(stream.buffered());
                    stream.consume(stream.buffered().len());
                }
            }
        }
        goes_on(&mut client).await;
    });
}

/// A refused client that goes on talking is listened to for two seconds, so that it reads the answer, and no longer.
#[test]
fn a_refused_client_is_not_listened_to_for_ever() {
    Case::new(playground).on(Machines::Simulated).check(|stage| async move {
        let mut client = stage.connect().await;
        let since = now();
        let answer = client.exchange(b"nonsense\r\n\r\n", false).await.expect("an answer");
        assert_eq!(answer.status, 400);
        let mut closed = None;
        while closed.is_none() {
            assert!(now() - since < 5 * SECOND, "it is still listened to");
            let _ = client.send(b"more nonsense").await;
            sleep(SECOND / 100).await;
            closed = (stage.stats().connections_open == 0).then(|| now() - since);
        }
        let closed = closed.expect("the loop ended");
        assert!(closed > 2 * SECOND && closed < 2 * SECOND + A_WHILE, "{closed:?}");
    });
}

/// A handler that has nothing to say for a minute is dropped.
#[test]
fn a_handler_has_a_minute() {
    Case::new(playground).on(Machines::Simulated).check(|stage| async move {
        let mut client = stage.connect().await;
        let asked = now();
        let answer = client.exchange(get("/slow/3600000").as_bytes(), false).await;
        let answer = answer.expect("an answer");
        assert_eq!((answer.status, answer.field("connection")), (503, Some("close")));
        assert_eq!(answer.field("content-type"), Some("application/problem+json"));
        took(&stage, now() - asked, 60 * SECOND);
        closes(&mut client).await;
        let stats = stage.stats();
        assert_eq!((stats.handlers_timed_out, stats.handlers_cancelled), (1, 0));
        assert_eq!(stats.responses, [0, 0, 0, 0, 1]);
    });
}

/// What a handler awaits knows until when that makes sense; each piece of its request's body gives it more time.
#[test]
fn a_handler_knows_its_deadline() {
    let server = |stage: &Stage| {
        let seen = Rc::clone(&stage.seen);
        Server::new(move |mut request: Request| {
            let seen = Rc::clone(&seen);
            async move {
                let note = || {
                    let left = mainspring_executor::deadline::remaining().expect("there is one");
                    seen.note(format!("{} s", left.as_secs_f64().round()));
                };
                note();
                sleep(10 * SECOND).await;
                note();
                while let Some(piece) = request.body_mut().chunk().await {
                    piece.expect("a good body");
                }
                sleep(20 * SECOND).await;
                note();
                let scope = request.scope();
                scope.spawn(async {}).await.expect("it ends well");
                // Not beyond the handler's.
                let nested = mainspring_executor::deadline::within(3600 * SECOND, sleep(SECOND));
                nested.await.expect("it is short");
                "done"
            }
        })
    };
    Case::new(server).on(Machines::Simulated).check(|stage| async move {
        let mut client = stage.connect().await;
        let request = request("POST", "/", "Content-Length: 3\r\n") + "abc";
        let answer = client.exchange(request.as_bytes(), false).await;
        assert_eq!(answer.expect("an answer").body, b"done");
        assert_eq!(*stage.seen.notes.borrow(), ["60 s", "50 s", "40 s"]);
    });
}

/// One whose handlers have two hours.
fn patient(stage: &Stage) -> Server<impl Handler + use<>> {
    playground(stage).timeouts(Timeouts { handler: 7200 * SECOND, ..Timeouts::default() })
}

/// A handler that takes an hour is waited for where it may.
#[test]
fn a_handler_has_the_time_it_is_given() {
    Case::new(patient).on(Machines::Simulated).check(|stage| async move {
        let mut client = stage.connect().await;
        let asked = now();
        let answer = client.exchange(get("/slow/3600000").as_bytes(), false).await;
        assert_eq!(answer.expect("an answer").body, b"slow");
        took(&stage, now() - asked, 3600 * SECOND);
        goes_on(&mut client).await;
    });
}

/// The time that a handler takes between two reads is not the client's: only waiting for bytes that are not there is.
#[test]
fn a_slow_handler_does_not_make_a_slow_client() {
    let server = |stage: &Stage| {
        let seen = Rc::clone(&stage.seen);
        Server::new(move |mut request: Request| {
            let seen = Rc::clone(&seen);
            async move {
                let mut length = 0;
                while let Some(chunk) = request.body_mut().chunk().await {
                    length += chunk.expect("the client is as fast as can be").len();
                    seen.add();
                    sleep_until(now() + 100 * SECOND).await;
                }
                format!("{length}").into_response()
            }
        })
        .timeouts(Timeouts { handler: 200 * SECOND, ..Timeouts::default() })
    };
    Case::new(server).on(Machines::Simulated).check(|stage| async move {
        let mut client = stage.connect().await;
        let head = request("POST", "/", "Content-Length: 300000\r\n");
        client.send(head.as_bytes()).await.expect("the server reads");
        client.send(&pattern(300_000)).await.expect("the server reads");
        assert_eq!(client.answer(false).await.expect("an answer").body, b"300000");
        assert!(stage.seen.count.get() > 2);
    });
}

/// Nor is the time in which a handler that has begun to wait does something else: the bytes have come meanwhile.
#[test]
fn a_handler_that_looks_away_does_not_make_a_slow_client() {
    let server = |_: &Stage| {
        Server::new(async |mut request: Request| {
            let body = request.body_mut();
            timeout(SECOND, body.chunk()).await.expect_err("nothing has come yet");
            sleep(100 * SECOND).await;
            let mut length = 0;
            while let Some(chunk) = body.chunk().await {
                length += chunk.expect("the client was never slow").len();
            }
            format!("{length}").into_response()
        })
        .timeouts(Timeouts { handler: 200 * SECOND, ..Timeouts::default() })
    };
    Case::new(server).on(Machines::Simulated).check(|stage| async move {
        let mut client = stage.connect().await;
        let head = request("POST", "/", "Content-Length: 9\r\n");
        client.send(head.as_bytes()).await.expect("the server reads");
        for pause in [3, 100, 10] {
            sleep(pause * SECOND).await;
            client.send(b"abc").await.expect("the server reads");
        }
        assert_eq!(client.answer(false).await.expect("an answer").body, b"9");
    });
}
