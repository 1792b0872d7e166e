//! Cases of Unix sockets: what differs from TCP, for one kernel knows both ends.

use core::time::Duration;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use futures::join;
use mainspring_executor::driver::{Address, Exhausted, ListenOptions};
use mainspring_executor::net::{UnixListener, UnixStream};
use mainspring_executor::time::timeout;

use super::pair::{
    End, broken, is_broken, is_peer_closed, kind, patterned, peer_closed, poll_once, receive, rest,
    send, write_all,
};
use super::stage::Stage;

/// How a connection ends that was reset.
const RESET: End = End::Error(ErrorKind::ConnectionReset);

/// A path of its own, in a folder that is there.
fn path(stage: &Stage) -> PathBuf {
    stage.files.join("socket")
}

fn listen(path: &Path) -> UnixListener {
    UnixListener::bind(path, ListenOptions::default()).expect("a free path")
}

/// A connection over `listener`: the client's end and the server's.
async fn connect(listener: &UnixListener) -> (UnixStream, UnixStream) {
    let address = listener.local_addr().expect("a listener has an address");
    let path = address.path().expect("it is a path").to_owned();
    let (client, server) = join!(UnixStream::connect(path), listener.accept());
    (client.expect("somebody listens"), server.expect("a client came").0)
}

/// Both ends of a connection over a path, which is gone afterwards.
pub(super) async fn pair(stage: &Stage) -> (UnixStream, UnixStream) {
    connect(&listen(&path(stage))).await
}

pub(super) async fn accept(stage: Stage) {
    let path = path(&stage);
    let listener = listen(&path);
    let at_path = Address::Unix(path.clone());
    assert_eq!(listener.local_addr().unwrap(), at_path);
    let mut waiting = Box::pin(listener.accept());
    assert!(poll_once(&mut waiting).await.is_none(), "nobody comes");
    let mut client = UnixStream::connect(&path).await.expect("somebody listens");
    // Before anybody accepts: the kernel keeps it.
    send(&mut client, b"question").await;
    let (mut server, peer) = waiting.await.expect("it waits");
    assert_eq!((peer, server.peer_addr()), (Address::Unnamed, &Address::Unnamed));
    assert_eq!(client.peer_addr(), &at_path);
    assert_eq!(client.peer_path(), Some(&*path));
    assert_eq!(client.local_addr().unwrap(), Address::Unnamed);
    assert_eq!(server.local_addr().unwrap(), at_path);
    assert_eq!(receive(&mut server, 8).await, b"question");
    send(&mut server, b"answer").await;
    assert_eq!(receive(&mut client, 6).await, b"answer");
}

pub(super) async fn paths(stage: Stage) {
    let bind = |path: &Path| kind(UnixListener::bind(path, ListenOptions::default()));
    let connect = async |path: &Path| kind(UnixStream::connect(path).await);
    let path = path(&stage);
    assert_eq!(connect(&path).await.unwrap_err(), ErrorKind::NotFound);
    let first = bind(&path).expect("a free path");
    assert_eq!(bind(&path).unwrap_err(), ErrorKind::AddrInUse);
    assert_eq!(bind(&stage.files.join("./socket")).unwrap_err(), ErrorKind::AddrInUse);
    drop(connect(&stage.files.join("./socket")).await.expect("another way to spell it"));
    drop(first);
    assert_eq!(connect(&path).await.unwrap_err(), ErrorKind::NotFound, "it took its path along");
    drop(bind(&path).expect("it is free again"));
    // Where there is something else, or nothing that a path could be in.
    let file = stage.files.join("hello.txt");
    assert_eq!(bind(&file).unwrap_err(), ErrorKind::AddrInUse);
    assert_eq!(bind(&stage.files).unwrap_err(), ErrorKind::AddrInUse);
    assert_eq!(connect(&file).await.unwrap_err(), ErrorKind::ConnectionRefused);
    assert_eq!(connect(&stage.files).await.unwrap_err(), ErrorKind::ConnectionRefused);
    assert_eq!(bind(&file.join("socket")).unwrap_err(), ErrorKind::NotADirectory);
    assert_eq!(bind(&stage.files.join("no/socket")).unwrap_err(), ErrorKind::NotFound);
    assert_eq!(connect(&stage.files.join("no/socket")).await.unwrap_err(), ErrorKind::NotFound);
    // Paths that no socket can have.
    let longest = format!("/{}", "x".repeat(106));
    assert_eq!(connect(Path::new(&longest)).await.unwrap_err(), ErrorKind::NotFound);
    for path in [String::new(), "x".repeat(200), "with\0zero".to_owned()] {
        assert_eq!(bind(Path::new(&path)).unwrap_err(), ErrorKind::InvalidInput, "{path:?}");
        assert_eq!(
            connect(Path::new(&path)).await.unwrap_err(),
            ErrorKind::InvalidInput,
            "{path:?}"
        );
    }
    let shared = ListenOptions { reuse_port: true, ..ListenOptions::default() };
    assert_eq!(kind(UnixListener::bind(path, shared)).unwrap_err(), ErrorKind::Unsupported);
}

