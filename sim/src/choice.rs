//! `Choices`: the one source of everything that is not fixed. It knows neither machines nor sockets, only whom to draw
//! for, what for, and among how many.
//!
//! Invariant: nothing else in this crate draws, and 0 is always the harmless answer (first in the queue, least
//! latency, full read, no fault), so that a tape of zeros is a calm day.

use core::time::Duration;

use mainspring_executor::driver::Instant;
use rand::Rng;
use rand_pcg::Pcg64Mcg;

use crate::event::ShardId;
use crate::script::Script;
use crate::source::Source;

/// What a choice is about. Each has a stream of draws of its own for each shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Label {
    /// Which of the shards with something to do goes next.
    Host,
    /// Which of the ready tasks of a shard is polled next.
    Task,
    /// How long a packet is under way.
    Latency,
    /// In how many pieces a flight of bytes arrives.
    Pieces,
    /// How many bytes a read leaves behind.
    ShortRead,
    /// How many bytes a write leaves out.
    ShortWrite,
    /// Whether an edge comes for nothing, and when.
    Spurious,
    /// Which of the listeners on one address gets a connection.
    Listener,
    /// How long a job takes.
    Job,
    /// The random bits that a program asks for.
    Entropy,
    /// Whether a datagram gets lost.
    Loss,
    /// Whether a datagram arrives twice.
    Duplication,
    /// Whether the disk fails.
    DiskError,
    /// Whether it is full.
    DiskFull,
    /// How many bytes a write to a file leaves out, or one that fails has written.
    DiskWrite,
    /// Which of the branches of a `select!` is looked at first.
    Branch,
    /// Whether a name that is known cannot be looked up.
    NameFailure,
    /// Whether a packet of a connection gets lost.
    SegmentLoss,
    /// Whether a segment of a connection comes late, and how late.
    SegmentReordering,
    /// Whether it comes twice.
    SegmentDuplication,
    /// What a scenario leaves open itself.
    Scenario,
    /// By which rule a room picks who goes next.
    Order,
    /// Whether its buffers are small.
    Buffers,
    /// What a crash takes of the changes that were not on the disk.
    Crash,
    /// The random bits that a program asks the system for, past its driver.
    SystemEntropy,
    /// Whether a fault point of a program fires; in a swarm, whether any does.
    Buggify,
    /// Whether one is on in this run.
    BuggifySite,
    /// How much memory the hosts of a swarm have for sockets.
    SocketMemory,
    /// How long a poll takes.
    PollCost,
}

impl Label {
    pub(crate) const ALL: [Self; 29] = [
        Self::Host,
        Self::Task,
        Self::Latency,
        Self::Pieces,
        Self::ShortRead,
        Self::ShortWrite,
        Self::Spurious,
        Self::Listener,
        Self::Job,
        Self::Entropy,
        Self::Loss,
        Self::Duplication,
        Self::DiskError,
        Self::DiskFull,
        Self::DiskWrite,
        Self::Branch,
        Self::NameFailure,
        Self::SegmentLoss,
        Self::SegmentReordering,
        Self::SegmentDuplication,
        Self::Scenario,
        Self::Order,
        Self::Buffers,
        Self::Crash,
        Self::SystemEntropy,
        Self::Buggify,
        Self::BuggifySite,
        Self::SocketMemory,
        Self::PollCost,
    ];

    /// The name that goes into the seed of its streams: to rename one is to change all runs.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Host => "host",
            Self::Task => "task",
            Self::Latency => "latency",
            Self::Pieces => "pieces",
            Self::ShortRead => "short read",
            Self::ShortWrite => "short write",
            Self::Spurious => "spurious",
            Self::Listener => "listener",
            Self::Job => "job",
            Self::Entropy => "entropy",
            Self::Loss => "loss",
            Self::Duplication => "duplication",
            Self::DiskError => "disk error",
            Self::DiskFull => "disk full",
            Self::DiskWrite => "disk write",
            Self::Branch => "branch",
            Self::NameFailure => "name failure",
            Self::SegmentLoss => "segment loss",
            Self::SegmentReordering => "segment reordering",
            Self::SegmentDuplication => "segment duplication",
            Self::Scenario => "scenario",
            Self::Order => "order",
            Self::Buffers => "buffers",
            Self::Crash => "crash",
            Self::SystemEntropy => "system entropy",
            Self::Buggify => "buggify",
            Self::BuggifySite => "buggify site",
            Self::SocketMemory => "socket memory",
            Self::PollCost => "poll cost",
        }
    }
}

/// All choices of a run.
///
/// There is a stream for each pair of owner and label, so that one more draw in one place shifts no draw elsewhere.
/// The owner is a shard, or the room itself for what belongs to none. What a machine draws by itself, it draws as its
/// first shard. A stream is a [`Pcg64Mcg`], whose output is fixed
/// by its definition on every platform. Its state is two rounds of splitmix64 over the seed and the FNV-1a hash of
/// `owner/label`.
///
/// Answers come from there, unless a [`Script`] has others; and it may keep them.
#[derive(Debug)]
pub(crate) struct Choices {
    seed: u64,
    /// What choices are drawn from: the seed, but where another one is to draw them anew.
    choice_seed: u64,
    /// One block of `Label::ALL` for each owner; the room's is the first.
    streams: Vec<Pcg64Mcg>,
    script: Option<Box<Script>>,
}

