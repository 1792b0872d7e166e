//! `Pipe`: the bytes of one direction of a connection, from the sender's buffer over the wire to the receiver's.
//!
//! ```text
//!  0        read      arrived       sent        written
//!  ├─ gone ──┼─ received ─┼─ in flight ─┼─ unsent ─┤          data: all between `read` and `written`
//!            │            acked ≤ arrived
//!            └──────── window ─────────► edge = read + receive buffer, as far as the sender knows
//! ```
//!
//! The bytes lie in one queue and never move; what happens to them is that positions in the stream go up. It knows
//! neither clock nor latency.
//!
//! Between two machines each has a buffer of its own. Within one machine there is only the sender's, and a byte leaves it
//! when it is read: then the window never shuts before that buffer is full.
//!
//! Invariant: `read ≤ arrived ≤ sent ≤ written`, `acked ≤ arrived`, `sent ≤ edge ≤ read + capacity`, and the queue holds
//! exactly `written - read` bytes.

#[cfg(test)]
mod tests;

use std::collections::VecDeque;

use mainspring_executor::driver::Instant;

use super::flow::Heard;

/// Bytes of one segment: an Ethernet frame without the headers of IP and TCP.
pub(crate) const SEGMENT_BYTES: u64 = 1460;

/// One direction of a connection. Positions count bytes since its start.
#[derive(Debug)]
pub(crate) struct Pipe {
    data: VecDeque<u8>,
    read: u64,
    arrived: u64,
    acked: u64,
    sent: u64,
    written: u64,
    /// How far the sender may send.
    edge: u64,
    /// How far the receiver said it may.
    advertised: u64,
    send_capacity: u64,
    recv_capacity: u64,
    is_within_a_machine: bool,
    /// On the wire, in the order of arrival; each has one event.
    flights: VecDeque<Flight>,
    /// Acknowledgements on their way back, in the order of arrival. They have no event unless the sender waits.
    acks: VecDeque<Ack>,
    /// Whether the event of the first acknowledgement is in the heap.
    pub(crate) ack_event: bool,
    /// Nothing arrives before this: what was sent first arrives first.
    pub(crate) last_arrival: Instant,
    /// The same for acknowledgements.
    last_ack: Instant,
    /// When the sender was told something the last time.
    pub(super) acknowledged_at: Instant,
    fin: Fin,
    /// A small segment waits while one is not acknowledged.
    pub(super) is_nagling: bool,
    /// The end of the last small segment that was sent.
    small_end: u64,
    /// The sender was refused space, and is owed an edge when there is some.
    pub(crate) write_refused: bool,
    /// Of what the sender sent and got lost: nothing goes behind it.
    pub(crate) resend: Retry,
    /// Of what the receiver answered and got lost.
    pub(crate) answer: Retry,
    /// The first flight has arrived, and the receiver had no memory for it.
    pub(super) dropped: Option<Dropped>,
    /// The receiver's last word got lost.
    pub(crate) is_answer_owed: bool,
    /// Nobody will take what is in here: the receiver reset the connection, or was reset.
    dead: bool,
}

/// A retransmission timer.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Retry {
    /// Its event is in the heap.
    pub(crate) is_armed: bool,
    /// How often it was set since something got through.
    pub(crate) count: u32,
    /// The sender was told of the loss once, and now has to find out by itself.
    pub(crate) is_slow: bool,
}

/// How a sender is about what its peer had no memory for.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Dropped {
    /// How often the timer was set since something got through.
    pub(super) retry_count: u32,
    /// How often it ran out, and nobody was there, since somebody was.
    pub(super) unheard_count: u32,
}

/// How far the FIN is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Fin {
    None,
    Queued,
    Sent,
    Arrived,
}

/// Bytes on the wire that arrive together.
#[derive(Clone, Copy, Debug)]
struct Flight {
    end: u64,
    has_fin: bool,
    sent_at: Instant,
}

/// What the receiver said: what arrived, and how far the sender may go.
#[derive(Clone, Copy, Debug)]
struct Ack {
    at: Instant,
    acked: u64,
    edge: u64,
}

/// What a flight brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Arrival {
    pub(crate) count: u64,
    pub(crate) has_fin: bool,
}

impl Arrival {
    pub(super) fn is_something(self) -> bool {
        self.count > 0 || self.has_fin
    }
}