pub(super) async fn backlog(stage: Stage) {
    let path = path(&stage);
    let options = ListenOptions { backlog: 1, ..ListenOptions::default() };
    let listener = UnixListener::bind(&path, options).expect("a free path");
    // Linux lets one more in than the backlog says. Each says who it is: they have no names.
    for name in [b"1", b"2"] {
        let mut client = UnixStream::connect(&path).await.expect("the backlog has room");
        send(&mut client, name).await;
    }
    let error = UnixStream::connect(&path).await.expect_err("the backlog is full");
    assert!(Exhausted::is(&error), "told at once, and worth another try: {error}");
    for name in [b"1", b"2"] {
        let (mut server, _) = listener.accept().await.expect("it waits");
        assert_eq!(rest(&mut server).await, (name.to_vec(), End::Fin), "first come, first served");
    }
    let _client = UnixStream::connect(&path).await.expect("there is room again");
    let accepted = timeout(Duration::from_secs(5), listener.accept()).await;
    accepted.expect("it came").expect("it waits");
}

pub(super) async fn listener_closed(stage: Stage) {
    let path = path(&stage);
    let listener = listen(&path);
    let (mut client, mut server) = connect(&listener).await;
    let mut waiting = UnixStream::connect(&path).await.expect("the backlog has room");
    send(&mut waiting, b"unread").await;
    drop(listener);
    broken(&waiting).await;
    assert_eq!(kind(write_all(&mut waiting, b"x").await), Err(ErrorKind::BrokenPipe));
    assert_eq!(rest(&mut waiting).await, (vec![], RESET));
    assert_eq!(rest(&mut waiting).await, (vec![], End::Fin), "told once");
    // What was accepted before lives on.
    send(&mut server, b"still here").await;
    assert_eq!(receive(&mut client, 10).await, b"still here");
}

pub(super) async fn gone_before_accept(stage: Stage) {
    let path = path(&stage);
    let listener = listen(&path);
    let mut client = UnixStream::connect(&path).await.expect("the backlog has room");
    send(&mut client, b"goodbye").await;
    drop(client);
    let (mut server, _) = listener.accept().await.expect("it is handed out all the same");
    assert_eq!(kind(write_all(&mut server, b"x").await), Err(ErrorKind::BrokenPipe));
    peer_closed(&server).await;
    assert_eq!(rest(&mut server).await, (b"goodbye".to_vec(), End::Fin));
    assert!(!is_broken(&server), "it ended in good order");
}

pub(super) async fn close(stage: Stage) {
    let (mut client, mut server) = pair(&stage).await;
    send(&mut server, b"last words").await;
    drop(server);
    // The very next write fails: nobody has to be asked whether somebody is there.
    assert_eq!(kind(write_all(&mut client, b"x").await), Err(ErrorKind::BrokenPipe));
    peer_closed(&client).await;
    assert!(!is_broken(&client), "it ended in good order");
    assert_eq!(rest(&mut client).await, (b"last words".to_vec(), End::Fin));
    assert_eq!(rest(&mut client).await, (vec![], End::Fin), "a FIN stays");
    for _ in 0..2 {
        assert_eq!(kind(client.shutdown_write()), Ok(()), "it never says NotConnected");
        assert_eq!(kind(write_all(&mut client, b"x").await), Err(ErrorKind::BrokenPipe));
    }
}

