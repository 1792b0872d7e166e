//! Exact latencies in virtual time: head-of-line blocking by polls that take time, and recovery after a stall.

use core::future::pending;
use core::time::Duration;
use std::io;
use std::rc::Rc;

use mainspring_executor::driver::{Instant, ListenOptions};
use mainspring_executor::net::{TcpListener, TcpStream};
use mainspring_executor::sync::Semaphore;
use mainspring_executor::time::{sleep_until, timeout};
use mainspring_executor::{offload, select, spawn};
use mainspring_sim::{Host, Latencies, World, WorldConfig, spend};

fn millis(count: u64) -> Duration {
    Duration::from_millis(count)
}

fn at(count: u64) -> Instant {
    Instant::START + millis(count)
}

/// Where a heavy request has its 400 ms of work done.
#[derive(Clone, Copy)]
enum Work {
    InItsPoll,
    /// On a thread of its own, where jobs take so long.
    Offloaded,
}

/// Answers each connection with the byte that it sends. `S` is a heavy request.
async fn serve(work: Work) {
    let any = ([0, 0, 0, 0], 80).into();
    let listener = TcpListener::bind(any, ListenOptions::default()).expect("a free port");
    loop {
        let (mut stream, _) = listener.accept().await.expect("a connection");
        drop(spawn(async move {
            let mut byte = [0];
            while stream.read(&mut byte).await.is_ok_and(|count| count > 0) {
                if byte == *b"S" {
                    match work {
                        Work::InItsPoll => spend(millis(400)),
                        Work::Offloaded => offload::compute(|| ()).await.expect("no panic"),
                    }
                }
                if stream.write_all(&byte).await.is_err() {
                    break;
                }
            }
        }));
    }
}

/// One request on a connection of its own.
async fn ask(server: &Host, byte: u8) -> io::Result<()> {
    let mut stream = TcpStream::connect(server.address(80)).await?;
    stream.write_all(&[byte]).await?;
    let mut answer = [0];
    assert_eq!((stream.read(&mut answer).await?, answer), (1, [byte]));
    Ok(())
}

/// A hundred small requests, one each 10 ms, and one with 400 ms of work in it at 500 ms.
fn beside_a_heavy_request(work: Work) -> Latencies {
    let job_duration = millis(400)..=millis(400);
    let world = World::new(1, WorldConfig { job_duration, ..WorldConfig::calm() });
    let (server, client) = (world.host("server"), world.host("client"));
    drop(server.spawn(serve(work)));
    let latencies = world.latencies();
    for number in 1..=100 {
        let (latencies, server) = (latencies.clone(), server.clone());
        client.run(async move {
            sleep_until(at(number * 10)).await;
            let asked = latencies.measure_from(at(number * 10), ask(&server, b'.'));
            asked.await.expect("it answers");
        });
    }
    client.run(async move {
        sleep_until(at(500)).await;
        ask(&server, b'S').await.expect("it answers");
    });
    world.run().expect("it ends well");
    latencies
}

/// One request that computes for 400 ms within one poll holds up all others of its shard; on a thread of its own it holds up none.
#[test]
fn a_heavy_request_is_in_the_way_of_others() {
    let blocked = beside_a_heavy_request(Work::InItsPoll);
    let offloaded = beside_a_heavy_request(Work::Offloaded);
    // A round trip for the handshake, one for the request.
    let alone = millis(4);
    for latencies in [&blocked, &offloaded] {
        assert_eq!(latencies.all().count(), 100);
        assert_eq!(latencies.all().min(), Some(alone));
        assert_eq!(latencies.between(at(0), at(490)).max(), Some(alone), "nothing is in the way");
        assert!(latencies.recovered_by(at(910), alone), "{latencies:?}");
    }
    // The heavy one takes from 503 to 903 ms. The kernel and the client go on: the request of 510 ms is there at 513, and the answer
    // to all of them at 904.
    assert_eq!(blocked.all().max(), Some(millis(394)), "{blocked:?}");
    assert_eq!(blocked.all().percentile(50.0), Some(alone));
    assert_eq!(blocked.all().percentile(99.0), Some(millis(384)), "{blocked:?}");
    assert_eq!(blocked.between(at(510), at(900)).count(), 39);
    for number in 51..=89 {
        let one = blocked.between(at(number * 10), at(number * 10 + 1));
        assert_eq!(one.max(), Some(millis(904 - number * 10)), "of {} ms", number * 10);
    }
    assert!(!blocked.recovered_by(at(890), alone));
    assert_eq!(offloaded.all().max(), Some(alone), "{offloaded:?}");
}

