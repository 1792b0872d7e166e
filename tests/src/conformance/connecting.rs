//! Cases of how connections come to be, or do not.

use core::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use core::pin::pin;
use core::time::Duration;
use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::path::PathBuf;

use futures::future::{Either, join_all, select};
use futures::join;
use mainspring_executor::driver::{Exhausted, ListenOptions};
use mainspring_executor::file::File;
use mainspring_executor::net::{TcpListener, TcpStream, UdpSocket};
use mainspring_executor::signal::Signals;
use mainspring_executor::time::{now, timeout};

use super::machine::Machine;
use super::pair::{
    ANY_PORT, End, broken, connect, is_broken, is_peer_closed, kind, listen, listen_with, pair,
    peer_closed, poll_once, receive, rest, send,
};
use super::stage::Stage;

/// Long enough for anything that happens by itself on this machine to have happened.
const A_WHILE: Duration = Duration::from_millis(30);

pub(super) async fn accept() {
    let (listener, address) = listen();
    let (mut client, mut server) = connect(&listener).await;
    assert_eq!(client.peer_addr(), address);
    assert_eq!(server.local_addr().unwrap(), address);
    assert_eq!(client.local_addr().unwrap(), server.peer_addr());
    send(&mut client, b"question").await;
    assert_eq!(receive(&mut server, 8).await, b"question");
    send(&mut server, b"answer").await;
    assert_eq!(receive(&mut client, 6).await, b"answer");
}

pub(super) async fn accept_burst() {
    const COUNT: usize = 100;
    let (listener, address) = listen();
    let clients = join_all((0..COUNT).map(|number| async move {
        let mut client = TcpStream::connect(address).await.expect("the backlog has room");
        let name = format!("{number:03}");
        send(&mut client, name.as_bytes()).await;
        assert_eq!(receive(&mut client, 3).await, name.as_bytes());
        client.local_addr().unwrap()
    }));
    let servers = async {
        let mut peers = BTreeSet::new();
        for _ in 0..COUNT {
            let (mut server, peer) = listener.accept().await.expect("sockets enough");
            let name = receive(&mut server, 3).await;
            send(&mut server, &name).await;
            peers.insert(peer);
        }
        peers
    };
    let (clients, peers) = join!(clients, servers);
    assert_eq!(clients.into_iter().collect::<BTreeSet<_>>(), peers);
    assert_eq!(peers.len(), COUNT);
}

pub(super) async fn accept_in_order() {
    let (listener, address) = listen();
    let mut clients = Vec::new();
    for _ in 0..8 {
        clients.push(TcpStream::connect(address).await.expect("the backlog has room"));
    }
    for client in &clients {
        let (_, peer) = listener.accept().await.expect("they all wait");
        assert_eq!(peer, client.local_addr().unwrap(), "first come, first served");
    }
}

pub(super) async fn accept_dropped() {
    let (listener, address) = listen();
    assert!(timeout(Duration::ZERO, listener.accept()).await.is_err(), "nobody comes");
    // One that waits when the connection comes, and is dropped without another look.
    let mut waiting = Box::pin(listener.accept());
    assert!(poll_once(&mut waiting).await.is_none());
    let client = TcpStream::connect(address).await.expect("the backlog has room");
    drop(waiting);
    let (_, peer) = listener.accept().await.expect("it still waits");
    assert_eq!(peer, client.local_addr().unwrap());
}

pub(super) async fn connect_refused() {
    let (listener, address) = listen();
    drop(listener);
    for _ in 0..3 {
        let refused = TcpStream::connect(address).await;
        assert_eq!(kind(refused).unwrap_err(), ErrorKind::ConnectionRefused);
    }
}

/// A listener whose backlog is full, and the clients that fill it.
async fn full() -> (TcpListener, SocketAddr, Vec<TcpStream>) {
    let (listener, address) = listen_with(ListenOptions { backlog: 1, reuse_port: false });
    let mut clients = Vec::new();
    // Linux lets one more in than the backlog says.
    for _ in 0..2 {
        clients.push(TcpStream::connect(address).await.expect("the backlog has room"));
    }
    (listener, address, clients)
}

pub(super) async fn backlog_overflow() {
    join!(syn_dropped(), syn_refused_later());
}