pub(super) async fn close_with_unread(stage: Stage) {
    let (mut client, mut server) = pair(&stage).await;
    send(&mut client, b"unread").await;
    send(&mut server, b"last words").await;
    drop(server);
    broken(&client).await;
    assert!(is_peer_closed(&client), "who breaks a connection has ended it, too");
    // A write does not tell of the reset, and takes it from no reader.
    for _ in 0..2 {
        assert_eq!(kind(write_all(&mut client, b"x").await), Err(ErrorKind::BrokenPipe));
    }
    assert_eq!(rest(&mut client).await, (b"last words".to_vec(), RESET));
    assert_eq!(rest(&mut client).await, (vec![], End::Fin), "told once");
    assert_eq!(kind(client.shutdown_write()), Ok(()));
    // A FIN does not hide it, as TCP's does.
    let (mut client, mut server) = pair(&stage).await;
    server.shutdown_write().expect("it is connected");
    assert_eq!(rest(&mut client).await, (vec![], End::Fin));
    send(&mut client, b"unread").await;
    drop(server);
    broken(&client).await;
    assert_eq!(rest(&mut client).await, (vec![], RESET));
    assert_eq!(rest(&mut client).await, (vec![], End::Fin));
}

pub(super) async fn half_close(stage: Stage) {
    let (mut early, mut late) = pair(&stage).await;
    send(&mut early, b"the end").await;
    early.shutdown_write().expect("it is connected");
    assert_eq!(kind(write_all(&mut early, b"x").await), Err(ErrorKind::BrokenPipe));
    if stage.differs() {
        assert_eq!(rest(&mut late).await, (b"the end".to_vec(), End::Fin));
        assert!(!is_peer_closed(&late), "no edge tells of it");
    } else {
        peer_closed(&late).await;
        assert_eq!(rest(&mut late).await, (b"the end".to_vec(), End::Fin));
    }
    assert!(!is_broken(&late), "a FIN breaks nothing");
    for _ in 0..3 {
        send(&mut late, b"not of mine").await;
        assert_eq!(receive(&mut early, 11).await, b"not of mine");
    }
    late.shutdown_write().expect("it is connected");
    assert_eq!(rest(&mut early).await, (vec![], End::Fin));
    // Both directions have ended, and nobody minds.
    assert_eq!((kind(early.shutdown_write()), kind(late.shutdown_write())), (Ok(()), Ok(())));
    assert!(!is_broken(&early) && !is_broken(&late), "it ended in good order");
}

pub(super) async fn abort(stage: Stage) {
    let (mut client, mut server) = pair(&stage).await;
    send(&mut server, b"last words").await;
    server.abort();
    assert_eq!(rest(&mut client).await, (b"last words".to_vec(), End::Fin), "as a close");
    let (mut client, server) = pair(&stage).await;
    send(&mut client, b"unread").await;
    server.abort();
    assert_eq!(rest(&mut client).await, (vec![], RESET), "as a close");
}

pub(super) async fn close_while_waiting(stage: Stage) {
    let (client, mut reader) = pair(&stage).await;
    let (read, ()) = join!(rest(&mut reader), async { drop(client) });
    assert_eq!(read, (vec![], End::Fin));
    // A writer that waits for room, for there are bytes that nobody will read.
    let (client, mut writer) = pair(&stage).await;
    let write = async {
        let bytes = patterned(0, 64 * 1024);
        loop {
            if let Err(error) = write_all(&mut writer, &bytes).await {
                return error.kind();
            }
        }
    };
    let mut write = Box::pin(write);
    assert!(timeout(Duration::from_millis(30), &mut write).await.is_err(), "nobody reads");
    let (error, ()) = join!(write, async { drop(client) });
    assert_eq!(error, ErrorKind::BrokenPipe);
}

pub(super) async fn unnamed_pair() {
    let (mut one, mut other) = UnixStream::pair().expect("sockets enough");
    for end in [&one, &other] {
        assert_eq!(end.peer_addr(), &Address::Unnamed);
        assert_eq!(end.local_addr().unwrap(), Address::Unnamed);
    }
    for _ in 0..3 {
        send(&mut one, b"there").await;
        assert_eq!(receive(&mut other, 5).await, b"there");
        send(&mut other, b"and back").await;
        assert_eq!(receive(&mut one, 8).await, b"and back");
    }
    drop(one);
    assert_eq!(rest(&mut other).await, (vec![], End::Fin));
}
