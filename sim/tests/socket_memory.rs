//! Programs on hosts whose memory for socket buffers runs out.

use core::cell::{Cell, RefCell};
use core::time::Duration;
use std::rc::Rc;

use mainspring_executor::driver::{Exhausted, Instant, ListenOptions, Signal};
use mainspring_executor::net::{TcpListener, TcpStream, UdpSocket};
use mainspring_executor::time::{now, sleep, timeout};
use mainspring_executor::{Scope, spawn};
use mainspring_sim::{Fault, Host, World, WorldConfig};

const SECOND: Duration = Duration::from_secs(1);
const PORT: u16 = 80;

/// What each client is sent.
const LENGTH: usize = 300_000;

/// Clients that read at once, and as many that read later.
const COUNT: usize = 10;

/// When those read that are late.
const LATE: Duration = Duration::from_secs(100);

/// Sends everybody the same when all are there, and adds up what the kernel took.
async fn send_to_each(clients: usize, taken: Rc<Cell<usize>>) {
    let listener = TcpListener::bind(([0, 0, 0, 0], PORT).into(), ListenOptions::default());
    let listener = listener.expect("a free port");
    let (sending, mut streams) = (Scope::new(), Vec::new());
    while streams.len() < clients {
        streams.push(listener.accept().await.expect("nothing is sent yet").0);
    }
    for mut stream in streams {
        let taken = Rc::clone(&taken);
        drop(sending.spawn(async move {
            for _ in 0..LENGTH / 1_000 {
                stream.write_all(&[7; 1_000]).await.expect("it is there");
                taken.set(taken.get() + 1_000);
            }
        }));
    }
    sending.join().await.expect("nobody panics");
}

async fn receive(server: Host, pause: Duration) {
    let mut stream = TcpStream::connect(server.address(PORT)).await.expect("it listens");
    sleep(pause).await;
    let mut received = 0;
    while let Ok(count @ 1..) = stream.fill().await {
        stream.consume(count);
        received += count;
    }
    assert_eq!(received, LENGTH);
}

/// A server with so much memory, of whose clients half do not read at first: which ended before those read, and what its kernel
/// had taken by then.
fn slow_readers(seed: u64, memory: Option<usize>) -> (usize, usize) {
    let config = WorldConfig { send_buffer_bytes: 64 * 1024, ..WorldConfig::rough() };
    let world = World::new(seed, WorldConfig { socket_memory_bytes: memory, ..config });
    let server = world.host("server");
    let taken = Rc::new(Cell::new(0));
    server.run(send_to_each(2 * COUNT, Rc::clone(&taken)));
    let ended = Rc::new(Cell::new(0));
    for number in 0..2 * COUNT {
        let (server, ended) = (server.clone(), Rc::clone(&ended));
        let is_late = number % 2 == 0;
        world.host(&format!("client-{number}")).run(async move {
            receive(server, if is_late { LATE } else { Duration::ZERO }).await;
            ended.set(ended.get() + 1);
        });
    }
    let seen = Rc::new(Cell::new((0, 0)));
    let tell = Rc::clone(&seen);
    world.at(Instant::START + LATE, move |_| tell.set((ended.get(), taken.get())));
    world.run().expect("everybody has everything in the end");
    assert_eq!(world.leaks(), Vec::<String>::new());
    let refused = world.coverage().fault(Fault::WriteWithoutMemory);
    assert_eq!(refused > 0, memory.is_some(), "{refused} writes found no memory");
    seen.get()
}

/// Writes wait for memory, not for ever: who reads goes on with what each socket may have, and who does not holds no more than
/// there is.
#[test]
fn who_reads_goes_on_where_others_have_taken_all_memory() {
    const MEMORY: usize = 256 * 1024;
    for seed in 0..10 {
        let (ended, taken) = slow_readers(seed, Some(MEMORY));
        assert_eq!(ended, COUNT, "seed {seed}: those that read have all");
        // What is in the buffers of the clients that do not read is not the server's.
        let held = taken - COUNT * LENGTH;
        let most = MEMORY + COUNT * (16 * 1024 + 4 * 1024);
        assert!(held <= most, "seed {seed}: {held} bytes, and no more than {most}");
        let (_, roomy) = slow_readers(seed, None);
        assert!(roomy - COUNT * LENGTH > most, "seed {seed}: with memory they take more");
    }
}

/// What a program leaves when it dies is given back, and wakes nobody who is dead as well.
#[test]
fn a_program_that_dies_with_writers_that_wait_gives_all_back() {
    for is_crash in [false, true] {
        let world = World::new(1, WorldConfig::calm());
        let (server, client) = (world.host("server"), world.host("client"));
        server.set_socket_memory(Some(50_000));
        server.run(send_to_each(COUNT, Rc::default()));
        let on = server.clone();
        client.run(async move {
            let connects = (0..COUNT).map(|_| TcpStream::connect(on.address(PORT)));
            let streams = futures::future::join_all(connects).await;
            sleep(SECOND).await;
            if is_crash {
                on.crash();
            } else {
                on.signal(Signal::Terminate);
            }
            drop(streams);
            // A new life has all of its memory: after a crash at once, and else when the resets of the clients are there.
            on.restart();
            on.run(async move {
                if !is_crash {
                    sleep(SECOND).await;
                }
                let socket = UdpSocket::bind(([0, 0, 0, 0], PORT).into());
                socket.expect("there is memory");
            });
        });
        world.run().expect("it ends well");
        assert!(world.coverage().fault(Fault::WriteWithoutMemory) > 0);
        assert_eq!(world.coverage().fault(Fault::NoBuffers), 0);
    }
}

