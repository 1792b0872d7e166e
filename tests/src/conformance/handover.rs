//! Cases of sockets that change their shard.

use core::future::{Future, poll_fn};
use core::pin::pin;
use core::time::Duration;
use std::io::{ErrorKind, IoSlice};
use std::path::{Path, PathBuf};

use futures::channel::oneshot;
use futures::future::LocalBoxFuture;
use futures::{FutureExt, join};
use mainspring_executor::driver::{Address, ListenOptions};
use mainspring_executor::net::{
    DetachedStream, DetachedUnixStream, TcpListener, TcpStream, UnixListener, UnixStream,
};
use mainspring_executor::time::{sleep, timeout};

use super::pair::{
    End, Stream, broken, is_broken, is_peer_closed, listen, listen_with, pair, patterned,
    peer_closed, receive, rest, rest_patterned, send,
};
use super::stage::Stage;
use super::unix;

/// How a connection ends that was reset.
const RESET: End = End::Error(ErrorKind::ConnectionReset);

/// Runs `errand` in another shard of this machine, and waits for what it gives.
async fn elsewhere<F>(stage: &Stage, errand: impl FnOnce() -> F + Send + 'static) -> F::Output
where
    F: Future<Output: Send> + 'static,
{
    let (sender, receiver) = oneshot::channel();
    stage.elsewhere(Box::new(move || -> LocalBoxFuture<'static, ()> {
        async move { drop(sender.send(errand().await)) }.boxed_local()
    }));
    receiver.await.expect("the errand ends well")
}

/// Takes three of six bytes, and leaves the rest to whoever has the stream next.
async fn read_half(client: &mut impl Stream, server: &mut impl Stream) {
    send(client, b"abcdef").await;
    assert_eq!(receive(server, 3).await, b"abc");
}

/// All that a stream still has to do after it changed its shard.
async fn go_on(client: &mut impl Stream, server: &mut impl Stream) {
    assert_eq!(receive(server, 3).await, b"def", "what was received goes along");
    for round in 0..3 {
        // One that waits is woken.
        let bytes = patterned(round, 1000);
        let (received, ()) = join!(receive(server, 1000), send(client, &bytes));
        assert!(received == bytes, "round {round}");
        let (received, ()) = join!(receive(client, 1000), send(server, &bytes));
        assert!(received == bytes, "round {round}");
    }
}

pub(super) async fn same_shard(stage: Stage) {
    let open_before = stage.witness.open().len();
    let (mut client, mut server) = pair().await;
    let peer = server.peer_addr();
    read_half(&mut client, &mut server).await;
    let detached = server.detach().expect("it can be let go");
    assert_eq!(detached.peer_addr(), peer);
    assert_eq!(stage.witness.open().len(), open_before + 1, "it is no token of this shard");
    let mut server = detached.attach().expect("it can be taken in");
    assert_eq!((server.peer_addr(), server.local_addr().unwrap()), (peer, client.peer_addr()));
    go_on(&mut client, &mut server).await;
    // Bytes and an end that come while nobody has it.
    let detached = server.detach().expect("it can be let go");
    send(&mut client, b"meanwhile").await;
    client.shutdown_write().expect("it is connected");
    sleep(Duration::from_millis(5)).await;
    let mut server = detached.attach().expect("it can be taken in");
    if stage.machine.announces_fin() {
        peer_closed(&server).await;
    }
    assert_eq!(rest(&mut server).await, (b"meanwhile".to_vec(), End::Fin));
    send(&mut server, b"answer").await;
    assert_eq!(receive(&mut client, 6).await, b"answer");
    let detached = server.detach().expect("it can be let go");
    let mut server = detached.attach().expect("it can be taken in");
    if stage.machine.announces_fin() {
        // Told before, and told again.
        peer_closed(&server).await;
    }
    assert!(!is_broken(&server));
    assert_eq!(rest(&mut server).await, (vec![], End::Fin), "a FIN stays");
    // A reset that comes meanwhile.
    let (mut client, server) = pair().await;
    let detached = server.detach().expect("it can be let go");
    send(&mut client, b"last words").await;
    client.abort();
    sleep(Duration::from_millis(5)).await;
    let mut server = detached.attach().expect("it can be taken in");
    broken(&server).await;
    assert!(is_peer_closed(&server));
    assert_eq!(rest(&mut server).await, (b"last words".to_vec(), RESET));
}

