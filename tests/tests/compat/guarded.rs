//! What these crates ask past their drivers, and that with the guard their runs are the seed's all the same: TLS to the last
//! byte, with nothing injected and with a certificate that is made in the run.
#![cfg(all(target_os = "linux", target_arch = "x86_64", target_env = "gnu"))]

use core::cell::RefCell;
use core::pin::Pin;
use core::task::{Context, Poll};
use std::collections::BTreeSet;
use std::io;
use std::rc::Rc;

use futures::FutureExt;
use futures::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use futures_rustls::pki_types::ServerName;
use mainspring_executor::compat::FuturesIo;
use mainspring_executor::driver::ListenOptions;
use mainspring_executor::net::{TcpListener, TcpStream};
use mainspring_sim::bypass::{Bypass, alone};
use mainspring_sim::{World, WorldConfig};
use mainspring_stand_ins::Postgres;
use mainspring_tests::scenarios::ALL;

use super::certified::certified_ends;
use super::worlds::{Client, Server, simulate, stand_in};
use super::{http1, http2, postgres, tls};

/// What was asked for, and the crate that did.
fn who(Bypass { asked, site, .. }: &Bypass) -> String {
    let mut folders = site.rsplit("/src/").skip(1);
    let package = folders.next().and_then(|path| path.rsplit('/').next()).unwrap_or(site);
    let name = package.rsplit_once('-').map_or(package, |(name, _)| name);
    format!("{name}: {asked}")
}

/// What both ask for in a calm room, each crate and kind once.
fn asked(server: Server, client: Client) -> Vec<String> {
    let config = WorldConfig { record: true, ..WorldConfig::calm() };
    let run = || simulate(0, &config, server, client);
    // What is done once a process.
    run();
    let distinct: BTreeSet<String> = run().bypasses.kept.iter().map(who).collect();
    distinct.into_iter().collect()
}

#[test]
fn hyper_asks_for_the_date() {
    let asked = asked(http1::server, |address| http1::keep_alive(address).boxed_local());
    assert_eq!(asked, ["hyper: the date"]);
}

#[test]
fn h2_asks_for_the_keys_of_its_maps() {
    let asked = asked(http2::server, |address| http2::many_streams(address).boxed_local());
    assert_eq!(asked, ["indexmap: 16 bytes of entropy"]);
}

#[test]
fn tokio_postgres_asks_for_the_keys_of_its_maps() {
    let asked = asked(
        |listener, stop| stand_in(Postgres::new(), listener, stop).boxed_local(),
        |address| postgres::session(address).boxed_local(),
    );
    assert_eq!(asked, ["tokio-postgres: 16 bytes of entropy"]);
}

/// rustls itself, whose date and randomness are the driver's here; and `ring`, whose are nobody's.
#[test]
fn rustls_asks_for_the_keys_of_its_maps_and_ring_for_those_of_its_exchange() {
    tls::identity();
    let asked = asked(tls::server, |address| tls::both_ways(address).boxed_local());
    assert_eq!(asked, ["ring: 32 bytes of entropy", "rustls: 16 bytes of entropy"]);
}

/// The scenarios of this repository, and the server in them, ask their drivers for everything.
#[test]
fn no_scenario_goes_past_its_driver() {
    for scenario in ALL.iter().filter(|scenario| !scenario.is_planted) {
        for seed in 0..2 {
            scenario.strict().run(seed, false).unwrap_or_else(|failure| panic!("{failure}"));
        }
    }
}

/// A stream that keeps all that goes through it.
struct Tapped<S> {
    stream: S,
    tape: Rc<RefCell<Vec<u8>>>,
}

impl<S> Tapped<S> {
    fn keep<'a>(
        &mut self,
        moved: Poll<io::Result<usize>>,
        bytes: impl FnOnce(usize) -> &'a [u8],
    ) -> Poll<io::Result<usize>> {
        if let Poll::Ready(Ok(count)) = moved {
            self.tape.borrow_mut().extend_from_slice(bytes(count));
        }
        moved
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Tapped<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let moved = Pin::new(&mut self.stream).poll_read(context, buffer);
        self.keep(moved, |count| &buffer[..count])
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Tapped<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &[u8],
    ) -> Poll<io::Result<usize>> {
        let moved = Pin::new(&mut self.stream).poll_write(context, buffer);
        self.keep(moved, |count| &buffer[..count])
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_close(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_close(context)
    }
}

/// All bytes of one connection, with the hash of the run.
fn tls_bytes(seed: u64) -> (Vec<u8>, u64) {
    alone(seed, || {
        let (acceptor, connector) = certified_ends("server.example");
        let world = World::new(seed, WorldConfig::rough());
        let (server, client) = (world.host("server"), world.host("client"));
        server.run(async move {
            let listener = TcpListener::bind(([0, 0, 0, 0], 443).into(), ListenOptions::default());
            let listener = listener.expect("a free port");
            let (stream, _) = listener.accept().await.expect("a client");
            let stream = acceptor.accept(FuturesIo::new(stream)).await;
            let mut stream = stream.expect("a handshake");
            stream.write_all(b"hello").await.expect("the client reads");
            stream.close().await.expect("the client is there");
        });
        let tape = Rc::new(RefCell::new(Vec::new()));
        let kept = Rc::clone(&tape);
        client.run(async move {
            let stream = TcpStream::connect(server.address(443)).await.expect("it listens");
            let stream = Tapped { stream: FuturesIo::new(stream), tape: kept };
            let name = ServerName::try_from("server.example").expect("a name");
            let mut stream = connector.connect(name, stream).await.expect("a handshake");
            let mut received = Vec::new();
            stream.read_to_end(&mut received).await.expect("the server ends in order");
            assert_eq!(received, b"hello");
        });
        let report = world.run().unwrap_or_else(|failure| panic!("{failure}"));
        (tape.take(), report.trace_hash)
    })
}

#[test]
fn tls_is_the_seeds_to_the_last_byte() {
    let runs: Vec<_> = (0..8).map(|seed| (tls_bytes(seed), tls_bytes(seed))).collect();
    for (first, second) in &runs {
        assert!(first.0.len() > 500, "a handshake is longer");
        assert!(first == second, "two runs of one seed differ");
    }
    let distinct: BTreeSet<_> = runs.iter().map(|(first, _)| &first.0).collect();
    assert_eq!(distinct.len(), runs.len(), "seeds make a difference");
}
