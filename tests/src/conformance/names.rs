//! Cases of names of hosts.

use core::net::SocketAddr;
use std::io::ErrorKind;

use futures::future::join_all;
use mainspring_executor::driver::{Call, Driver, Exhausted, Job, Lane, Token};
use mainspring_executor::names::{connect, resolve};
use mainspring_executor::time::yield_now;
use mainspring_executor::{Awaited, dump, spawn};

use super::offload::Gate;
use super::pair::{kind, listen, poll_once, receive, send};
use super::stage::{KNOWN_NAME, Stage};

/// What no resolver knows: a part of a name has at most 63 letters (RFC 1035 §2.3.4), so none asks anybody.
fn unknown() -> String {
    format!("{}.example", "x".repeat(64))
}

/// What says its addresses itself is never looked up.
pub(super) async fn literals(stage: Stage) {
    let open_before = stage.witness.open().len();
    for (host, expected) in [
        ("127.0.0.1", &["127.0.0.1:80"][..]),
        ("::1", &["[::1]:80"]),
        ("[2001:db8::7]", &["[2001:db8::7]:80"]),
        ("localhost", &["127.0.0.1:80", "[::1]:80"]),
        ("LOCALHOST", &["127.0.0.1:80", "[::1]:80"]),
        ("test.localhost.", &["127.0.0.1:80", "[::1]:80"]),
    ] {
        let found = poll_once(&mut Box::pin(resolve(host, 80))).await.expect("it is known at once");
        let found: Vec<String> = found.unwrap().iter().map(ToString::to_string).collect();
        assert_eq!(found, expected, "{host}");
    }
    for host in [String::new(), "a\0b".to_owned(), "x".repeat(256)] {
        let refused = poll_once(&mut Box::pin(resolve(&host, 80))).await.expect("it is no name");
        assert_eq!(kind(refused), Err(ErrorKind::InvalidInput), "{host:?}");
    }
    assert_eq!(stage.witness.open().len(), open_before);
}

pub(super) async fn looked_up(stage: Stage) {
    let open_before = stage.witness.open().len();
    for (host, expected) in [
        (KNOWN_NAME.to_owned(), Ok(vec![SocketAddr::from(([127, 0, 0, 1], 7))])),
        (unknown(), Err(ErrorKind::NotFound)),
    ] {
        let mut first = Box::pin(resolve(&host, 7));
        assert!(poll_once(&mut first).await.is_none(), "a lookup takes time");
        assert_eq!(stage.witness.open().len(), open_before + 1);
        assert_eq!(kind(first.await), expected, "{host}");
        // From here on it is known for a while, however it is written.
        for host in [host.clone(), host.to_ascii_uppercase()] {
            let again = poll_once(&mut Box::pin(resolve(&host, 7))).await.expect("it is known");
            assert_eq!(kind(again), expected, "{host}");
        }
        assert_eq!(stage.witness.open().len(), open_before);
    }
}

/// Many who ask for one name share a lookup, whoever of them goes away.
pub(super) async fn shared(stage: Stage) {
    let open_before = stage.witness.open().len();
    let ask = || Box::pin(resolve(KNOWN_NAME, 7));
    // All go: the job goes with the last.
    let mut all = [ask(), ask(), ask()];
    for asked in &mut all {
        assert!(poll_once(asked).await.is_none());
    }
    assert_eq!(stage.witness.open().len(), open_before + 1, "one job for all");
    assert_eq!(waits(), 3, "the dump tells of each");
    drop(all);
    assert_eq!(waits(), 0);
    assert_eq!(stage.witness.open().len(), open_before);
    // Each task waits by itself; the first, the last and some between are gone before the answer.
    let tasks: Vec<_> = (0..20).map(|_| spawn(resolve(KNOWN_NAME, 7))).collect();
    while stage.witness.open().len() == open_before {
        yield_now().await;
    }
    for number in [19, 0, 7, 18] {
        tasks[number].abort();
    }
    let kept = tasks.into_iter().enumerate().filter(|(number, _)| ![19, 0, 7, 18].contains(number));
    for found in join_all(kept.map(|(_, task)| task)).await {
        assert_eq!(found.expect("it was not aborted").unwrap().len(), 1);
    }
    assert_eq!(stage.witness.open().len(), open_before);
}

/// How many waits for a name the dump tells of.
fn waits() -> usize {
    let dump = dump();
    let waits = dump.tasks.iter().flat_map(|task| &task.waits);
    let is_name =
        |on: &Awaited| matches!(on, Awaited::Resource { what: "the addresses of a name", .. });
    waits.filter(|wait| is_name(&wait.on)).count()
}

/// Begins jobs behind `gate` until the queue of lookups is full.
fn fill(stage: &Stage, gate: &Gate, begun: &mut Vec<Token>) {
    loop {
        let gate = gate.clone();
        let call = Call::new(move || {
            gate.pass();
            Box::new(())
        });
        match stage.witness.submit(Job::Call { lane: Lane::Names, call }) {
            Ok(job) => begun.push(job),
            Err(_) => return,
        }
    }
}

/// Where too many lookups wait already, one more is refused, and that is not taken for an answer later.
pub(super) async fn refused(stage: Stage) {
    let gate = Gate::default();
    let mut begun = Vec::new();
    // Threads take jobs out of the queue when they come to them: it is full when all of them are held up.
    let refused = loop {
        fill(&stage, &gate, &mut begun);
        if let Some(refused) = poll_once(&mut Box::pin(resolve(KNOWN_NAME, 7))).await {
            break refused.expect_err("the queue is full");
        }
    };
    assert!(Exhausted::is(&refused), "{refused}");
    gate.open();
    begun.into_iter().for_each(|job| stage.witness.close(job));
    assert_eq!(resolve(KNOWN_NAME, 7).await.unwrap().len(), 1);
}

pub(super) async fn connected() {
    let (listener, address) = listen();
    // The second address of it is another version of IP, at which nobody listens: it is not needed.
    for host in ["localhost", "127.0.0.1", KNOWN_NAME] {
        let accept = listener.accept();
        let (client, server) = futures::join!(connect(host, address.port()), accept);
        let (mut client, mut server) = (client.unwrap(), server.unwrap().0);
        assert_eq!(client.peer_addr(), address);
        send(&mut client, b"by name").await;
        assert_eq!(receive(&mut server, 7).await, b"by name");
    }
    drop(listener);
    let refused = kind(connect(KNOWN_NAME, address.port()).await.map(drop));
    assert_eq!(refused, Err(ErrorKind::ConnectionRefused));
    let unknown = kind(connect(&unknown(), address.port()).await.map(drop));
    assert_eq!(unknown, Err(ErrorKind::NotFound));
}
