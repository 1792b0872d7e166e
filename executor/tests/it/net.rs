//! TCP on the operating system, by each of its pollers.

use core::future::poll_fn;
use core::net::SocketAddr;
use core::pin::pin;
use core::task::Poll;
use core::time::Duration;
use std::cell::Cell;
use std::io::{ErrorKind, IoSlice};
use std::rc::Rc;
use std::sync::Barrier;

use futures::future::{join, join_all};
use futures::poll;
use mainspring_executor::driver::ListenOptions;
use mainspring_executor::net::{CHUNK_BYTES, RECV_BUFFER_BYTES, TcpListener, TcpStream};
use mainspring_executor::os::{OsDriver, run_shards};
use mainspring_executor::time::{sleep, timeout, yield_now};
use mainspring_executor::{Shard, scope, spawn};

use crate::worlds::{on_both, on_epoll, rounds};

fn listen() -> (TcpListener, SocketAddr) {
    let address = "127.0.0.1:0".parse().expect("an address");
    let listener = TcpListener::bind(address, ListenOptions::default()).expect("a port is free");
    let address = listener.local_addr().expect("it is bound");
    (listener, address)
}

/// Both ends of a connection.
async fn pair() -> (TcpStream, TcpStream) {
    let (listener, address) = listen();
    let (client, server) = join(TcpStream::connect(address), listener.accept()).await;
    let (client, (server, peer)) = (client.expect("it listens"), server.expect("one comes"));
    assert_eq!(peer, client.local_addr().expect("it is connected"));
    assert_eq!(client.peer_addr(), address);
    (client, server)
}

/// All bytes up to the FIN.
async fn read_to_end(stream: &mut TcpStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    while stream.fill().await.expect("the connection is whole") > 0 {
        bytes.extend_from_slice(stream.buffered());
        stream.consume(stream.buffered().len());
    }
    bytes
}

/// Bytes that tell where they are.
fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|place| u8::try_from(place % 251).expect("below 256")).collect()
}

#[test]
fn echo() {
    // Many clients at once, each with many messages of many sizes.
    on_both(|| async {
        let (listener, address) = listen();
        let clients = 10;
        let server = spawn(scope::scope(async move |connections| {
            for _ in 0..clients {
                let (mut stream, _) = listener.accept().await.unwrap();
                drop(connections.spawn(async move {
                    let mut buffer = [0; 1000];
                    loop {
                        let count = stream.read(&mut buffer).await.unwrap();
                        if count == 0 {
                            break;
                        }
                        stream.write_all(&buffer[..count]).await.unwrap();
                    }
                }));
            }
        }));
        let client = |name: usize| async move {
            let mut stream = TcpStream::connect(address).await.unwrap();
            for message in 0..20 {
                let sent = pattern(name * 300 + message * 97 + 1);
                stream.write_all(&sent).await.unwrap();
                let mut received = Vec::new();
                while received.len() < sent.len() {
                    assert!(stream.fill().await.unwrap() > 0);
                    received.extend_from_slice(stream.buffered());
                    stream.consume(stream.buffered().len());
                }
                assert_eq!(received, sent);
            }
        };
        join_all((0..clients).map(client)).await;
        server.await.unwrap();
    });
}

/// A peer that does not read costs its kernel's window, and 128 KiB of what is not even sent; not the 4 MiB to which a
/// kernel lets its buffer grow.
#[cfg(target_os = "linux")]
#[test]
fn what_is_not_sent_is_bounded() {
    on_both(|| async {
        let (client, server) = pair().await;
        let piece = pattern(64 * 1024);
        for writer in &mut [client, server] {
            let mut taken = 0;
            while timeout(Duration::from_millis(200), writer.write_all(&piece)).await.is_ok() {
                taken += piece.len();
                assert!(taken < 1024 * 1024, "{taken} bytes, and the peer reads none of them");
            }
        }
    });
}

#[test]
fn nobody_listens() {
    // Refused; and an address that is taken cannot be bound.
    on_both(|| async {
        // An address of its own, so that no other test takes the port meanwhile.
        let own = "127.9.8.7:0".parse().unwrap();
        let listener = TcpListener::bind(own, ListenOptions::default()).unwrap();
        let address = listener.local_addr().unwrap();
        let taken = TcpListener::bind(address, ListenOptions::default()).unwrap_err();
        assert_eq!(taken.kind(), ErrorKind::AddrInUse);
        drop(listener);
        let refused = TcpStream::connect(address).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
    });
}

