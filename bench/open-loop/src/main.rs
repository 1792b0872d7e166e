//! A client that asks at a fixed rate, whether or not the server keeps up (an open loop): request `k` is due at `k`
//! over the rate, and its latency counts from then, not from when a connection was free for it. A closed loop, as
//! wrk's, waits for the slow answer and leaves out the requests that would have met the same delay.
//!
//! One thread, which does not sleep: its own waking up would be in every figure. Each connection has one request in
//! flight; the one that has been idle for longest is next, and a request that finds none waits in order. The first
//! answer on each connection tells how long all of them are: the server's `Date` is of one length.
//!
//! With `stamps` it may share its core. A request counts from the moment it was sent, unless it was the server that kept it
//! waiting, and to the moment that the kernel has noted for the arrival of its answer (`SO_TIMESTAMPNS`): the time in which
//! the client was not run is in no figure. So it may sleep as well, and does, until a request is due or an answer is there.

use std::collections::VecDeque;
use std::error::Error;
use std::io::{self, ErrorKind, IoSliceMut, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant, SystemTime};

use memchr::memmem;
use nix::sys::socket::{self, ControlMessageOwned, MsgFlags, sockopt};
use nix::sys::time::TimeSpec;
use rustix::event::Timespec;
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use rustix::fd::OwnedFd;

const USAGE: &str = "usage: open-loop ADDR PATH RATE CONNECTIONS SECONDS [stamps]";
/// Answers that came in this part of the run, at its start, do not count.
const WARM_UP: Duration = Duration::from_secs(1);
/// Most bytes of one answer.
const ANSWER_BYTES_MAX: usize = 4096;
/// The p99 is told of the whole run, and as the median of those of its slices: what befalls few slices, such as another
/// process of the machine that has the core once a second, is in the first and not in the second.
const SLICE: Duration = Duration::from_millis(100);
/// After the last request was due, so long is waited for answers. What is missing then is an error.
const PATIENCE: Duration = Duration::from_secs(5);
const OK: &[u8] = b"HTTP/1.1 200 ";

struct Options {
    address: SocketAddr,
    request: Vec<u8>,
    rate: f64,
    connections: usize,
    seconds: f64,
    /// The kernel says when answers came.
    stamps: bool,
}

struct Connection {
    stream: TcpStream,
    /// When the request in flight was due.
    due: Duration,
    /// Since when it counts, by the clock of the stamps if there are any.
    since: Duration,
    /// When the answer before came, by the same clock.
    answered: Duration,
    /// Bytes of its answer so far.
    received: usize,
    answer: [u8; ANSWER_BYTES_MAX],
}

/// What came of the requests, all of them and those after the warm-up.
#[derive(Default)]
struct Outcome {
    latencies: Vec<u64>,
    /// The same, by the slice in which the request was due.
    slices: Vec<Vec<u64>>,
    answered: u64,
    /// The longest time a request was due while a connection was free for it: the client's own fault.
    late: Duration,
}

fn main() -> Result<(), Box<dyn Error>> {
    let options = options()?;
    let poller = epoll::create(CreateFlags::CLOEXEC)?;
    let mut connections = Vec::with_capacity(options.connections);
    let mut answer_bytes = 0;
    for at in 0..options.connections {
        let (connection, length) = connect(&options)?;
        answer_bytes = length;
        let data = EventData::new_u64(at as u64);
        epoll::add(&poller, &connection.stream, data, EventFlags::IN | EventFlags::ET)?;
        connections.push(connection);
    }
    let outcome = run(&options, &poller, &mut connections, answer_bytes)?;
    report(&options, outcome);
    Ok(())
}

fn options() -> Result<Options, Box<dyn Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let (args, stamps) = match args.split_last() {
        Some((last, args)) if last == "stamps" => (args, true),
        _ => (args.as_slice(), false),
    };
    let [address, path, rate, connections, seconds] = args else {
        return Err(USAGE.into());
    };
    let options = Options {
        address: address.parse()?,
        request: format!("GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n").into_bytes(),
        rate: rate.parse()?,
        connections: connections.parse()?,
        seconds: seconds.parse()?,
        stamps,
    };
    let sound = options.rate > 0.0 && options.connections > 0 && options.seconds > 0.0;
    if sound { Ok(options) } else { Err(USAGE.into()) }
}