pub(super) async fn other_shard(stage: Stage) {
    let (mut client, mut server) = pair().await;
    read_half(&mut client, &mut server).await;
    let (client_away, server_away) = (client.detach().unwrap(), server.detach().unwrap());
    // Both ends in the other shard, then one of them back here.
    let client_away = elsewhere(&stage, || async move {
        let mut client = client_away.attach().expect("it can be taken in");
        let mut server = server_away.attach().expect("it can be taken in");
        go_on(&mut client, &mut server).await;
        read_half(&mut client, &mut server).await;
        let client = client.detach().expect("it can be let go");
        (client, server.detach().expect("it can be let go"))
    })
    .await;
    let (client_back, server_away): (DetachedStream, DetachedStream) = client_away;
    let mut client = client_back.attach().expect("it can be taken in");
    let there = elsewhere(&stage, || async move {
        let mut server = server_away.attach().expect("it can be taken in");
        assert_eq!(receive(&mut server, 3).await, b"def");
        send(&mut server, b"from there").await;
        rest(&mut server).await
    });
    let here = async {
        assert_eq!(receive(&mut client, 10).await, b"from there");
        send(&mut client, b"and back").await;
        client.shutdown_write().expect("it is connected");
    };
    let (there, ()) = join!(there, here);
    assert_eq!(there, (b"and back".to_vec(), End::Fin));
    assert_eq!(rest(&mut client).await, (vec![], End::Fin), "closed there");
}

pub(super) async fn under_pressure(stage: Stage) {
    // A writer that waits for room leaves its wait behind, and waits again where it comes to.
    const COUNT: usize = 20_000_000;
    let (mut client, mut server) = pair().await;
    let mut written = 0;
    while let Ok(sent) =
        timeout(Duration::from_millis(30), write_some(&mut client, &patterned(written, 64 * 1024)))
            .await
    {
        written += sent;
        assert!(written < COUNT, "nobody reads");
    }
    let away = client.detach().expect("it can be let go");
    let writing = elsewhere(&stage, move || async move {
        let mut client = away.attach().expect("it can be taken in");
        while written < COUNT {
            written += write_some(&mut client, &patterned(written, 64 * 1024)).await;
        }
        written
    });
    let (written, read) = join!(writing, rest_patterned(&mut server));
    assert_eq!(read, (written, End::Fin));
}

/// Writes once.
async fn write_some(stream: &mut TcpStream, bytes: &[u8]) -> usize {
    poll_fn(|cx| stream.poll_write(cx, &[IoSlice::new(bytes)])).await.expect("the peer reads")
}

pub(super) async fn dropped(stage: Stage) {
    let open_before = stage.witness.open().len();
    // In order, if nothing is left unread.
    let (mut client, mut server) = pair().await;
    send(&mut server, b"last words").await;
    drop(server.detach().expect("it can be let go"));
    assert_eq!(rest(&mut client).await, (b"last words".to_vec(), End::Fin));
    drop(client);
    // In the other shard.
    let (mut client, server) = pair().await;
    let away = server.detach().expect("it can be let go");
    elsewhere(&stage, || async move { drop(away) }).await;
    assert_eq!(rest(&mut client).await, (vec![], End::Fin));
    drop(client);
    // Unread bytes reset, as they do when a stream is dropped.
    let (mut client, server) = pair().await;
    let detached = server.detach().expect("it can be let go");
    send(&mut client, b"unread").await;
    sleep(Duration::from_millis(5)).await;
    drop(detached);
    broken(&client).await;
    assert_eq!(rest(&mut client).await, (vec![], RESET));
    drop(client);
    assert_eq!(stage.witness.open().len(), open_before);
}

pub(super) async fn listeners(stage: Stage) {
    let (listener, address) = listen();
    let mut early = TcpStream::connect(address).await.expect("the backlog has room");
    send(&mut early, b"early").await;
    let away = listener.detach().expect("it can be let go");
    // Nobody has it, and it listens on.
    let mut meanwhile = TcpStream::connect(address).await.expect("the backlog has room");
    send(&mut meanwhile, b"meanwhile").await;
    let alone = TcpListener::bind(address, ListenOptions::default());
    assert_eq!(alone.expect_err("it has its port").kind(), ErrorKind::AddrInUse);
    let serving = elsewhere(&stage, move || async move {
        let listener = away.attach().expect("it can be taken in");
        assert_eq!(listener.local_addr().unwrap(), address);
        for expected in ["early", "meanwhile", "late"] {
            let (mut server, _) = listener.accept().await.expect("one comes");
            assert_eq!(receive(&mut server, expected.len()).await, expected.as_bytes());
        }
        listener.detach().expect("it can be let go")
    });
    let late = async {
        sleep(Duration::from_millis(5)).await;
        let mut late = TcpStream::connect(address).await.expect("the backlog has room");
        send(&mut late, b"late").await;
        assert_eq!(rest(&mut late).await, (vec![], End::Fin));
    };
    let (back, ()) = join!(serving, late);
    // Dropped by nobody's shard, it is closed.
    drop(back);
    sleep(Duration::from_millis(5)).await;
    let refused = TcpStream::connect(address).await.expect_err("nobody listens");
    assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
}

