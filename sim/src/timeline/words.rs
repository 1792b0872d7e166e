//! What happened, in words that need no knowledge of how the simulator works.

use mainspring_executor::driver::{Ready, Token};
use mainspring_executor::{Awaited, Wait};

use crate::trace::{Entry, FAILED, Kind, Shape, WOULD_BLOCK};

/// `1 byte`, `7 bytes`.
pub(super) fn bytes(count: u64) -> String {
    format!("{count} {}", if count == 1 { "byte" } else { "bytes" })
}

/// What a call moved.
fn moved(verb: &str, number: u64) -> String {
    match number {
        WOULD_BLOCK => format!("{verb} nothing yet: it would have to wait"),
        FAILED => format!("{verb} nothing: an error"),
        0 if verb == "reads" => "reads the end of the stream".to_owned(),
        count => format!("{verb} {}", bytes(count)),
    }
}

/// What a program is told of a socket.
fn told(bits: u64) -> String {
    let has = |ready: Ready| bits & u64::from(ready.bits()) != 0;
    let mut news = Vec::new();
    if has(Ready::BROKEN) {
        news.push("it is broken");
    }
    if has(Ready::READ_CLOSED) {
        news.push("the peer sends no more");
    } else if has(Ready::READABLE) {
        news.push("there is something to read");
    }
    if has(Ready::WRITABLE) && news.is_empty() {
        news.push("there is room to write");
    }
    format!("the program is told: {}", news.join(", "))
}

fn ended(verb: &str, errors: u64) -> String {
    if errors == 0 { verb.to_owned() } else { format!("{verb}: it failed") }
}

/// Of an entry, in a sentence without a subject. `host` names hosts by number.
pub(super) fn sentence(entry: &Entry, host: impl Fn(u64) -> String) -> String {
    let (subject, number) = (entry.subject, entry.number);
    match entry.kind {
        Kind::Turn => "its turn".to_owned(),
        Kind::Poll => "runs".to_owned(),
        Kind::Listen => format!("listens on port {number}"),
        Kind::ListenPath => "listens at a path".to_owned(),
        Kind::Accept => "accepts the connection".to_owned(),
        Kind::Connect => format!("connects to port {number}"),
        Kind::ConnectPath => "connects to a path".to_owned(),
        Kind::ConnectOutcome if number == 0 => "is connected".to_owned(),
        Kind::ConnectOutcome => "is not connected".to_owned(),
        Kind::Read => moved("reads", number),
        Kind::Write => moved("writes", number),
        Kind::ReceiveFrom => moved("receives", number),
        Kind::SendTo => moved("sends", number),
        Kind::ShutdownWrite => ended("says that it sends no more", number),
        Kind::Close => "closes it".to_owned(),
        Kind::Abort => "drops it at once".to_owned(),
        Kind::Submit => "gives away a job".to_owned(),
        Kind::Refuse => "a job is refused: too many wait".to_owned(),
        Kind::Collect => ended("takes what the job gave", number),
        Kind::JobDone => "a job is done".to_owned(),
        Kind::Edge => told(number),
        Kind::Spurious => "is told of something that is not so".to_owned(),
        Kind::SynTimer => format!("no answer to attempt {number} to connect"),
        Kind::Syn => "a connection is asked for (SYN)".to_owned(),
        Kind::SynDropped => "the listener has no place: SYN dropped".to_owned(),
        Kind::SynAck => "the connection is there (SYN-ACK)".to_owned(),
        Kind::Refusal => "refused: nobody listens".to_owned(),
        Kind::Bytes => match number {
            0 => "an empty segment arrives".to_owned(),
            1 => "1 byte arrives".to_owned(),
            count => format!("{count} bytes arrive"),
        },
        Kind::Fin if number > 0 => format!("the last {} arrive (FIN)", bytes(number)),
        Kind::Fin => "the peer sends no more (FIN)".to_owned(),
        Kind::Ack => "an acknowledgement arrives".to_owned(),
        Kind::Reset => "the connection is reset (RST)".to_owned(),
        Kind::Hook => "a step of the scenario".to_owned(),
        Kind::Signal => format!("signal {subject}"),
        Kind::Death => "killed by a signal".to_owned(),
        Kind::StreamPair => "makes a pair of sockets".to_owned(),
        Kind::SegmentLost => "a segment gets lost".to_owned(),
        Kind::SegmentLate => "a segment will be late".to_owned(),
        Kind::SegmentDropped => format!("no memory: {} dropped", bytes(number)),
        Kind::AnswerLost => "an answer (ACK or RST) gets lost".to_owned(),
        Kind::SynLost => "a packet of the handshake gets lost".to_owned(),
        Kind::Resend | Kind::Redelivery => "sends again what got lost".to_owned(),
        Kind::Repeat => "sends again what was not answered".to_owned(),
        Kind::Duplicate => "a segment arrives once more".to_owned(),
        Kind::Unheard => "a packet finds the machine off".to_owned(),
        Kind::Datagram => format!("datagram {subject} arrives"),
        Kind::DatagramLost => format!("datagram {subject} gets lost"),
        Kind::DatagramUnwanted => format!("datagram {subject} is for nobody"),
        Kind::DatagramDropped => format!("no room: datagram {subject} dropped"),
        Kind::Unreachable => "hears that nobody is there".to_owned(),
        Kind::Choose => format!("takes way {} of {number}", subject + 1),
        Kind::Entropy => "draws a random number".to_owned(),
        Kind::Spend => format!("takes {}", duration(subject)),
        Kind::Stall => format!("holds up its thread: {} in one poll", duration(number)),
        Kind::Crash if subject > 0 => format!("loses its power, and {subject} changes of files"),
        Kind::Crash => "loses its power".to_owned(),
        Kind::Restart => "starts again".to_owned(),
        Kind::Pause => "stands still".to_owned(),
        Kind::Resume => "goes on".to_owned(),
        Kind::Cut => format!("nothing gets from here to {} any more", host(subject)),
        Kind::Heal => format!("packets get to {} again", host(subject)),
        Kind::Broken => format!("breaks a promise, at line {subject}"),
        Kind::FaultPoint => format!("goes wrong on purpose, at line {subject}"),
        Kind::TimeWaitCut
        | Kind::SubscribeSignals
        | Kind::NextSignal
        | Kind::SetNodelay
        | Kind::SetKeepalive
        | Kind::BindDatagram
        | Kind::ConnectDatagram
        | Kind::Detach
        | Kind::Adopt
        | Kind::CloseDetached
        | Kind::ProcessStarted
        | Kind::ProcessExits
        | Kind::ProcessKilled
        | Kind::ProcessExit
        | Kind::SignalProcess
        | Kind::LibcTime
        | Kind::LibcDate
        | Kind::LibcEntropy
        | Kind::ProbeSent
        | Kind::Probe
        | Kind::DelayedAck => plain(entry),
    }
}

