//! rustls, client and server, by `futures-rustls` over `FuturesIo`: a handshake, bytes both ways at one time, orderly and
//! disorderly ends, a certificate for somebody else.
//!
//! What is reproducible here without the guard: rustls takes its date from the driver and its randomness (hellos, sessions,
//! the order of extensions) too, for both can be injected. `ring` draws the keys of the key exchange and of the certificate
//! from the system by itself, so the bytes on the wire differ from run to run. Their lengths do not, which is all that a
//! simulated network looks at: an X25519 share has 32 bytes, an Ed25519 signature 64. An ECDSA signature has 70 to 72,
//! and would make traces differ. With the guard nothing has to be injected, and every byte is the seed's: see `guarded`.

use core::net::SocketAddr;
use std::io::ErrorKind;
use std::sync::{Arc, OnceLock};

use futures::future::LocalBoxFuture;
use futures::io::{AsyncReadExt, AsyncWriteExt};
use futures::{FutureExt, join};
use futures_rustls::pki_types::{
    CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName, UnixTime,
};
use futures_rustls::rustls::crypto::{CryptoProvider, GetRandomFailed, SecureRandom, ring};
use futures_rustls::rustls::time_provider::TimeProvider;
use futures_rustls::rustls::{ClientConfig, RootCertStore, ServerConfig};
use futures_rustls::{TlsAcceptor, TlsConnector, client};
use mainspring_executor::compat::FuturesIo;
use mainspring_executor::net::{TcpListener, TcpStream};
use mainspring_executor::time::wall_clock;
use mainspring_executor::{CancelToken, random};
use rcgen::{CertificateParams, KeyPair, PKCS_ED25519, SerialNumber};

use super::pattern::patterned;
use super::worlds::{everywhere, serve_each};

/// Whom the certificate is for.
const NAME: &str = "server.example";

/// More than the windows of any of the networks hold.
const COUNT: usize = 300_000;

/// A client that begins with this byte is dropped at once.
const DROP_ME: u8 = 255;

/// rustls' clock is the driver's.
#[derive(Debug)]
struct DriverTime;

impl TimeProvider for DriverTime {
    fn current_time(&self) -> Option<UnixTime> {
        wall_clock().map(UnixTime::since_unix_epoch)
    }
}

/// rustls' randomness is the driver's.
#[derive(Debug)]
struct DriverRandom;

impl SecureRandom for DriverRandom {
    fn fill(&self, target: &mut [u8]) -> Result<(), GetRandomFailed> {
        for part in target.chunks_mut(8) {
            part.copy_from_slice(&random().to_le_bytes()[..part.len()]);
        }
        Ok(())
    }
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(CryptoProvider { secure_random: &DriverRandom, ..ring::default_provider() })
}

/// A certificate for [`NAME`] and its key, made once a process; of the same length each time.
pub(super) fn identity() -> &'static (CertificateDer<'static>, Vec<u8>) {
    static IDENTITY: OnceLock<(CertificateDer<'static>, Vec<u8>)> = OnceLock::new();
    IDENTITY.get_or_init(|| {
        let key = KeyPair::generate_for(&PKCS_ED25519).expect("ring makes such keys");
        let mut params = CertificateParams::new([NAME.to_owned()]).expect("a name");
        params.serial_number = Some(SerialNumber::from(1));
        let certificate = params.self_signed(&key).expect("a certificate");
        (certificate.der().clone(), key.serialize_der())
    })
}

fn acceptor() -> TlsAcceptor {
    let (certificate, key) = identity();
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.clone()));
    let config = ServerConfig::builder_with_details(provider(), Arc::new(DriverTime))
        .with_safe_default_protocol_versions()
        .expect("ring has them")
        .with_no_client_auth()
        .with_single_cert(vec![certificate.clone()], key)
        .expect("the key is that of the certificate");
    Arc::new(config).into()
}

fn connector() -> TlsConnector {
    let mut roots = RootCertStore::empty();
    roots.add(identity().0.clone()).expect("a certificate");
    let config = ClientConfig::builder_with_details(provider(), Arc::new(DriverTime))
        .with_safe_default_protocol_versions()
        .expect("ring has them")
        .with_root_certificates(roots)
        .with_no_client_auth();
    Arc::new(config).into()
}

async fn connect(
    address: SocketAddr,
    name: &'static str,
) -> std::io::Result<client::TlsStream<FuturesIo<TcpStream>>> {
    let stream = TcpStream::connect(address).await.expect("the server listens");
    let name = ServerName::try_from(name).expect("a name");
    connector().connect(name, FuturesIo::new(stream)).await
}

/// Sends back what it gets, until the client says that it was all.
pub(super) fn server(listener: TcpListener, stop: CancelToken) -> LocalBoxFuture<'static, ()> {
    serve_each(listener, stop, |stream| async move {
        let Ok(mut stream) = acceptor().accept(FuturesIo::new(stream)).await else { return };
        let mut buffer = vec![0; 10_000];
        loop {
            let count = stream.read(&mut buffer).await.expect("the client ends in order");
            match buffer[..count] {
                [] => break,
                [DROP_ME, ..] => return,
                _ => stream.write_all(&buffer[..count]).await.expect("the client reads"),
            }
        }
        stream.close().await.expect("the client is there");
    })
    .boxed_local()
}

pub(super) async fn both_ways(address: SocketAddr) {
    let stream = connect(address, NAME).await.expect("a handshake");
    let (mut reader, mut writer) = stream.split();
    let write = async {
        writer.write_all(&patterned(0, COUNT)).await.expect("the server reads");
        writer.close().await.expect("the server is there");
    };
    let mut received = Vec::new();
    let read = reader.read_to_end(&mut received);
    let ((), read) = join!(write, read);
    assert_eq!(read.expect("the server ends in order"), COUNT);
    assert!(received == patterned(0, COUNT), "bytes were lost or changed");
}

/// An end of the connection that is none of TLS may be an attack, and is told apart.
async fn truncated(address: SocketAddr) {
    let mut stream = connect(address, NAME).await.expect("a handshake");
    stream.write_all(&[DROP_ME]).await.expect("the server reads");
    stream.flush().await.expect("the server reads");
    let error = stream.read(&mut [0; 1]).await.expect_err("an end without a word");
    assert_eq!(error.kind(), ErrorKind::UnexpectedEof);
}

async fn wrong_name(address: SocketAddr) {
    let error = connect(address, "other.example").await.expect_err("not its certificate");
    assert_eq!(error.kind(), ErrorKind::InvalidData, "{error}");
}

#[test]
fn rustls_moves_bytes_both_ways_at_one_time() {
    everywhere(server, |address| both_ways(address).boxed_local());
}

#[test]
fn rustls_tells_a_torn_connection_from_a_closed_one() {
    everywhere(server, |address| truncated(address).boxed_local());
}

#[test]
fn rustls_refuses_a_certificate_for_somebody_else() {
    everywhere(server, |address| wrong_name(address).boxed_local());
}