async fn syn_dropped() {
    let (listener, address, clients) = full().await;
    let start = now();
    let mut third = Box::pin(TcpStream::connect(address));
    assert!(timeout(A_WHILE, &mut third).await.is_err(), "its SYN is dropped, not refused");
    for client in &clients {
        let (_, peer) = listener.accept().await.expect("it waits");
        assert_eq!(peer, client.local_addr().unwrap());
    }
    let (third, accepted) = join!(third, listener.accept());
    let third = third.expect("its second SYN finds room");
    assert_eq!(accepted.expect("it came").1, third.local_addr().unwrap());
    // RFC 6298 §2: the first SYN without an answer is sent again after one second.
    assert!(now() - start >= Duration::from_millis(900), "who was dropped has to wait");
}

async fn syn_refused_later() {
    let (listener, address, _clients) = full().await;
    let mut third = Box::pin(TcpStream::connect(address));
    assert!(timeout(A_WHILE, &mut third).await.is_err(), "its SYN is dropped, not refused");
    drop(listener);
    // Its second SYN finds nobody.
    assert_eq!(kind(third.await).unwrap_err(), ErrorKind::ConnectionRefused);
}

pub(super) async fn connect_dropped_early(stage: Stage) {
    let (listener, address) = listen();
    let mut connecting = Box::pin(TcpStream::connect(address));
    assert!(poll_once(&mut connecting).await.is_none(), "the answer is an edge");
    drop(connecting);
    let (mut server, _) = listener.accept().await.expect("its SYN was sent");
    let end = match stage.differs() {
        true => End::Error(ErrorKind::ConnectionReset),
        false => End::Fin,
    };
    assert_eq!(rest(&mut server).await, (vec![], end));
}

pub(super) async fn connect_dropped() {
    let (listener, address, clients) = full().await;
    assert!(timeout(A_WHILE, TcpStream::connect(address)).await.is_err());
    for client in &clients {
        let (_, peer) = listener.accept().await.expect("it waits");
        assert_eq!(peer, client.local_addr().unwrap());
    }
    let nobody = pin!(listener.accept());
    let nobody = timeout(A_WHILE, nobody).await;
    assert!(nobody.is_err(), "who gave up before it was let in does not come");
}

pub(super) async fn listener_closed() {
    let (listener, address) = listen();
    let mut waiting = TcpStream::connect(address).await.expect("the backlog has room");
    let (mut client, mut server) = {
        let accepted = listener.accept().await.expect("it waits").0;
        let second = TcpStream::connect(address).await.expect("the backlog has room");
        (core::mem::replace(&mut waiting, second), accepted)
    };
    drop(listener);
    broken(&waiting).await;
    assert_eq!(rest(&mut waiting).await, (vec![], End::Error(ErrorKind::ConnectionReset)));
    let refused = TcpStream::connect(address).await;
    assert_eq!(kind(refused).unwrap_err(), ErrorKind::ConnectionRefused);
    // What was accepted before lives on.
    send(&mut server, b"still here").await;
    assert_eq!(receive(&mut client, 10).await, b"still here");
}

pub(super) async fn gone_before_accept() {
    let (listener, address) = listen();
    let mut client = TcpStream::connect(address).await.expect("the backlog has room");
    send(&mut client, b"last words").await;
    let reset_peer = client.local_addr().unwrap();
    client.abort();
    let mut client = TcpStream::connect(address).await.expect("the backlog has room");
    send(&mut client, b"goodbye").await;
    drop(client);
    let (mut server, peer) = listener.accept().await.expect("it is handed out all the same");
    assert_eq!(peer, reset_peer);
    let last_words = (b"last words".to_vec(), End::Error(ErrorKind::ConnectionReset));
    assert_eq!(rest(&mut server).await, last_words);
    let (mut server, _) = listener.accept().await.expect("it waits");
    assert_eq!(rest(&mut server).await, (b"goodbye".to_vec(), End::Fin));
}

/// What an edge would have said, had somebody owned the socket when it came.
pub(super) async fn ended_before_accept(stage: Stage) {
    let (listener, address) = listen();
    let mut client = TcpStream::connect(address).await.expect("the backlog has room");
    send(&mut client, b"goodbye").await;
    drop(client);
    TcpStream::connect(address).await.expect("the backlog has room").abort();
    let (mut server, _) = listener.accept().await.expect("it waits");
    if stage.differs() {
        assert_eq!(rest(&mut server).await, (b"goodbye".to_vec(), End::Fin));
        assert!(!is_peer_closed(&server), "no edge tells of it");
    } else {
        peer_closed(&server).await;
        assert_eq!(rest(&mut server).await, (b"goodbye".to_vec(), End::Fin));
    }
    assert!(!is_broken(&server), "a FIN breaks nothing");
    let (mut server, _) = listener.accept().await.expect("it waits");
    broken(&server).await;
    assert!(is_peer_closed(&server));
    assert_eq!(rest(&mut server).await, (vec![], End::Error(ErrorKind::ConnectionReset)));
}

