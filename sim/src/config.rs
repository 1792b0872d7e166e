//! `WorldConfig`: every bound of the simulated machine room, and which faults may happen. It decides nothing itself.

use core::fmt;
use core::ops::RangeInclusive;
use core::time::Duration;

use crate::order::Order;
use crate::poll_counts::PollCounts;

/// What the machines and the network between them are like.
///
/// The ready-made ones are [`calm`](WorldConfig::calm), where nothing goes wrong,
/// [`rough`](WorldConfig::rough), where everything that a program must survive happens often, and
/// [`swarm`](WorldConfig::swarm), where some of it does not happen at all.
///
/// `Debug` shows what is not as in `calm`.
#[derive(Clone, PartialEq, Eq)]
pub struct WorldConfig {
    /// One-way latency of each packet between two hosts. Segments of a stream keep their order all the same; datagrams
    /// overtake each other. [`World::set_latency`](crate::World::set_latency) changes
    /// one direction of one link.
    pub latency: RangeInclusive<Duration>,
    /// The same for packets that stay on their host.
    pub loopback_latency: RangeInclusive<Duration>,
    /// Who goes next, of those that could.
    pub order: Order,
    /// Whether a read may give fewer bytes than there are.
    pub short_reads: bool,
    /// Whether a write may take fewer bytes than there is space for; also one to a file.
    pub short_writes: bool,
    /// Whether what is sent at one instant may arrive in pieces; else it arrives as one.
    pub split_flights: bool,
    /// Whether edges come that mean nothing.
    pub spurious: bool,
    /// How many of a thousand datagrams between two hosts get lost; ICMP messages, too. Those that stay on their host
    /// do not.
    pub datagram_loss_permille: u32,
    /// How many of a thousand datagrams between two hosts arrive twice.
    pub datagram_duplication_permille: u32,
    /// How many of a thousand packets of connections between two hosts get lost: SYNs, segments, acknowledgements, resets.
    /// All but resets are sent again. Neither of the ready-made ones loses any.
    pub segment_loss_permille: u32,
    /// How many of a thousand flights of segments between two hosts take up to four latencies longer than they would: those that
    /// were sent later, and come before, wait for them in the kernel of the receiver. Where three segments are behind one that is
    /// late the sender takes it for lost, and sends it again.
    pub segment_reordering_permille: u32,
    /// How many of a thousand flights of segments between two hosts arrive twice. No program can tell, but for when it is told
    /// of other things: a duplicate is answered.
    pub segment_duplication_permille: u32,
    /// How often what is not acknowledged is sent again, after 200 ms, 400 ms, … and never more than 120 s; then the
    /// connection has timed out (`tcp_retries2`).
    pub retransmission_count: u32,
    /// Bytes of a socket that are written and not yet acknowledged; a write beyond says `WouldBlock`.
    pub send_buffer_bytes: usize,
    /// Bytes that arrived and are not yet read: the most that a receive window opens. A sender beyond waits.
    pub recv_buffer_bytes: usize,
    /// Memory of a host for what is in the buffers of all its sockets, those of TCP and UDP (`tcp_mem`, `udp_mem`): what is written
    /// and not acknowledged, and what is not read. `None` is no bound. Beyond, a write takes what it still may, or says
    /// `WouldBlock`, a segment that arrives is dropped, and sent again later, a datagram is dropped, and sending one, or making a
    /// socket, fails with `ENOBUFS`. Each socket may have 4 KiB in each direction all the same.
    /// [`Host::set_socket_memory`](crate::Host::set_socket_memory) changes it for one host. None of the ready-made ones has a bound.
    pub socket_memory_bytes: Option<usize>,
    /// Upper bound of the backlog of any listener (`somaxconn`).
    pub backlog_max: u32,
    /// Open tokens of a host (its limit of descriptors); beyond, the calls that open one fail with `EMFILE`. Jobs are
    /// no descriptors.
    pub tokens_max: usize,
    /// The ports that a host takes from for who connects, or is bound to port 0 (`ip_local_port_range`); at least one, and not
    /// 0. A connection whose end here closed first keeps its port from others to the same peer for 60 s (`TIME_WAIT`); when all
    /// are taken, connecting fails with `AddrNotAvailable`.
    pub ephemeral_ports: RangeInclusive<u16>,
    /// How often a SYN without an answer is sent again, after 1 s, 2 s, 4 s, …; then the connect times out.
    pub syn_retry_count: u32,
    /// How long a job takes, once a thread has begun it.
    pub job_duration: RangeInclusive<Duration>,
    /// How long a lookup of a name takes, once a thread has begun it.
    pub name_duration: RangeInclusive<Duration>,
    /// A lookup of a name that is known fails once in so many times; 0 is never.
    pub name_failure_one_in: u64,
    /// Threads of a host for work that blocks: as many such jobs run at one time, and others wait.
    pub blocking_threads_max: usize,
    /// The same for work that computes.
    pub compute_threads_max: usize,
    /// The same for lookups of names.
    pub name_threads_max: usize,
    /// Jobs of a host that may wait for a thread of one kind; one more is refused as exhausted.
    pub jobs_waiting_max: usize,
    /// An operation on a file fails with `EIO` once in so many times; 0 is never. Neither of the ready-made ones has
    /// any: what a program makes of them is for its own scenarios to say.
    pub disk_error_one_in: u64,
    /// One that takes room on the disk fails with `ENOSPC` once in so many times; 0 is never.
    pub disk_full_one_in: u64,
    /// Whether the fault points of programs fire ([`buggify!`](mainspring_executor::buggify)): each is on in one run of four on
    /// each machine. In none of the ready-made ones: what a program survives is for its own scenarios to say.
    pub buggify: bool,
    /// Whether each run has some of these faults wholly off and others in full, as it is drawn; else all are in full.
    pub swarm: bool,
    /// How long each poll of a task takes on its shard, whatever it does; none of the ready-made ones has any.
    /// [`Host::set_poll_cost`](crate::Host::set_poll_cost) tells the tasks of a host apart, and [`spend`](crate::spend) adds to it. A task that is
    /// always ready moves the clock then: it is found by `virtual_time_max`, and is no livelock.
    pub poll_cost: RangeInclusive<Duration>,
    /// A poll that takes so much time, by its cost and by [`spend`](crate::spend), is reported as a stall.
    pub stall_budget: Duration,
    /// A run that gets past this virtual time has failed: it never ends.
    pub virtual_time_max: Duration,
    /// A run with more events and turns than this has failed: it goes round in circles.
    pub event_count_max: u64,
    /// Whether a call of libc's clocks or entropy fails the run, with the place that made it; else it is answered, and
    /// counted. Only a binary with the guard notices such calls: see [`bypass`](crate::bypass).
    pub is_strict: bool,
    /// A run with more events and turns than this at one virtual instant has failed: it is a livelock, in which everybody is busy
    /// and the clock stands still. A turn has up to 64 polls. [`Report::busiest_instant`](crate::Report::busiest_instant)
    /// tells how near a run came to it.
    pub events_per_instant_max: u64,
    /// What [`Order::Urw`] expects of each task; other orders do not ask.
    pub poll_counts: PollCounts,
    /// Whether polls are counted by shard and spawn site, for [`World::poll_counts`](crate::World::poll_counts). Costs time for each
    /// task that is ready, and memory for each task.
    pub counts_polls: bool,
    /// Whether to keep the text of the trace and the list of instants; the hash is always made. Costs memory for
    /// each event.
    pub record: bool,
    /// Whether to keep what a [timeline](crate::World::timeline) needs, the text of the trace with it: who sent, woke and made what, and what
    /// each task waits for. Costs time for each turn and each thing that its host waits for.
    pub timeline: bool,
    /// Whether to keep each packet with its bytes, for [`World::capture`](crate::World::capture). Costs memory for each byte that is
    /// sent, and changes nothing of the run.
    pub captures_packets: bool,
}

