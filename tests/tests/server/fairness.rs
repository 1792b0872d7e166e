//! Clients that are never done with asking, sending or taking: they do not keep the others waiting.

use core::cell::{Cell, RefCell};
use core::net::SocketAddr;
use core::time::Duration;
use std::collections::BTreeSet;
use std::io::{self, IoSlice};
use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;
use futures::stream;
use mainspring::limits::BURST_MAX;
use mainspring::{Body, Handler, IntoResponse, Request, Response, Server};
use mainspring_executor::Instant;
use mainspring_executor::driver::{
    Address, Detached, Driver, Ended, ExitStatus, Heartbeat, Job, Keepalive, ListenOptions,
    Observer, Readiness, Received, Refused, Schedule, Signal, Token, Transfer, Unpark,
};
use mainspring_executor::os::OsDriver;
use mainspring_executor::time::sleep_until;

use crate::stage::{Case, Machines, Stage};
use crate::wire::{closes, get};

/// A client that pipelines as many requests as the window takes does not make another one wait for all of them.
#[test]
fn a_pipeliner_does_not_starve_others() {
    let server = |stage: &Stage| {
        let seen = Rc::clone(&stage.seen);
        Server::new(move |request: Request| {
            let number = seen.add();
            if request.uri().path() == "/other" {
                seen.note(number.to_string());
            }
            async { "hello" }
        })
    };
    Case::new(server).on(Machines::Calm).check(|stage| async move {
        let mut greedy = stage.connect().await;
        let mut other = stage.connect().await;
        // At one instant, so that both are there when the server comes to look.
        let both = Instant::START + Duration::from_secs(1);
        sleep_until(both).await;
        greedy.send(get("/").repeat(1_500).as_bytes()).await.expect("the server reads");
        other.send(get("/other").as_bytes()).await.expect("the server reads");
        other.answer(false).await.expect("an answer");
        let before: u64 = stage.seen.notes.borrow()[0].parse().expect("a number");
        assert!(before <= 2 * BURST_MAX, "{before} requests came first");
        for _ in 0..1_500 {
            greedy.answer(false).await.expect("an answer to each");
        }
    });
}

/// The operating system, but for the connections that say `endless`: those can be read from and written to for ever,
/// faster than anyone.
struct Firehose {
    inner: OsDriver,
    endless: RefCell<BTreeSet<Token>>,
    moved_count: Cell<u64>,
}

/// Moves of an endless connection before it ends after all, so that a server that is taken in fails instead of hanging.
const MOVED_COUNT_MAX: u64 = 50_000;

impl Firehose {
    fn is_endless(&self, socket: Token) -> bool {
        self.endless.borrow().contains(&socket)
    }

    /// One more move of an endless connection, of `count` bytes.
    fn moved(&self, count: usize) -> io::Result<Transfer> {
        self.moved_count.set(self.moved_count.get() + 1);
        match self.moved_count.get() {
            0..MOVED_COUNT_MAX => Ok(Transfer { count, exhausted: false }),
            _ => Err(io::ErrorKind::ConnectionReset.into()),
        }
    }
}

impl Driver for Firehose {
    fn read(&self, socket: Token, buffer: &mut [u8]) -> io::Result<Transfer> {
        if self.is_endless(socket) {
            buffer.fill(b'x');
            return self.moved(buffer.len());
        }
        let transfer = self.inner.read(socket, buffer)?;
        if buffer[..transfer.count].windows(8).any(|window| window == b"/endless") {
            self.endless.borrow_mut().insert(socket);
            return Ok(Transfer { exhausted: false, ..transfer });
        }
        Ok(transfer)
    }

