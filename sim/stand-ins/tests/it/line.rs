//! What is done to connections and answers of any protocol, seen by an HTTP client.

use core::time::Duration;

use futures::future::join;
use mainspring::client::Client;
use mainspring_executor::net::TcpStream;
use mainspring_executor::time::{sleep, timeout};
use mainspring_stand_ins::{Behaviour, Beyond, What};

use crate::room::{check, ms, timed};
use crate::web::{PATIENCE, client, get, get_by, upstream};

/// The bytes of the answer, which are more than these.
const IN_HEAD: usize = 10;
const ANSWER_BYTES: u32 = 49;

/// Checks what comes of a request under a behaviour, that it took about so long, and that the next one is answered when the
/// behaviour is gone.
#[track_caller]
fn outcome(behaviour: Behaviour, expected: &'static str, least: Duration, most: Duration) {
    check(upstream, move |server, address| {
        let behaviour = behaviour.clone();
        async move {
            server.behave(behaviour.clone());
            let (line, took) = timed(get(address)).await;
            assert_eq!(line, expected, "{behaviour:?}");
            assert!((least..=most).contains(&took), "{behaviour:?} took {took:?}");
            server.behave_well();
            assert_eq!(get(address).await, "200 the answer", "after {behaviour:?}");
        }
    });
}

const NONE: Duration = Duration::ZERO;
const SOON: Duration = ms(500);

#[test]
fn an_answer_is_as_long_as_the_tests_say() {
    check(upstream, |_server, address| async move {
        let mut stream = TcpStream::connect(address).await.expect("it listens");
        let request = b"GET / HTTP/1.1\r\nhost: x\r\nconnection: keep-alive\r\n\r\n";
        stream.write_all(request).await.expect("it reads");
        sleep(SOON).await;
        while timeout(SOON, stream.fill()).await.is_ok() {}
        assert_eq!(stream.buffered().len(), ANSWER_BYTES as usize);
    });
}

#[test]
fn a_server_that_behaves_well_answers() {
    check(upstream, |server, address| async move {
        let client = client();
        assert_eq!(get_by(&client, address).await, "200 the answer");
        assert_eq!(get_by(&client, address).await, "200 the answer");
        assert_eq!(server.asked().len(), 2);
        assert_eq!(server.open_count(), 1, "a connection is kept");
        drop(client);
        sleep(SOON).await;
        assert_eq!(server.open_count(), 0);
        let what: Vec<String> = server
            .seen()
            .iter()
            .map(|seen| {
                let what = match &seen.what {
                    What::Connected => "connected",
                    What::Asked(request) => request.uri().path(),
                    What::Ended => "ended",
                };
                format!("{} {what}", seen.connection)
            })
            .collect();
        assert_eq!(what, ["1 connected", "1 /", "1 /", "1 ended"]);
        let times: Vec<_> = server.seen().iter().map(|seen| seen.at).collect();
        assert!(times.is_sorted() && times[0] < times[3]);
    });
}

#[test]
fn refuse() {
    outcome(Behaviour::Refuse, "Connect ConnectionRefused", NONE, SOON);
}

#[test]
fn refusing_leaves_connections_alone() {
    check(upstream, |server, address| async move {
        let kept = client();
        assert_eq!(get_by(&kept, address).await, "200 the answer");
        server.behave(Behaviour::Refuse);
        // So that its listener is gone.
        sleep(ms(1)).await;
        assert_eq!(get(address).await, "Connect ConnectionRefused");
        assert_eq!(get_by(&kept, address).await, "200 the answer");
    });
}

#[test]
fn limit_and_wait() {
    check(upstream, |server, address| async move {
        server.behave(Behaviour::Limit { connections: 1, beyond: Beyond::Wait });
        server.also(Behaviour::Pause(ms(1000)));
        let first = client();
        let second = async {
            sleep(ms(100)).await;
            // Connected, and not accepted: it waits for the first to go.
            let line = get(address).await;
            assert_eq!(server.open_count(), 1);
            line
        };
        let one = async {
            let line = get_by(&first, address).await;
            drop(first);
            line
        };
        let ((first, second), took) = timed(join(one, second)).await;
        assert_eq!((first.as_str(), second.as_str()), ("200 the answer", "200 the answer"));
        assert!(took >= ms(2000), "one after the other: {took:?}");
    });
}

#[test]
fn limit_and_reset() {
    check(upstream, |server, address| async move {
        server.behave(Behaviour::Limit { connections: 1, beyond: Beyond::Reset });
        let first = client();
        assert_eq!(get_by(&first, address).await, "200 the answer");
        let second = get(address).await;
        assert!(second.ends_with("ConnectionReset") || second.ends_with("BrokenPipe"), "{second}");
        let seen = server.seen();
        let ended: Vec<_> = seen.iter().filter(|seen| matches!(seen.what, What::Ended)).collect();
        assert_eq!((ended.len(), ended[0].connection), (1, 2));
        drop(first);
        sleep(SOON).await;
        assert_eq!(get(address).await, "200 the answer");
    });
}

#[test]
fn limit_and_tell() {
    check(upstream, |server, address| async move {
        server.behave(Behaviour::Limit { connections: 1, beyond: Beyond::Tell });
        let first = client();
        assert_eq!(get_by(&first, address).await, "200 the answer");
        assert_eq!(get(address).await, "503");
    });
}

