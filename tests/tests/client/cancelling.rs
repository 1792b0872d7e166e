//! A request is dropped wherever it waits: nothing of it is left, and nobody else suffers.

use core::cell::Cell;
use core::pin::Pin;
use core::task::{Context, Poll};
use std::rc::Rc;

use futures::future::LocalBoxFuture;
use mainspring::client::{Client, Limits};
use mainspring_executor::net::TcpListener;
use mainspring_executor::{Scope, spawn};

use crate::peer::*;
use crate::stage::check;

/// A future that is dropped when it is suspended for this time, from 1. Gives whether it came to its end before.
struct Cut {
    future: Option<LocalBoxFuture<'static, ()>>,
    left: usize,
}

impl Future for Cut {
    type Output = bool;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<bool> {
        let future = self.future.as_mut().expect("polled until it is ready");
        if future.as_mut().poll(cx).is_ready() {
            self.future = None;
            return Poll::Ready(true);
        }
        self.left -= 1;
        if self.left == 0 {
            self.future = None;
            return Poll::Ready(false);
        }
        Poll::Pending
    }
}

/// Answers what comes, on any number of connections, in three pieces.
async fn serve(listener: TcpListener) {
    let connections = Scope::new();
    loop {
        let Ok((stream, _)) = listener.accept().await else { continue };
        drop(connections.spawn(async move {
            let mut peer = Peer(stream);
            loop {
                // Whoever goes away in the middle is let go.
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    let mut byte = [0];
                    match peer.0.read(&mut byte).await {
                        Ok(1) => head.push(byte[0]),
                        _ => return,
                    }
                }
                let is_put = head.starts_with(b"PUT");
                let mut body = [0; 5];
                let mut at = 0;
                while is_put && at < 5 {
                    match peer.0.read(&mut body[at..]).await {
                        Ok(0) | Err(_) => return,
                        Ok(count) => at += count,
                    }
                }
                for part in ["HTTP/1.1 200 OK\r\nContent-", "Length: 5\r\n\r\nfi", "ve!"] {
                    if peer.0.write_all(part.as_bytes()).await.is_err() {
                        return;
                    }
                    mainspring_executor::time::yield_now().await;
                }
            }
        }));
    }
}

/// Drops a request at each of its suspensions, on a client of one connection that is made, or was there.
fn drop_at_each(is_reused: bool) {
    let points_max = Rc::new(Cell::new(0));
    let seen = Rc::clone(&points_max);
    check(move || {
        let points_max = Rc::clone(&seen);
        async move {
            let (listener, address) = listen();
            let serving = spawn(serve(listener));
            for point in 1.. {
                let limits = Limits { connections_per_origin_max: 1, ..Limits::default() };
                let client = Client::builder().limits(limits).build();
                if is_reused {
                    exchange(&client, get(address)).await.expect("an answer");
                    assert_eq!(client.stats().idle, 1);
                }
                let victim = client.clone();
                let victim = async move {
                    let body = mainspring::Body::stream(
                        Some(5),
                        futures::stream::iter(["a", "bcd", "e"].map(|piece| {
                            Ok::<_, core::convert::Infallible>(bytes::Bytes::from(piece))
                        })),
                    );
                    let answer = exchange(&victim, request("PUT", address, body)).await;
                    assert_eq!(answer.expect("an answer").1, "five!");
                };
                // Who waits behind it gets the connection, or another.
                let cut = spawn(Cut { future: Some(Box::pin(victim)), left: point });
                let behind = client.clone();
                let behind = spawn(async move { exchange(&behind, get(address)).await });
                let has_ended = cut.await.expect("it does not panic");
                let answer = behind.await.expect("it does not panic").expect("an answer");
                assert_eq!(answer.1, "five!", "cut at {point}");
                let stats = client.stats();
                assert_eq!((stats.in_use, stats.waiting), (0, 0), "cut at {point}");
                // In whatever order they ran: there is no half-used connection that somebody could get.
                let answer = exchange(&client, get(address)).await.expect("an answer");
                assert_eq!(
                    (answer.1.as_str(), client.stats().idle),
                    ("five!", 1),
                    "cut at {point}"
                );
                assert_eq!(stats.retried, 0);
                let opened = if has_ended { 1 } else { stats.opened };
                assert_eq!(stats.opened, opened, "a whole exchange leaves its connection");
                if has_ended {
                    points_max.set(points_max.get().max(point));
                    break;
                }
            }
            serving.abort();
            drop(serving.await);
        }
    });
    assert!(points_max.get() > 3, "a request that never waits shows nothing");
}

#[test]
fn a_request_may_be_dropped_at_each_point() {
    drop_at_each(false);
}

#[test]
fn a_request_on_a_connection_that_was_idle_may_be_dropped_at_each_point() {
    drop_at_each(true);
}
