//! Cases of datagrams, on the way back to oneself: there none is lost but where a buffer is full, and none overtakes
//! another.

use core::net::{Ipv4Addr, SocketAddr};
use core::time::Duration;
use std::io::ErrorKind;

use futures::join;
use mainspring_executor::driver::ListenOptions;
use mainspring_executor::net::{Received, TcpListener, UdpSocket};
use mainspring_executor::time::{sleep, timeout};

use super::pair::{ANY_PORT, kind, patterned, poll_once};

/// Longer than any datagram.
const ANY_LENGTH: usize = 70_000;

/// A socket on a port of its own, and where it is.
fn bind() -> (UdpSocket, SocketAddr) {
    let socket = UdpSocket::bind(ANY_PORT).expect("a free port");
    let address = socket.local_addr().expect("a socket has an address");
    (socket, address)
}

async fn send(socket: &UdpSocket, datagram: &[u8], to: SocketAddr) {
    socket.send_to(datagram, to).await.expect("the machine takes it");
}

/// The next datagram, as a whole, and who sent it.
async fn receive(socket: &UdpSocket) -> (Vec<u8>, SocketAddr) {
    let mut buffer = vec![0; ANY_LENGTH];
    let received = socket.recv_from(&mut buffer).await.expect("one comes");
    assert!(!received.is_truncated);
    buffer.truncate(received.count);
    (buffer, received.peer)
}

/// Whether nothing is there, now that all that was sent has had the time to come.
async fn is_silent(socket: &UdpSocket) -> bool {
    timeout(Duration::from_millis(30), receive(socket)).await.is_err()
}

pub(super) async fn there_and_back() {
    let (one, at_one) = bind();
    let (other, at_other) = bind();
    assert_ne!(at_one.port(), at_other.port(), "a port is given once");
    let (received, ()) = join!(receive(&other), send(&one, b"question", at_other));
    assert_eq!(received, (b"question".to_vec(), at_one), "one that waits is woken");
    let (received, ()) = join!(receive(&one), send(&other, b"answer", at_one));
    assert_eq!(received, (b"answer".to_vec(), at_other));
    // Each for itself, in order, and none is empty because it is the last.
    let lengths = [1, 0, 1000, 0, 0, 1472, 9000, 1];
    for length in lengths {
        send(&one, &patterned(length, length), at_other).await;
    }
    for length in lengths {
        assert!(receive(&other).await == (patterned(length, length), at_one), "{length}");
    }
    // To itself.
    send(&one, b"note", at_one).await;
    assert_eq!(receive(&one).await, (b"note".to_vec(), at_one));
}

pub(super) async fn truncated() {
    let (one, at_one) = bind();
    let (other, at_other) = bind();
    for length in [10, 10, 10, 10, 3] {
        send(&one, &patterned(0, length), at_other).await;
    }
    for (room, count, is_truncated) in
        [(4, 4, true), (10, 10, false), (9, 9, true), (0, 0, true), (4, 3, false)]
    {
        let mut buffer = vec![0; room];
        let received = other.recv_from(&mut buffer).await.expect("one comes");
        assert_eq!(received, Received { count, is_truncated, peer: at_one }, "room for {room}");
        assert_eq!(buffer[..count], patterned(0, count));
    }
    assert!(is_silent(&other).await, "what did not fit is lost");
}

pub(super) async fn lengths() {
    let (one, at_one) = bind();
    let longest = patterned(0, 65_507);
    send(&one, &longest, at_one).await;
    assert!(receive(&one).await == (longest, at_one), "as a whole");
    for length in [65_508, 65_536, 200_000] {
        let sent = one.send_to(&patterned(0, length), at_one).await;
        assert_eq!(kind(sent), Err(ErrorKind::InvalidInput), "{length} bytes fit no packet");
    }
    let v6 = "[::1]:9".parse().expect("an address");
    assert_eq!(kind(one.send_to(b"x", v6).await), Err(ErrorKind::InvalidInput));
    assert_eq!(kind(one.connect(v6)), Err(ErrorKind::InvalidInput));
    let port_0 = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    assert_eq!(kind(one.send_to(b"x", port_0).await), Err(ErrorKind::InvalidInput));
    assert!(is_silent(&one).await);
}

pub(super) async fn addresses() {
    let bind_at = |ip: Ipv4Addr, port| kind(UdpSocket::bind(SocketAddr::from((ip, port))));
    // TCP counts its ports for itself; but the same number may be in use there, by somebody else.
    let both = || {
        let (one, at_one) = bind();
        let listener = TcpListener::bind(at_one, ListenOptions::default());
        listener.is_ok().then_some((one, at_one))
    };
    let (one, at_one) = (0..100).find_map(|_| both()).expect("two spaces of ports");
    let port = at_one.port();
    assert_ne!(port, 0);
    assert_eq!(bind_at(Ipv4Addr::LOCALHOST, port).unwrap_err(), ErrorKind::AddrInUse);
    assert_eq!(bind_at(Ipv4Addr::UNSPECIFIED, port).unwrap_err(), ErrorKind::AddrInUse);
    let foreign = bind_at(Ipv4Addr::new(192, 0, 2, 1), 0);
    assert_eq!(foreign.unwrap_err(), ErrorKind::AddrNotAvailable);
    drop(one);
    let one = bind_at(Ipv4Addr::LOCALHOST, port).expect("its owner is gone");
    // One at all addresses sends from the one that leads there, and knows it when it is connected.
    let all = bind_at(Ipv4Addr::UNSPECIFIED, 0).expect("a free port");
    let bound = all.local_addr().unwrap();
    assert!(bound.ip().is_unspecified());
    let at_all = SocketAddr::from((Ipv4Addr::LOCALHOST, bound.port()));
    send(&all, b"from all", at_one).await;
    assert_eq!(receive(&one).await, (b"from all".to_vec(), at_all));
    send(&one, b"for all", SocketAddr::from((Ipv4Addr::UNSPECIFIED, bound.port()))).await;
    assert_eq!(receive(&all).await, (b"for all".to_vec(), at_one), "the unspecified one is ours");
    all.connect(at_one).expect("a way there");
    assert_eq!(all.local_addr().unwrap(), at_all);
}