#[test]
fn bytes_before_the_fin_arrive_and_the_fin_stays() {
    // Each read after it says so again.
    on_both(|| async {
        let (mut client, mut server) = pair().await;
        client.write_all(b"last words").await.unwrap();
        drop(client);
        assert_eq!(read_to_end(&mut server).await, b"last words");
        for _ in 0..3 {
            assert_eq!(server.fill().await.unwrap(), 0);
        }
    });
}

#[test]
fn a_fin_is_found_however_it_comes_with_data() {
    // Together with it, right after it, later: a short read must not hide it.
    on_both(|| async {
        for round in 0..rounds(300) {
            let (mut client, mut server) = pair().await;
            let writer = spawn(async move {
                client.write_all(b"abc").await.unwrap();
                for _ in 0..round % 4 {
                    yield_now().await;
                }
                drop(client);
            });
            for _ in 0..round % 3 {
                yield_now().await;
            }
            assert_eq!(read_to_end(&mut server).await, b"abc");
            writer.await.unwrap();
        }
    });
}

#[test]
fn half_close() {
    // After our FIN we still read; writing is an error.
    on_both(|| async {
        let (mut client, mut server) = pair().await;
        let answer = spawn(async move {
            let question = read_to_end(&mut server).await;
            server.write_all(&question).await.unwrap();
            server.write_all(b"!").await.unwrap();
        });
        client.write_all(b"question").await.unwrap();
        client.shutdown_write().unwrap();
        let error = client.write_all(b"more").await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::BrokenPipe);
        assert_eq!(read_to_end(&mut client).await, b"question!");
        answer.await.unwrap();
    });
}

/// Writes `bytes` and FIN; says when it had to wait for room.
async fn write_and_note(stream: &mut TcpStream, bytes: &[u8], waited: &Cell<bool>) {
    let mut sent = 0;
    while sent < bytes.len() {
        sent += poll_fn(|cx| {
            let poll = stream.poll_write(cx, &[IoSlice::new(&bytes[sent..])]);
            if poll.is_pending() {
                waited.set(true);
            }
            poll
        })
        .await
        .expect("the connection is whole");
    }
    stream.shutdown_write().expect("the connection is whole");
}

#[test]
fn a_big_transfer_waits_for_room_both_ways() {
    // Neither side reads before both are stuck in their writes; then all bytes arrive in order.
    on_both(|| async {
        let bytes = Rc::new(pattern(8 << 20));
        let (client, server) = pair().await;
        let stuck = [Rc::new(Cell::new(false)), Rc::new(Cell::new(false))];
        let side = |mut stream: TcpStream, place: usize| {
            let (bytes, stuck) = (Rc::clone(&bytes), stuck.clone());
            async move {
                // One stream for both directions, as a proxy has it: the write goes on while the read does.
                let (mut sent, mut received) = (0, Vec::new());
                let mut fin_sent = false;
                poll_fn(|cx| {
                    while sent < bytes.len() {
                        match stream.poll_write(cx, &[IoSlice::new(&bytes[sent..])]) {
                            Poll::Ready(count) => sent += count.unwrap(),
                            Poll::Pending => {
                                stuck[place].set(true);
                                break;
                            }
                        }
                    }
                    if sent == bytes.len() && !fin_sent {
                        stream.shutdown_write().unwrap();
                        fin_sent = true;
                    }
                    if !stuck.iter().all(|stuck| stuck.get()) {
                        cx.waker().wake_by_ref();
                        return Poll::Pending;
                    }
                    while let Poll::Ready(count) = stream.poll_fill(cx) {
                        if count.unwrap() == 0 {
                            return if fin_sent { Poll::Ready(()) } else { Poll::Pending };
                        }
                        received.extend_from_slice(stream.buffered());
                        stream.consume(stream.buffered().len());
                    }
                    Poll::Pending
                })
                .await;
                assert!(received == *bytes, "{} bytes, in order", received.len());
            }
        };
        let sides = [spawn(side(client, 0)), spawn(side(server, 1))];
        for side in sides {
            side.await.unwrap();
        }
    });
}

