//! `Trace`: what happened, as a running hash and, where asked for, as text. It decides nothing.
//!
//! Invariant: two runs with the same hash and count did the same things at the same instants on the same shards, as far
//! as 64 bits can tell.

mod line;

use std::rc::Rc;

use line::Line;
use mainspring_executor::driver::{Instant, Pulse};
use mainspring_sim_allocator::Entered;

use crate::coverage::Fault;
use crate::event::ShardId;
use crate::ties::Ties;

/// What kind of thing happened. The number goes into the hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Turn,
    Poll,
    Listen,
    Accept,
    Connect,
    ConnectOutcome,
    Read,
    Write,
    ShutdownWrite,
    Close,
    Abort,
    SubscribeSignals,
    NextSignal,
    Submit,
    Refuse,
    Collect,
    Entropy,
    Edge,
    SynTimer,
    Syn,
    SynDropped,
    SynAck,
    Refusal,
    Bytes,
    Fin,
    Ack,
    Reset,
    JobDone,
    Spurious,
    Hook,
    Signal,
    Death,
    ListenPath,
    ConnectPath,
    StreamPair,
    SetNodelay,
    BindDatagram,
    ConnectDatagram,
    ReceiveFrom,
    SendTo,
    Datagram,
    DatagramLost,
    DatagramUnwanted,
    DatagramDropped,
    Unreachable,
    Choose,
    Spend,
    Stall,
    Detach,
    Adopt,
    CloseDetached,
    ProcessStarted,
    ProcessExits,
    ProcessKilled,
    ProcessExit,
    SignalProcess,
    SynLost,
    SegmentLost,
    AnswerLost,
    Resend,
    Repeat,
    Crash,
    Restart,
    Pause,
    Resume,
    Unheard,
    LibcTime,
    LibcDate,
    LibcEntropy,
    Broken,
    FaultPoint,
    TimeWaitCut,
    SetKeepalive,
    ProbeSent,
    Probe,
    DelayedAck,
    SegmentLate,
    Duplicate,
    SegmentDropped,
    Redelivery,
    Cut,
    Heal,
}

impl Kind {
    /// What goes wrong when this happens, if anything does.
    #[inline]
    pub(crate) const fn fault(self) -> Option<Fault> {
        Some(match self {
            Self::SegmentLost => Fault::SegmentLost,
            Self::SegmentLate => Fault::SegmentLate,
            Self::SegmentDropped => Fault::SegmentDropped,
            Self::AnswerLost => Fault::AnswerLost,
            Self::SynLost => Fault::HandshakeLost,
            Self::SynTimer => Fault::SynTimeout,
            Self::SynDropped => Fault::BacklogOverflow,
            Self::Refusal => Fault::Refusal,
            Self::Reset => Fault::Reset,
            Self::Unheard => Fault::Unheard,
            Self::DatagramLost => Fault::DatagramLost,
            Self::DatagramDropped => Fault::DatagramDropped,
            Self::Spurious => Fault::SpuriousEdge,
            Self::Refuse => Fault::JobRefused,
            Self::Crash => Fault::Crash,
            Self::Restart => Fault::Restart,
            Self::Pause => Fault::Pause,
            Self::Stall => Fault::Stall,
            Self::Signal => Fault::Signal,
            Self::Death => Fault::Death,
            Self::Cut => Fault::Cut,
            Self::Turn
            | Self::Poll
            | Self::Listen
            | Self::Accept
            | Self::Connect
            | Self::ConnectOutcome
            | Self::Read
            | Self::Write
            | Self::ShutdownWrite
            | Self::Close
            | Self::Abort
            | Self::SubscribeSignals
            | Self::NextSignal
            | Self::Submit
            | Self::Collect
            | Self::Entropy
            | Self::Edge
            | Self::Syn
            | Self::SynAck
            | Self::Bytes
            | Self::Fin
            | Self::Ack
            | Self::JobDone
            | Self::Hook
            | Self::ListenPath
            | Self::ConnectPath
            | Self::StreamPair
            | Self::SetNodelay
            | Self::BindDatagram
            | Self::ConnectDatagram
            | Self::ReceiveFrom
            | Self::SendTo
            | Self::Datagram
            | Self::DatagramUnwanted
            | Self::Unreachable
            | Self::Choose
            | Self::Spend
            | Self::Detach
            | Self::Adopt
            | Self::CloseDetached
            | Self::ProcessStarted
            | Self::ProcessExits
            | Self::ProcessKilled
            | Self::ProcessExit
            | Self::SignalProcess
            | Self::Resend
            | Self::Repeat
            | Self::Resume
            | Self::LibcTime
            | Self::LibcDate
            | Self::LibcEntropy
            | Self::Broken
            | Self::FaultPoint
            | Self::TimeWaitCut
            | Self::SetKeepalive
            | Self::ProbeSent
            | Self::Probe
            | Self::DelayedAck
            | Self::Duplicate
            | Self::Redelivery
            | Self::Heal => return None,
        })
    }