impl Choices {
    pub(crate) fn new(source: &Source) -> Self {
        let script = source.script().map(Box::new);
        let (seed, choice_seed) = (source.seed(), source.choice_seed());
        let mut choices = Self { seed, choice_seed, streams: Vec::new(), script };
        choices.fork("");
        choices
    }

    pub(crate) fn seed(&self) -> u64 {
        self.seed
    }

    /// Makes the streams of the next shard.
    pub(crate) fn fork(&mut self, shard: &str) {
        for label in Label::ALL {
            let is_entropy = matches!(label, Label::Entropy | Label::SystemEntropy);
            let seed = if is_entropy { self.seed } else { self.choice_seed };
            self.streams.push(generator(seed, shard, label.name()));
            if let Some(script) = &mut self.script {
                script.add_stream(shard, label);
            }
        }
    }

    /// The stream of a purpose. One that is no label's is on no tape: what is drawn from it must decide nothing by itself.
    pub(crate) fn generator(&self, shard: &str, purpose: &str) -> Pcg64Mcg {
        generator(self.choice_seed, shard, purpose)
    }

    /// The virtual time moves on: a script keeps when a choice was made.
    pub(crate) fn advance_to(&mut self, instant: Instant) {
        if let Some(script) = &mut self.script {
            script.advance_to(instant);
        }
    }

    /// A number below `bound`, which is at least 1. Where there is nothing to choose, nothing is drawn.
    #[inline]
    pub(crate) fn choose(&mut self, owner: Option<ShardId>, label: Label, bound: u64) -> u64 {
        assert!(bound > 0, "a choice has at least one answer");
        if bound == 1 {
            return 0;
        }
        let (stream, script) = self.stream(owner, label);
        match script {
            None => below(stream, bound),
            Some((script, line)) => script.answer(line, bound, || below(stream, bound)),
        }
    }

    /// A choice of a scenario, which calls it so.
    pub(crate) fn choose_named(
        &mut self,
        owner: Option<ShardId>,
        name: &'static str,
        bound: u64,
    ) -> u64 {
        if let Some(script) = self.script.as_mut().filter(|_| bound > 1) {
            script.name = Some(name);
        }
        self.choose(owner, Label::Scenario, bound)
    }

    /// [`Choices::choose`] for a place in a list.
    pub(crate) fn index(&mut self, owner: Option<ShardId>, label: Label, length: usize) -> usize {
        let chosen = self.choose(owner, label, length as u64);
        usize::try_from(chosen).expect("below a usize")
    }

    /// True once in `one_in` times.
    pub(crate) fn chance(&mut self, owner: Option<ShardId>, label: Label, one_in: u64) -> bool {
        self.whether(owner, label, |stream| below(stream, one_in) == one_in - 1)
    }

    /// True in so many of a thousand times. Where that is never, nothing is drawn.
    pub(crate) fn chance_permille(&mut self, shard: ShardId, label: Label, permille: u32) -> bool {
        let lost = |stream: &mut Pcg64Mcg| below(stream, 1000) + u64::from(permille) >= 1000;
        permille > 0 && self.whether(Some(shard), label, lost)
    }

    /// True or false, as `draw` has it. On a tape it is 1 or 0: of all the ways in which nothing happens, there is one.
    fn whether(
        &mut self,
        owner: Option<ShardId>,
        label: Label,
        draw: impl FnOnce(&mut Pcg64Mcg) -> bool,
    ) -> bool {
        let (stream, script) = self.stream(owner, label);
        match script {
            None => draw(stream),
            Some((script, line)) => script.answer(line, 2, || u64::from(draw(stream))) == 1,
        }
    }

    /// Which of the ready tasks goes, where a priority says so and no script does.
    pub(crate) fn task(&mut self, shard: ShardId, count: usize, highest: usize) -> usize {
        let (_, script) = self.stream(Some(shard), Label::Task);
        match script {
            Some((script, line)) if count > 1 => {
                let chosen = script.answer(line, count as u64, || highest as u64);
                usize::try_from(chosen).expect("below a usize")
            }
            _ => highest,
        }
    }

    /// One of `count` branches. On a tape it is how far that is from taking turns: a branch that came first each time
    /// would starve the others.
    pub(crate) fn branch(&mut self, shard: ShardId, count: usize) -> usize {
        let bound = count as u64;
        let (stream, script) = self.stream(Some(shard), Label::Branch);
        let chosen = match script {
            _ if bound == 1 => 0,
            None => below(stream, bound),
            Some((script, line)) => {
                let turn = script.made(line) % bound;
                let away = || (below(stream, bound) + bound - turn) % bound;
                (turn + script.answer(line, bound, away)) % bound
            }
        };
        usize::try_from(chosen).expect("below a usize")
    }

    /// A duration of `span`; the shortest is the harmless one.
    #[inline]
    pub(crate) fn duration(&mut self, shard: ShardId, label: Label, span: Span) -> Duration {
        Duration::from_nanos(span.least + self.choose(Some(shard), label, span.choices))
    }