#[test]
fn chunks_bring_all_bytes_and_the_end() {
    on_both(|| async {
        let (mut client, mut server) = pair().await;
        let bytes = Rc::new(pattern(5 * CHUNK_BYTES + 17));
        let sent = Rc::clone(&bytes);
        let writer = spawn(async move {
            client.write_all(&sent).await.unwrap();
            client.shutdown_write().unwrap();
            client
        });
        let mut kept = Vec::new();
        for bytes_max in (1..).map(|round| round * 40_000) {
            let chunk = poll_fn(|cx| server.poll_chunk(cx, bytes_max)).await.unwrap();
            assert!(chunk.len() <= bytes_max.min(CHUNK_BYTES));
            if chunk.is_empty() {
                break;
            }
            // The memory of one that is kept is not used again.
            kept.push(chunk);
        }
        let received = kept.iter().flat_map(|chunk| chunk.iter().copied());
        assert!(received.eq(bytes.iter().copied()));
        drop(writer.await.unwrap());
    });
}

#[test]
fn a_chunk_may_outlive_its_shard() {
    let shard = Shard::new(Rc::new(OsDriver::new().unwrap()));
    let chunk = shard.run(async {
        let (mut client, mut server) = pair().await;
        client.write_all(b"abc").await.unwrap();
        poll_fn(|cx| server.poll_chunk(cx, 2)).await.unwrap()
    });
    let chunk = chunk.unwrap();
    drop(shard);
    assert_eq!(*chunk, *b"ab");
}

#[test]
fn a_reader_that_consumes_nothing_holds_the_writer() {
    // The receive buffer is bounded; a full one is filled no more.
    on_both(|| async {
        let (mut client, mut server) = pair().await;
        let bytes = Rc::new(pattern(16 << 20));
        let waited = Rc::new(Cell::new(false));
        let (sent, note) = (Rc::clone(&bytes), Rc::clone(&waited));
        let writer = spawn(async move { write_and_note(&mut client, &sent, &note).await });
        while server.buffered().len() < RECV_BUFFER_BYTES {
            assert!(server.fill().await.unwrap() > 0);
        }
        while !waited.get() {
            yield_now().await;
        }
        assert!(!writer.is_finished());
        assert_eq!(server.buffered(), &bytes[..RECV_BUFFER_BYTES]);
        let mut received = server.buffered().to_vec();
        server.consume(received.len());
        received.extend(read_to_end(&mut server).await);
        assert!(received == *bytes);
        writer.await.unwrap();
    });
}

#[test]
fn more_slices_than_the_system_takes_at_once() {
    // POSIX bounds them (1,024 on Linux); the rest goes with the next call.
    on_both(|| async {
        let (mut client, mut server) = pair().await;
        let bytes = pattern(3000);
        let slices: Vec<_> = bytes.chunks(1).map(IoSlice::new).collect();
        let mut sent = 0;
        while sent < bytes.len() {
            sent += poll_fn(|cx| client.poll_write(cx, &slices[sent..])).await.unwrap();
        }
        drop(client);
        assert_eq!(read_to_end(&mut server).await, bytes);
    });
}

#[test]
fn abort_resets_the_connection() {
    // The peer learns of it without reading, by reading, and by writing.
    on_both(|| async {
        let (client, mut server) = pair().await;
        assert!(poll!(pin!(poll_fn(|cx| server.poll_broken(cx)))).is_pending());
        client.abort();
        poll_fn(|cx| server.poll_broken(cx)).await;
        poll_fn(|cx| server.poll_peer_closed(cx)).await;
        assert_eq!(server.fill().await.unwrap_err().kind(), ErrorKind::ConnectionReset);
        assert_eq!(server.write_all(b"x").await.unwrap_err().kind(), ErrorKind::BrokenPipe);
    });
}

#[test]
fn the_peers_end_is_seen_without_reading() {
    // While a request is handled: the bytes stay where they are. The portable poller has no such edge.
    on_epoll(async {
        let (mut client, mut server) = pair().await;
        client.write_all(b"abc").await.unwrap();
        assert_eq!(server.fill().await.unwrap(), 3);
        assert!(poll!(pin!(poll_fn(|cx| server.poll_peer_closed(cx)))).is_pending());
        client.write_all(b"def").await.unwrap();
        client.shutdown_write().unwrap();
        poll_fn(|cx| server.poll_peer_closed(cx)).await;
        assert!(poll!(pin!(poll_fn(|cx| server.poll_broken(cx)))).is_pending(), "in good order");
        assert_eq!(server.buffered(), b"abc");
        server.consume(3);
        assert_eq!(read_to_end(&mut server).await, b"def");
    });
}