impl WorldConfig {
    /// No faults, first-in first-out, a latency of one millisecond exactly.
    #[must_use]
    pub fn calm() -> Self {
        let latency = Duration::from_millis(1);
        let loopback = Duration::from_micros(20);
        let job = Duration::from_micros(100);
        let name = Duration::from_millis(1);
        Self {
            latency: latency..=latency,
            loopback_latency: loopback..=loopback,
            order: Order::Fifo,
            short_reads: false,
            short_writes: false,
            split_flights: false,
            spurious: false,
            datagram_loss_permille: 0,
            datagram_duplication_permille: 0,
            segment_loss_permille: 0,
            segment_reordering_permille: 0,
            segment_duplication_permille: 0,
            retransmission_count: 15,
            send_buffer_bytes: 64 * 1024,
            recv_buffer_bytes: 64 * 1024,
            socket_memory_bytes: None,
            backlog_max: 4096,
            tokens_max: 65_536,
            ephemeral_ports: 32_768..=60_999,
            syn_retry_count: 6,
            job_duration: job..=job,
            name_duration: name..=name,
            name_failure_one_in: 0,
            blocking_threads_max: 8,
            compute_threads_max: 2,
            name_threads_max: 4,
            jobs_waiting_max: 1024,
            disk_error_one_in: 0,
            disk_full_one_in: 0,
            buggify: false,
            swarm: false,
            poll_cost: Duration::ZERO..=Duration::ZERO,
            stall_budget: Duration::from_millis(100),
            virtual_time_max: Duration::from_secs(24 * 3600),
            event_count_max: 1_000_000_000,
            is_strict: false,
            events_per_instant_max: 100_000,
            poll_counts: PollCounts::default(),
            counts_polls: false,
            record: false,
            timeline: false,
            captures_packets: false,
        }
    }

