//! `Fault`: one thing that is wrong for a while, and what it does to a room.

use core::fmt;
use core::ops::RangeInclusive;
use core::time::Duration;

use mainspring_sim::{Host, World};

/// How long a packet is under way on a slow link.
const SLOW: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(2);

/// How much too fast a clock is that drifts: a tenth, so that it shows.
const DRIFT_MILLIONTHS: i32 = 100_000;

/// How far a date jumps.
const JUMP: Duration = Duration::from_secs(3600);

/// What may be wrong, the less grave first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum FaultKind {
    /// The date of a machine is an hour ahead.
    DateJump,
    /// The clock of a machine is a tenth too fast.
    Drift,
    /// Packets from one host to another take one to two seconds.
    Slow,
    /// A program stands still: [`Host::pause`].
    Pause,
    /// Packets from one host to another get lost: [`World::cut`].
    Cut,
    /// Packets between two hosts get lost, both ways.
    Partition,
    /// A machine has no power: [`Host::crash`].
    Crash,
}

impl FaultKind {
    /// All of them, in their order.
    pub const ALL: [Self; 7] = [
        Self::DateJump,
        Self::Drift,
        Self::Slow,
        Self::Pause,
        Self::Cut,
        Self::Partition,
        Self::Crash,
    ];

    /// Whether it is about two hosts.
    #[must_use]
    pub const fn is_of_link(self) -> bool {
        matches!(self, Self::Slow | Self::Cut | Self::Partition)
    }
}

/// One thing that is wrong for a while.
#[derive(Clone, PartialEq, Eq)]
pub struct Fault {
    /// What.
    pub kind: FaultKind,
    /// Whose machine, or from where.
    pub host: String,
    /// To where, of those that are [of a link](FaultKind::is_of_link).
    pub peer: Option<String>,
    /// When it begins, since the start of the run.
    pub begin: Duration,
    /// How long it lasts.
    pub length: Duration,
}

impl fmt::Debug for Fault {
    /// On one line, for there are many.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kind, host, peer, begin, length } = self;
        write!(f, "{kind:?} {host}")?;
        if let Some(peer) = peer {
            write!(f, " -> {peer}")?;
        }
        write!(f, " at {begin:?} for {length:?}")
    }
}

impl Fault {
    /// When it ends, since the start of the run.
    #[must_use]
    pub fn end(&self) -> Duration {
        self.begin + self.length
    }

    /// What of it is wrong with whom; nothing where a host of it is not in this world.
    pub(crate) fn harms(&self, world: &World) -> Vec<Harm> {
        let Some(host) = world.find(&self.host) else { return Vec::new() };
        let peer = self.peer.as_ref().and_then(|peer| world.find(peer));
        let one = |kind, to: Option<&Host>| Harm { kind, host: host.clone(), to: to.cloned() };
        match (self.kind, peer) {
            (FaultKind::Partition, Some(peer)) => vec![
                one(FaultKind::Cut, Some(&peer)),
                Harm { kind: FaultKind::Cut, host: peer, to: Some(host) },
            ],
            (FaultKind::Slow | FaultKind::Cut, Some(peer)) => vec![one(self.kind, Some(&peer))],
            (FaultKind::Slow | FaultKind::Cut | FaultKind::Partition, None) => Vec::new(),
            (FaultKind::DateJump | FaultKind::Drift | FaultKind::Pause | FaultKind::Crash, _) => {
                vec![one(self.kind, None)]
            }
        }
    }
}

/// One machine, or one direction of a link, in one way. No [`FaultKind::Partition`]: that is two of them.
#[derive(Clone, Debug)]
pub(crate) struct Harm {
    kind: FaultKind,
    host: Host,
    to: Option<Host>,
}

/// What has to be put back in the end.
#[derive(Debug)]
pub(crate) struct Usual {
    latency: Option<RangeInclusive<Duration>>,
}

impl Harm {
    /// By which another one is told that does the same.
    pub(crate) fn key(&self) -> (FaultKind, String, String) {
        let to = self.to.as_ref().map_or("", |to| to.name());
        (self.kind, self.host.name().to_owned(), to.to_owned())
    }

    pub(crate) fn begin(&self, world: &World) -> Usual {
        let mut usual = Usual { latency: None };
        match (self.kind, &self.to) {
            (FaultKind::DateJump, _) => self.host.set_date_ahead(JUMP),
            (FaultKind::Drift, _) => self.host.set_drift(DRIFT_MILLIONTHS),
            (FaultKind::Pause, _) => self.host.pause(),
            (FaultKind::Crash, _) => self.host.crash(),
            (FaultKind::Slow, Some(to)) => {
                usual.latency = Some(world.latency(&self.host, to));
                world.set_latency(&self.host, to, SLOW);
            }
            (FaultKind::Cut, Some(to)) => world.cut(&self.host, to),
            (FaultKind::Slow | FaultKind::Cut, None) | (FaultKind::Partition, _) => {
                unreachable!("only whole harms are made")
            }
        }
        usual
    }

    pub(crate) fn end(&self, world: &World, usual: Usual, revive: &dyn Fn(&Host)) {
        match (self.kind, &self.to) {
            (FaultKind::DateJump, _) => self.host.set_date_ahead(Duration::ZERO),
            (FaultKind::Drift, _) => self.host.set_drift(0),
            (FaultKind::Pause, _) => self.host.resume(),
            (FaultKind::Crash, _) => {
                self.host.restart();
                revive(&self.host);
            }
            (FaultKind::Slow, Some(to)) => {
                let latency = usual.latency.expect("it was kept when this began");
                world.set_latency(&self.host, to, latency);
            }
            (FaultKind::Cut, Some(to)) => world.heal(&self.host, to),
            (FaultKind::Slow | FaultKind::Cut, None) | (FaultKind::Partition, _) => {
                unreachable!("only whole harms are made")
            }
        }
    }
}