pub(super) async fn of_unix(stage: Stage) {
    let (mut client, mut server) = unix::pair(&stage).await;
    let at_path = client.peer_addr().clone();
    read_half(&mut client, &mut server).await;
    let (client_away, server_away) = (client.detach().unwrap(), server.detach().unwrap());
    assert_eq!((client_away.peer_addr(), server_away.peer_addr()), (&at_path, &Address::Unnamed));
    let back: DetachedUnixStream = elsewhere(&stage, move || async move {
        let mut client = client_away.attach().expect("it can be taken in");
        let mut server = server_away.attach().expect("it can be taken in");
        assert_eq!(client.peer_addr(), &at_path);
        go_on(&mut client, &mut server).await;
        server.detach().expect("it can be let go")
    })
    .await;
    let mut server = back.attach().expect("it can be taken in");
    assert_eq!(rest(&mut server).await, (vec![], End::Fin), "the other end was closed there");
    // Its path goes with a listener, wherever that is closed.
    let path: PathBuf = stage.files.join("handed-over");
    let bind = |path: &Path| UnixListener::bind(path, ListenOptions::default());
    let away = bind(&path).expect("a free path").detach().expect("it can be let go");
    let mut early = UnixStream::connect(&path).await.expect("the backlog has room");
    send(&mut early, b"early").await;
    elsewhere(&stage, move || async move {
        let listener = away.attach().expect("it can be taken in");
        let (mut server, _) = listener.accept().await.expect("one waits");
        assert_eq!(receive(&mut server, 5).await, b"early");
    })
    .await;
    assert_eq!(rest(&mut early).await, (vec![], End::Fin));
    let gone = UnixStream::connect(&path).await.expect_err("nobody listens");
    assert_eq!(gone.kind(), ErrorKind::NotFound);
    drop(bind(&path).expect("a free path").detach().expect("it can be let go"));
    sleep(Duration::from_millis(5)).await;
    let gone = UnixStream::connect(&path).await.expect_err("nobody listens");
    assert_eq!(gone.kind(), ErrorKind::NotFound);
}

/// Two shards listen on one port, as those of a server do.
pub(super) async fn shared_port(stage: Stage) {
    const COUNT: usize = 20;
    let shared = ListenOptions { reuse_port: true, ..ListenOptions::default() };
    let (listener, address) = listen_with(shared);
    let (listening, is_listening) = oneshot::channel();
    let (stop, stopped) = oneshot::channel::<()>();
    let there = elsewhere(&stage, move || async move {
        let alone = TcpListener::bind(address, ListenOptions::default());
        assert_eq!(alone.expect_err("the other shard has it").kind(), ErrorKind::AddrInUse);
        let listener = TcpListener::bind(address, shared).expect("both want to share");
        listening.send(()).expect("somebody waits for it");
        serve(&listener, stopped).await
    });
    let here = async {
        is_listening.await.expect("it listens");
        let (stop_here, stopped_here) = oneshot::channel::<()>();
        let clients = async {
            for _ in 0..COUNT {
                let mut client = TcpStream::connect(address).await.expect("somebody listens");
                send(&mut client, b"who?").await;
                assert_eq!(rest(&mut client).await, (b"me".to_vec(), End::Fin));
            }
            drop((stop, stop_here));
        };
        join!(serve(&listener, stopped_here), clients).0
    };
    let (there, here) = join!(there, here);
    assert_eq!(there + here, COUNT, "each goes to one of them");
}

/// Answers each connection, until it is told to stop; gives how many there were.
async fn serve(listener: &TcpListener, stopped: oneshot::Receiver<()>) -> usize {
    let mut stopped = stopped.fuse();
    let mut count = 0;
    loop {
        let mut accept = pin!(listener.accept().fuse());
        futures::select_biased! {
            accepted = accept => {
                let (mut server, _) = accepted.expect("sockets enough");
                assert_eq!(receive(&mut server, 4).await, b"who?");
                send(&mut server, b"me").await;
                count += 1;
            }
            _ = stopped => return count,
        }
    }
}