/// A connection that has been answered once, and how long that answer was.
fn connect(options: &Options) -> Result<(Connection, usize), Box<dyn Error>> {
    let mut stream = TcpStream::connect(options.address)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(&options.request)?;
    let mut answer = [0; ANSWER_BYTES_MAX];
    let mut received = 0;
    let length = loop {
        let read = stream.read(&mut answer[received..])?;
        received += read;
        if read == 0 {
            return Err("the server hung up, or its answer is too long".into());
        }
        if let Some(length) = answer_length(&answer[..received])
            && received >= length
        {
            break length;
        }
    };
    if received != length || !answer.starts_with(OK) {
        return Err("the first answer is not one 200".into());
    }
    stream.set_nonblocking(true)?;
    if options.stamps {
        socket::setsockopt(&stream, sockopt::ReceiveTimestampns, &true)?;
    }
    let never = Duration::ZERO;
    let (due, since, answered) = (never, never, never);
    Ok((Connection { stream, due, since, answered, received: 0, answer }, length))
}

/// The bytes of head and body once the head is there, by its `Content-Length`.
fn answer_length(answer: &[u8]) -> Option<usize> {
    const NAME: &[u8] = b"content-length:";
    let head = memmem::find(answer, b"\r\n\r\n")? + 4;
    let line = answer[..head]
        .split(|&byte| byte == b'\n')
        .find(|line| line.get(..NAME.len()).is_some_and(|it| it.eq_ignore_ascii_case(NAME)))?;
    let body: usize = std::str::from_utf8(&line[NAME.len()..]).ok()?.trim().parse().ok()?;
    Some(head + body)
}

fn run(
    options: &Options,
    poller: &OwnedFd,
    connections: &mut [Connection],
    answer_bytes: usize,
) -> Result<Outcome, Box<dyn Error>> {
    let length = WARM_UP + Duration::from_secs_f64(options.seconds);
    let total = (length.as_secs_f64() * options.rate) as u64;
    let mut outcome = Outcome::default();
    outcome.latencies.reserve((options.seconds * options.rate) as usize + 1);
    let mut idle: VecDeque<usize> = (0..connections.len()).collect();
    let mut events: Vec<Event> = Vec::with_capacity(connections.len());
    let mut sent = 0;
    // Requests due before this moment have found no idle connection: the server is late with them, not the client.
    let mut starved_until = Duration::ZERO;
    let begin = Instant::now();
    let begin_by_stamps = clock_of_stamps()?;
    let mut space = nix::cmsg_space!(TimeSpec);
    while outcome.answered < total {
        let now = begin.elapsed();
        if now > length + PATIENCE {
            break;
        }
        while sent < total {
            let due = Duration::from_secs_f64(sent as f64 / options.rate);
            if due > now {
                break;
            }
            let Some(at) = idle.pop_front() else {
                starved_until = now;
                break;
            };
            if due > starved_until {
                outcome.late = outcome.late.max(now - due);
            }
            let connection = &mut connections[at];
            let since = if options.stamps { connection.since(begin_by_stamps + due)? } else { due };
            ask(connection, due, since, &options.request)?;
            sent += 1;
        }
        let due = Duration::from_secs_f64(sent as f64 / options.rate);
        let pause = if !options.stamps {
            Duration::ZERO
        } else if idle.is_empty() || sent == total {
            PATIENCE
        } else {
            due.saturating_sub(begin.elapsed())
        };
        events.clear();
        let pause = Timespec::try_from(pause)?;
        epoll::wait(poller, rustix::buffer::spare_capacity(&mut events), Some(&pause))?;
        for event in &events {
            let at = usize::try_from(event.data.u64())?;
            let connection = &mut connections[at];
            let answered = if options.stamps {
                take_with_stamp(connection, answer_bytes, &mut space)?
            } else {
                take(connection, answer_bytes)?.then(|| begin.elapsed())
            };
            if let Some(answered) = answered {
                outcome.answered += 1;
                connection.answered = answered;
                if connection.due >= WARM_UP {
                    // The clock of the stamps may have been set back by a hair meanwhile.
                    let latency = answered.saturating_sub(connection.since);
                    let latency = u64::try_from(latency.as_nanos())?;
                    outcome.latencies.push(latency);
                    let since_warm = connection.due - WARM_UP;
                    let slice = usize::try_from(since_warm.as_nanos() / SLICE.as_nanos())?;
                    outcome.slices.resize(outcome.slices.len().max(slice + 1), Vec::new());
                    outcome.slices[slice].push(latency);
                }
                idle.push_back(at);
            }
        }
    }
    if outcome.answered < total {
        let missing = total - outcome.answered;
        return Err(format!("{missing} of {total} requests were not answered").into());
    }
    Ok(outcome)
}