pub(super) async fn connected() {
    let (one, at_one) = bind();
    let (other, at_other) = bind();
    let (stranger, at_stranger) = bind();
    assert_eq!(kind(one.send(b"x").await), Err(ErrorKind::NotConnected));
    send(&stranger, b"early", at_one).await;
    assert_eq!(receive(&one).await.0, b"early");
    send(&stranger, b"early, too", at_one).await;
    // Until it has come: what is there when the socket is connected stays.
    sleep(Duration::from_millis(5)).await;
    one.connect(at_other).expect("a way there");
    send(&stranger, b"late", at_one).await;
    one.send(b"to my peer").await.expect("it has one");
    assert_eq!(receive(&other).await, (b"to my peer".to_vec(), at_one));
    send(&other, b"from your peer", at_one).await;
    assert_eq!(receive(&one).await, (b"early, too".to_vec(), at_stranger));
    assert_eq!(receive(&one).await, (b"from your peer".to_vec(), at_other), "not the stranger");
    // Another peer.
    one.connect(at_stranger).expect("a way there");
    one.send(b"hello, stranger").await.expect("it has one");
    assert_eq!(receive(&stranger).await, (b"hello, stranger".to_vec(), at_one));
}

pub(super) async fn refused() {
    let (gone, at_gone) = bind();
    drop(gone);
    let (one, at_one) = bind();
    // Nobody is told whose socket has no peer: it could not say which datagram is meant.
    send(&one, b"anyone?", at_gone).await;
    assert!(is_silent(&one).await);
    one.connect(at_gone).expect("a way there");
    one.send(b"anyone?").await.expect("nothing is known yet");
    let refused = kind(one.recv_from(&mut [0; 9]).await);
    assert_eq!(refused, Err(ErrorKind::ConnectionRefused), "one that waits is woken");
    assert!(is_silent(&one).await, "told once");
    // Told to who sends as well, and then that one is not sent.
    let error = loop {
        match one.send(b"anyone?").await {
            Ok(()) => sleep(Duration::from_millis(1)).await,
            Err(error) => break error.kind(),
        }
    };
    assert_eq!(error, ErrorKind::ConnectionRefused);
    // The socket goes on: somebody comes, and hears what is sent from then on.
    let back = UdpSocket::bind(at_gone).expect("its owner is gone");
    assert!(is_silent(&back).await);
    one.send(b"there you are").await.expect("it was told already");
    assert_eq!(receive(&back).await, (b"there you are".to_vec(), at_one));
}

pub(super) async fn overflow() {
    const COUNT: usize = 3000;
    let (one, _) = bind();
    let (other, at_other) = bind();
    for number in 0..COUNT {
        send(&one, &patterned(number, 1000), at_other).await;
    }
    // Until the last has come, too.
    sleep(Duration::from_millis(5)).await;
    let mut seen = 0;
    while let Ok((bytes, _)) = timeout(Duration::from_millis(30), receive(&other)).await {
        assert!(bytes == patterned(seen, 1000), "the first are kept, as they were sent: {seen}");
        seen += 1;
    }
    assert!(seen > 0 && seen < COUNT, "{seen}: a buffer has an end, and a sender is not stopped");
    // There is room again.
    send(&one, b"later", at_other).await;
    assert_eq!(receive(&other).await.0, b"later");
    // Datagrams without bytes fill it, too.
    for _ in 0..COUNT {
        send(&one, b"", at_other).await;
    }
    sleep(Duration::from_millis(5)).await;
    let mut seen = 0;
    while timeout(Duration::from_millis(30), receive(&other)).await.is_ok() {
        seen += 1;
    }
    assert!(seen > 0 && seen < COUNT, "{seen}");
}

pub(super) async fn dropped() {
    let (one, at_one) = bind();
    for round in 0..30_u8 {
        let mut buffer = [0; 9];
        // Dropped while it waits, then again while its edge is under way.
        assert!(timeout(Duration::ZERO, one.recv_from(&mut buffer)).await.is_err());
        let mut waiting = Box::pin(one.recv_from(&mut buffer));
        assert!(poll_once(&mut waiting).await.is_none());
        send(&one, &[round], at_one).await;
        drop(waiting);
        assert_eq!(receive(&one).await.0, [round], "a receive that is dropped takes nothing");
    }
    // Closed with datagrams in it, and others under way to and from it.
    let (other, at_other) = bind();
    for _ in 0..10 {
        send(&one, b"for nobody", at_other).await;
        send(&other, b"last words", at_one).await;
    }
    drop(other);
    for _ in 0..10 {
        assert_eq!(receive(&one).await, (b"last words".to_vec(), at_other));
    }
}
