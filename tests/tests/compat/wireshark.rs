//! Wireshark's own dissectors, by `tshark`, read a capture of each protocol that is spoken here: they know it for what it is, find
//! nothing malformed, and think of its TCP what was so. It needs the program of the package `tshark`.
#![expect(
    clippy::disallowed_methods,
    reason = "it is outside of the program under test: a program of the operating system"
)]

use core::net::{Ipv4Addr, SocketAddr};
use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};
use std::env::temp_dir;
use std::fs;
use std::io::ErrorKind;
use std::path::PathBuf;
use std::process::Command;

use async_tungstenite::client_async;
use async_tungstenite::tungstenite::Message;
use futures::StreamExt;
use mainspring::{Request, Server, Shutdown};
use mainspring_executor::CancelToken;
use mainspring_executor::compat::FuturesIo;
use mainspring_executor::driver::{ListenOptions, Signal};
use mainspring_executor::net::{TcpListener, TcpStream, UdpSocket};
use mainspring_executor::time::timeout;
use mainspring_sim::bypass::alone;
use mainspring_sim::{Host, World, WorldConfig};
use mainspring_stand_ins::{Feed, Postgres, Redis};
use mainspring_tests::client::Client;

use super::real_server::skip;
use super::worlds::stand_in;
use super::{http2, postgres, redis, tls};

/// What tshark may take for one file; it takes a second.
const TSHARK_SECONDS: &str = "60";

const HTTP: u16 = 80;
const TLS: u16 = 443;
const POSTGRES: u16 = 5432;
const REDIS: u16 = 6379;
const ECHO: u16 = 7000;
const NOBODY: u16 = 7001;
const FEED: u16 = 8000;
const HTTP2: u16 = 8080;

/// More than a client is behind at any time: whether a window is full is up to programs, and not to packets.
const BUFFER_BYTES: usize = 1 << 20;

/// What TCP analysis may say of a connection that loses packets: they are sent again, also where it was the answer that got lost,
/// and who gets them once more says so, and what has been read meanwhile.
const OF_LOSS: &[&str] = ANALYSIS.split_at(6).0;

/// A server of each kind on one host, each with a client on another.
fn exchanges(seed: u64, config: WorldConfig) -> Vec<u8> {
    let config = WorldConfig { captures_packets: true, ..config };
    alone(seed, || {
        let world = World::new(seed, config);
        let (server, client) = (world.host("server"), world.host("client"));
        let stop = CancelToken::new();
        serve(&server, &stop);
        let address = server.clone();
        client.run(async move {
            http1(address.address(HTTP)).await;
            tls::both_ways(address.address(TLS)).await;
            postgres::session(address.address(POSTGRES)).await;
            redis::conversation(address.address(REDIS)).await;
            datagrams(address.address(ECHO), address.address(NOBODY)).await;
            web_socket(address.address(FEED)).await;
            http2::many_streams(address.address(HTTP2)).await;
            http2::many_streams(address.address_v6(HTTP2 + 1)).await;
            stop.cancel();
            address.signal(Signal::Terminate);
        });
        world.run().unwrap_or_else(|failure| panic!("{failure}"));
        let mut file = Vec::new();
        world.capture().write_to(&mut file).expect("a vector takes all");
        file
    })
}

fn listen(port: u16) -> TcpListener {
    let any = (Ipv4Addr::UNSPECIFIED, port).into();
    TcpListener::bind(any, ListenOptions::default()).expect("a free port")
}

fn serve(server: &Host, stop: &CancelToken) {
    let stops = || stop.clone();
    server.run(async {
        let shutdown = Shutdown::on_signals().expect("signals can be watched");
        let hello = |_: Request| async { "hello" };
        Server::new(hello).serve(vec![listen(HTTP)], shutdown).await;
    });
    let stopped = stops();
    server.run(async { tls::server(listen(TLS), stopped).await });
    let stopped = stops();
    server.run(async { stand_in(Postgres::new(), listen(POSTGRES), stopped).await });
    let stopped = stops();
    server.run(async { stand_in(Redis::new(), listen(REDIS), stopped).await });
    let stopped = stops();
    server.run(async { stand_in(Feed::new().echo(), listen(FEED), stopped).await });
    let stopped = stops();
    server.run(async { http2::server(listen(HTTP2), stopped).await });
    let stopped = stops();
    server.run(async {
        let any = ([0; 8], HTTP2 + 1).into();
        let listener = TcpListener::bind(any, ListenOptions::default()).expect("a free port");
        http2::server(listener, stopped).await;
    });
    let stopped = stops();
    server.run(async move {
        // It does not end by itself.
        let _stopped = stopped.run_until_cancelled(echo()).await;
    });
}

