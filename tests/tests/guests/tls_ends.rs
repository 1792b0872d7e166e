//! rustls on both ends, by `futures-rustls`, set up as anybody does: the certificate is made in the run, and nothing is
//! injected. Clients upload, some leave half way, and the machine of one loses its power. An upload is whole when TLS says so,
//! and not when the connection ends.

use core::cell::{Cell, RefCell};
use core::net::SocketAddr;
use core::time::Duration;
use std::collections::BTreeSet;
use std::io::{self, ErrorKind};
use std::rc::Rc;

use futures::io::{AsyncReadExt, AsyncWriteExt};
use futures_rustls::client::TlsStream;
use futures_rustls::pki_types::ServerName;
use futures_rustls::{TlsAcceptor, TlsConnector};
use mainspring_executor::CancelToken;
use mainspring_executor::compat::FuturesIo;
use mainspring_executor::driver::Instant;
use mainspring_executor::net::{TcpListener, TcpStream};
use mainspring_executor::time::{sleep, timeout};
use mainspring_sim::{Host, World};
use mainspring_tests::compat::accept_each;

use super::certified::certified_ends;
use super::room::{Verdict, holds, is_found};

/// Whom the certificate is for.
const NAME: &str = "server.example";

/// What an upload may take: then its connection is dropped.
const UPLOAD_TIMEOUT: Duration = Duration::from_secs(60);

/// Up to so many bytes are uploaded.
const UPLOAD_BYTES_MAX: u64 = 40_000;

/// What is wrong with a server.
#[derive(Clone, Copy, PartialEq)]
enum Bug {
    None,
    /// The end of a connection is the end of an upload.
    Truncation,
    /// It waits for a client for as long as that takes.
    Patience,
}

/// Takes an upload to its end, and says how long it was. Its first byte is its number; whole ones are kept.
async fn upload(
    stream: TcpStream,
    acceptor: TlsAcceptor,
    whole: Rc<RefCell<BTreeSet<u8>>>,
    bug: Bug,
) -> io::Result<()> {
    let mut stream = acceptor.accept(FuturesIo::new(stream)).await?;
    let mut bytes = Vec::new();
    match stream.read_to_end(&mut bytes).await {
        Err(error) if error.kind() == ErrorKind::UnexpectedEof && bug == Bug::Truncation => {}
        read => drop(read?),
    }
    if let Some(number) = bytes.first() {
        whole.borrow_mut().insert(*number);
    }
    stream.write_all(&bytes.len().to_be_bytes()).await?;
    stream.close().await
}

async fn serve(
    own: SocketAddr,
    acceptor: TlsAcceptor,
    whole: Rc<RefCell<BTreeSet<u8>>>,
    stop: CancelToken,
    bug: Bug,
) {
    let listener = TcpListener::bind(own, Default::default()).expect("a free port");
    let connections = accept_each(listener, stop, move |stream| {
        let upload = upload(stream, acceptor.clone(), Rc::clone(&whole), bug);
        async move {
            // Most errors are the clients' ends.
            match bug {
                Bug::Patience => drop(upload.await),
                _ => drop(timeout(UPLOAD_TIMEOUT, upload).await),
            }
        }
    });
    connections.await.join().await.expect("no upload panics");
}

/// Connects, and sends so many bytes.
async fn send(
    server: SocketAddr,
    connector: TlsConnector,
    number: u8,
    count: usize,
) -> TlsStream<FuturesIo<TcpStream>> {
    let stream = TcpStream::connect(server).await.expect("the server listens");
    let name = ServerName::try_from(NAME).expect("a name");
    let stream = connector.connect(name, FuturesIo::new(stream)).await;
    let mut stream = stream.expect("a handshake");
    stream.write_all(&vec![number; count]).await.expect("the server reads");
    stream.flush().await.expect("the server reads");
    stream
}