impl Pipe {
    pub(crate) fn new(send_capacity: usize, recv_capacity: usize) -> Self {
        assert!(send_capacity > 0 && recv_capacity > 0, "a socket has buffers");
        let window = recv_capacity as u64;
        Self {
            data: VecDeque::new(),
            read: 0,
            arrived: 0,
            acked: 0,
            sent: 0,
            written: 0,
            edge: window,
            advertised: window,
            send_capacity: send_capacity as u64,
            recv_capacity: window,
            is_within_a_machine: false,
            flights: VecDeque::new(),
            acks: VecDeque::new(),
            ack_event: false,
            last_arrival: Instant::START,
            last_ack: Instant::START,
            acknowledged_at: Instant::START,
            fin: Fin::None,
            is_nagling: false,
            small_end: 0,
            write_refused: false,
            resend: Retry::default(),
            answer: Retry::default(),
            dropped: None,
            is_answer_owed: false,
            dead: false,
        }
    }

    /// A pipe with one buffer for both ends.
    pub(crate) fn within_a_machine(capacity: usize) -> Self {
        Self { is_within_a_machine: true, ..Self::new(capacity, capacity) }
    }

    // The sender's side.

    /// Free bytes of the send buffer.
    pub(crate) fn free(&self) -> usize {
        size(self.send_capacity - (self.written - self.acked))
    }

    /// Whether the kernel would tell a poller of the free space, so that a writer is not woken for each segment: as in
    /// Linux from a third of the buffer on for TCP, and three quarters for Unix sockets.
    pub(crate) fn is_worth_writing(&self) -> bool {
        let used = self.written - self.acked;
        match self.is_within_a_machine {
            true => used <= self.send_capacity / 4,
            false => self.send_capacity - used >= used / 2,
        }
    }

    /// Bytes of the send buffer that are not free. A sender whose peer has reset the connection has them until it hears of that.
    pub(super) fn unacknowledged(&self) -> u64 {
        self.written - self.acked
    }

    /// Takes bytes into the send buffer; the caller has looked that there is space.
    pub(crate) fn write(&mut self, bytes: &[u8]) {
        assert!(bytes.len() <= self.free(), "the send buffer takes what it has space for");
        assert!(self.fin == Fin::None, "nothing is written after the FIN");
        self.data.extend(bytes);
        self.written += bytes.len() as u64;
        self.check();
    }

    /// Ends the stream behind what was written.
    pub(crate) fn queue_fin(&mut self) {
        self.fin = self.fin.max(Fin::Queued);
    }

    pub(crate) fn is_fin_queued(&self) -> bool {
        self.fin >= Fin::Queued
    }

    pub(crate) fn is_fin_arrived(&self) -> bool {
        self.fin == Fin::Arrived
    }

    /// How many bytes were sent, and did not get lost on their way.
    pub(super) const fn sent(&self) -> u64 {
        self.sent
    }

    /// Whether the FIN goes with the bytes that end there.
    pub(super) fn is_fin_at(&self, end: u64) -> bool {
        self.fin != Fin::None && end == self.written
    }

    /// Whether the sender waits to hear of bytes that it sent, or of room.
    pub(crate) fn is_unacknowledged(&self) -> bool {
        self.write_refused || self.written > self.acked
    }

    /// Whether something that was written is not acknowledged, be it sent or not; the FIN as well.
    pub(crate) fn is_underway(&self) -> bool {
        self.written > self.acked || matches!(self.fin, Fin::Queued | Fin::Sent)
    }

    /// Whether the sender waits for what will never come, where the receiver acknowledges nothing any more but what it has:
    /// for bytes, or the FIN.
    pub(crate) fn waits_for_nobody(&self) -> bool {
        let heard = self.acks.back().map_or(self.acked, |ack| ack.acked);
        self.written > heard || self.fin == Fin::Sent && self.flights.is_empty()
    }

    /// Bytes that the window lets go now; `None` where there is nothing to send, not even a FIN, or something that got lost
    /// goes first.
    pub(crate) fn sendable(&self) -> Option<u64> {
        if self.resend.is_armed {
            return None;
        }
        let mut count = self.written.min(self.edge) - self.sent;
        if self.is_nagling && self.fin == Fin::None && self.small_end > self.acked {
            count -= count % SEGMENT_BYTES;
        }
        let fin_goes = self.fin == Fin::Queued && self.sent + count == self.written;
        (count > 0 || fin_goes).then_some(count)
    }