    fn write(&self, socket: Token, buffers: &[IoSlice<'_>]) -> io::Result<Transfer> {
        match self.is_endless(socket) {
            true => self.moved(buffers.iter().map(|buffer| buffer.len()).sum()),
            false => self.inner.write(socket, buffers),
        }
    }

    fn close(&self, token: Token) {
        self.endless.borrow_mut().remove(&token);
        self.inner.close(token);
    }

    fn abort(&self, socket: Token) {
        self.endless.borrow_mut().remove(&socket);
        self.inner.abort(socket);
    }

    fn now(&self) -> Instant {
        self.inner.now()
    }

    fn wall_clock(&self) -> Duration {
        self.inner.wall_clock()
    }

    fn entropy(&self) -> u64 {
        self.inner.entropy()
    }

    fn choose(&self, count: usize) -> usize {
        self.inner.choose(count)
    }

    fn schedule(&self) -> Option<Box<dyn Schedule>> {
        self.inner.schedule()
    }

    fn wait(&self, events: &mut Vec<Readiness>, until: Option<Instant>) -> io::Result<()> {
        self.inner.wait(events, until)
    }

    fn unparker(&self) -> Arc<dyn Unpark> {
        self.inner.unparker()
    }

    fn watch(&self, heartbeat: Arc<Heartbeat>) {
        self.inner.watch(heartbeat);
    }

    fn observer(&self) -> Option<Rc<dyn Observer>> {
        self.inner.observer()
    }

    fn listen(&self, address: &Address, options: ListenOptions) -> io::Result<Token> {
        self.inner.listen(address, options)
    }

    fn accept(&self, listener: Token) -> io::Result<(Token, Address)> {
        self.inner.accept(listener)
    }

    fn connect(&self, address: &Address) -> io::Result<Token> {
        self.inner.connect(address)
    }

    fn connect_outcome(&self, socket: Token) -> io::Result<()> {
        self.inner.connect_outcome(socket)
    }

    fn stream_pair(&self) -> io::Result<(Token, Token)> {
        self.inner.stream_pair()
    }

    fn shutdown_write(&self, socket: Token) -> io::Result<()> {
        self.inner.shutdown_write(socket)
    }

    fn set_nodelay(&self, socket: Token, is_on: bool) -> io::Result<()> {
        self.inner.set_nodelay(socket, is_on)
    }

    fn set_keepalive(&self, socket: Token, keepalive: Option<Keepalive>) -> io::Result<()> {
        self.inner.set_keepalive(socket, keepalive)
    }

    fn local_addr(&self, socket: Token) -> io::Result<Address> {
        self.inner.local_addr(socket)
    }

    fn bind_datagram(&self, address: SocketAddr) -> io::Result<Token> {
        self.inner.bind_datagram(address)
    }

    fn connect_datagram(&self, socket: Token, peer: SocketAddr) -> io::Result<()> {
        self.inner.connect_datagram(socket, peer)
    }

    fn receive_from(&self, socket: Token, buffer: &mut [u8]) -> io::Result<Received> {
        self.inner.receive_from(socket, buffer)
    }

    fn send_to(&self, socket: Token, datagram: &[u8], to: Option<SocketAddr>) -> io::Result<()> {
        self.inner.send_to(socket, datagram, to)
    }

    fn detach(&self, socket: Token) -> io::Result<Detached> {
        self.inner.detach(socket)
    }

    fn adopt(&self, socket: Detached) -> io::Result<Token> {
        self.inner.adopt(socket)
    }

    fn subscribe_signals(&self, signals: &[Signal]) -> io::Result<Token> {
        self.inner.subscribe_signals(signals)
    }

    fn next_signal(&self, signals: Token) -> io::Result<Signal> {
        self.inner.next_signal(signals)
    }

    fn submit(&self, job: Job) -> Result<Token, Refused> {
        self.inner.submit(job)
    }

    fn collect(&self, job: Token) -> io::Result<Ended> {
        self.inner.collect(job)
    }

    fn process_exit(&self, process: Token) -> io::Result<ExitStatus> {
        self.inner.process_exit(process)
    }

    fn signal_process(&self, process: Token, signal: Option<Signal>) -> io::Result<()> {
        self.inner.signal_process(process, signal)
    }
}

/// Reads all of an upload, or pours out what is there at once.
fn busy(_: &Stage) -> Server<impl Handler + use<>> {
    let server = Server::new(async |mut request: Request| match request.uri().path() {
        "/endless-upload" => {
            while let Some(Ok(_)) = request.body_mut().chunk().await {}
            "cut off".into_response()
        }
        "/endless-stream" => {
            let piece = Bytes::from(vec![b'x'; 20_000]);
            let pieces = stream::repeat_with(move || Ok::<_, io::Error>(piece.clone()));
            Response::new(Body::stream(None, pieces))
        }
        _ => "hello".into_response(),
    });
    server.limits(mainspring::Limits { body_bytes_max: u64::MAX, ..Default::default() })
}

/// A client whose bytes never end and whose socket always has room, be it in an upload, in a response or after a
/// refusal, takes turns with the others.
#[test]
fn a_firehose_does_not_starve_others() {
    let upload =
        "POST /endless-upload HTTP/1.1\r\nHost: x\r\nContent-Length: 9000000000000000\r\n\r\n";
    let stream = "GET /endless-stream HTTP/1.1\r\nHost: x\r\n\r\n";
    // The last one has its answer, and only lingers.
    for (request, connections_cut) in [(upload, 1), (stream, 1), ("nonsense /endless\r\n\r\n", 0)] {
        let inner = OsDriver::new().expect("a driver");
        let driver = Firehose { inner, endless: RefCell::default(), moved_count: Cell::new(0) };
        let driver = Rc::new(driver);
        let looked_at = Rc::clone(&driver);
        Case::new(busy).run_on_os(driver, move |stage| {
            let driver = Rc::clone(&looked_at);
            async move {
                let mut greedy = stage.connect().await;
                greedy.send(request.as_bytes()).await.expect("the server reads");
                while driver.moved_count.get() == 0 {
                    mainspring_executor::time::yield_now().await;
                }
                let mut other = stage.connect().await;
                let answer = other.exchange(get("/").as_bytes(), false).await.expect("an answer");
                assert_eq!(answer.body, b"hello");
                let moved = driver.moved_count.get();
                assert!(moved < MOVED_COUNT_MAX / 2, "{moved} moves came first: {request}");
                stage.drain();
                closes(&mut other).await;
                stage.stop_now(connections_cut);
            }
        });
    }
}
