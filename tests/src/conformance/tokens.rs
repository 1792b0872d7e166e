//! Cases of tokens and edges: what is closed is gone, and no edge reaches a stranger.

use core::cell::Cell;
use core::future::pending;
use core::pin::pin;
use core::time::Duration;
use std::rc::Rc;

use futures::future::{Either, select};
use mainspring_executor::net::TcpStream;
use mainspring_executor::time::{sleep, timeout, yield_now};
use mainspring_executor::{CancelToken, Scope};

use super::pair::{
    End, connect, is_broken, is_peer_closed, listen, pair, patterned, peer_closed, poll_once,
    receive, rest, send,
};
use super::stage::Stage;

pub(super) async fn spurious_edges(stage: Stage) {
    stage.witness.meddle();
    let (listener, _) = listen();
    let (mut client, mut server) = connect(&listener).await;
    // Something that always waits, and is woken for nothing.
    let (idle, mut waiting) = connect(&listener).await;
    let mut never = Box::pin(listener.accept());
    for round in 0..200 {
        // At least one look at the driver each round.
        sleep(Duration::from_micros(1)).await;
        assert!(poll_once(&mut never).await.is_none(), "nobody comes");
        assert!(poll_once(&mut Box::pin(waiting.fill())).await.is_none(), "nobody sends");
        let bytes = patterned(round, 100);
        send(&mut client, &bytes).await;
        assert!(receive(&mut server, 100).await == bytes, "round {round}");
        send(&mut server, &bytes).await;
        assert!(receive(&mut client, 100).await == bytes, "round {round}");
    }
    assert!(!is_peer_closed(&idle) && !is_broken(&idle), "nothing happened to it");
    drop(client);
    assert_eq!(rest(&mut server).await, (vec![], End::Fin));
    assert!(stage.witness.spurious_count.get() > 100, "there was something to withstand");
}

pub(super) async fn closed_while_armed(stage: Stage) {
    let open_before = stage.witness.open().len();
    let (listener, _) = listen();
    let listener = Rc::new(listener);
    let (client, server) = connect(&listener).await;
    let (other, other_server) = connect(&listener).await;
    // Each waits for something that never comes, in a task that is cancelled while it does.
    let scope = Scope::new();
    let armed = Rc::new(Cell::new(0));
    let arm = || {
        let armed = Rc::clone(&armed);
        move || armed.set(armed.get() + 1)
    };
    let (tell, accepting) = (arm(), Rc::clone(&listener));
    drop(scope.spawn(async move {
        tell();
        drop(accepting.accept().await);
    }));
    for mut stream in [client, other] {
        let tell = arm();
        drop(scope.spawn(async move {
            tell();
            drop(stream.fill().await);
        }));
    }
    let tell = arm();
    drop(scope.spawn(async move {
        tell();
        select(pin!(peer_closed(&other_server)), pending::<()>()).await;
    }));
    while armed.get() < 4 {
        yield_now().await;
    }
    scope.cancel();
    assert!(scope.is_empty());
    drop(listener);
    let left = stage.witness.open();
    assert_eq!(left.len(), open_before + 1, "only our end of one connection: {left:?}");
    let mut server = server;
    assert_eq!(rest(&mut server).await, (vec![], End::Fin), "its peer was closed");
}

pub(super) async fn dropped_reads() {
    let (mut client, mut server) = pair().await;
    for round in 0..50_u8 {
        // Dropped while it waits, then again while its edge is under way.
        assert!(timeout(Duration::ZERO, server.fill()).await.is_err());
        let mut waiting = Box::pin(server.fill());
        assert!(poll_once(&mut waiting).await.is_none());
        send(&mut client, &[round]).await;
        drop(waiting);
        assert_eq!(receive(&mut server, 1).await, [round], "a read that is dropped takes nothing");
    }
    let stop = CancelToken::new();
    stop.cancel();
    let raced = match select(stop.cancelled(), Box::pin(server.fill())).await {
        Either::Left(_) => "stopped",
        Either::Right(_) => "read",
    };
    assert_eq!(raced, "stopped");
}

/// Sockets that are closed with edges under way, and others that take their places at once.
pub(super) async fn token_reuse(stage: Stage) {
    let (listener, _) = listen();
    stage.witness.report_closed();
    let mut stale = Vec::new();
    for round in 0..100 {
        let (mut client, server) = connect(&listener).await;
        // On their way to both ends: bytes here, a reset there.
        send(&mut client, b"an edge").await;
        stale.push((client, server));
        if stale.len() < 4 {
            continue;
        }
        for (client, server) in stale.drain(..) {
            drop(server);
            client.abort();
        }
        let fresh = [connect(&listener).await, connect(&listener).await];
        for (mut client, mut server) in fresh {
            assert_nothing_known(&client, round);
            assert_nothing_known(&server, round);
            assert!(poll_once(&mut Box::pin(client.fill())).await.is_none(), "nobody sent");
            assert!(poll_once(&mut Box::pin(server.fill())).await.is_none(), "nobody sent");
            send(&mut client, b"mine").await;
            assert_eq!(receive(&mut server, 4).await, b"mine");
            assert_nothing_known(&client, round);
            assert_nothing_known(&server, round);
        }
    }
    assert!(stage.witness.stale_count.get() > 100, "there was something to withstand");
}

fn assert_nothing_known(stream: &TcpStream, round: usize) {
    assert!(!is_peer_closed(stream), "round {round}: a stranger's FIN");
    assert!(!is_broken(stream), "round {round}: a stranger's reset");
}
