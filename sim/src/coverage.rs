//! `Coverage`: what one run has reached: which faults happened how often, and which sites of the programs were passed. It
//! decides nothing, and is in no hash.

use std::collections::BTreeMap;

use mainspring_executor::driver::Site;

/// Makes an enum that knows all of its variants, and a name for each.
macro_rules! named {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $text:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum $name {
            $($(#[$variant_doc])* $variant,)*
        }

        impl $name {
            /// All of them, in their order.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// In words, as reports have it.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $text,)*
                }
            }
        }
    };
}

named! {
    /// A kind of thing that goes wrong in a room.
    Fault {
        /// A segment of a connection got lost, by chance, by a cut or by a full queue.
        SegmentLost = "segments lost",
        /// An acknowledgement or a reset did.
        AnswerLost = "ACKs and RSTs lost",
        /// A SYN or its answer did.
        HandshakeLost = "handshakes lost",
        /// The client's timer for an answer to its SYN ran out.
        SynTimeout = "SYN timers run out",
        /// A listener had no place for a SYN.
        BacklogOverflow = "backlog overflows",
        /// Nobody listened where a SYN arrived.
        Refusal = "connections refused",
        /// A reset arrived.
        Reset = "resets",
        /// A kernel gave a connection up, for nobody had answered for too long.
        ConnectionTimeout = "connections timed out",
        /// A packet found a machine without power.
        Unheard = "packets to dead machines",
        /// What was sent at one instant left in pieces.
        SplitFlight = "flights in pieces",
        /// A segment was overtaken by those behind it.
        SegmentLate = "segments late",
        /// One came twice.
        SegmentTwice = "segments twice",
        /// A datagram got lost.
        DatagramLost = "datagrams lost",
        /// One came twice.
        DatagramTwice = "datagrams twice",
        /// A receiver had no room for one, or its host no memory.
        DatagramDropped = "datagrams dropped",
        /// A host had no memory for segments that arrived.
        SegmentDropped = "segments dropped",
        /// A write took less than its socket had room for, as the host had no memory for more.
        WriteWithoutMemory = "writes without memory",
        /// A host had no memory for a socket, or for a datagram to send (`ENOBUFS`).
        NoBuffers = "out of buffers",
        /// A link was cut in one direction.
        Cut = "links cut",
        /// A read gave less than there was.
        ShortRead = "short reads",
        /// A write to a socket took less than there was room for.
        ShortWrite = "short writes",
        /// An edge came for nothing.
        SpuriousEdge = "edges for nothing",
        /// A program had as many tokens as it may (`EMFILE`).
        OutOfTokens = "out of tokens",
        /// Too many jobs waited for a thread.
        JobRefused = "jobs refused",
        /// An operation on a file failed with `EIO`.
        DiskError = "disk errors",
        /// One failed with `ENOSPC`.
        DiskFull = "full disks",
        /// A write to a file took less than it was given.
        ShortFileWrite = "short writes to files",
        /// A name that is known could not be looked up.
        NameFailure = "lookups failed",
        /// A call failed because a scenario had it fail.
        CallFailed = "calls made to fail",
        /// A machine lost its power.
        Crash = "crashes",
        /// One came back, or a program was started again.
        Restart = "restarts",
        /// A crash took changes of files with it.
        ChangesLost = "crashes that lose changes",
        /// A program stood still.
        Pause = "pauses",
        /// A clock began to go wrong.
        Drift = "clocks that drift",
        /// A date jumped.
        DateJump = "dates that jump",
        /// A poll took too long.
        Stall = "stalls",
        /// A signal came.
        Signal = "signals",
        /// A signal killed a program.
        Death = "deaths by signal",
        /// Something went wrong where a program lets it: `buggify!`.
        FaultPoint = "fault points fired",
    }
}

/// How often a site was passed. Of a `buggify!` it is how often it was asked, and how often it fired.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Passes {
    /// In any way.
    pub passed: u64,
    /// With what it says being so.
    pub held: u64,
}

/// What a run has reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Coverage {
    /// By the place in [`Fault::ALL`].
    faults: [u64; Fault::ALL.len()],
    sites: BTreeMap<&'static Site, Passes>,
}

impl Default for Coverage {
    fn default() -> Self {
        Self { faults: [0; Fault::ALL.len()], sites: BTreeMap::new() }
    }
}

impl Coverage {
    /// How often a fault happened.
    #[must_use]
    pub fn fault(&self, fault: Fault) -> u64 {
        self.faults[fault as usize]
    }

    /// The sites that were passed, in the order of their places.
    pub fn sites(&self) -> impl Iterator<Item = (&'static Site, Passes)> {
        self.sites.iter().map(|(site, passes)| (*site, *passes))
    }

    /// How often a site of that name was passed, and held; of all sites that have it.
    #[must_use]
    pub fn named(&self, name: &str) -> Passes {
        let of_name = self.sites().filter(|(site, _)| site.name == name);
        of_name.fold(Passes::default(), |sum, (_, passes)| sum.plus(passes))
    }

    #[inline]
    pub(crate) fn add_fault(&mut self, fault: Fault) {
        self.faults[fault as usize] += 1;
    }

    pub(crate) fn add_pass(&mut self, site: &'static Site, holds: bool) {
        let passes = self.sites.entry(site).or_default();
        *passes = passes.plus(Passes { passed: 1, held: u64::from(holds) });
    }

    /// Adds what another world of the run has reached.
    pub(crate) fn merge(&mut self, other: Self) {
        for (count, more) in self.faults.iter_mut().zip(other.faults) {
            *count += more;
        }
        for (site, more) in other.sites {
            let passes = self.sites.entry(site).or_default();
            *passes = passes.plus(more);
        }
    }
}

impl Passes {
    const fn plus(self, other: Self) -> Self {
        Self { passed: self.passed + other.passed, held: self.held + other.held }
    }
}
