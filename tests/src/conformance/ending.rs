//! Cases of how connections end: FIN, reset, and which call learns of which.

use core::time::Duration;
use std::io::ErrorKind;

use futures::join;
use mainspring_executor::net::{RECV_BUFFER_BYTES, TcpStream};
use mainspring_executor::time::timeout;

use super::pair::{
    End, broken, connect, is_broken, is_peer_closed, kind, listen, pair, patterned, peer_closed,
    receive, rest, rest_patterned, send,
};
use super::stage::Stage;

/// How a connection ends that was reset.
const RESET: End = End::Error(ErrorKind::ConnectionReset);

pub(super) async fn eof_after_data() {
    let (mut client, mut server) = pair().await;
    send(&mut client, b"data").await;
    assert_eq!(receive(&mut server, 4).await, b"data");
    let finish = async { client.shutdown_write().expect("it is connected") };
    let (read, ()) = join!(rest(&mut server), finish);
    assert_eq!(read, (vec![], End::Fin));
    for _ in 0..3 {
        assert_eq!(server.read(&mut [0; 9]).await.unwrap(), 0, "a FIN stays");
    }
}

/// The FIN that came in one edge with data was lost for ever where a short read counted as the end of it.
pub(super) async fn fin_with_data() {
    let (listener, address) = listen();
    for round in 0..20 {
        // The reader waits when both come.
        let (mut client, mut server) = connect(&listener).await;
        let finish = async {
            send(&mut client, b"request").await;
            client.shutdown_write().expect("it is connected");
        };
        let (read, ()) = join!(rest(&mut server), finish);
        assert_eq!(read, (b"request".to_vec(), End::Fin), "round {round}");
        // Both are there before the connection is even accepted.
        let mut client = TcpStream::connect(address).await.expect("the backlog has room");
        send(&mut client, b"early").await;
        drop(client);
        let (mut server, _) = listener.accept().await.expect("it waits");
        assert_eq!(rest(&mut server).await, (b"early".to_vec(), End::Fin), "round {round}");
        // The client's side, whose socket is not tried before its first edge.
        let (mut client, mut server) = connect(&listener).await;
        send(&mut server, b"answer").await;
        drop(server);
        assert_eq!(rest(&mut client).await, (b"answer".to_vec(), End::Fin), "round {round}");
    }
}

pub(super) async fn half_close() {
    let (listener, _) = listen();
    let (client, server) = connect(&listener).await;
    let (server_first, client_first) = connect(&listener).await;
    for (mut early, mut late) in [(client, server), (client_first, server_first)] {
        send(&mut early, b"the end").await;
        early.shutdown_write().expect("it is connected");
        assert_eq!(rest(&mut late).await, (b"the end".to_vec(), End::Fin));
        for _ in 0..3 {
            send(&mut late, b"not of mine").await;
            assert_eq!(receive(&mut early, 11).await, b"not of mine");
        }
        drop(late);
        assert_eq!(rest(&mut early).await, (vec![], End::Fin));
        assert_eq!(rest(&mut early).await, (vec![], End::Fin), "a FIN stays");
    }
}

pub(super) async fn fins_cross() {
    let (mut client, mut server) = pair().await;
    send(&mut client, b"from client").await;
    send(&mut server, b"from server").await;
    client.shutdown_write().expect("it is connected");
    server.shutdown_write().expect("the other's FIN changes nothing for ours");
    let (one, other) = join!(rest(&mut client), rest(&mut server));
    assert_eq!(one, (b"from server".to_vec(), End::Fin));
    assert_eq!(other, (b"from client".to_vec(), End::Fin));
    assert!(!is_broken(&client) && !is_broken(&server), "it ended in good order");
}

/// What was not sent when the connection is reset never is.
pub(super) async fn abort_under_pressure() {
    let (mut client, mut server) = pair().await;
    let bytes = patterned(0, 32_000_000);
    let mut write = Box::pin(client.write_all(&bytes));
    assert!(timeout(Duration::from_millis(30), &mut write).await.is_err(), "nobody reads");
    drop(write);
    client.abort();
    broken(&server).await;
    let (count, end) = rest_patterned(&mut server).await;
    assert_eq!(end, RESET);
    assert!(count > 0 && count < bytes.len(), "{count} bytes: some were under way, not all");
}

pub(super) async fn write_after_shutdown() {
    let (mut client, mut server) = pair().await;
    client.shutdown_write().expect("it is connected");
    for _ in 0..2 {
        assert_eq!(kind(client.write_all(b"x").await), Err(ErrorKind::BrokenPipe));
        assert_eq!(kind(client.shutdown_write()), Ok(()), "again is the same as once");
    }
    assert_eq!(rest(&mut server).await, (vec![], End::Fin));
    server.shutdown_write().expect("it is connected");
    assert_eq!(rest(&mut client).await, (vec![], End::Fin));
    // Both directions have ended, and with them the connection.
    assert_eq!(kind(client.shutdown_write()), Err(ErrorKind::NotConnected));
    assert_eq!(kind(client.write_all(b"x").await), Err(ErrorKind::BrokenPipe));
    assert_eq!(rest(&mut client).await, (vec![], End::Fin));
    assert!(!is_broken(&client), "it ended in good order");
}