/// What a front does with a database that does not answer.
#[derive(Clone, Copy, PartialEq)]
enum Front {
    /// It waits.
    Patient,
    /// It waits for 100 ms, and for no more than ten answers at a time; else it says so.
    Bounded,
}

/// A request each 50 ms for a minute, to a database that stands still from 10 s to 40 s.
fn beside_a_stalled_database(front: Front) -> (Latencies, World) {
    let world = World::new(1, WorldConfig::calm());
    let (database, client) = (world.host("database"), world.host("front"));
    drop(database.spawn(serve(Work::InItsPoll)));
    let pauses = database.clone();
    world.at(at(10_000), move |_| pauses.pause());
    let resumes = database.clone();
    world.at(at(40_000), move |_| resumes.resume());
    let latencies = world.latencies();
    let places = Rc::new(Semaphore::new(10));
    for number in 1..=1200 {
        let (latencies, database) = (latencies.clone(), database.clone());
        let places = Rc::clone(&places);
        client.run(async move {
            sleep_until(at(number * 50)).await;
            let request = async {
                if front == Front::Patient {
                    return ask(&database, b'.').await.expect("it answers");
                }
                let Ok(_place) = places.try_acquire() else { return };
                // Late is as good as never: the client is told so.
                let _ = timeout(millis(100), ask(&database, b'.')).await;
            };
            latencies.measure(request).await;
        });
    }
    world.run().expect("it ends well");
    (latencies, world)
}

#[test]
fn a_front_with_a_bound_answers_while_its_database_stalls() {
    let (latencies, _world) = beside_a_stalled_database(Front::Bounded);
    let stall = latencies.between(at(10_000), at(40_000));
    assert_eq!(stall.count(), 600);
    assert!(stall.percentile(99.0) < Some(millis(250)), "{stall}");
    assert_eq!(stall.max(), Some(millis(100)), "{stall}");
    assert!(latencies.recovered_by(at(45_000), millis(10)), "{latencies:?}");
}

#[test]
fn a_front_without_one_shows_all_of_the_stall() {
    let (latencies, _world) = beside_a_stalled_database(Front::Patient);
    let stall = latencies.between(at(10_000), at(40_000));
    assert_eq!(stall.count(), 600);
    // The first that is met by it waits for 30 s, the last for as good as nothing.
    assert_eq!(stall.percentile(50.0), Some(millis(15_001)), "{stall}");
    assert!(stall.percentile(99.0) >= Some(millis(29_000)), "{stall}");
    assert_eq!(latencies.between(at(0), at(10_000)).max(), Some(millis(4)));
    assert_eq!(latencies.recovered_at(millis(10)), Some(at(40_000)), "{latencies:?}");
}

#[test]
fn what_is_given_up_is_counted_apart() {
    let world = World::new(1, WorldConfig::calm());
    let latencies = world.latencies();
    let measured = latencies.clone();
    world.host("client").run(async move {
        select! {
            () = measured.measure(pending()) => {}
            () = sleep_until(at(1)) => {}
        }
        measured.measure(sleep_until(at(3))).await;
    });
    world.run().expect("it ends well");
    assert_eq!((latencies.given_up_count(), latencies.all().count()), (1, 1));
    assert_eq!(latencies.all().max(), Some(millis(2)));
    assert_eq!(latencies.recovered_at(millis(1)), None);
    assert!(!latencies.recovered_by(at(0), millis(1)) && !latencies.recovered_by(at(2), millis(9)));
}
