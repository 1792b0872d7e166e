//! Cases of time.

use core::cell::RefCell;
use core::future::pending;
use core::time::Duration;
use std::io::ErrorKind;
use std::rc::Rc;

use futures::future::join_all;
use futures::join;
use mainspring_executor::driver::Keepalive;
use mainspring_executor::time::{now, sleep, sleep_until, timeout, wall_clock};
use mainspring_executor::{Instant, random, spawn};

use super::Machine;
use super::pair::{End, is_broken, is_peer_closed, kind, pair, receive, rest, send};
use super::stage::Stage;

const MILLISECOND: Duration = Duration::from_millis(1);

pub(super) async fn timers_in_order(stage: Stage) {
    let order = Rc::new(RefCell::new(Vec::new()));
    let start = now();
    let sleepers = [5, 1, 3, 1, 0, 5, 2, 3, 1].into_iter().enumerate().map(|(number, delay)| {
        let deadline = start + delay * MILLISECOND;
        let order = Rc::clone(&order);
        async move {
            sleep_until(deadline).await;
            assert!(now() >= deadline, "nobody is woken too early");
            order.borrow_mut().push((delay, number));
        }
    });
    let tasks: Vec<_> = sleepers.map(spawn).collect();
    for task in tasks {
        task.await.expect("it ends");
    }
    assert_eq!(order.borrow().len(), 9);
    if stage.machine != Machine::Rough {
        // First in, first out from one end to the other: timers of one moment fire as they were set.
        assert!(order.borrow().is_sorted(), "{order:?}");
    }
    assert!(now() - start >= 5 * MILLISECOND);
}

pub(super) async fn time_passes() {
    let start = now();
    sleep_until(Instant::START).await;
    sleep_until(start).await;
    sleep(Duration::ZERO).await;
    let before = now();
    sleep(20 * MILLISECOND).await;
    assert!(now() - before >= 20 * MILLISECOND, "nobody is woken too early");
    let date = wall_clock().expect("inside of a shard");
    assert!(date > Duration::from_secs(1_700_000_000), "after 2023: {date:?}");
    let drawn: std::collections::BTreeSet<u64> = (0..8).map(|_| random()).collect();
    assert_eq!(drawn.len(), 8, "eight times the same would be no entropy");
}

/// Who asks for its peer, and gets answers, notices nothing.
pub(super) async fn keepalive() {
    let (mut client, mut server) = pair().await;
    let second = Duration::from_secs(1);
    let often = Keepalive { idle: MILLISECOND, interval: second, count: 1 };
    client.set_keepalive(Some(often)).expect("a connection may ask");
    server.set_keepalive(Some(often)).expect("a connection may ask");
    for bad in [
        Keepalive { idle: Duration::ZERO, ..often },
        Keepalive { interval: second * 32_768, ..often },
        Keepalive { count: 0, ..often },
        Keepalive { count: 128, ..often },
    ] {
        assert_eq!(kind(client.set_keepalive(Some(bad))), Err(ErrorKind::InvalidInput));
    }
    sleep(second + second / 2).await;
    assert!(!is_peer_closed(&client) && !is_broken(&client) && !is_broken(&server));
    send(&mut client, b"still here").await;
    assert_eq!(receive(&mut server, 10).await, b"still here");
    client.set_keepalive(None).expect("a connection may leave off");
    drop(client);
    assert_eq!(rest(&mut server).await, (vec![], End::Fin));
    server.set_keepalive(Some(often)).expect("there is a socket, though the peer has ended");
}

/// Who writes a message in two pieces and then reads: the second waits for the acknowledgement of the first, which waits for
/// the answer.
pub(super) async fn write_write_read() {
    let (mut client, mut server) = pair().await;
    let mut late = [0, 0];
    for (late, is_on) in late.iter_mut().zip([true, false]) {
        client.set_nodelay(is_on).expect("a connection may choose");
        for _ in 0..6 {
            let start = now();
            let ask = async {
                send(&mut client, b"head").await;
                send(&mut client, b"body").await;
                assert_eq!(receive(&mut client, 2).await, b"ok");
            };
            let answer = async {
                assert_eq!(receive(&mut server, 8).await, b"headbody");
                send(&mut server, b"ok").await;
            };
            join!(ask, answer);
            // It waits for 40 ms; a machine that is busy with other work makes both late.
            *late += u32::from(now() - start >= Duration::from_millis(30));
        }
    }
    let [without, with] = late;
    assert!(with > without, "{with} of 6 answers are late, and {without} of 6 with TCP_NODELAY");
}

pub(super) async fn timeout_and_data() {
    let (mut client, mut server) = pair().await;
    // What is there in time is not thrown away, however short the time.
    send(&mut client, b"ab").await;
    while server.buffered().len() < 2 {
        assert_ne!(server.fill().await.expect("the peer sends"), 0);
    }
    let read = timeout(Duration::ZERO, receive(&mut server, 2)).await;
    assert_eq!(read.expect("it was there"), b"ab");
    assert!(timeout(MILLISECOND, pending::<()>()).await.is_err());
    // Data before the deadline, and many timers that never fire.
    for round in 0..100_u8 {
        let byte = [round];
        let in_time = timeout(Duration::from_secs(3600), receive(&mut server, 1));
        let (got, ()) = join!(in_time, send(&mut client, &byte));
        assert_eq!(got.expect("an hour is enough"), [round]);
    }
    // Both in a race: whichever wins, nothing is lost.
    for round in 0..50_u8 {
        let byte = [round];
        let race = timeout(Duration::from_micros(u64::from(round)), receive(&mut server, 1));
        let (raced, ()) = join!(race, send(&mut client, &byte));
        let got = match raced {
            Ok(got) => got,
            Err(_) => receive(&mut server, 1).await,
        };
        assert_eq!(got, [round]);
    }
    join_all((0..100).map(|_| sleep(MILLISECOND))).await;
}