#[test]
fn reading_and_waiting_for_the_end_wake_the_same_task() {
    // Two interests of one socket do not push each other out.
    on_epoll(async {
        let (mut client, mut server) = pair().await;
        let reader = spawn(async move {
            let mut lengths = Vec::new();
            poll_fn(|cx| {
                let closed = server.poll_peer_closed(cx);
                while let Poll::Ready(count) = server.poll_fill(cx) {
                    let count = count.unwrap();
                    if count == 0 {
                        break;
                    }
                    lengths.push(count);
                }
                closed
            })
            .await;
            lengths.iter().sum::<usize>()
        });
        for _ in 0..5 {
            client.write_all(b"x").await.unwrap();
            yield_now().await;
        }
        drop(client);
        assert_eq!(reader.await.unwrap(), 5);
    });
}

#[test]
fn an_accept_that_is_dropped_loses_no_connection() {
    // Before and after its edge.
    on_both(|| async {
        let (listener, address) = listen();
        assert!(poll!(pin!(listener.accept())).is_pending());
        let client = TcpStream::connect(address).await.unwrap();
        assert!(timeout(Duration::ZERO, sleep(Duration::from_secs(1))).await.is_err());
        let (server, peer) = listener.accept().await.unwrap();
        assert_eq!(peer, client.local_addr().unwrap());
        assert_eq!(server.local_addr().unwrap(), address);
        // Nobody accepts this one: it goes with the listener.
        let mut waits = TcpStream::connect(address).await.unwrap();
        drop(listener);
        assert_eq!(waits.fill().await.unwrap_err().kind(), ErrorKind::ConnectionReset);
    });
}

#[test]
fn what_is_there_is_found_without_an_edge() {
    // From one try to the next the shard does not look at its sockets.
    on_both(|| async {
        let (listener, address) = listen();
        assert!(listener.try_accept().unwrap().is_none());
        let mut connecting = pin!(TcpStream::connect(address));
        assert!(poll!(connecting.as_mut()).is_pending());
        let (mut server, peer) = listener.try_accept().unwrap().expect("one waits");
        assert!(listener.try_accept().unwrap().is_none());
        let mut client = connecting.await.unwrap();
        assert_eq!(peer, client.local_addr().unwrap());
        assert_eq!(server.try_fill().unwrap(), None);
        client.write_all(b"abc").await.unwrap();
        assert_eq!(server.try_fill().unwrap(), Some(3));
        assert_eq!((server.try_fill().unwrap(), server.buffered()), (None, &b"abc"[..]));
        server.consume(3);
        // The edge of what was taken comes after all, and does no harm.
        yield_now().await;
        assert!(poll!(pin!(server.fill())).is_pending());
        client.write_all(b"d").await.unwrap();
        assert_eq!(server.fill().await.unwrap(), 1);
        drop(client);
        assert_eq!(server.try_fill().unwrap(), Some(0));
    });
}

#[test]
fn a_connect_that_is_dropped_leaves_nothing() {
    // Before its first poll, while it waits, and when its outcome is known but was not asked.
    on_both(|| async {
        let (listener, address) = listen();
        drop(TcpStream::connect(address));
        for waits in [false, true] {
            let mut connecting = Box::pin(TcpStream::connect(address));
            assert!(poll!(connecting.as_mut()).is_pending());
            if waits {
                let (server, _) = listener.accept().await.unwrap();
                drop(connecting);
                read_end_of(server).await;
            } else {
                drop(connecting);
                let (server, _) = listener.accept().await.unwrap();
                read_end_of(server).await;
            }
        }
        // A backlog that is full leaves a connect without an answer.
        let full = ListenOptions { backlog: 0, ..ListenOptions::default() };
        let listener = TcpListener::bind("127.0.0.1:0".parse().unwrap(), full).unwrap();
        let address = listener.local_addr().unwrap();
        let first = TcpStream::connect(address).await.unwrap();
        let second = TcpStream::connect(address);
        assert!(timeout(Duration::from_millis(1), second).await.is_err());
        drop(first);
    });
}

/// Reads up to the end of a connection that its peer gave up, by FIN or by reset.
async fn read_end_of(mut stream: TcpStream) {
    match stream.fill().await {
        Ok(count) => assert_eq!(count, 0),
        Err(error) => assert_eq!(error.kind(), ErrorKind::ConnectionReset),
    }
}

