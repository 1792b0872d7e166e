//! Sweeps over all places at which something may go wrong: they go everywhere, once, and tell where it did not hold.

use core::cell::{Cell, RefCell};
use core::time::Duration;
use std::io;
use std::rc::Rc;

use mainspring_executor::driver::{ListenOptions, Signal};
use mainspring_executor::net::{TcpListener, TcpStream};
use mainspring_executor::signal::Signals;
use mainspring_executor::sync::Semaphore;
use mainspring_executor::time::{sleep, timeout};
use mainspring_executor::{Scope, spawn};
use mainspring_sim::{Everywhere, Host, World, WorldConfig};

const PORT: u16 = 7;
const PATIENCE: Duration = Duration::from_secs(5);

/// Greets whoever comes, until SIGTERM; and survives what may be survived.
async fn greet(host: Host) -> io::Result<()> {
    let mut signals = Signals::subscribe_to(&[Signal::Terminate])?;
    let listener = TcpListener::bind(host.address(PORT), ListenOptions::default())?;
    // Goes with who waits for the signal, also where that is given up.
    let serving = Scope::new();
    let accepting = serving.spawn(async move {
        loop {
            match listener.accept().await {
                Ok((mut stream, _)) => drop(stream.write_all(b"hello").await),
                Err(_) => sleep(Duration::from_millis(10)).await,
            }
        }
    });
    drop(accepting);
    signals.next().await.map(drop)
}

