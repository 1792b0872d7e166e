//! What a choice did, in plain words.

use core::time::Duration;

use mainspring_executor::Instant;

use crate::choice::Label;
use crate::recording::Chosen;

impl Chosen {
    /// Who made it: a host, a shard, or the room as a whole.
    #[must_use]
    pub fn owner(&self) -> &str {
        match self.parts() {
            ("", _) => "the room",
            (owner, _) => owner,
        }
    }

    /// What it did, in plain words: that a packet of a host is late, that a task goes before others.
    ///
    /// ```
    /// use mainspring_executor::Instant;
    /// use mainspring_sim::Chosen;
    ///
    /// let chosen = Chosen {
    ///     at: Instant::START,
    ///     stream: "sensor/latency".into(),
    ///     number: 40,
    ///     position: 18,
    ///     value: 5_000_000,
    ///     bound: 20_000_000,
    ///     name: None,
    /// };
    /// assert_eq!(chosen.owner(), "sensor");
    /// assert_eq!(chosen.words(), "a packet takes 5ms longer than the least");
    /// ```
    #[must_use]
    pub fn words(&self) -> String {
        let (owner, label) = self.parts();
        let Some(label) = Label::ALL.into_iter().find(|known| known.name() == label) else {
            return format!("{label}: {} of at most {}", self.value, self.bound - 1);
        };
        match owner.is_empty() && label != Label::Host {
            _ if label == Label::Scenario => self.of_the_scenario(),
            _ if self.value == 0 => self.harmless(label),
            true => self.of_the_room(label),
            false => self.of_a_host(label),
        }
    }

    /// Whose stream it is of, and for what. Streams of a second world of one run have its number in front.
    fn parts(&self) -> (&str, &str) {
        let (owner, label) = self.stream.rsplit_once('/').unwrap_or(("", &self.stream));
        (owner.split_once(':').map_or(owner, |(_, owner)| owner), label)
    }

    fn of_the_scenario(&self) -> String {
        let Self { value, bound, position, .. } = self;
        let most = bound - 1;
        match self.name {
            Some(name) => format!("{name}: {value} of at most {most}"),
            None => format!("draw {} of the scenario: {value} of at most {most}", position + 1),
        }
    }

    /// What a swarm's room has in this run.
    fn of_the_room(&self, label: Label) -> String {
        let Self { value, bound, .. } = self;
        let what = match label {
            Label::Loss => "datagrams get lost",
            Label::Duplication => "datagrams come twice",
            Label::SegmentLoss => "packets of connections get lost",
            Label::SegmentReordering => "packets of connections come late",
            Label::SegmentDuplication => "packets of connections come twice",
            Label::DiskError => "disks fail",
            Label::DiskFull => "disks are full",
            Label::NameFailure => "names cannot be looked up",
            Label::SocketMemory => "memory for sockets is short",
            Label::ShortRead => "reads give fewer bytes than there are",
            Label::ShortWrite => "writes take fewer bytes than there is space for",
            Label::Pieces => "what is sent at once arrives in pieces",
            Label::Spurious => "edges come for nothing",
            Label::Buggify => "fault points fire",
            Label::Latency => "latencies differ",
            Label::Job => "jobs take longer or shorter",
            Label::Buffers => "socket buffers are small",
            Label::Order => "who goes next is drawn",
            _ => return format!("{}: {value} of 0..{bound}", label.name()),
        };
        match *bound {
            2 => format!("{what} in this run"),
            _ => format!("{what} in this run, strength {value} of {}", bound - 1),
        }
    }