#[test]
fn a_task_that_is_cancelled_in_the_middle_closes_what_it_had() {
    // At each of its waits in turn.
    on_both(|| async {
        for steps in 0..8 {
            let (listener, address) = listen();
            let server = spawn(async move {
                let (mut stream, _) = listener.accept().await.unwrap();
                let bytes = read_to_end(&mut stream).await;
                stream.write_all(&bytes).await.unwrap();
            });
            let client = spawn(async move {
                let mut stream = TcpStream::connect(address).await.unwrap();
                stream.write_all(b"hello").await.unwrap();
                stream.shutdown_write().unwrap();
                read_to_end(&mut stream).await
            });
            for _ in 0..steps {
                yield_now().await;
            }
            server.abort();
            drop(client.await);
        }
    });
}

#[test]
fn the_ledger_names_what_is_open_and_where() {
    // The lines are those of the program, not of the executor.
    let shard = Shard::new(Rc::new(OsDriver::new().unwrap()));
    let twin = shard.clone();
    shard
        .run(async move {
            let address = "127.0.0.1:0".parse().unwrap();
            let (listener, bound) =
                (TcpListener::bind(address, ListenOptions::default()).unwrap(), line!());
            let address = listener.local_addr().unwrap();
            let (connecting, connected) = (TcpStream::connect(address), line!());
            let (accepting, accepted) = (listener.accept(), line!());
            let both = join(connecting, accepting).await;
            let (task, spawned) = (spawn(async { sleep(Duration::from_secs(1)).await }), line!());
            yield_now().await;

            let ledger = twin.ledger();
            let mut open: Vec<_> = ledger
                .resources
                .iter()
                .map(|resource| {
                    assert!(resource.origin.file().ends_with("tests/it/net.rs"), "{ledger}");
                    assert_eq!(resource.owner, Some(ledger.tasks[0].id));
                    (resource.origin.line(), resource.kind.as_str())
                })
                .collect();
            open.sort_unstable();
            assert_eq!(
                open,
                [(bound, "listener"), (connected, "stream"), (accepted, "stream")],
                "{ledger}"
            );
            assert_eq!(ledger.tasks[1].origin.line(), spawned);
            assert_eq!(ledger.tasks[1].parent, Some(ledger.tasks[0].id));
            assert_eq!(ledger.timers[0].origin.line(), spawned);
            let text = ledger.to_string();
            assert!(text.contains(&format!("tests/it/net.rs:{bound}:")), "{text}");
            drop((listener, both, task));
        })
        .unwrap();
    assert_eq!(shard.ledger().resources.len(), 0);
    assert_eq!(shard.ledger().tasks.len(), 1, "the sleeper is nobody's");
    shard.shutdown();
    assert!(shard.ledger().is_empty());
}

#[test]
fn sockets_may_outlive_the_shard() {
    // They close when they go.
    let driver = Rc::new(OsDriver::new().unwrap());
    let shard = Shard::new(Rc::<OsDriver>::clone(&driver));
    let (client, server) = shard.run(pair()).unwrap();
    drop(shard);
    assert!(Rc::strong_count(&driver) > 1);
    drop(client);
    server.abort();
    assert_eq!(Rc::strong_count(&driver), 1);
}

#[test]
fn shards_share_an_address() {
    // Each on a thread of its own; the connections find one of them, outputs come in the order of the shards.
    let address = mainspring_executor::os::reserve_address("127.0.0.1:0".parse().unwrap()).unwrap();
    static ALL_HAVE_TRIED: Barrier = Barrier::new(2);
    let served = run_shards(2.try_into().unwrap(), |peers| async move {
        let index = peers.own();
        let options = ListenOptions { reuse_port: true, ..ListenOptions::default() };
        let listener = TcpListener::bind(address, options).unwrap();
        // One connection to whoever gets it: in the same shard or the other.
        let (served, connected) = join(
            timeout(Duration::from_millis(200), listener.accept()),
            TcpStream::connect(address),
        )
        .await;
        // A listener that closes resets what is in its backlog, and the other's connection may be there.
        ALL_HAVE_TRIED.wait();
        (index, served.is_ok(), connected.is_ok())
    });
    for (expected, output) in served.into_iter().enumerate() {
        let (index, _, connected) = output.unwrap();
        assert_eq!((index, connected), (expected, true));
    }
}
