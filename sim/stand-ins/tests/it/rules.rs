//! Whom a rule holds for, and when.

use std::cell::Cell;
use std::rc::Rc;

use http::StatusCode;
use mainspring_executor::time::{now, sleep};
use mainspring_sim::{Source, World, WorldConfig};
use mainspring_stand_ins::{Behaviour, HttpBehaviour, What};

use crate::room::{check, ms};
use crate::web::{client, get, get_by, upstream};

const STORM: HttpBehaviour = HttpBehaviour::Unavailable { retry_after: None };

#[test]
fn one_in_some_is_drawn() {
    check(upstream, |server, address| async move {
        server.behave(STORM).one_in(3);
        let client = client();
        let mut failed = 0;
        for _ in 0..60 {
            failed += usize::from(get_by(&client, address).await == "503");
        }
        assert!((5..=40).contains(&failed), "{failed} of 60");
    });
}

#[test]
fn once_and_times() {
    check(upstream, |server, address| async move {
        server.behave(STORM).times(2);
        let client = client();
        let mut lines = Vec::new();
        for _ in 0..3 {
            lines.push(get_by(&client, address).await);
        }
        assert_eq!(lines, ["503", "503", "200 the answer"]);
        server.behave(STORM).once();
        assert_eq!(get_by(&client, address).await, "503");
        assert_eq!(get_by(&client, address).await, "200 the answer");
    });
}

#[test]
fn of_several_rules_only_the_first_is_used_up() {
    check(upstream, |server, address| async move {
        server.behave(STORM).once();
        server.also(HttpBehaviour::Status(StatusCode::BAD_GATEWAY)).once();
        let client = client();
        for expected in ["503", "502", "200 the answer"] {
            assert_eq!(get_by(&client, address).await, expected);
        }
        for (behaviour, line) in
            [(Behaviour::Silence, "Head Timeout"), (Behaviour::Leave { answers: 0 }, "Head Closed")]
        {
            server.behave(behaviour.clone()).once();
            server.also(behaviour).once();
            for expected in [line, line, "200 the answer"] {
                assert_eq!(get(address).await, expected);
            }
        }
    });
}

#[test]
fn on_one_connection() {
    check(upstream, |server, address| async move {
        server.behave(STORM).on(2);
        let (first, second) = (client(), client());
        assert_eq!(get_by(&first, address).await, "200 the answer");
        assert_eq!(get_by(&second, address).await, "503");
        assert_eq!(get_by(&first, address).await, "200 the answer");
    });
}

#[test]
fn for_some_time() {
    check(upstream, |server, address| async move {
        let begin = now();
        server.behave(STORM).from(begin + ms(5000)).until(begin + ms(10_000));
        server.also(Behaviour::Refuse).from(begin + ms(20_000)).until(begin + ms(30_000));
        assert_eq!(get(address).await, "200 the answer");
        sleep(ms(6000)).await;
        assert_eq!(get(address).await, "503");
        sleep(ms(6000)).await;
        assert_eq!(get(address).await, "200 the answer");
        sleep(ms(10_000)).await;
        assert_eq!(get(address).await, "Connect ConnectionRefused");
        sleep(ms(10_000)).await;
        assert_eq!(get(address).await, "200 the answer");
    });
}

#[test]
fn several_at_one_time() {
    check(upstream, |server, address| async move {
        server.behave(STORM);
        server.also(Behaviour::Pause(ms(700)));
        server.also(Behaviour::Pause(ms(300)));
        let begin = now();
        assert_eq!(get(address).await, "503");
        assert!(now() - begin >= ms(1000), "pauses add up");
        // A new one takes the place of all.
        server.behave(Behaviour::Pause(ms(1)));
        assert_eq!(get(address).await, "200 the answer");
    });
}

#[test]
#[should_panic(expected = "Rule::one_in: the rule is of the server as a whole")]
fn a_server_does_not_refuse_one_in_three() {
    check(upstream, |server, _address| async move {
        server.behave(Behaviour::Refuse).one_in(3);
    });
}

#[test]
fn a_stand_in_ends_when_it_is_stopped() {
    check(upstream, |server, address| async move {
        let kept = client();
        assert_eq!(get_by(&kept, address).await, "200 the answer");
        server.stop();
        sleep(ms(1000)).await;
        assert_eq!(server.open_count(), 0);
        assert!(matches!(server.seen().last().expect("something").what, What::Ended));
        assert_eq!(get_by(&kept, address).await, "Connect ConnectionRefused");
    });
}

/// How many of 20 requests failed where one in two does, and the trace.
fn fallible(source: Source) -> (usize, u64) {
    let world = World::new(source, WorldConfig::calm());
    let host = world.host("server");
    let (server, address) = (upstream().serve(&host, 80), host.address(80));
    let failed = Rc::new(Cell::new(0));
    let count = Rc::clone(&failed);
    world.host("client").run(async move {
        server.behave(STORM).one_in(2);
        let client = client();
        for _ in 0..20 {
            count.set(count.get() + usize::from(get_by(&client, address).await == "503"));
        }
    });
    world.run().unwrap_or_else(|failure| panic!("{failure}"));
    (failed.get(), world.trace_hash())
}

#[test]
fn what_is_drawn_is_on_the_tape() {
    let mut source = Source::from(7);
    let recording = source.record();
    let first = fallible(source);
    assert!((1..20).contains(&first.0), "{} of 20", first.0);
    let mut tape = recording.tape();
    assert_eq!(fallible(tape.clone().into()), first, "a tape makes the run again");
    // Each failure is one choice; the harmless one is an answer.
    let drawn: Vec<(String, u64)> = tape
        .iter()
        .filter(|(stream, _, _)| stream.contains("scenario"))
        .map(|(stream, position, _)| (stream.to_owned(), position))
        .collect();
    assert_eq!(drawn.len(), first.0);
    for (stream, position) in drawn {
        tape.set(&stream, position, 0);
    }
    assert_eq!(fallible(tape.into()).0, 0, "without them all is well");
}

#[test]
fn after_a_crash_it_is_made_anew() {
    let world = World::new(3, WorldConfig::rough());
    let host = world.host("server");
    let (server, address) = (upstream().serve(&host, 80), host.address(80));
    world.host("client").run(async move {
        let kept = client();
        assert_eq!(get_by(&kept, address).await, "200 the answer");
        host.crash();
        sleep(ms(1000)).await;
        assert_eq!(server.open_count(), 0, "its tasks are gone");
        assert!(matches!(server.seen().last().expect("something").what, What::Ended));
        host.restart();
        assert_eq!(get(address).await, "Connect ConnectionRefused");
        let _anew = upstream().serve(&host, 80);
        sleep(ms(1000)).await;
        // The kept connection is reset by a kernel that knows nothing of it, and the request goes on another one.
        assert_eq!(get_by(&kept, address).await, "200 the answer");
        assert_eq!(server.asked().len(), 1);
    });
    world.run().unwrap_or_else(|failure| panic!("{failure}"));
    assert!(world.leaks().is_empty(), "{:?}", world.leaks());
}
