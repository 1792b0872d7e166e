//! The client of the echo case: so many connections, one message of 128 bytes in flight on each, over bare epoll.
//!
//! It reads the time that the server's threads have run at both ends of the measured stretch by itself, because it alone
//! knows when that begins and ends. It says its figures in one line of JSON.

mod usage;

use std::error::Error;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use rustix::buffer::spare_capacity;
use rustix::event::Timespec;
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use rustix::fd::OwnedFd;
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, recv, send};
use usage::Usage;

const MESSAGE: usize = 128;
/// A server that answers nothing for so long has failed.
const PATIENCE: Duration = Duration::from_secs(5);
const AT_ONCE: Timespec = Timespec { tv_sec: 0, tv_nsec: 0 };

struct Arguments {
    port: u16,
    connections: usize,
    warm_up: Duration,
    measured: Duration,
    server: u32,
}

struct Connection {
    socket: TcpStream,
    sent_at: Instant,
    received: usize,
}

struct Client {
    epoll: OwnedFd,
    connections: Vec<Connection>,
    events: Vec<Event>,
    message: [u8; MESSAGE],
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments =
        arguments().ok_or("usage: PORT CONNECTIONS WARM_UP_MS MEASURED_MS SERVER_PID")?;
    let mut client = Client::connect(arguments.port, arguments.connections)?;
    let mut latencies = Vec::with_capacity(1 << 20);
    client.run(arguments.warm_up, &mut latencies)?;
    let warm_up_count = latencies.len();
    latencies.clear();

    let own = std::process::id();
    let before = (Usage::of(arguments.server)?, Usage::of(own)?);
    let started = Instant::now();
    client.run(arguments.measured, &mut latencies)?;
    let seconds = started.elapsed().as_secs_f64();
    let server = Usage::of(arguments.server)?.since(before.0);
    let own = Usage::of(own)?.since(before.1);

    latencies.sort_unstable();
    let percentile = |share: usize| f64::from(latencies[(latencies.len() - 1) * share / 100]) / 1e3;
    let count = latencies.len();
    println!(
        "{{\"round_trips\": {count}, \"all_round_trips\": {}, \"seconds\": {seconds}, \
         \"cpu_us\": {}, \"p50_us\": {}, \"p99_us\": {}, \"server_ran_s\": {}, \"server_waited_s\": {}, \
         \"client_ran_s\": {}, \"client_waited_s\": {}}}",
        count + warm_up_count,
        server.ran as f64 / count as f64 / 1e3,
        percentile(50),
        percentile(99),
        server.ran as f64 / 1e9,
        server.waited as f64 / 1e9,
        own.ran as f64 / 1e9,
        own.waited as f64 / 1e9,
    );
    Ok(())
}

fn arguments() -> Option<Arguments> {
    let mut words = std::env::args().skip(1);
    let mut number = || words.next()?.parse::<u32>().ok();
    Some(Arguments {
        port: u16::try_from(number()?).ok()?,
        connections: number()? as usize,
        warm_up: Duration::from_millis(number()?.into()),
        measured: Duration::from_millis(number()?.into()),
        server: number()?,
    })
}

impl Client {
    fn connect(port: u16, count: usize) -> io::Result<Self> {
        let epoll = epoll::create(CreateFlags::CLOEXEC)?;
        let mut connections = Vec::with_capacity(count);
        for key in 0..count as u64 {
            let socket = TcpStream::connect(SocketAddr::from((Ipv4Addr::LOCALHOST, port)))?;
            socket.set_nodelay(true)?;
            socket.set_nonblocking(true)?;
            let flags = EventFlags::IN | EventFlags::ET;
            epoll::add(&epoll, &socket, EventData::new_u64(key), flags)?;
            connections.push(Connection { socket, sent_at: Instant::now(), received: 0 });
        }
        let message = core::array::from_fn(|at| at as u8);
        Ok(Self { epoll, connections, events: Vec::with_capacity(1024), message })
    }

    /// Sends a message on each connection, and the next when it has come back; stops sending when the time is over, and
    /// takes in what is still under way. Adds the nanoseconds of each round trip to `latencies`.
    fn run(&mut self, time: Duration, latencies: &mut Vec<u32>) -> io::Result<()> {
        let end = Instant::now() + time;
        for connection in &mut self.connections {
            connection.send(&self.message)?;
        }
        let mut in_flight = self.connections.len();
        while in_flight > 0 {
            self.wait()?;
            for event in &self.events {
                let connection = &mut self.connections[event.data.u64() as usize];
                if !connection.receive(&self.message)? {
                    continue;
                }
                let now = Instant::now();
                let nanos = now.duration_since(connection.sent_at).as_nanos();
                latencies.push(u32::try_from(nanos).unwrap_or(u32::MAX));
                if now < end {
                    connection.send(&self.message)?;
                } else {
                    in_flight -= 1;
                }
            }
        }
        Ok(())
    }

    /// Waits for events, awake: the core is its own. To wake a client that sleeps is the work of the server that writes to
    /// it, and a server so fast that its client never sleeps would be spared it.
    fn wait(&mut self) -> io::Result<()> {
        let mut idle_since = None;
        loop {
            self.events.clear();
            match epoll::wait(&self.epoll, spare_capacity(&mut self.events), Some(&AT_ONCE)) {
                Ok(0) if idle_since.get_or_insert_with(Instant::now).elapsed() >= PATIENCE => {
                    return Err(io::ErrorKind::TimedOut.into());
                }
                Ok(0) | Err(Errno::INTR) => {}
                Ok(_) => return Ok(()),
                Err(error) => return Err(error.into()),
            }
        }
    }
}

impl Connection {
    fn send(&mut self, message: &[u8; MESSAGE]) -> io::Result<()> {
        self.sent_at = Instant::now();
        self.received = 0;
        let sent = send(&self.socket, message, SendFlags::NOSIGNAL)?;
        assert_eq!(sent, MESSAGE, "an empty send buffer takes a message");
        Ok(())
    }

    /// Takes in what has come. True: the message is whole, and as it was sent.
    fn receive(&mut self, message: &[u8; MESSAGE]) -> io::Result<bool> {
        let mut buffer = [0; MESSAGE];
        let count = match recv(&self.socket, &mut buffer, RecvFlags::empty()) {
            Ok((_, 0)) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok((_, count)) => count,
            Err(Errno::AGAIN) => return Ok(false),
            Err(error) => return Err(error.into()),
        };
        let expected = message.get(self.received..self.received + count);
        if expected != Some(&buffer[..count]) {
            return Err(io::Error::other("the server echoes something else"));
        }
        self.received += count;
        Ok(self.received == MESSAGE)
    }
}