pub(super) async fn addresses() {
    let alone = ListenOptions::default();
    let bind = |ip: Ipv4Addr, port: u16, options| {
        kind(TcpListener::bind(SocketAddr::from((ip, port)), options))
    };
    let first = bind(Ipv4Addr::LOCALHOST, 0, alone).expect("a free port");
    let port = first.local_addr().unwrap().port();
    assert_ne!(port, 0);
    let (other, _) = listen();
    assert_ne!(other.local_addr().unwrap().port(), port, "a port is given once");
    assert_eq!(bind(Ipv4Addr::LOCALHOST, port, alone).unwrap_err(), ErrorKind::AddrInUse);
    assert_eq!(bind(Ipv4Addr::UNSPECIFIED, port, alone).unwrap_err(), ErrorKind::AddrInUse);
    // RFC 5737: an address that nobody has.
    let foreign = bind(Ipv4Addr::new(192, 0, 2, 1), 0, alone);
    assert_eq!(foreign.unwrap_err(), ErrorKind::AddrNotAvailable);
    // A connection that lives on does not hold its listener's port.
    let (client, _server) = connect(&first).await;
    let port_of_client = client.local_addr().unwrap().port();
    let taken = bind(Ipv4Addr::LOCALHOST, port_of_client, alone);
    assert_eq!(taken.unwrap_err(), ErrorKind::AddrInUse, "a connection has it");
    drop(first);
    let again = bind(Ipv4Addr::LOCALHOST, port, alone).expect("its owner is gone");
    // The unspecified address is this host's, for who connects.
    let to = SocketAddr::from((Ipv4Addr::UNSPECIFIED, port));
    let (client, accepted) = join!(TcpStream::connect(to), again.accept());
    assert_eq!(accepted.unwrap().1, client.unwrap().local_addr().unwrap());
    // A listener at all addresses, and what it accepts at one.
    let all = bind(Ipv4Addr::UNSPECIFIED, 0, alone).expect("a free port");
    let bound = all.local_addr().unwrap();
    assert!(bound.ip().is_unspecified());
    let to = SocketAddr::from((Ipv4Addr::LOCALHOST, bound.port()));
    let (client, accepted) = join!(TcpStream::connect(to), all.accept());
    assert_eq!(accepted.unwrap().0.local_addr().unwrap(), to);
    assert_eq!(client.unwrap().peer_addr(), to);
}

/// So many connections in a row do not all lose their port to somebody else.
const CONNECTIONS_MAX: usize = 20;

/// Who closes first keeps the address pair; who closes last keeps nothing.
pub(super) async fn time_wait() {
    let taken = |port: u16| {
        let bound = TcpListener::bind((Ipv4Addr::LOCALHOST, port).into(), ListenOptions::default());
        bound.err().map(|error| error.kind())
    };
    let (listener, _) = listen();
    let (mut client, mut server) = connect(&listener).await;
    let port = client.local_addr().unwrap().port();
    client.shutdown_write().expect("it is connected");
    assert_eq!(rest(&mut server).await, (vec![], End::Fin));
    drop(server);
    assert_eq!(rest(&mut client).await, (vec![], End::Fin));
    drop(client);
    assert_eq!(taken(port), Some(ErrorKind::AddrInUse), "it waits");
    drop(listener);
    // On the operating system a port that is free may be another's the next moment: one of some connections shows it.
    let mut is_free = false;
    for _ in 0..CONNECTIONS_MAX {
        // The other way round: the port of the listener waits, which a listener may have all the same.
        let (listener, address) = listen();
        let (mut client, mut server) = connect(&listener).await;
        let port = client.local_addr().unwrap().port();
        server.shutdown_write().expect("it is connected");
        assert_eq!(rest(&mut client).await, (vec![], End::Fin));
        drop(client);
        assert_eq!(rest(&mut server).await, (vec![], End::Fin));
        drop((server, listener));
        is_free = taken(port).is_none() && taken(address.port()).is_none();
        if is_free {
            break;
        }
    }
    assert!(is_free, "who closes last leaves nothing, and a listener takes a port that waits");
    // A reset leaves nothing on either side.
    let mut is_free = false;
    for _ in 0..CONNECTIONS_MAX {
        let (client, server) = pair().await;
        let port = client.local_addr().unwrap().port();
        client.abort();
        broken(&server).await;
        drop(server);
        is_free = taken(port).is_none();
        if is_free {
            break;
        }
    }
    assert!(is_free, "a reset leaves nothing");
}