/// What a receiver has no memory for comes later, and all of it.
#[test]
fn what_finds_no_memory_is_late() {
    for seed in 0..20 {
        let world = World::new(seed, WorldConfig::rough());
        let (server, client) = (world.host("server"), world.host("client"));
        server.run(send_to_each(1, Rc::default()));
        let (from, receiver) = (server.clone(), client.clone());
        client.run(async move {
            // Enough for a socket.
            receiver.set_socket_memory(Some(1));
            let mut stream = TcpStream::connect(from.address(PORT)).await.expect("it listens");
            // Nobody reads, so the guaranteed bytes are all that there is.
            sleep(SECOND).await;
            receiver.set_socket_memory(None);
            let mut received = 0;
            while let Ok(count @ 1..) = stream.fill().await {
                stream.consume(count);
                received += count;
            }
            assert_eq!(received, LENGTH);
            assert!(now() < Instant::START + 20 * SECOND, "soon after there is memory");
        });
        world.run().expect("it ends well");
        assert!(world.coverage().fault(Fault::SegmentDropped) > 0, "seed {seed}");
        assert_eq!(world.leaks(), Vec::<String>::new());
    }
}

/// A sender of datagrams is told that there is no memory, and nobody is told of those that found none where they arrived.
#[test]
fn datagrams_find_no_memory() {
    const SENT: usize = 40;
    let world = World::new(1, WorldConfig::calm());
    let (sender, receiver) = (world.host("sender"), world.host("receiver"));
    let to = receiver.address(PORT);
    let (on, at) = (receiver.clone(), Rc::new(RefCell::new(Vec::new())));
    let seen = Rc::clone(&at);
    receiver.run(async move {
        let socket = UdpSocket::bind(([0, 0, 0, 0], PORT).into()).expect("there is memory");
        on.set_socket_memory(Some(10_000));
        // They come while nobody reads.
        sleep(2 * SECOND).await;
        let mut buffer = [0; 1_488];
        while timeout(SECOND, socket.recv_from(&mut buffer)).await.is_ok() {
            seen.borrow_mut().push(buffer[0]);
        }
    });
    let on = sender.clone();
    sender.run(async move {
        let socket = UdpSocket::bind(([0, 0, 0, 0], 0).into()).expect("there is memory");
        sleep(SECOND).await;
        on.set_socket_memory(Some(0));
        let error = UdpSocket::bind(([0, 0, 0, 0], 0).into()).expect_err("there is no memory");
        assert!(Exhausted::is(&error) && error.raw_os_error() == Some(105), "{error}");
        let mut sent = 0;
        while sent < SENT {
            match socket.send_to(&[u8::try_from(sent).expect("few"); 1_488], to).await {
                Ok(()) => sent += 1,
                Err(error) => {
                    assert_eq!(error.raw_os_error(), Some(105), "{error}");
                    sleep(Duration::from_millis(1)).await;
                }
            }
        }
    });
    world.run().expect("it ends well");
    assert_eq!(*at.borrow(), [0, 1, 2, 3, 4], "as many as 10,000 bytes hold");
    assert_eq!(world.coverage().fault(Fault::DatagramDropped), 35);
    assert!(world.coverage().fault(Fault::NoBuffers) > 10);
}

/// Who cannot be accepted for want of memory waits in the backlog, and is accepted when there is some.
#[test]
fn an_accept_without_memory_leaves_the_connection_where_it_is() {
    let world = World::new(1, WorldConfig::calm());
    let (server, client) = (world.host("server"), world.host("client"));
    let on = server.clone();
    server.run(async move {
        let listener = TcpListener::bind(([0, 0, 0, 0], PORT).into(), ListenOptions::default());
        let listener = listener.expect("there is memory");
        on.set_socket_memory(Some(0));
        let healing = spawn(async move {
            sleep(10 * SECOND).await;
            on.set_socket_memory(None);
        });
        let mut failed = 0;
        let (mut stream, _) = loop {
            match listener.accept().await {
                Ok(accepted) => break accepted,
                Err(error) => assert!(Exhausted::is(&error), "{error}"),
            }
            failed += 1;
            sleep(SECOND).await;
        };
        assert!((9..=10).contains(&failed), "{failed} failed");
        stream.write_all(b"hello").await.expect("it reads");
        healing.await.expect("it does not panic");
    });
    client.run(async move {
        let mut stream = TcpStream::connect(server.address(PORT)).await.expect("it listens");
        assert_eq!(stream.fill().await.expect("an answer"), 5);
        assert!(now() >= Instant::START + 9 * SECOND, "not before there was memory");
    });
    world.run().expect("it ends well");
    assert_eq!(world.leaks(), Vec::<String>::new());
}
