//! Backpressure both ways: whoever does not read makes the other side wait, and nothing piles up in between.

use core::time::Duration;
use std::rc::Rc;

use bytes::Bytes;
use futures::stream;
use mainspring::{Body, Handler, IntoResponse, Request, Response, Server, Timeouts};
use mainspring_executor::Instant;
use mainspring_executor::net::RECV_BUFFER_BYTES;
use mainspring_executor::time::{now, sleep};
use mainspring_sim::{Fault, World, WorldConfig};

use crate::playground::playground;
use crate::stage::{Case, Machines, Stage};
use crate::wire::{get, pattern, push, request};

/// The buffers of the kernels on the way, in the calm room; in the rough one they are smaller.
const KERNELS: usize = 2 * 64 * 1024;

/// When a machine has memory for sockets again.
const BACK: Duration = Duration::from_secs(20);

/// What a connection may have copied to be written.
const OUTPUT: usize = 64 * 1024;

/// Reads a chunk, and the next one a hundred seconds later, and so on; or answers after 1,000 s without reading.
fn slow_reader(stage: &Stage) -> Server<impl Handler + use<>> {
    let seen = Rc::clone(&stage.seen);
    Server::new(move |mut request: Request| {
        let seen = Rc::clone(&seen);
        async move {
            if request.uri().path() == "/never" {
                sleep(Duration::from_secs(1_000)).await;
                return "at last".to_owned();
            }
            let mut length = 0;
            while let Some(chunk) = request.body_mut().chunk().await {
                let chunk = chunk.expect("a good body");
                assert!(chunk.len() <= RECV_BUFFER_BYTES, "one chunk is one buffer at most");
                length += chunk.len();
                seen.add();
                sleep(Duration::from_secs(100)).await;
            }
            length.to_string()
        }
    })
    .timeouts(Timeouts { handler: Duration::from_secs(2_000), ..Timeouts::default() })
}

/// A client can send no more than the buffers hold that are on the way, and the one chunk that the handler has.
#[test]
fn an_upload_waits_for_its_handler() {
    Case::new(slow_reader).on(Machines::Simulated).check(|stage| async move {
        const LENGTH: usize = 1_000_000;
        for (path, chunks) in [("/never", 0), ("/slowly", 1)] {
            let mut client = stage.connect().await;
            let head = request("POST", path, &format!("Content-Length: {LENGTH}\r\n"));
            let upload = [head.as_bytes(), &pattern(LENGTH)].concat();
            let patience = Duration::from_secs(20);
            let pushed = push(&mut client, &upload, patience).await;
            assert!(pushed > head.len(), "some of it is taken");
            assert!(pushed <= KERNELS + RECV_BUFFER_BYTES * (1 + chunks), "{path}: {pushed} bytes");
            if path == "/slowly" {
                client.send(&upload[pushed..]).await.expect("the server reads on");
                let answer = client.answer(false).await.expect("an answer");
                assert_eq!(answer.body, LENGTH.to_string().into_bytes());
            }
        }
    });
}

/// Sends pieces that are there at once, and counts how many it was asked for.
fn pouring(stage: &Stage) -> Server<impl Handler + use<>> {
    let seen = Rc::clone(&stage.seen);
    Server::new(move |request: Request| {
        let size: usize = request.uri().path()[1..].parse().expect("the cases ask in numbers");
        let seen = Rc::clone(&seen);
        let pieces = stream::repeat_with(move || {
            seen.add();
            Ok::<_, std::io::Error>(Bytes::from(pattern(size)))
        });
        async { Response::new(Body::stream(None, pieces)).into_response() }
    })
}

/// A stream is not asked for more than the buffers take while its client reads nothing, and goes on when it reads.
#[test]
fn a_stream_waits_for_its_client() {
    Case::new(pouring).on(Machines::Simulated).check(|stage| async move {
        for size in [1_000, 20_000, 200_000] {
            while stage.stats().connections_open > 0 {
                sleep(Duration::from_millis(10)).await;
            }
            stage.seen.count.set(0);
            let mut client = stage.connect().await;
            client.send(get(&format!("/{size}")).as_bytes()).await.expect("the server reads");
            sleep(Duration::from_secs(20)).await;
            let pulled = stage.seen.count.get();
            assert!(pulled >= 1 && pulled * size <= KERNELS + OUTPUT + 2 * size, "{pulled} pieces");
            let mut received = 0;
            while received < KERNELS + 2 * size {
                let stream = client.stream();
                received += stream.fill().await.expect("the stream goes on");
                stream.consume(stream.buffered().len());
            }
            sleep(Duration::from_secs(1)).await;
            assert!(stage.seen.count.get() > pulled, "it was asked for more");
        }
    });
}

/// A client that pipelines without reading is not read from: its requests wait with it.
#[test]
fn a_pipeliner_that_does_not_read_waits() {
    let server = |stage: &Stage| {
        let seen = Rc::clone(&stage.seen);
        Server::new(move |_: Request| {
            seen.add();
            async { Bytes::from(pattern(10_000)) }
        })
    };
    Case::new(server).on(Machines::Simulated).check(|stage| async move {
        let mut client = stage.connect().await;
        let requests = get("/").repeat(20_000);
        let pushed = push(&mut client, requests.as_bytes(), Duration::from_secs(10)).await;
        assert!(pushed <= KERNELS + RECV_BUFFER_BYTES + 2_000, "{pushed} bytes were taken");
        let answered = stage.seen.count.get();
        assert!(answered * 10_000 <= KERNELS + OUTPUT + 20_000, "{answered} were answered");
    });
}

/// A machine without memory for sockets: who is there is served, who comes waits, and is served when there is memory again.
#[test]
fn who_comes_while_there_is_no_memory_for_sockets_is_served_later() {
    for (seed, config) in (0..20).zip([WorldConfig::calm(), WorldConfig::rough()].iter().cycle()) {
        let client = |stage: Stage| async move {
            let mut early = stage.connect().await;
            early.exchange(get("/hello").as_bytes(), false).await.expect("an answer");
            sleep(Duration::from_secs(2)).await;
            let mut late = stage.connect().await;
            late.send(get("/bytes/100000").as_bytes()).await.expect("its own machine has memory");
            early.exchange(get("/bytes/100000").as_bytes(), false).await.expect("an answer");
            assert!(now() < Instant::START + BACK, "each socket may have a little");
            late.answer(false).await.expect("an answer");
            assert!(now() >= Instant::START + BACK, "nobody is accepted without memory");
        };
        let world = Case::new(playground).simulate(seed, config.clone(), client, |world, _| {
            let set = |bytes| {
                move |world: &World| {
                    world.find("server").expect("it is there").set_socket_memory(bytes);
                }
            };
            world.at(Instant::START + Duration::from_secs(1), set(Some(0)));
            world.at(Instant::START + BACK, set(None));
        });
        assert!(world.coverage().fault(Fault::NoBuffers) > 50, "seed {seed}: it tries again");
        assert!(world.coverage().named("accept finds no sockets left").held > 0);
    }
}