pub(super) async fn version_6(stage: Stage) {
    let bind = |ip: Ipv6Addr, port: u16| {
        kind(TcpListener::bind(SocketAddr::from((ip, port)), ListenOptions::default()))
    };
    let bound = bind(Ipv6Addr::LOCALHOST, 0);
    let is_real = matches!(stage.machine, Machine::Epoll | Machine::Polling);
    if is_real && bound.as_ref().is_err_and(|error| *error == ErrorKind::AddrNotAvailable) {
        // A computer without IPv6, as many containers are.
        return;
    }
    let listener = bound.expect("a free port");
    let address = listener.local_addr().unwrap();
    assert!(address.ip() == Ipv6Addr::LOCALHOST && address.port() != 0, "{address}");
    let (mut client, mut server) = connect(&listener).await;
    assert_eq!((client.peer_addr(), server.local_addr().unwrap()), (address, address));
    assert_eq!(client.local_addr().unwrap(), server.peer_addr());
    assert_eq!(client.local_addr().unwrap().ip(), Ipv6Addr::LOCALHOST);
    send(&mut client, b"question").await;
    assert_eq!(receive(&mut server, 8).await, b"question");
    drop(client);
    assert_eq!(rest(&mut server).await, (vec![], End::Fin));
    let port = address.port();
    assert_eq!(bind(Ipv6Addr::LOCALHOST, port).unwrap_err(), ErrorKind::AddrInUse);
    assert_eq!(bind(Ipv6Addr::UNSPECIFIED, port).unwrap_err(), ErrorKind::AddrInUse);
    // RFC 3849: an address that nobody has.
    let foreign = bind(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1), 0);
    assert_eq!(foreign.unwrap_err(), ErrorKind::AddrNotAvailable);
    drop(listener);
    let refused = TcpStream::connect(address).await;
    assert_eq!(kind(refused).unwrap_err(), ErrorKind::ConnectionRefused);
    // All addresses of one version are none of the other.
    let all = bind(Ipv6Addr::UNSPECIFIED, 0).expect("a free port");
    let port = all.local_addr().unwrap().port();
    let to_4 = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let refused = TcpStream::connect(to_4).await;
    assert_eq!(kind(refused).unwrap_err(), ErrorKind::ConnectionRefused);
    let all_4 = SocketAddr::from((Ipv4Addr::UNSPECIFIED, port));
    let all_4 = TcpListener::bind(all_4, ListenOptions::default()).expect("another version");
    let to_6 = SocketAddr::from((Ipv6Addr::LOCALHOST, port));
    for (to, listener) in [(to_4, &all_4), (to_6, &all)] {
        let (client, accepted) = join!(TcpStream::connect(to), listener.accept());
        assert_eq!(accepted.unwrap().0.local_addr().unwrap(), to);
        assert_eq!(client.unwrap().peer_addr(), to);
    }
    // The unspecified address is this host's, for who connects.
    let to = SocketAddr::from((Ipv6Addr::UNSPECIFIED, port));
    let (client, accepted) = join!(TcpStream::connect(to), all.accept());
    assert_eq!(accepted.unwrap().1, client.unwrap().local_addr().unwrap());
    datagrams_of_version_6().await;
}

async fn datagrams_of_version_6() {
    let bind = |ip: Ipv6Addr| UdpSocket::bind(SocketAddr::from((ip, 0))).expect("a free port");
    let (one, all) = (bind(Ipv6Addr::LOCALHOST), bind(Ipv6Addr::UNSPECIFIED));
    let at_one = one.local_addr().unwrap();
    let at_all = SocketAddr::from((Ipv6Addr::LOCALHOST, all.local_addr().unwrap().port()));
    all.send_to(b"question", at_one).await.expect("there is room");
    let mut buffer = [0; 9];
    let received = one.recv_from(&mut buffer).await.expect("one comes");
    assert_eq!((received.count, received.peer), (8, at_all));
    let longest = vec![1; 65_527];
    one.send_to(&longest, at_all).await.expect("there is room");
    let mut buffer = vec![0; 70_000];
    assert_eq!(all.recv_from(&mut buffer).await.expect("one comes").count, longest.len());
    let too_long = one.send_to(&vec![1; 65_528], at_all).await;
    assert_eq!(kind(too_long), Err(ErrorKind::InvalidInput));
    let to_4 = SocketAddr::from((Ipv4Addr::LOCALHOST, at_all.port()));
    assert_eq!(kind(all.send_to(b"x", to_4).await), Err(ErrorKind::InvalidInput));
    assert_eq!(kind(all.connect(to_4)), Err(ErrorKind::InvalidInput));
}