impl Connection {
    /// Since when a request counts that was due at `due`, and is written now. This connection is the one that has been free
    /// for longest: if it was not free when the request was due, none was, and it is the server that kept it waiting.
    fn since(&self, due: Duration) -> Result<Duration, Box<dyn Error>> {
        if self.answered > due { Ok(due) } else { clock_of_stamps() }
    }
}

/// A request is smaller than any socket's buffer, which is empty: it goes whole.
fn ask(
    connection: &mut Connection,
    due: Duration,
    since: Duration,
    request: &[u8],
) -> Result<(), Box<dyn Error>> {
    (connection.due, connection.since) = (due, since);
    connection.received = 0;
    if connection.stream.write(request)? < request.len() {
        return Err("the socket did not take a whole request".into());
    }
    Ok(())
}

/// Reads what is there; whether that completes the answer.
fn take(connection: &mut Connection, answer_bytes: usize) -> Result<bool, Box<dyn Error>> {
    loop {
        let room = &mut connection.answer[connection.received..];
        match connection.stream.read(room) {
            Ok(0) => return Err("the server hung up, or its answer is too long".into()),
            Ok(read) => connection.received += read,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(error) => return Err(error.into()),
        }
        if connection.received >= answer_bytes {
            return check(connection, answer_bytes).map(|()| true);
        }
    }
}

/// Reads what is there; if that completes the answer, when its last bytes came.
fn take_with_stamp(
    connection: &mut Connection,
    answer_bytes: usize,
    space: &mut [u8],
) -> Result<Option<Duration>, Box<dyn Error>> {
    loop {
        let room = &mut connection.answer[connection.received..];
        let mut slices = [IoSliceMut::new(room)];
        let socket = connection.stream.as_raw_fd();
        let received =
            socket::recvmsg::<()>(socket, &mut slices, Some(space), MsgFlags::MSG_DONTWAIT);
        let message = match received.map_err(io::Error::from) {
            Ok(message) if message.bytes == 0 => {
                return Err("the server hung up, or its answer is too long".into());
            }
            Ok(message) => message,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(None),
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(error) => return Err(error.into()),
        };
        let stamp = message.cmsgs()?.find_map(|it| match it {
            ControlMessageOwned::ScmTimestampns(stamp) => Some(Duration::from(stamp)),
            _ => None,
        });
        connection.received += message.bytes;
        if connection.received >= answer_bytes {
            check(connection, answer_bytes)?;
            return Ok(Some(stamp.ok_or("the kernel stamps nothing")?));
        }
    }
}

/// The clock that the kernel stamps by.
fn clock_of_stamps() -> Result<Duration, Box<dyn Error>> {
    Ok(SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?)
}

fn check(connection: &Connection, answer_bytes: usize) -> Result<(), Box<dyn Error>> {
    let is_right = connection.received == answer_bytes && connection.answer.starts_with(OK);
    if is_right { Ok(()) } else { Err(unexpected().into()) }
}

fn unexpected() -> io::Error {
    io::Error::new(ErrorKind::InvalidData, "an answer is not one 200 of the length of the first")
}

/// One line of JSON, times in microseconds.
fn report(options: &Options, mut outcome: Outcome) {
    let mut slices: Vec<u64> =
        outcome.slices.iter_mut().map(|slice| percentile(slice, 0.99)).collect();
    let slice_p99 = percentile(&mut slices, 0.5);
    let micros = |share: f64, latencies: &mut [u64]| percentile(latencies, share) as f64 / 1e3;
    let latencies = &mut outcome.latencies;
    println!(
        "{{\"asked_per_s\":{},\"requests\":{},\"p50_us\":{:.1},\"p99_us\":{:.1},\"p999_us\":{:.1},\
         \"max_us\":{:.1},\"slice_p99_us\":{:.1},\"late_us\":{:.1}}}",
        options.rate,
        latencies.len(),
        micros(0.5, latencies),
        micros(0.99, latencies),
        micros(0.999, latencies),
        micros(1.0, latencies),
        slice_p99 as f64 / 1e3,
        outcome.late.as_secs_f64() * 1e6,
    );
}

/// What that share of the numbers does not exceed, which it puts in order; 0 if there are none.
fn percentile(numbers: &mut [u64], share: f64) -> u64 {
    numbers.sort_unstable();
    let at = (numbers.len() as f64 * share) as usize;
    numbers.get(at.min(numbers.len().saturating_sub(1))).copied().unwrap_or(0)
}