    /// Sixty-four bits. Not a choice in the narrow sense, for no value is more harmless than another: they are the seed's
    /// whatever a script says.
    pub(crate) fn bits(&mut self, shard: ShardId) -> u64 {
        self.stream(Some(shard), Label::Entropy).0.next_u64()
    }

    /// Bytes for who asks the system: [`Choices::bits`], of another stream.
    pub(crate) fn fill(&mut self, owner: Option<ShardId>, target: &mut [u8]) {
        self.stream(owner, Label::SystemEntropy).0.fill_bytes(target);
    }

    fn stream(
        &mut self,
        owner: Option<ShardId>,
        label: Label,
    ) -> (&mut Pcg64Mcg, Option<(&mut Script, usize)>) {
        let block = owner.map_or(0, |shard| shard.index() + 1);
        let index = block * Label::ALL.len() + label as usize;
        let script = self.script.as_deref_mut().map(|script| (script, index));
        (&mut self.streams[index], script)
    }
}

/// The stream of an owner and a purpose.
pub(crate) fn generator(seed: u64, owner: &str, purpose: &str) -> Pcg64Mcg {
    let hash = fnv1a(&[owner.as_bytes(), b"/", purpose.as_bytes()]);
    let high = splitmix64(seed ^ hash);
    let low = splitmix64(high.wrapping_add(hash));
    Pcg64Mcg::new(u128::from(high) << 64 | u128::from(low))
}

/// A number below `bound`: the high half of a 64 by 64 bit product. No loop, the same on every platform, off from fair by
/// less than `bound / 2^64`.
pub(crate) fn below(stream: &mut Pcg64Mcg, bound: u64) -> u64 {
    if bound == 1 {
        return 0;
    }
    let product = u128::from(stream.next_u64()) * u128::from(bound);
    u64::try_from(product >> 64).expect("the high half of a product of 64-bit numbers")
}

/// A range of durations, ready to draw from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Span {
    least: u64,
    choices: u64,
}

impl From<&core::ops::RangeInclusive<Duration>> for Span {
    fn from(range: &core::ops::RangeInclusive<Duration>) -> Self {
        let nanos = |duration: &Duration| {
            u64::try_from(duration.as_nanos()).expect("a latency or job below 584 years")
        };
        let (least, most) = (nanos(range.start()), nanos(range.end()));
        assert!(least <= most, "a range of durations starts with the shortest");
        Self { least, choices: (most - least).saturating_add(1) }
    }
}

impl Span {
    /// Whether it is of no time at all.
    pub(crate) fn is_zero(self) -> bool {
        self.least == 0 && self.choices == 1
    }

    pub(crate) fn range(self) -> core::ops::RangeInclusive<Duration> {
        let most = self.least + (self.choices - 1);
        Duration::from_nanos(self.least)..=Duration::from_nanos(most)
    }
}

pub(crate) fn fnv1a(parts: &[&[u8]]) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for byte in parts.iter().copied().flatten() {
        hash = (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
    }
    hash
}

pub(crate) fn splitmix64(seed: u64) -> u64 {
    let mut z = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draws(choices: &mut Choices, label: Label) -> Vec<u64> {
        (0..8).map(|_| choices.choose(None, label, 1000)).collect()
    }

    #[test]
    fn one_more_draw_shifts_no_other_stream() {
        let mut one = Choices::new(&7.into());
        let mut other = Choices::new(&7.into());
        other.choose(None, Label::Host, 9);
        assert_eq!(draws(&mut one, Label::Task), draws(&mut other, Label::Task));
        assert_ne!(draws(&mut one, Label::Host), draws(&mut other, Label::Host));
    }

    #[test]
    fn one_more_host_shifts_no_other_host() {
        let mut one = Choices::new(&7.into());
        let mut other = Choices::new(&7.into());
        one.fork("server");
        other.fork("client");
        other.fork("server");
        let place = |index| Some(ShardId::new(index));
        for _ in 0..8 {
            let expected = one.choose(place(0), Label::Task, 1000);
            assert_eq!(expected, other.choose(place(1), Label::Task, 1000));
        }
    }

    /// Fixed for ever: a seed in a bug report must mean the same run on every machine and after every upgrade.
    #[test]
    fn the_streams_are_what_they_always_were() {
        let mut choices = Choices::new(&42.into());
        assert_eq!(draws(&mut choices, Label::Latency), PINNED);
    }

    const PINNED: [u64; 8] = [359, 516, 679, 435, 815, 401, 946, 649];

    #[test]
    fn all_answers_come_up() {
        let mut choices = Choices::new(&1.into());
        let mut seen = [false; 5];
        for _ in 0..100 {
            seen[choices.index(None, Label::Host, 5)] = true;
        }
        assert_eq!(seen, [true; 5]);
    }

    #[test]
    fn seeds_differ() {
        let of = |seed: u64| draws(&mut Choices::new(&seed.into()), Label::Task);
        assert_ne!(of(1), of(2));
        assert_eq!(of(1), of(1));
    }
}