/// As the trace has it.
fn plain(entry: &Entry) -> String {
    let (name, shape) = entry.kind.shape();
    let (subject, number) = (entry.subject, entry.number);
    match shape {
        Shape::Token("errors") => ended(name, number),
        Shape::Token("") | Shape::Connection("") | Shape::Nothing => name.to_owned(),
        Shape::Token(label) | Shape::Connection(label) | Shape::Datagram(label) => {
            format!("{name} {label} {number}")
        }
        Shape::Number | Shape::Task => format!("{name} {subject}"),
        Shape::Moved => moved(name, number),
        Shape::Choice => format!("{name} {subject} of {number}"),
    }
}

/// Three digits or so, with a unit.
fn duration(nanos: u64) -> String {
    let (unit, name) = match nanos {
        0..1_000 => (1, "ns"),
        1_000..1_000_000 => (1_000, "µs"),
        1_000_000..1_000_000_000 => (1_000_000, "ms"),
        _ => (1_000_000_000, "s"),
    };
    let (whole, rest) = (nanos / unit, nanos % unit * 1_000 / unit);
    if rest == 0 { format!("{whole} {name}") } else { format!("{whole}.{rest:03} {name}") }
}

/// The token that an entry is about.
pub(super) fn token(entry: &Entry) -> Option<Token> {
    match entry.kind.shape().1 {
        Shape::Token(_) | Shape::Moved => Some(Token::from_bits(entry.subject)),
        _ => None,
    }
}

/// What a task waits for. `task` names tasks.
pub(super) fn waits(wait: &Wait, task: impl Fn(u64) -> String) -> String {
    let few = |ids: &[mainspring_executor::TaskId]| {
        let names: Vec<String> = ids.iter().take(4).map(|id| task(id.0)).collect();
        let more =
            if ids.len() > 4 { format!(" and {} more", ids.len() - 4) } else { String::new() };
        names.join(", ") + &more
    };
    match &wait.on {
        Awaited::Source { kind, interest, origin, .. } => {
            format!("{interest}: {kind} opened at {origin}")
        }
        Awaited::Timer { deadline, origin } => {
            let left = deadline.saturating_duration_since(wait.since).as_nanos();
            let left = u64::try_from(left).unwrap_or(u64::MAX);
            format!("a timer of {}, made at {origin}", duration(left))
        }
        Awaited::Resource { what, origin, .. } | Awaited::Elsewhere { what, origin } => {
            format!("{what}, asked for at {origin}")
        }
        Awaited::Task(id) => format!("the end of {}", task(id.0)),
        Awaited::Children(ids) => format!("the end of its scope: {}", few(ids)),
        Awaited::Failure(ids) => format!("a failure in its scope: {}", few(ids)),
    }
}

#[cfg(test)]
mod tests {
    use mainspring_executor::driver::Instant;

    use super::*;

    fn said(kind: Kind, subject: u64, number: u64) -> String {
        let at = Instant::START;
        let entry = Entry { at, shard: None, kind, subject, number, poll: None, act: 0 };
        sentence(&entry, |number| format!("host {number}"))
    }

    #[test]
    fn what_happened_reads_as_a_sentence() {
        assert_eq!(said(Kind::Write, 3, 120), "writes 120 bytes");
        assert_eq!(said(Kind::Read, 3, 1), "reads 1 byte");
        assert_eq!(said(Kind::Read, 3, 0), "reads the end of the stream");
        assert_eq!(said(Kind::Read, 3, FAILED), "reads nothing: an error");
        assert_eq!(
            said(Kind::Edge, 3, 8 | 4 | 1),
            "the program is told: it is broken, the peer sends no more"
        );
        assert_eq!(said(Kind::Edge, 3, 2), "the program is told: there is room to write");
        assert_eq!(said(Kind::Spend, 1_500_000, 0), "takes 1.500 ms");
        assert_eq!(said(Kind::Cut, 2, 0), "nothing gets from here to host 2 any more");
        assert_eq!(said(Kind::DelayedAck, 2, 7), "delayed ACK is due bytes 7");
        assert_eq!(said(Kind::ProcessExit, 2, 1), "process exit: it failed");
    }
}