async fn echo() {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, ECHO).into()).expect("a free port");
    let mut buffer = [0; 100];
    loop {
        let received = socket.recv_from(&mut buffer).await.expect("nobody refuses");
        socket.send_to(&buffer[..received.count], received.peer).await.expect("there is room");
    }
}

async fn http1(address: SocketAddr) {
    let mut client = Client::connect(address).await.expect("it listens");
    for _ in 0..3 {
        let request = b"GET / HTTP/1.1\r\nHost: server\r\n\r\n";
        let answer = client.exchange(request, false).await.expect("an answer");
        assert_eq!(answer.body, b"hello");
    }
}

async fn datagrams(echo: SocketAddr, nobody: SocketAddr) {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0).into()).expect("a free port");
    socket.send_to(b"hello", echo).await.expect("there is room");
    assert_eq!(socket.recv_from(&mut [0; 9]).await.expect("an answer").count, 5);
    socket.connect(nobody).expect("the same version of IP");
    socket.send(b"hello").await.expect("there is room");
    let refused = timeout(Duration::from_secs(1), socket.recv_from(&mut [0; 9])).await;
    let error = refused.expect("it is told").expect_err("nobody is there");
    assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
}

async fn web_socket(address: SocketAddr) {
    let stream = TcpStream::connect(address).await.expect("it listens");
    let connecting = client_async(format!("ws://{address}/feed"), FuturesIo::new(stream)).await;
    let (mut client, _) = connecting.expect("a handshake");
    client.send(Message::text("hello")).await.expect("it reads");
    let answer = client.next().await.expect("it is there").expect("a message");
    assert_eq!(answer, Message::text("hello"));
    client.close(None).await.expect("it reads");
    while let Some(Ok(_)) = client.next().await {}
}

/// A file that is gone when it is dropped, and an empty folder for the settings of tshark.
struct File {
    folder: PathBuf,
}

impl File {
    fn new(name: &str, bytes: &[u8]) -> Self {
        let folder = temp_dir().join(format!("mainspring-{name}-{}", std::process::id()));
        fs::create_dir_all(&folder).expect("a folder for temporary files");
        fs::write(folder.join("capture.pcapng"), bytes).expect("there is room");
        Self { folder }
    }

    fn path(&self) -> PathBuf {
        self.folder.join("capture.pcapng")
    }
}

impl Drop for File {
    fn drop(&mut self) {
        // Whatever is left there harms nobody.
        drop(fs::remove_dir_all(&self.folder));
    }
}

/// One packet, as tshark has it.
struct Packet {
    /// From the outermost one on: `raw:ip:tcp:http`.
    protocols: String,
    interface: String,
    /// What the analysis of TCP has to say.
    analysis: BTreeSet<&'static str>,
    /// What is wrong with it.
    faults: BTreeSet<&'static str>,
}

impl Packet {
    fn is(&self, protocol: &str) -> bool {
        self.protocols.split(':').any(|name| name == protocol)
    }
}

/// Whatever the analysis of TCP may say, first what it says [of loss](OF_LOSS), and what it says where it would say nothing in particular.
const ANALYSIS: [&str; 17] = [
    "tcp.analysis.retransmission",
    "tcp.analysis.spurious_retransmission",
    "tcp.analysis.fast_retransmission",
    "tcp.analysis.duplicate_ack",
    "tcp.analysis.rto",
    "tcp.analysis.window_update",
    "tcp.analysis.window_full",
    "tcp.analysis.zero_window",
    "tcp.analysis.zero_window_probe",
    "tcp.analysis.zero_window_probe_ack",
    "tcp.analysis.keep_alive",
    "tcp.analysis.keep_alive_ack",
    "tcp.analysis.out_of_order",
    "tcp.analysis.lost_segment",
    "tcp.analysis.ack_lost_segment",
    "tcp.analysis.reused_ports",
    "tcp.analysis.tfo_ack",
];

/// Where each of these is there, something is wrong; the sums are checked.
const FAULTS: [&str; 2] = ["_ws.malformed", "_ws.lua.error"];

