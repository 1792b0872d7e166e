//! Cases of bytes under way.

use core::future::poll_fn;
use core::task::Poll;
use std::io::IoSlice;

use futures::join;
use mainspring_executor::CancelToken;
use mainspring_executor::net::RECV_BUFFER_BYTES;

use super::pair::{End, Stream, pair, patterned, receive, rest_patterned, send};

pub(super) async fn both_ways<S: Stream>((client, server): (S, S)) {
    const COUNT: usize = 1_000_000;
    let exchange = |mut stream: S| async move {
        let bytes = patterned(0, COUNT);
        let mut written = 0;
        let mut position = 0;
        // In one task, and neither direction waits for the other.
        poll_fn(|cx| {
            while written < COUNT {
                match stream.poll_write(cx, &[IoSlice::new(&bytes[written..])]) {
                    Poll::Ready(count) => written += count.expect("the peer takes it"),
                    Poll::Pending => break,
                }
            }
            while position < COUNT {
                match stream.poll_fill(cx) {
                    Poll::Ready(count) => assert_ne!(count.expect("the peer sends"), 0),
                    Poll::Pending => break,
                }
                let count = stream.buffered().len();
                assert!(stream.buffered() == &bytes[position..position + count]);
                stream.consume(count);
                position += count;
            }
            if written + position == 2 * COUNT { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
        stream
    };
    let (client, server) = join!(exchange(client), exchange(server));
    drop((client, server));
}

pub(super) async fn backpressure<S: Stream>((mut client, mut server): (S, S)) {
    const COUNT: usize = 6_000_000;
    /// More than any kernel takes for a peer that does not read.
    const TAKEN_MAX: usize = 64_000_000;
    let stopped = CancelToken::new();
    let write = async {
        let mut written = 0;
        while written < COUNT || !stopped.is_cancelled() {
            assert!(written < TAKEN_MAX, "a peer that does not read stops the writer");
            let bytes = patterned(written, 64 * 1024);
            written += poll_fn(|cx| {
                let written = client.poll_write(cx, &[IoSlice::new(&bytes)]);
                if written.is_pending() {
                    stopped.cancel();
                }
                written
            })
            .await
            .expect("the peer is there");
        }
        client.shutdown_write().expect("it is connected");
        written
    };
    let read = async {
        stopped.cancelled().await;
        rest_patterned(&mut server).await
    };
    let (written, read) = join!(write, read);
    assert_eq!(read, (written, End::Fin));
}

pub(super) async fn many_slices() {
    let (mut client, mut server) = pair().await;
    // Nothing at all, one byte, a few, and a lot; more of them than a kernel takes at one time.
    let sizes = (0..5000).map(|number| match number % 50 {
        49 => 3000,
        rest => rest % 3,
    });
    let mut position = 0;
    let pieces: Vec<Vec<u8>> = sizes
        .map(|size| {
            position += size;
            patterned(position - size, size)
        })
        .collect();
    let write = async {
        let mut first = 0;
        let mut skip = 0;
        while first < pieces.len() {
            let mut slices = vec![IoSlice::new(&pieces[first][skip..])];
            slices.extend(pieces[first + 1..].iter().map(|piece| IoSlice::new(piece)));
            if slices.iter().all(|slice| slice.is_empty()) {
                break;
            }
            let written = poll_fn(|cx| client.poll_write(cx, &slices)).await;
            let mut written = written.expect("the peer takes it");
            while first < pieces.len() && written >= pieces[first].len() - skip {
                written -= pieces[first].len() - skip;
                (first, skip) = (first + 1, 0);
            }
            skip += written;
        }
        client.shutdown_write().expect("it is connected");
    };
    let ((), read) = join!(write, rest_patterned(&mut server));
    assert_eq!(read, (position, End::Fin));
}

pub(super) async fn empty_slices() {
    let (mut client, mut server) = pair().await;
    let empty = vec![IoSlice::new(b""); 3000];
    let mut slices = empty.clone();
    slices.push(IoSlice::new(b"at last"));
    slices.extend(empty);
    let mut written = 0;
    while written < 7 {
        slices[3000] = IoSlice::new(&b"at last"[written..]);
        let count = poll_fn(|cx| client.poll_write(cx, &slices)).await.expect("the peer takes it");
        assert_ne!(count, 0, "a write that is not refused takes something");
        written += count;
    }
    assert_eq!(receive(&mut server, 7).await, b"at last");
}

pub(super) async fn small_reads() {
    let (mut client, mut server) = pair().await;
    let bytes = patterned(0, 10_000);
    send(&mut client, &bytes).await;
    for byte in &bytes {
        assert_eq!(receive(&mut server, 1).await, [*byte]);
    }
    // A buffer that is filled to the brim, one bit at a time, is never read into when it is full.
    let write = async {
        send(&mut client, &patterned(0, RECV_BUFFER_BYTES + 1)).await;
    };
    let read = async {
        while server.buffered().len() < RECV_BUFFER_BYTES {
            assert_ne!(server.fill().await.expect("the peer sends"), 0);
        }
        assert!(server.buffered() == patterned(0, RECV_BUFFER_BYTES));
        server.consume(RECV_BUFFER_BYTES);
        assert_eq!(receive(&mut server, 1).await, patterned(RECV_BUFFER_BYTES, 1));
    };
    join!(write, read);
}

pub(super) async fn close_delivers() {
    const COUNT: usize = 1_000_000;
    let (mut client, mut server) = pair().await;
    let write = async move {
        send(&mut client, &patterned(0, COUNT)).await;
        // Dropped here, with much of it still in the kernel's hands.
    };
    let ((), read) = join!(write, rest_patterned(&mut server));
    assert_eq!(read, (COUNT, End::Fin));
}