/// Uploads so many bytes, and tells when all of it was sent.
async fn upload_whole(
    server: SocketAddr,
    connector: TlsConnector,
    number: u8,
    count: usize,
    sent: Rc<RefCell<BTreeSet<u8>>>,
) {
    let mut stream = send(server, connector, number, count).await;
    sent.borrow_mut().insert(number);
    stream.close().await.expect("the server is there");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.expect("the server ends in order");
    assert_eq!(answer, count.to_be_bytes());
}

/// Sends a part, and ends the connection without a word of TLS, as whoever sits between the two may do.
async fn upload_cut_off(server: SocketAddr, connector: TlsConnector, number: u8, count: usize) {
    let (stream, _) = send(server, connector, number, count).await.into_inner();
    let mut stream = stream.into_inner();
    stream.shutdown_write().expect("it is connected");
    while stream.fill().await.is_ok_and(|count| count > 0) {
        stream.consume(stream.buffered().len());
    }
}

/// A few uploads one after the other. The last client gives each up at a moment that is drawn, or is cut off.
async fn uploads(
    host: Host,
    server: SocketAddr,
    connector: TlsConnector,
    numbers: core::ops::Range<u8>,
    sent: Rc<RefCell<BTreeSet<u8>>>,
    leaves: bool,
) {
    for number in numbers {
        let count = usize::try_from(1 + host.choose(UPLOAD_BYTES_MAX)).expect("few");
        let connector = connector.clone();
        if leaves && host.choose(2) == 0 {
            upload_cut_off(server, connector, number, count).await;
        } else {
            let upload = upload_whole(server, connector, number, count, Rc::clone(&sent));
            let moment = if leaves { host.choose(150_000) } else { 3_600_000_000 };
            // It gives up in the handshake, half way, or never.
            let _given_up = timeout(Duration::from_micros(moment), upload).await;
        }
        sleep(Duration::from_millis(host.choose(100))).await;
    }
}

fn room(world: &World, bug: Bug) -> Verdict {
    let (acceptor, connector) = certified_ends(NAME);
    let (whole, sent) = (Rc::<RefCell<BTreeSet<u8>>>::default(), Rc::<RefCell<_>>::default());
    let (server, stop, left) = (world.host("server"), CancelToken::new(), Rc::new(Cell::new(3)));
    let own = server.address(443);
    server.run(serve(own, acceptor, Rc::clone(&whole), stop.clone(), bug));
    for (index, name) in [(0, "one"), (1, "two"), (2, "three")] {
        let host = world.host(name);
        let numbers = index * 10..index * 10 + 5;
        let connector = connector.clone();
        let uploads = uploads(host.clone(), own, connector, numbers, Rc::clone(&sent), index == 2);
        let (stop, left) = (stop.clone(), Rc::clone(&left));
        host.run(async move {
            uploads.await;
            left.set(left.get() - 1);
            if left.get() == 0 {
                stop.cancel();
            }
        });
    }
    let host = world.host("gone");
    host.run(upload_whole(own, connector, 99, 40_000, Rc::clone(&sent)));
    let crash = Instant::START + Duration::from_micros(world.choose(300_000));
    world.at(crash, move |_| host.crash());
    Box::new(move || {
        let (whole, sent) = (whole.borrow(), sent.borrow());
        match whole.difference(&sent).next() {
            Some(number) => Err(format!("upload {number} was taken for whole")),
            None => Ok(whole.len() as u64),
        }
    })
}

#[test]
fn rustls_on_both_ends_tells_whole_uploads_from_others() {
    holds(
        |world| room(world, Bug::None),
        &[
            "ring: 2 bytes of entropy",
            "ring: 32 bytes of entropy",
            "ring: 4 bytes of entropy",
            "rustls-pki-types: the date",
        ],
    );
}

#[test]
fn an_upload_that_is_cut_off_and_taken_for_whole_is_found() {
    is_found(|world| room(world, Bug::Truncation), "was taken for whole");
}

#[test]
fn a_server_that_waits_for_who_is_gone_is_found() {
    is_found(|world| room(world, Bug::Patience), "deadlock");
}