    /// What it is called, and what its two numbers are.
    pub(crate) const fn shape(self) -> (&'static str, Shape) {
        match self {
            Self::Turn => ("turn", Shape::Nothing),
            Self::Poll => ("poll", Shape::Task),
            Self::Listen => ("listen", Shape::Token("on port")),
            Self::Accept => ("accept", Shape::Token("from port")),
            Self::Connect => ("connect", Shape::Token("to port")),
            Self::ConnectOutcome => ("connect outcome", Shape::Token("errors")),
            Self::Read => ("read", Shape::Moved),
            Self::Write => ("write", Shape::Moved),
            Self::ShutdownWrite => ("shutdown write", Shape::Token("errors")),
            Self::Close => ("close", Shape::Token("")),
            Self::Abort => ("abort", Shape::Token("")),
            Self::SubscribeSignals => ("subscribe signals", Shape::Token("")),
            Self::NextSignal => ("next signal", Shape::Token("errors")),
            Self::Submit => ("submit", Shape::Token("in lane")),
            Self::Refuse => ("job refused in lane", Shape::Number),
            Self::Collect => ("collect", Shape::Token("errors")),
            Self::Entropy => ("entropy", Shape::Number),
            Self::Edge => ("edge", Shape::Token("ready")),
            Self::SynTimer => ("SYN timer", Shape::Connection("attempt")),
            Self::Syn => ("SYN arrives", Shape::Connection("to port")),
            Self::SynDropped => ("SYN dropped", Shape::Connection("attempt")),
            Self::SynAck => ("SYN-ACK arrives", Shape::Connection("")),
            Self::Refusal => ("refusal arrives", Shape::Connection("")),
            Self::Bytes => ("bytes arrive", Shape::Connection("count")),
            Self::Fin => ("FIN arrives", Shape::Connection("")),
            Self::Ack => ("ACK arrives", Shape::Connection("")),
            Self::Reset => ("RST arrives", Shape::Connection("")),
            Self::JobDone => ("job done", Shape::Token("")),
            Self::Spurious => ("spurious edge", Shape::Token("ready")),
            Self::Hook => ("step of the scenario", Shape::Number),
            Self::Signal => ("signal", Shape::Number),
            Self::Death => ("killed by a signal", Shape::Nothing),
            Self::ListenPath => ("listen at a path", Shape::Token("")),
            Self::ConnectPath => ("connect to a path", Shape::Token("")),
            Self::StreamPair => ("stream pair", Shape::Token("")),
            Self::SetNodelay => ("set nodelay", Shape::Token("to")),
            Self::BindDatagram => ("bind datagram", Shape::Token("on port")),
            Self::ConnectDatagram => ("connect datagram", Shape::Token("to port")),
            Self::ReceiveFrom => ("receive from", Shape::Moved),
            Self::SendTo => ("send to", Shape::Moved),
            Self::Datagram => ("datagram arrives", Shape::Datagram("at port")),
            Self::DatagramLost => ("datagram lost", Shape::Datagram("to port")),
            Self::DatagramUnwanted => ("datagram for nobody", Shape::Datagram("at port")),
            Self::DatagramDropped => ("datagram dropped", Shape::Datagram("at port")),
            Self::Unreachable => ("unreachable arrives", Shape::Datagram("of port")),
            Self::Choose => ("choose", Shape::Choice),
            Self::Spend => ("spends nanoseconds", Shape::Number),
            Self::Stall => ("stalls in", Shape::Task),
            Self::Detach => ("detach", Shape::Token("")),
            Self::Adopt => ("adopt", Shape::Token("")),
            Self::CloseDetached => ("close detached", Shape::Nothing),
            Self::ProcessStarted => ("process starts as", Shape::Number),
            Self::ProcessExits => ("process exits with", Shape::Number),
            Self::ProcessKilled => ("process killed by signal", Shape::Number),
            Self::ProcessExit => ("process exit", Shape::Token("errors")),
            Self::SignalProcess => ("signal process", Shape::Token("with")),
            Self::SynLost => ("handshake lost", Shape::Connection("attempt")),
            Self::SegmentLost => ("segment lost", Shape::Connection("retry")),
            Self::AnswerLost => ("ACK or RST lost", Shape::Connection("retry")),
            Self::Resend => ("segment sent again", Shape::Connection("retry")),
            Self::Repeat => ("segment repeated", Shape::Connection("retry")),
            Self::Crash => ("crashes, changes of files lost", Shape::Number),
            Self::Restart => ("restarts", Shape::Nothing),
            Self::Pause => ("pauses", Shape::Nothing),
            Self::Resume => ("resumes", Shape::Nothing),
            Self::TimeWaitCut => ("TIME_WAIT cut short", Shape::Connection("of port")),
            Self::SetKeepalive => ("set keep-alive", Shape::Token("to seconds")),
            Self::ProbeSent => ("keep-alive probe sent", Shape::Connection("number")),
            Self::Probe => ("keep-alive probe arrives", Shape::Connection("")),
            Self::DelayedAck => ("delayed ACK is due", Shape::Connection("bytes")),
            Self::SegmentLate => ("segment is late", Shape::Connection("latencies")),
            Self::Duplicate => ("segment arrives again", Shape::Connection("")),
            Self::SegmentDropped => ("segments dropped", Shape::Connection("bytes")),
            Self::Redelivery => ("dropped segments sent again", Shape::Connection("retry")),
            Self::Cut => ("is cut off from host", Shape::Number),
            Self::Heal => ("is no longer cut off from host", Shape::Number),
            Self::Unheard => ("packet finds the machine off", Shape::Connection("count")),
            Self::LibcTime => ("asks libc for the time", Shape::Nothing),
            Self::LibcDate => ("asks libc for the date", Shape::Nothing),
            Self::LibcEntropy => ("asks libc for bytes of entropy:", Shape::Number),
            Self::Broken => ("breaks the promise of line", Shape::Number),
            Self::FaultPoint => ("something goes wrong at line", Shape::Number),
        }
    }
}