    fn of_a_host(&self, label: Label) -> String {
        let Self { value, bound, .. } = *self;
        let longer = Duration::from_nanos(value);
        match (label, bound) {
            (Label::Host, _) => {
                format!("of {bound} with something to do, the {} goes first", ordinal(value))
            }
            (Label::Task, _) => {
                format!("of {bound} ready tasks, the {} goes first", ordinal(value))
            }
            (Label::Branch, _) => {
                format!("a select! of {bound} begins {value} further on than it would by turns")
            }
            (Label::Latency, _) => format!("a packet takes {longer:?} longer than the least"),
            (Label::Job, _) => format!("a job takes {longer:?} longer than the least"),
            (Label::PollCost, _) => format!("a poll takes {longer:?} longer than the least"),
            (Label::Pieces, _) => format!("what it sends at once arrives in {} pieces", value + 1),
            (Label::ShortRead, 2) => "a read gives fewer bytes than there are".to_owned(),
            (Label::ShortRead, _) => format!("a read leaves {value} bytes behind"),
            (Label::ShortWrite, 2) => "a write takes fewer bytes than it could".to_owned(),
            (Label::ShortWrite, _) => format!("a write leaves out {value} bytes"),
            (Label::Spurious, 2) => "an edge comes for nothing".to_owned(),
            (Label::Spurious, _) => format!("it comes {longer:?} later"),
            (Label::Listener, _) => {
                format!("of {bound} listeners, the {} gets a connection", ordinal(value))
            }
            (Label::Loss, _) => "a datagram gets lost".to_owned(),
            (Label::Duplication, _) => "a datagram comes twice".to_owned(),
            (Label::SegmentLoss, _) => "a packet of a connection gets lost".to_owned(),
            (Label::SegmentReordering, 2) => "a packet of a connection is late".to_owned(),
            (Label::SegmentReordering, _) => format!("by {} latencies", value + 1),
            (Label::SegmentDuplication, _) => "a packet of a connection comes twice".to_owned(),
            (Label::DiskError, _) => "the disk fails".to_owned(),
            (Label::DiskFull, _) => "the disk is full".to_owned(),
            (Label::DiskWrite, _) => format!("a write to the disk leaves out {value} bytes"),
            (Label::NameFailure, _) => "a name cannot be looked up".to_owned(),
            (Label::Crash, _) => {
                let most = bound - 1;
                format!("a crash takes of a change that was not synced: {value} of at most {most}")
            }
            (Label::Buggify, _) => "a fault point fires".to_owned(),
            (Label::BuggifySite, _) => "a fault point is on in this run".to_owned(),
            (
                Label::Scenario
                | Label::Order
                | Label::Buffers
                | Label::SocketMemory
                | Label::Entropy
                | Label::SystemEntropy,
                _,
            ) => format!("{}: {value} of 0..{bound}", label.name()),
        }
    }

    /// One that decides a failure by being harmless.
    fn harmless(&self, label: Label) -> String {
        match label {
            Label::Latency => "a packet takes the least time".to_owned(),
            Label::Job => "a job takes the least time".to_owned(),
            Label::PollCost => "a poll takes the least time".to_owned(),
            Label::Host | Label::Task => {
                format!("of {}, the one that waited longest goes first", self.bound)
            }
            _ => format!("{}: as in a calm room", label.name()),
        }
    }
}

/// An instant in seconds, with as many digits as it needs.
pub(crate) fn seconds(at: Instant) -> String {
    let text = at.to_string();
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// The place of an index, in a word.
fn ordinal(index: u64) -> String {
    match index {
        0 => "first".to_owned(),
        1 => "second".to_owned(),
        2 => "third".to_owned(),
        _ => format!("{}th", index + 1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(stream: &str, value: u64, bound: u64) -> Chosen {
        let (at, number, position) = (Instant::START, 0, 0);
        Chosen { at, stream: stream.into(), number, position, value, bound, name: None }
    }

    #[test]
    fn each_label_has_words() {
        for label in Label::ALL {
            let owners =
                [("", "the room"), ("a", "a"), ("a/1", "a/1"), ("7:", "the room"), ("7:a", "a")];
            for (owner, name) in owners {
                for (value, bound) in [(0, 9), (1, 2), (7, 9)] {
                    let one = chosen(&format!("{owner}/{}", label.name()), value, bound);
                    assert_eq!(one.owner(), name);
                    let words = one.words();
                    assert!(!words.is_empty() && !words.contains('/'), "{words}");
                }
            }
        }
    }

    #[test]
    fn instants_are_short() {
        let check = |nanos, expected| assert_eq!(seconds(Instant::from_nanos(nanos)), expected);
        check(0, "0");
        check(90_000_000, "0.09");
        check(10_000_000_000, "10");
        check(1_500_000_001, "1.500000001");
    }

    #[test]
    fn words_say_what_goes_wrong() {
        let check = |stream: &str, value, bound, expected: &str| {
            assert_eq!(chosen(stream, value, bound).words(), expected);
        };
        check("server/task", 2, 4, "of 4 ready tasks, the third goes first");
        check("/host", 1, 3, "of 3 with something to do, the second goes first");
        check(
            "/segment loss",
            3,
            4,
            "packets of connections get lost in this run, strength 3 of 3",
        );
        check("client/segment loss", 1, 2, "a packet of a connection gets lost");
        check("/short read", 1, 2, "reads give fewer bytes than there are in this run");
        check("client/short read", 3, 100, "a read leaves 3 bytes behind");
        check("client/scenario", 3, 100, "draw 1 of the scenario: 3 of at most 99");
        check("client/latency", 0, 100, "a packet takes the least time");
        check("client/no such", 1, 2, "no such: 1 of at most 1");
        let named = Chosen { name: Some("further visits"), ..chosen("1:client/scenario", 3, 8) };
        assert_eq!((named.owner(), &*named.words()), ("client", "further visits: 3 of at most 7"));
    }
}