    /// All that may happen does: drawn order, latency, pieces, spurious edges, slow disks, small buffers, datagrams that
    /// get lost, come twice or overtake each other.
    #[must_use]
    pub fn rough() -> Self {
        Self {
            latency: Duration::from_micros(50)..=Duration::from_millis(20),
            loopback_latency: Duration::from_micros(5)..=Duration::from_micros(200),
            order: Order::Random,
            short_reads: true,
            short_writes: true,
            split_flights: true,
            spurious: true,
            datagram_loss_permille: 50,
            datagram_duplication_permille: 20,
            send_buffer_bytes: 16 * 1024,
            recv_buffer_bytes: 16 * 1024,
            job_duration: Duration::from_micros(20)..=Duration::from_millis(50),
            name_duration: Duration::from_micros(50)..=Duration::from_secs(2),
            ..Self::calm()
        }
    }

    /// What [`rough`](WorldConfig::rough) has, and connections that lose up to 3 % of their packets, with up to 3 % that come late
    /// and 2 % that come twice; of all that each run has
    /// some faults wholly off, and others in full. What a sweep over many seeds should begin with.
    #[must_use]
    pub fn swarm() -> Self {
        Self {
            segment_loss_permille: 30,
            segment_reordering_permille: 30,
            segment_duplication_permille: 20,
            swarm: true,
            ..Self::rough()
        }
    }
}

impl fmt::Debug for WorldConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let calm = Self::calm();
        let mut shown = f.debug_struct("WorldConfig");
        macro_rules! show_what_differs {
            ($($field:ident)*) => {
                // Names each field, so that none can be forgotten.
                let Self { $($field),* } = self;
                $(if *$field != calm.$field {
                    shown.field(stringify!($field), $field);
                })*
            };
        }
        show_what_differs! {
            latency loopback_latency order short_reads short_writes split_flights spurious
            datagram_loss_permille datagram_duplication_permille segment_loss_permille
            segment_reordering_permille segment_duplication_permille retransmission_count
            send_buffer_bytes recv_buffer_bytes backlog_max tokens_max ephemeral_ports
            syn_retry_count job_duration name_duration name_failure_one_in blocking_threads_max
            compute_threads_max name_threads_max jobs_waiting_max disk_error_one_in
            disk_full_one_in buggify swarm poll_cost stall_budget virtual_time_max event_count_max is_strict
            timeline events_per_instant_max socket_memory_bytes poll_counts counts_polls
            record captures_packets
        }
        shown.finish_non_exhaustive()
    }
}

impl Default for WorldConfig {
    /// [`WorldConfig::calm`].
    fn default() -> Self {
        Self::calm()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn its_text_is_what_is_not_calm() {
        assert_eq!(format!("{:?}", WorldConfig::calm()), "WorldConfig { .. }");
        let config = WorldConfig { short_reads: true, tokens_max: 3, ..WorldConfig::calm() };
        assert_eq!(format!("{config:?}"), "WorldConfig { short_reads: true, tokens_max: 3, .. }");
    }
}