#[test]
fn silence() {
    outcome(Behaviour::Silence, "Head Timeout", PATIENCE, PATIENCE + SOON);
}

#[test]
fn deaf() {
    check(upstream, |server, address| async move {
        server.behave(Behaviour::Deaf);
        assert_eq!(get(address).await, "Head Timeout");
        // What nobody reads is taken until the buffers are full, and no further.
        let mut stream = TcpStream::connect(address).await.expect("it listens");
        let mut sent = 0;
        while timeout(ms(5000), stream.write_all(&[0; 1024])).await.is_ok() {
            sent += 1024;
            assert!(sent < 1024 * 1024, "somebody reads");
        }
        assert!(sent > 0);
        // Silence takes all.
        server.behave(Behaviour::Silence);
        let mut stream = TcpStream::connect(address).await.expect("it listens");
        stream.write_all(&vec![0; 1024 * 1024]).await.expect("it reads");
    });
}

#[test]
fn pause() {
    outcome(Behaviour::Pause(ms(1500)), "200 the answer", ms(1500), ms(1500) + SOON);
    outcome(Behaviour::Pause(ms(3000)), "Head Timeout", PATIENCE, PATIENCE + SOON);
}

#[test]
fn pause_up_to() {
    check(upstream, |server, address| async move {
        server.behave(Behaviour::PauseUpTo(ms(1000)));
        let client = client();
        let mut times = Vec::new();
        for _ in 0..8 {
            let (line, took) = timed(get_by(&client, address)).await;
            assert_eq!(line, "200 the answer");
            assert!(took < ms(1000) + SOON);
            times.push(took);
        }
        let (least, most) = (times.iter().min(), times.iter().max());
        assert!(*most.unwrap() - *least.unwrap() > ms(100), "drawn anew: {times:?}");
    });
}

#[test]
fn drip() {
    let drip = Behaviour::Drip { bytes: 1, every: ms(20) };
    let least = ms(20) * (ANSWER_BYTES - 1);
    outcome(drip, "200 the answer", least, least + SOON);
    // A piece always comes in time, so it is the head as a whole that does not.
    let drip = Behaviour::Drip { bytes: 1, every: ms(500) };
    outcome(drip, "Head Timeout", PATIENCE, PATIENCE + SOON);
}

#[test]
#[should_panic(expected = "Behaviour::Drip: bytes is 0")]
fn a_drip_of_nothing_is_refused() {
    outcome(Behaviour::Drip { bytes: 0, every: ms(1) }, "", NONE, NONE);
}

#[test]
fn stall() {
    let stall = |after| Behaviour::Stall { after };
    outcome(stall(0), "Head Timeout", PATIENCE, PATIENCE + SOON);
    outcome(stall(IN_HEAD), "Head Timeout", PATIENCE, PATIENCE + SOON);
    // Beyond the end: the last byte is missing.
    outcome(stall(usize::MAX), "Body Timeout", PATIENCE, PATIENCE + SOON);
}

#[test]
fn hiccup() {
    let hiccup = |after, lasting| Behaviour::Hiccup { after, lasting };
    outcome(hiccup(IN_HEAD, ms(1000)), "200 the answer", ms(1000), ms(1000) + SOON);
    outcome(hiccup(usize::MAX, ms(1000)), "200 the answer", ms(1000), ms(1000) + SOON);
    outcome(hiccup(usize::MAX, ms(3000)), "Body Timeout", PATIENCE, PATIENCE + SOON);
}

#[test]
fn close() {
    let close = |after| Behaviour::Close { after };
    outcome(close(0), "Head Closed", NONE, SOON);
    outcome(close(IN_HEAD), "Head Response", NONE, SOON);
    outcome(close(usize::MAX), "Body Response", NONE, SOON);
}

#[test]
fn reset() {
    outcome(Behaviour::Reset { after: 0 }, "Head ConnectionReset", NONE, SOON);
}

#[test]
fn reset_late() {
    outcome(Behaviour::ResetLate(ms(1500)), "Head ConnectionReset", ms(1500), ms(1500) + SOON);
}

#[test]
fn break_somewhere() {
    check(upstream, |server, address| async move {
        server.behave(Behaviour::Break);
        let mut lines = Vec::new();
        for _ in 0..12 {
            let line = get(address).await;
            assert_ne!(line, "200 the answer");
            lines.push(line);
        }
        lines.sort();
        lines.dedup();
        assert!(lines.len() >= 3, "where and how is drawn: {lines:?}");
    });
}

#[test]
fn leave() {
    check(upstream, |server, address| async move {
        server.behave(Behaviour::Leave { answers: 2 });
        let client: Client = client();
        for _ in 0..2 {
            assert_eq!(get_by(&client, address).await, "200 the answer");
        }
        // A GET on a kept connection that is closed is tried again, on a new one.
        assert_eq!(get_by(&client, address).await, "200 the answer");
        assert_eq!(client.stats().opened, 2);
        assert_eq!(server.asked().len(), 4, "the third came twice");
        server.behave(Behaviour::Leave { answers: 0 });
        assert_eq!(get(address).await, "Head Closed");
    });
}