/// Gets a greeting, if the server is there.
async fn ask(server: &Host) -> io::Result<()> {
    let asking = async {
        let mut stream = TcpStream::connect(server.address(PORT)).await?;
        while stream.buffered().len() < 5 {
            if stream.fill().await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        Ok(())
    };
    timeout(PATIENCE, asking).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}

/// Asks until there is an answer.
async fn ask_on(server: &Host) {
    for _ in 0..100 {
        if ask(server).await.is_ok() {
            return;
        }
        sleep(Duration::from_millis(100)).await;
    }
    panic!("the server never answers");
}

/// A server and a client, which is a victim.
fn greeting(world: &World) -> impl FnOnce(&World) + use<> {
    let (server, client) = (world.host("server"), world.host("client"));
    let (host, victims) = (server.clone(), world.victims());
    server.run(async move { greet(host).await.expect("nothing goes wrong at the server") });
    let asked = Rc::new(Cell::new(false));
    let has_asked = Rc::clone(&asked);
    client.run(async move {
        let once = server.clone();
        drop(victims.wrap(async move { ask(&once).await }).await);
        // Whoever went away: the next one is greeted.
        ask_on(&server).await;
        has_asked.set(true);
        server.signal(Signal::Terminate);
    });
    move |_: &World| assert!(asked.get(), "the client came to its end")
}

#[test]
fn a_victim_is_dropped_everywhere_and_nothing_is_left() {
    let mut run_count = 0;
    for seed in 0..20 {
        let everywhere = Everywhere::new(seed, WorldConfig::rough(), greeting);
        let swept = everywhere.cancel().unwrap_or_else(|failure| panic!("{failure}"));
        run_count += swept.run_count;
        assert_eq!(everywhere.cancel().expect("it held before"), swept, "the same runs again");
    }
    // Connecting, and reading where somebody listens already, each both ways.
    assert!(run_count > 20 * 3, "{run_count}");
}

/// The bug: who is dropped while he waits takes the permit of the next one with him.
#[test]
fn what_a_cancellation_breaks_is_found() {
    let scenario = |world: &World| {
        let host = world.host("host");
        let (victims, semaphore) = (world.victims(), Rc::new(Semaphore::new(1)));
        let free = Rc::new(Cell::new(1));
        host.run(async move {
            let taken = Rc::clone(&free);
            victims
                .wrap(async move {
                    let _permit = semaphore.acquire().await;
                    taken.set(taken.get() - 1);
                    sleep(Duration::from_millis(1)).await;
                    taken.set(taken.get() + 1);
                })
                .await;
            assert_eq!(free.get(), 1, "the lease was given back");
        });
        |_: &World| {}
    };
    let failure = Everywhere::new(3, WorldConfig::calm(), scenario).cancel().expect_err("a bug");
    assert_eq!(failure.place, "dropped when suspended for the 1. time");
    assert!(failure.message.contains("the lease was given back"), "{failure}");
    assert!(failure.to_string().starts_with("dropped when suspended for the 1. time, seed 3: "));
}

#[test]
fn a_leak_is_found() {
    let scenario = |world: &World| {
        let (host, victims) = (world.host("host"), world.victims());
        host.run(async move {
            let left = victims.wrap(sleep(Duration::from_millis(1))).await;
            if left.is_none() {
                drop(spawn(sleep(Duration::from_secs(3600))));
            }
        });
        |_: &World| {}
    };
    let failure = Everywhere::new(0, WorldConfig::calm(), scenario).cancel().expect_err("a leak");
    assert!(failure.message.contains("still alive after the end"), "{failure}");
    assert!(failure.message.contains("sim/tests/everywhere.rs"), "{failure}");
}

#[test]
fn a_victim_panics_everywhere() {
    let scenario = |world: &World| {
        let (host, victims) = (world.host("host"), world.victims());
        let outcomes = Rc::new(RefCell::new(Vec::new()));
        let noted = Rc::clone(&outcomes);
        host.run(async move {
            let handler = victims.wrap(async {
                for _ in 0..3 {
                    sleep(Duration::from_millis(1)).await;
                }
            });
            let is_ok = spawn(handler).await.is_ok();
            noted.borrow_mut().push(is_ok);
        });
        move |world: &World| {
            let is_whole = world.now().as_nanos() == 3_000_000;
            assert_eq!(*outcomes.borrow(), [is_whole], "it ended, or panicked before");
        }
    };
    let swept = Everywhere::new(0, WorldConfig::calm(), scenario).panic();
    let failure = swept.expect_err("a panic after the last suspension is late as well");
    assert!(
        failure.place.starts_with("panics after it was suspended for the 3. time"),
        "{failure}"
    );
}

/// The server is told to end whenever anything happens; who was promised an answer gets one, and others are turned away.
#[test]
fn a_signal_at_each_instant() {
    let scenario = |world: &World| {
        let (server, client) = (world.host("server"), world.host("client"));
        let host = server.clone();
        server.run(async move { greet(host).await.expect("nothing goes wrong at the server") });
        client.run(async move {
            for _ in 0..3 {
                drop(ask(&server).await);
            }
            server.signal(Signal::Terminate);
        });
        |_: &World| {}
    };
    let everywhere = Everywhere::new(5, WorldConfig::rough(), scenario);
    let swept = everywhere.signal("server", Signal::Terminate).unwrap_or_else(|f| panic!("{f}"));
    assert!(swept.run_count > 5, "{swept:?}");
}

/// The server's machine crashes whenever anything happens, and its program is started again a second later.
#[test]
fn a_crash_at_each_instant() {
    for seed in 0..5 {
        let everywhere = Everywhere::new(seed, WorldConfig::rough(), greeting);
        let revive = |world: &World| {
            let server = world.find("server").expect("it is there");
            let host = server.clone();
            // It may come too late to be told to end.
            server.run(async move { drop(timeout(Duration::from_secs(60), greet(host)).await) });
        };
        let swept = everywhere.crash("server", Duration::from_secs(1), revive);
        let swept = swept.unwrap_or_else(|failure| panic!("{failure}"));
        assert!(swept.run_count > 5, "{swept:?}");
    }
}

/// A server whose every call fails once, in every way: it says so and ends where it cannot begin, and goes on else.
#[test]
fn each_call_fails_once() {
    let scenario = |world: &World| {
        let (server, client) = (world.host("server"), world.host("client"));
        let (host, has_failed) = (server.clone(), Rc::new(Cell::new(false)));
        let failed = Rc::clone(&has_failed);
        server.run(async move { failed.set(greet(host).await.is_err()) });
        client.run(async move {
            for _ in 0..3 {
                while ask(&server).await.is_err() && !has_failed.get() {
                    sleep(Duration::from_millis(10)).await;
                }
            }
            server.signal(Signal::Terminate);
        });
        |_: &World| {}
    };
    let everywhere = Everywhere::new(1, WorldConfig::rough(), scenario);
    let swept = everywhere.fail_each_call("server").unwrap_or_else(|failure| panic!("{failure}"));
    // Signals, listening, three clients accepted and written to: one way at least for each.
    assert!(swept.run_count > 15, "{swept:?}");
    assert_eq!(everywhere.fail_each_call("server").expect("it held before"), swept);
    let swept = everywhere.fail_each_call("client").unwrap_or_else(|failure| panic!("{failure}"));
    assert!(swept.run_count > 15, "{swept:?}");
}

/// The bug: a server that takes no more clients once one was not to be had.
#[test]
fn what_a_failing_call_breaks_is_found() {
    let scenario = |world: &World| {
        let (server, client) = (world.host("server"), world.host("client"));
        let address = server.address(PORT);
        let serving = server.spawn(async move {
            let listener = loop {
                match TcpListener::bind(address, ListenOptions::default()) {
                    Ok(listener) => break listener,
                    Err(_) => sleep(Duration::from_millis(1)).await,
                }
            };
            while let Ok((mut stream, _)) = listener.accept().await {
                drop(stream.write_all(b"hello").await);
            }
        });
        client.run(async move {
            ask_on(&server).await;
            ask_on(&server).await;
            serving.abort();
        });
        |_: &World| {}
    };
    let everywhere = Everywhere::new(1, WorldConfig::calm(), scenario);
    let failure = everywhere.fail_each_call("server").expect_err("a bug");
    assert!(failure.place.contains("Accept, fails by Kind(ConnectionAborted)"), "{failure}");
    assert!(failure.message.contains("the server never answers"), "{failure}");
}

/// Whatever panics, the sweep says where it was.
#[test]
fn a_panic_outside_of_all_tasks_has_its_place() {
    let everywhere = Everywhere::new(2, WorldConfig::calm(), greeting);
    let step = everywhere.at_each_instant("a step", |_| panic!("the step went wrong"));
    let failure = step.expect_err("each of them panics");
    assert!(failure.place.starts_with("a step at "), "{failure}");
    assert_eq!((failure.seed, &*failure.message), (2, "the step went wrong"));
    let nobody = everywhere.signal("nobody", Signal::Terminate).expect_err("there is no such host");
    assert_eq!(nobody.message, "the scenario has a host that is named nobody");
}