    /// Lets bytes join the flight that left at the same instant, if there is one. It has an event already.
    pub(crate) fn join_flight(&mut self, now: Instant, count: u64) -> bool {
        let Some(last) = self.flights.back_mut() else { return false };
        if last.sent_at != now || last.has_fin {
            return false;
        }
        self.sent += count;
        if !count.is_multiple_of(SEGMENT_BYTES) {
            self.small_end = self.sent;
        }
        last.end = self.sent;
        last.has_fin = self.fin == Fin::Queued && self.sent == self.written;
        if last.has_fin {
            self.fin = Fin::Sent;
        }
        self.check();
        true
    }

    /// Sends bytes (and the FIN, where it is its turn) as a flight of their own. Gives when it arrives.
    pub(crate) fn launch(&mut self, now: Instant, arrival: Instant, count: u64) -> Instant {
        self.sent += count;
        if !count.is_multiple_of(SEGMENT_BYTES) {
            self.small_end = self.sent;
        }
        let has_fin = self.fin == Fin::Queued && self.sent == self.written;
        if has_fin {
            self.fin = Fin::Sent;
        }
        self.resend = Retry::default();
        self.flights.push_back(Flight { end: self.sent, has_fin, sent_at: now });
        self.check();
        self.in_order(arrival)
    }

    /// `arrival`, or later where something sent before arrives later.
    pub(crate) fn in_order(&mut self, arrival: Instant) -> Instant {
        self.last_arrival = self.last_arrival.max(arrival);
        self.last_arrival
    }

    /// Whether the sender waits for an acknowledgement: for space, or for the window to open.
    fn is_stalled(&self) -> bool {
        !self.dead && (self.write_refused || self.written > self.sent)
    }

    /// When the sender must be told of an acknowledgement that it waits for, or that is counted. The caller makes the event.
    pub(crate) fn arm_ack(&mut self, is_counted: bool) -> Option<Instant> {
        if self.ack_event || !(is_counted || self.is_stalled()) {
            return None;
        }
        let first = self.acks.front()?;
        self.ack_event = true;
        Some(first.at)
    }

    /// Takes the acknowledgements that have arrived by `now`.
    pub(crate) fn settle(&mut self, now: Instant) {
        while let Some(ack) = self.acks.front().copied()
            && ack.at <= now
        {
            self.acked = ack.acked;
            self.edge = ack.edge;
            self.acknowledged_at = ack.at;
            self.acks.pop_front();
        }
        self.check();
    }

    /// The sender drops what it has not sent, for it sends a reset.
    pub(crate) fn drop_unsent(&mut self) {
        self.data.truncate(size(self.sent - self.read));
        self.written = self.sent;
        self.fin = if self.fin == Fin::Queued { Fin::None } else { self.fin };
        self.write_refused = false;
        self.check();
    }

    // The receiver's side.

    pub(super) fn recv_capacity(&self) -> u64 {
        self.recv_capacity
    }

    /// Bytes that have arrived and are not yet read.
    pub(crate) fn readable(&self) -> usize {
        match self.dead {
            true => 0,
            false => size(self.arrived - self.read),
        }
    }

    /// Whether bytes were written that nobody has read.
    pub(crate) fn is_unread(&self) -> bool {
        !self.dead && self.written > self.read
    }

    /// The first flight lands.
    pub(crate) fn land(&mut self) -> Arrival {
        let flight = self.flights.pop_front().expect("each event of a flight has a flight");
        let count = flight.end - self.arrived;
        self.arrived = flight.end;
        self.dropped = None;
        if flight.has_fin {
            self.fin = Fin::Arrived;
        }
        self.check();
        Arrival { count, has_fin: flight.has_fin }
    }

    /// Bytes of the first flight that are still to land.
    pub(super) fn first_flight(&self) -> u64 {
        self.flights.front().map_or(0, |flight| flight.end - self.arrived)
    }

    /// Where the first flight ends, or what arrived.
    pub(super) fn first_flight_end(&self) -> u64 {
        self.arrived + self.first_flight()
    }

    /// A part of the first flight lands, and the rest goes on to be under way.
    pub(super) fn land_part(&mut self, count: u64) -> Arrival {
        assert!(count < self.first_flight(), "what lands as a whole is gone");
        self.arrived += count;
        self.check();
        Arrival { count, has_fin: false }
    }