pub(super) async fn abort() {
    let (mut client, mut server) = pair().await;
    send(&mut server, b"for nobody").await;
    send(&mut client, b"last words").await;
    let address = server.local_addr().unwrap();
    client.abort();
    broken(&server).await;
    assert_eq!(server.local_addr().unwrap(), address, "it still knows where it was");
    assert!(is_peer_closed(&server), "who breaks a connection has ended it, too");
    assert_eq!(rest(&mut server).await, (b"last words".to_vec(), RESET));
    // Told once; from then on there is nothing to be had, and nowhere to send.
    assert_eq!(rest(&mut server).await, (vec![], End::Fin));
    assert_eq!(kind(server.write_all(b"x").await), Err(ErrorKind::BrokenPipe));
    assert_eq!(kind(server.shutdown_write()), Err(ErrorKind::NotConnected));
}

pub(super) async fn reset_told_to_write() {
    let (client, mut server) = pair().await;
    client.abort();
    broken(&server).await;
    assert_eq!(kind(server.write_all(b"x").await), Err(ErrorKind::ConnectionReset));
    assert_eq!(kind(server.write_all(b"x").await), Err(ErrorKind::BrokenPipe), "told once");
    assert_eq!(rest(&mut server).await, (vec![], End::Fin));
}

pub(super) async fn abort_while_waiting() {
    let (client, mut reader) = pair().await;
    let (read, ()) = join!(rest(&mut reader), async { client.abort() });
    assert_eq!(read, (vec![], RESET));
    // A writer that waits for room.
    let (client, mut writer) = pair().await;
    let write = async {
        let bytes = patterned(0, 64 * 1024);
        loop {
            if let Err(error) = writer.write_all(&bytes).await {
                return error.kind();
            }
        }
    };
    let mut write = Box::pin(write);
    assert!(timeout(Duration::from_millis(30), &mut write).await.is_err(), "nobody reads");
    let (error, ()) = join!(write, async { client.abort() });
    assert_eq!(error, ErrorKind::ConnectionReset);
}

pub(super) async fn reset_on_unread(stage: Stage) {
    let (mut client, mut server) = pair().await;
    send(&mut client, b"before").await;
    leave_unread(&stage, &mut client, &mut server).await;
    drop(client);
    broken(&server).await;
    assert_eq!(rest(&mut server).await, (b"before".to_vec(), RESET));
    assert_eq!(rest(&mut server).await, (vec![], End::Fin));
}

/// Lets bytes of `server` arrive at `client` and wait there, unread.
async fn leave_unread(stage: &Stage, client: &mut TcpStream, server: &mut TcpStream) {
    if stage.machine.announces_fin() {
        // What came before the FIN is there when the FIN is.
        send(server, b"unread").await;
        server.shutdown_write().expect("it is connected");
        peer_closed(client).await;
        return;
    }
    // Else: two bytes arrive together, and there is room for one of them.
    let fill = async {
        while client.buffered().len() < RECV_BUFFER_BYTES - 1 {
            assert_ne!(client.fill().await.expect("the peer sends"), 0);
        }
    };
    let write = async {
        send(server, &patterned(0, RECV_BUFFER_BYTES - 1)).await;
    };
    join!(fill, write);
    send(server, b"12").await;
    assert_eq!(client.fill().await.expect("the peer sends"), 1);
}

pub(super) async fn write_after_peer_closed() {
    let (mut client, server) = pair().await;
    drop(server);
    assert_eq!(rest(&mut client).await, (vec![], End::Fin));
    // The first write goes out: a FIN does not say that nobody reads. The answer to it does.
    assert_eq!(kind(client.write_all(b"anyone?").await), Ok(()));
    broken(&client).await;
    assert_eq!(kind(client.write_all(b"x").await), Err(ErrorKind::BrokenPipe));
    assert_eq!(rest(&mut client).await, (vec![], End::Fin), "a FIN hides a later reset");
    // Without looking at what comes in.
    let (mut client, server) = pair().await;
    drop(server);
    let error = loop {
        if let Err(error) = client.write_all(&patterned(0, 1000)).await {
            break error.kind();
        }
        // One that did not fail went out, and is answered with a reset: it breaks, sooner or later.
        broken(&client).await;
    };
    assert!(matches!(error, ErrorKind::BrokenPipe | ErrorKind::ConnectionReset), "{error}");
}

pub(super) async fn peer_closed_by_fin(stage: Stage) {
    let (mut client, mut server) = pair().await;
    send(&mut client, b"unread").await;
    assert!(!is_peer_closed(&server), "data is not an end");
    client.shutdown_write().expect("it is connected");
    if stage.differs() {
        assert_eq!(rest(&mut server).await, (b"unread".to_vec(), End::Fin));
        assert!(!is_peer_closed(&server), "no edge tells of it");
    } else {
        peer_closed(&server).await;
        peer_closed(&server).await;
        assert_eq!(rest(&mut server).await, (b"unread".to_vec(), End::Fin));
        assert!(is_peer_closed(&server), "it does not come back");
    }
    assert!(!is_broken(&server), "a FIN breaks nothing");
    send(&mut server, b"answer").await;
    assert_eq!(receive(&mut client, 6).await, b"answer");
    assert!(!is_peer_closed(&client));
}

pub(super) async fn peer_closed_by_reset() {
    let (mut client, mut server) = pair().await;
    send(&mut client, b"unread").await;
    let ((), ()) = join!(peer_closed(&server), async { client.abort() });
    broken(&server).await;
    assert_eq!(rest(&mut server).await, (b"unread".to_vec(), RESET));
    assert!(is_peer_closed(&server) && is_broken(&server), "it does not come back");
}