/// So are these where they are 0.
const SUMS: [&str; 5] = [
    "ip.checksum.status",
    "tcp.checksum.status",
    "udp.checksum.status",
    "icmp.checksum.status",
    "icmpv6.checksum.status",
];

/// What tshark says of each packet of a file.
fn dissect(file: &File) -> Vec<Packet> {
    let fields = ["frame.protocols", "frame.interface_name"];
    let fields: Vec<&str> = fields.into_iter().chain(ANALYSIS).chain(FAULTS).chain(SUMS).collect();
    let mut command = Command::new("timeout");
    command.args([TSHARK_SECONDS, "tshark", "-n", "-T", "fields", "-r"]).arg(file.path());
    command.env("WIRESHARK_CONFIG_DIR", &file.folder);
    for sum in ["ip", "tcp", "udp"] {
        command.args(["-o", &format!("{sum}.check_checksum:TRUE")]);
    }
    // Without TLS nobody says which protocol it is.
    for port in [HTTP2, HTTP2 + 1] {
        command.args(["-d", &format!("tcp.port=={port},http2")]);
    }
    command.args(["-d", &format!("tcp.port=={FEED},http")]);
    for field in &fields {
        command.args(["-e", field]);
    }
    let output = command.output().expect("`timeout` is there");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).expect("plain text");
    text.lines().map(|line| packet(&fields, line)).collect()
}

fn packet(fields: &[&'static str], line: &str) -> Packet {
    let values: BTreeMap<&str, &str> = fields.iter().copied().zip(line.split('\t')).collect();
    assert_eq!(values.len(), fields.len(), "a value for each field: {line:?}");
    let there = |names: &[&'static str]| -> BTreeSet<&'static str> {
        names.iter().copied().filter(|name| !values[name].is_empty()).collect()
    };
    let is_bad =
        |name: &&str| values[name].split(',').any(|status| status == "0" || status == "Bad");
    let mut faults = there(&FAULTS);
    faults.extend(SUMS.into_iter().filter(|name| is_bad(name)));
    Packet {
        protocols: values["frame.protocols"].to_owned(),
        interface: values["frame.interface_name"].to_owned(),
        analysis: there(&ANALYSIS),
        faults,
    }
}

fn is_installed() -> bool {
    Command::new("tshark").arg("--version").output().is_ok()
}

/// Asserts that each protocol is known in packets of both hosts, and that nothing is wrong with any packet; gives all that the
/// analysis of TCP says.
#[track_caller]
fn check(name: &str, config: WorldConfig) -> BTreeMap<&'static str, usize> {
    let file = File::new(name, &exchanges(1, config));
    let packets = dissect(&file);
    for protocol in ["http", "tls", "pgsql", "resp", "udp", "websocket", "http2", "ipv6"] {
        for host in ["client", "server"] {
            let is_it = |packet: &&Packet| packet.is(protocol) && packet.interface == host;
            assert!(packets.iter().any(|packet| is_it(&packet)), "{name}: {protocol} of {host}");
        }
    }
    assert!(packets.iter().any(|packet| packet.is("icmp")), "{name}: nobody is at a port");
    let mut said = BTreeMap::new();
    for (index, packet) in packets.iter().enumerate() {
        let (number, Packet { protocols, faults, .. }) = (index + 1, packet);
        assert!(faults.is_empty(), "{name}: packet {number}, {protocols}: {faults:?}");
        for what in &packet.analysis {
            *said.entry(*what).or_default() += 1;
        }
    }
    said
}

fn calm() -> WorldConfig {
    let (send_buffer_bytes, recv_buffer_bytes) = (BUFFER_BYTES, BUFFER_BYTES);
    WorldConfig { send_buffer_bytes, recv_buffer_bytes, ..WorldConfig::calm() }
}

#[test]
fn tshark_reads_each_protocol_and_finds_nothing_amiss() {
    if !is_installed() {
        return skip("tshark", "tshark");
    }
    assert_eq!(check("calm", calm()), BTreeMap::new());
}

#[test]
fn tshark_sees_what_gets_lost_sent_again_and_nothing_else_amiss() {
    if !is_installed() {
        return skip("tshark", "tshark");
    }
    let mut said = check("lossy", WorldConfig { segment_loss_permille: 60, ..calm() });
    let count = said.get("tcp.analysis.retransmission").copied().unwrap_or_default();
    assert!(count >= 10, "{count} segments were sent again: {said:?}");
    said.retain(|what, _| !OF_LOSS.contains(what));
    assert_eq!(said, BTreeMap::new());
}