    /// The second flight joins the first, which was dropped. Gives its bytes.
    pub(super) fn fall_behind(&mut self) -> u64 {
        let behind = self.flights.remove(1).expect("the event is of a flight behind the first");
        let first = self.flights.front_mut().expect("what was dropped is under way again");
        let count = behind.end - first.end;
        first.end = behind.end;
        first.has_fin = behind.has_fin;
        count
    }

    /// What was dropped is not sent again: its sender has reset the connection.
    pub(super) fn forget_dropped(&mut self) {
        if self.dropped.take().is_some() {
            self.flights.clear();
            self.data.truncate(size(self.arrived - self.read));
            self.sent = self.arrived;
            self.written = self.arrived;
            self.check();
        }
    }

    /// The first flight lands where nobody knows of the connection: a FIN in it is as good as not sent.
    pub(crate) fn land_unheard(&mut self) -> Arrival {
        let fin = self.fin;
        let arrival = self.land();
        self.fin = fin;
        arrival
    }

    /// Reads into `buffer`, which is no longer than what is readable.
    pub(crate) fn read(&mut self, buffer: &mut [u8]) {
        let count = buffer.len();
        assert!(count <= self.readable(), "only what has arrived can be read");
        let (front, back) = self.data.as_slices();
        let split = count.min(front.len());
        buffer[..split].copy_from_slice(&front[..split]);
        buffer[split..].copy_from_slice(&back[..count - split]);
        self.data.drain(..count);
        self.read += count as u64;
        self.check();
    }

    /// Whether reading has opened the window so far that the sender is told without being asked: it was at most half
    /// open, is now at least twice as wide, and wide enough for a segment (or half of a small buffer). So does Linux.
    /// Within a machine each read is news.
    pub(crate) fn is_window_news(&self) -> bool {
        if self.dead || self.fin >= Fin::Sent {
            return false;
        }
        if self.is_within_a_machine {
            return true;
        }
        let known = self.advertised - self.arrived;
        let open = self.read + self.recv_capacity - self.arrived;
        known * 2 <= self.recv_capacity
            && open >= known * 2
            && open >= SEGMENT_BYTES.min(self.recv_capacity / 2)
    }

    /// The receiver tells what arrived and how wide its window is; the news gets there `at` the earliest.
    pub(crate) fn acknowledge(&mut self, at: Instant) {
        let edge = self.read + self.recv_capacity;
        self.advertised = edge;
        self.last_ack = self.last_ack.max(at);
        let acked = if self.is_within_a_machine { self.read } else { self.arrived };
        self.acks.push_back(Ack { at: self.last_ack, acked, edge });
    }

    /// What the receiver would say now.
    pub(super) fn heard(&self) -> Heard {
        let edge = self.read + self.recv_capacity;
        Heard { acked: self.arrived, has_fin: self.is_fin_arrived(), edge }
    }

    /// Whether nothing is on the wire.
    pub(crate) fn is_landed(&self) -> bool {
        self.flights.is_empty()
    }

    /// Nobody will read any more: the bytes are dropped, flights still land.
    pub(crate) fn discard(&mut self) {
        self.dead = true;
        self.data = VecDeque::new();
        self.acks.clear();
        self.write_refused = false;
    }

    /// Whether bytes are left that the sender still has to send, to a receiver that takes them.
    pub(crate) fn has_work(&self) -> bool {
        !self.dead && (self.written > self.sent || self.fin == Fin::Queued)
    }

    /// That no byte was lost or made, and no window overrun.
    #[inline]
    fn check(&self) {
        assert!(
            self.read <= self.arrived && self.arrived <= self.sent && self.sent <= self.written,
            "bytes are sent, arrive and are read in this order: {self:?}"
        );
        assert!(self.acked <= self.arrived, "only what arrived is acknowledged");
        assert!(
            self.sent <= self.edge && self.edge <= self.read + self.recv_capacity,
            "the sender keeps to the window: {self:?}"
        );
        assert!(
            self.dead || self.data.len() as u64 == self.written - self.read,
            "what was written and not read is here: {self:?}"
        );
    }
}

/// A distance between two positions as a size in memory.
fn size(count: u64) -> usize {
    usize::try_from(count).expect("positions lie no further apart than the buffers are large")
}