/// How the two numbers of an entry read.
#[derive(Clone, Copy)]
pub(crate) enum Shape {
    Nothing,
    Number,
    Task,
    /// A token, and a number with a name.
    Token(&'static str),
    /// A token, and bytes or [`WOULD_BLOCK`] or [`FAILED`].
    Moved,
    /// A connection, and a number with a name.
    Connection(&'static str),
    /// A datagram by its serial number, and a number with a name.
    Datagram(&'static str),
    /// Which one, and of how many.
    Choice,
}

/// Stands for `WouldBlock` where a count of bytes would be.
pub(crate) const WOULD_BLOCK: u64 = u64::MAX;
/// Stands for any other error there.
pub(crate) const FAILED: u64 = u64::MAX - 1;

/// One thing that happened.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entry {
    pub(crate) at: Instant,
    pub(crate) shard: Option<ShardId>,
    pub(crate) kind: Kind,
    pub(crate) subject: u64,
    pub(crate) number: u64,
    /// The poll that did it; `None` for what the room does by itself.
    pub(crate) poll: Option<Pulse>,
    /// See [`Ties`].
    pub(crate) act: u64,
}

/// What happened so far.
#[derive(Debug)]
pub(crate) struct Trace {
    hash: u64,
    /// `None`: not asked for.
    record: Option<Record>,
}

#[derive(Debug, Default)]
struct Record {
    entries: Vec<Entry>,
    instants: Vec<Instant>,
    ties: Ties,
    /// What ties the entries is kept, too.
    keeps_ties: bool,
}

impl Trace {
    pub(crate) fn new(seed: u64, record: bool, keeps_ties: bool) -> Self {
        let record = (record || keeps_ties).then(|| Record { keeps_ties, ..Record::default() });
        Self { hash: fold(0, seed), record }
    }

    /// Notes one thing; a few nanoseconds where the text is not asked for. `poll` says which did it, and is asked for the text.
    #[inline]
    pub(crate) fn note(
        &mut self,
        at: Instant,
        shard: Option<ShardId>,
        kind: Kind,
        subject: u64,
        number: u64,
        poll: impl FnOnce() -> Option<Pulse>,
    ) {
        let place = shard.map_or(0, |shard| shard.index() as u64 + 1);
        let mut hash = fold(self.hash, at.as_nanos());
        hash = fold(hash, place << 8 | kind as u64);
        hash = fold(hash, subject);
        self.hash = fold(hash, number);
        if let Some(record) = &mut self.record {
            let _bookkeeping = Entered::nobody();
            if record.instants.last() != Some(&at) {
                record.instants.push(at);
            }
            if matches!(kind, Kind::Turn | Kind::Poll) {
                // No call of a program.
                record.ties.act += 1;
            }
            let act = record.ties.act;
            record.entries.push(Entry { at, shard, kind, subject, number, poll: poll(), act });
        }
    }

    /// Notes what ties things that happen, given how many did: where that is kept.
    #[inline]
    pub(crate) fn tie(&mut self, note: impl FnOnce(&mut Ties, usize)) {
        if let Some(record) = self.record.as_mut().filter(|record| record.keeps_ties) {
            let _bookkeeping = Entered::nobody();
            note(&mut record.ties, record.entries.len());
        }
    }

    /// Everything that happened, and what ties it; `None` where that is not kept.
    pub(crate) fn tied(&self) -> Option<(&[Entry], &Ties)> {
        let record = self.record.as_ref().filter(|record| record.keeps_ties)?;
        Some((&record.entries[..], &record.ties))
    }

    /// Keeps what is not part of the run itself, but may explain what is: in the text alone, where that is asked for.
    pub(crate) fn remark(
        &mut self,
        at: Instant,
        shard: Option<ShardId>,
        kind: Kind,
        poll: Option<Pulse>,
        number: u64,
    ) {
        if let Some(record) = &mut self.record {
            let _bookkeeping = Entered::nobody();
            let act = record.ties.act;
            record.entries.push(Entry { at, shard, kind, subject: number, number: 0, poll, act });
        }
    }

    pub(crate) fn hash(&self) -> u64 {
        self.hash
    }

    /// For each thing that happened the task that did it, if one did; empty where not asked for.
    pub(crate) fn tasks(&self) -> impl Iterator<Item = Option<String>> {
        self.in_order().into_iter().map(|entry| {
            let poll = entry.poll.as_ref()?;
            Some(format!("{}, spawned at {}", poll.task, poll.origin))
        })
    }

    /// The instants at which something happened, in order, each once; empty where not asked for.
    pub(crate) fn instants(&self) -> Vec<Instant> {
        let mut instants =
            self.record.as_ref().map_or(Vec::new(), |record| record.instants.clone());
        instants.sort_unstable();
        instants.dedup();
        instants
    }

    /// What happened, by time: shards that are ahead of the room have told of later things before earlier ones came.
    fn in_order(&self) -> Vec<&Entry> {
        let entries = self.record.as_ref().map_or(&[][..], |record| &record.entries);
        let mut entries: Vec<_> = entries.iter().collect();
        entries.sort_by_key(|entry| entry.at);
        entries
    }

    /// The text of the last `count` things, one line each; empty where not asked for.
    pub(crate) fn last_lines(&self, names: &[Rc<str>], count: usize) -> Vec<String> {
        let entries = self.in_order();
        let first = entries.len().saturating_sub(count);
        entries[first..].iter().map(|entry| Line { entry, names }.to_string()).collect()
    }
}

/// One step of the hash. Not a cipher: it need only make unlike runs differ, and each bit reach all later ones.
#[inline]
const fn fold(hash: u64, word: u64) -> u64 {
    let mixed = (hash ^ word).wrapping_mul(0x9fb2_1c65_1e98_df25);
    mixed ^ (mixed >> 32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_part_of_an_entry_counts() {
        let hash = |at, shard, kind, subject, number| {
            let mut trace = Trace::new(0, false, false);
            trace.note(
                Instant::from_nanos(at),
                Some(ShardId::new(shard)),
                kind,
                subject,
                number,
                || None,
            );
            trace.hash()
        };
        let base = hash(1, 1, Kind::Read, 1, 1);
        assert_eq!(base, hash(1, 1, Kind::Read, 1, 1));
        assert_ne!(base, hash(2, 1, Kind::Read, 1, 1));
        assert_ne!(base, hash(1, 2, Kind::Read, 1, 1));
        assert_ne!(base, hash(1, 1, Kind::Write, 1, 1));
        assert_ne!(base, hash(1, 1, Kind::Read, 2, 1));
        assert_ne!(base, hash(1, 1, Kind::Read, 1, 2));
    }

    #[test]
    fn entries_read_as_sentences() {
        let names = [Rc::from("server")];
        let mut trace = Trace::new(0, true, false);
        let mut note = |kind, subject, number| {
            trace.note(
                Instant::from_nanos(1),
                Some(ShardId::new(0)),
                kind,
                subject,
                number,
                || None,
            );
        };
        note(Kind::Read, 3, 17);
        note(Kind::Write, 3, WOULD_BLOCK);
        note(Kind::Poll, 4, 0);
        note(Kind::Bytes, 2, 9);
        note(Kind::Choose, 0, 3);
        assert_eq!(
            trace.last_lines(&names, usize::MAX),
            [
                "0.000000001 server read #3.0 17 bytes",
                "0.000000001 server write #3.0 would block",
                "0.000000001 server poll task 4",
                "0.000000001 server bytes arrive on connection 2 count 9",
                "0.000000001 server choose 0 of 3",
            ]
        );
        assert_eq!(trace.instants(), [Instant::from_nanos(1)]);
    }
}
