//! `Crowd`: all peers, whose turn it is, and what became of them.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::error::Error;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::{Duration, Instant};

use rustix::event::Timespec;
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use rustix::fd::OwnedFd;

use crate::peer::{Kind, Outcome, Peer};

/// How many are let loose a second, until all are there.
const ARRIVALS_PER_SECOND: f64 = 4_000.0;
/// Addresses that they come from, 127.0.1.1 and up: a port is used once towards one server and from one address.
const SOURCES: usize = 100;
/// Taken at once: more than a server ever answers to one of them.
const SCRATCH_BYTES: usize = 16 * 1024;
const EVENTS_MAX: usize = 1024;
const REPORT_PAUSE: Duration = Duration::from_secs(1);
/// The golden ratio's fraction: its multiples are spread evenly, however many there are.
const EVEN: f64 = 0.618_033_988_749_895;

pub struct Crowd {
    server: SocketAddrV4,
    poller: OwnedFd,
    peers: Vec<Peer>,
    /// When each has its next turn, and which connection of it that is for: those of an earlier one are void.
    turns: BinaryHeap<Reverse<(Duration, usize, u64)>>,
    /// Which connection of a peer is its present one.
    generations: Vec<u64>,
    tally: Tally,
}

/// What has happened.
#[derive(Default)]
struct Tally {
    connects: u64,
    /// Connections that the server ended.
    cut: u64,
    /// Connections that could not be made.
    failed: u64,
    /// Turns taken: pieces sent, and pieces read.
    turns: u64,
}

impl Crowd {
    pub fn new(server: SocketAddrV4) -> Result<Self, Box<dyn Error>> {
        Ok(Self {
            server,
            poller: epoll::create(CreateFlags::CLOEXEC)?,
            peers: Vec::new(),
            turns: BinaryHeap::new(),
            generations: Vec::new(),
            tally: Tally::default(),
        })
    }

    /// So many more.
    pub fn add(&mut self, kind: Kind, count: usize) {
        for number in 0..count {
            let at = self.peers.len();
            let host = u8::try_from(at % SOURCES).expect("SOURCES fits") + 1;
            let share = (number as f64 * EVEN).fract();
            self.peers.push(Peer::new(kind, Ipv4Addr::new(127, 0, 1, host), share));
            self.generations.push(0);
            let arrival = Duration::from_secs_f64(at as f64 / ARRIVALS_PER_SECOND);
            self.turns.push(Reverse((arrival, at, 0)));
        }
    }

    /// Lets them loose for `length`.
    pub fn run(&mut self, length: Duration) -> Result<(), Box<dyn Error>> {
        let begin = Instant::now();
        let mut scratch = vec![0; SCRATCH_BYTES];
        let mut events: Vec<Event> = Vec::with_capacity(EVENTS_MAX);
        let mut next_report = REPORT_PAUSE;
        loop {
            let now = begin.elapsed();
            if now >= next_report {
                self.report(now);
                next_report += REPORT_PAUSE;
            }
            if now >= length {
                return Ok(());
            }
            self.take_turns(now, &mut scratch)?;
            let next = self.turns.peek().map_or(next_report, |Reverse((due, ..))| *due);
            let pause = next.min(next_report).saturating_sub(begin.elapsed());
            let pause = Timespec {
                tv_sec: i64::try_from(pause.as_secs())?,
                tv_nsec: i64::from(pause.subsec_nanos()),
            };
            events.clear();
            epoll::wait(&self.poller, rustix::buffer::spare_capacity(&mut events), Some(&pause))?;
            for event in &events {
                self.hear(*event, begin.elapsed(), &mut scratch)?;
            }
        }
    }

    /// All turns that are due by now.
    fn take_turns(&mut self, now: Duration, scratch: &mut [u8]) -> Result<(), Box<dyn Error>> {
        while let Some(&Reverse((due, at, generation))) = self.turns.peek() {
            if due > now {
                break;
            }
            self.turns.pop();
            if generation != self.generations[at] {
                continue;
            }
            if self.peers[at].is_gone() {
                self.connect(at, now)?;
                continue;
            }
            self.tally.turns += 1;
            let outcome = self.peers[at].act(now, scratch);
            self.go_on(at, outcome, now)?;
            if outcome == Outcome::Held {
                self.plan(at, self.peers[at].next_turn(due));
            }
        }
        Ok(())
    }

    /// The poller has something of a peer.
    fn hear(
        &mut self,
        event: Event,
        now: Duration,
        scratch: &mut [u8],
    ) -> Result<(), Box<dyn Error>> {
        let at = usize::try_from(event.data.u64())?;
        let peer = &mut self.peers[at];
        let flags = event.flags;
        let broken = flags.intersects(EventFlags::ERR | EventFlags::HUP);
        let mut outcome = if broken { Outcome::Cut } else { Outcome::Held };
        if outcome == Outcome::Held && flags.contains(EventFlags::OUT) {
            outcome = peer.greet();
        }
        if outcome == Outcome::Held && flags.contains(EventFlags::IN) {
            outcome = peer.take(scratch);
        }
        self.go_on(at, outcome, now)
    }

    /// Who has no connection any more makes a new one.
    fn go_on(&mut self, at: usize, outcome: Outcome, now: Duration) -> Result<(), Box<dyn Error>> {
        match outcome {
            Outcome::Held => return Ok(()),
            Outcome::Cut => self.tally.cut += 1,
            Outcome::Left => {}
        }
        self.connect(at, now)
    }

    fn connect(&mut self, at: usize, now: Duration) -> Result<(), Box<dyn Error>> {
        let peer = &mut self.peers[at];
        // The very first connection has the life that it was given.
        if self.generations[at] > 0 {
            peer.disconnect();
        }
        self.generations[at] += 1;
        match peer.connect(self.server, now) {
            Ok(stream) => {
                // Of edges one registration is enough: the first one says that the connection is there.
                let flags = EventFlags::IN | EventFlags::OUT | EventFlags::ET;
                epoll::add(&self.poller, stream, EventData::new_u64(at as u64), flags)?;
                self.tally.connects += 1;
            }
            Err(_) => self.tally.failed += 1,
        }
        self.plan(at, self.peers[at].first_turn(now));
        Ok(())
    }

    fn plan(&mut self, at: usize, turn: Option<Duration>) {
        if let Some(due) = turn {
            self.turns.push(Reverse((due, at, self.generations[at])));
        }
    }

    fn report(&self, now: Duration) {
        let up = |kind| self.peers.iter().filter(|it| it.kind() == kind && it.is_up()).count();
        let held: Vec<String> =
            Kind::ALL.into_iter().map(|kind| format!("\"{}\":{}", kind.name(), up(kind))).collect();
        let Tally { connects, cut, failed, turns } = &self.tally;
        println!(
            "{{\"seconds\":{:.1},{},\"connects\":{connects},\"cut\":{cut},\"failed\":{failed},\
             \"turns\":{turns}}}",
            now.as_secs_f64(),
            held.join(","),
        );
    }
}