pub(super) async fn no_delay() {
    let (listener, _) = listen();
    let (mut client, mut server) = connect(&listener).await;
    for is_on in [false, true, true, false] {
        client.set_nodelay(is_on).expect("a connection may choose");
        server.set_nodelay(!is_on).expect("a connection may choose");
        // In many small pieces: they may wait for each other, and all arrive.
        for byte in 0..10_u8 {
            send(&mut client, &[byte]).await;
            send(&mut server, &[byte]).await;
        }
        assert!(receive(&mut server, 10).await.into_iter().eq(0..10));
        assert!(receive(&mut client, 10).await.into_iter().eq(0..10));
    }
}

pub(super) async fn reuse_port() {
    const COUNT: usize = 20;
    let shared = ListenOptions { reuse_port: true, ..ListenOptions::default() };
    let (first, address) = listen_with(shared);
    let second = TcpListener::bind(address, shared).expect("both want to share");
    let alone = TcpListener::bind(address, ListenOptions::default());
    assert_eq!(kind(alone).unwrap_err(), ErrorKind::AddrInUse);
    let mut expected = BTreeSet::new();
    let mut clients = Vec::new();
    for _ in 0..COUNT {
        clients.push(TcpStream::connect(address).await.expect("somebody listens"));
        expected.insert(clients[clients.len() - 1].local_addr().unwrap());
    }
    let mut seen = BTreeSet::new();
    while seen.len() < COUNT {
        let accepted = match select(pin!(first.accept()), pin!(second.accept())).await {
            Either::Left((accepted, _)) | Either::Right((accepted, _)) => accepted,
        };
        assert!(seen.insert(accepted.expect("it waits").1), "each goes to one of them");
    }
    assert_eq!(seen, expected);
    // One at all addresses gets what nobody wants more precisely.
    let all = SocketAddr::from((Ipv4Addr::UNSPECIFIED, address.port()));
    let all = TcpListener::bind(all, shared).expect("all want to share");
    let mut nobody = Box::pin(all.accept());
    for _ in 0..COUNT {
        clients.push(TcpStream::connect(address).await.expect("somebody listens"));
        match select(pin!(first.accept()), pin!(second.accept())).await {
            Either::Left((accepted, _)) | Either::Right((accepted, _)) => drop(accepted),
        }
        assert!(poll_once(&mut nobody).await.is_none());
    }
}

pub(super) async fn sockets_exhausted(stage: Stage) {
    let (listener, address) = listen();
    let (idle, _) = listen();
    let open = || File::open(stage.files.clone(), PathBuf::from("hello.txt"));
    let file = open().await.expect("it is there");
    let mut client = TcpStream::connect(address).await.expect("the backlog has room");
    let mut hoard = Vec::new();
    let error = loop {
        match TcpListener::bind(ANY_PORT, ListenOptions::default()) {
            Ok(listener) => hoard.push(listener),
            Err(error) => break error,
        }
        assert!(hoard.len() < 100_000, "there is a limit");
    };
    assert!(Exhausted::is(&error), "{error}");
    let error = TcpStream::connect(address).await.expect_err("no socket is left");
    assert!(Exhausted::is(&error), "{error}");
    for _ in 0..2 {
        let error = listener.accept().await.expect_err("no socket is left");
        assert!(Exhausted::is(&error), "{error}");
    }
    // The kernel takes a descriptor before it looks whether somebody waits.
    let error = idle.accept().await.expect_err("no socket is left");
    assert!(Exhausted::is(&error), "{error}");
    let opened = open().await;
    let error = opened.expect_err("no descriptor is left");
    assert!(Exhausted::is(&error), "{error}");
    let error = Signals::subscribe().expect_err("no descriptor is left");
    assert!(Exhausted::is(&error), "{error}");
    // What is open goes on working.
    assert_eq!(file.read_at(0, 5).await.expect("a read takes no descriptor"), b"hello");
    drop(hoard.pop());
    let (mut server, _) = listener.accept().await.expect("it waited for a socket to come free");
    send(&mut client, b"patience").await;
    assert_eq!(receive(&mut server, 8).await, b"patience");
}
