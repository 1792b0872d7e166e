//! Segments that come late, and segments that come twice.
//!
//! ```text
//!  sent     1  2  3  4                       1 is overtaken by three: the sender is told, and sends it again
//!  arrives     2  3  4 ··· 1 ··· 1           whichever 1 is first is taken, then 2, 3 and 4; the other is a duplicate
//! ```
//! Receivers take bytes in order, so what was overtaken makes all behind it wait, and no program sees more of it than that.
//! Where three segments are behind a late one their acknowledgements make the sender take it for lost (RFC 5681 §3.2). A
//! duplicate is answered with an acknowledgement of what is there (RFC 9293 §3.10.7.4), or a reset where there is nothing.

use mainspring_executor::driver::Instant;

use super::Side;
use super::pipe::SEGMENT_BYTES;
use super::wire::SEGMENTS_FOR_FAST;
use crate::choice::Label;
use crate::coverage::Fault;
use crate::event::{ConnectionId, Event, HostId};
use crate::room::Room;
use crate::trace::Kind;

/// A segment that is late takes at most so many latencies more.
const LATE_COUNT_MAX: u64 = 4;

impl Room {
    /// When a segment is taken that `side` sends now, and that is to arrive at `arrival`, with so many bytes behind it.
    pub(super) fn perhaps_late(
        &mut self,
        id: ConnectionId,
        side: Side,
        arrival: Instant,
        behind: u64,
    ) -> Instant {
        let Some((from, to)) = self.between_hosts(id, side) else { return arrival };
        let (shard, permille) = (self.first_shard(from), self.config.segment_reordering_permille);
        if !self.choices.chance_permille(shard, Label::SegmentReordering, permille) {
            return arrival;
        }
        let drawn = self.choices.choose(Some(shard), Label::SegmentReordering, LATE_COUNT_MAX);
        let count = 1 + u32::try_from(drawn).expect("a few");
        self.note_host(from, Kind::SegmentLate, id.index() as u64, u64::from(count));
        let late = arrival + self.delay(from, Some(to)) * count;
        if behind < SEGMENTS_FOR_FAST * SEGMENT_BYTES {
            self.tap_late(id, side, None);
            return late;
        }
        let again_at = self.now + self.round_trip(id, side);
        let again = again_at + self.delay(from, Some(to));
        self.tap_late(id, side, Some((again_at, again)));
        self.push(late.max(again), id, Event::Duplicate(id, side));
        late.min(again)
    }

    /// A segment that `side` sends now arrives at `arrival`, and perhaps once more.
    pub(super) fn perhaps_twice(&mut self, id: ConnectionId, side: Side, arrival: Instant) {
        let Some((from, to)) = self.between_hosts(id, side) else { return };
        let (shard, permille) = (self.first_shard(from), self.config.segment_duplication_permille);
        if self.choices.chance_permille(shard, Label::SegmentDuplication, permille) {
            self.coverage.add_fault(Fault::SegmentTwice);
            let other = self.now + self.delay(from, Some(to));
            self.tap_twice(id, side, other.max(arrival));
            self.push(other.max(arrival), id, Event::Duplicate(id, side));
        }
    }

    /// The hosts of `side` and of its peer, where these are two.
    fn between_hosts(&self, id: ConnectionId, side: Side) -> Option<(HostId, HostId)> {
        let connection = &self.connections[id.index()];
        let hosts = connection.end(side).host.zip(connection.end(side.other()).host);
        hosts.filter(|(from, to)| from != to)
    }
}
