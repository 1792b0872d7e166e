//! `WorldConfig`: every bound of the simulated machine room, and which faults may happen. It decides nothing itself.

use core::ops::RangeInclusive;
use core::time::Duration;

/// What the machines and the network between them are like.
///
/// The two ready-made ones are [`calm`](WorldConfig::calm), where nothing goes wrong, and
/// [`rough`](WorldConfig::rough), where everything that a program must survive happens often.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorldConfig {
    /// One-way latency of each packet between two hosts. [`World::set_latency`](crate::World::set_latency) changes
    /// one direction of one link.
    pub latency: RangeInclusive<Duration>,
    /// The same for packets that stay on their host.
    pub loopback_latency: RangeInclusive<Duration>,
    /// Whether the next host and the next task are drawn; else each queue is first-in first-out.
    pub shuffled: bool,
    /// Whether a read may give fewer bytes than there are.
    pub short_reads: bool,
    /// Whether a write may take fewer bytes than there is space for.
    pub short_writes: bool,
    /// Whether what is sent at one instant may arrive in pieces; else it arrives as one.
    pub split_flights: bool,
    /// Whether edges come that mean nothing.
    pub spurious: bool,
    /// Bytes of a socket that are written and not yet acknowledged; a write beyond says `WouldBlock`.
    pub send_buffer_bytes: usize,
    /// Bytes that arrived and are not yet read: the most that a receive window opens. A sender beyond waits.
    pub recv_buffer_bytes: usize,
    /// Upper bound of the backlog of any listener (`somaxconn`).
    pub backlog_max: u32,
    /// Open tokens of a host (its limit of descriptors); beyond, the calls that open one fail with `EMFILE`. Jobs are
    /// no descriptors.
    pub tokens_max: usize,
    /// How often a SYN without an answer is sent again, after 1 s, 2 s, 4 s, …; then the connect times out.
    pub syn_retry_count: u32,
    /// How long a job takes.
    pub job_duration: RangeInclusive<Duration>,
    /// Jobs of a host that run at one time; one more is refused as exhausted.
    pub jobs_max: usize,
    /// A run that gets past this virtual time has failed: it never ends.
    pub virtual_time_max: Duration,
    /// A run with more events and turns than this has failed: it goes round in circles.
    pub event_count_max: u64,
    /// Whether to keep the text of the trace and the list of instants; the hash is always made. Costs memory for
    /// each event.
    pub record: bool,
}

impl WorldConfig {
    /// No faults, first-in first-out, a latency of one millisecond exactly.
    #[must_use]
    pub fn calm() -> Self {
        let latency = Duration::from_millis(1);
        let loopback = Duration::from_micros(20);
        let job = Duration::from_micros(100);
        Self {
            latency: latency..=latency,
            loopback_latency: loopback..=loopback,
            shuffled: false,
            short_reads: false,
            short_writes: false,
            split_flights: false,
            spurious: false,
            send_buffer_bytes: 64 * 1024,
            recv_buffer_bytes: 64 * 1024,
            backlog_max: 4096,
            tokens_max: 65_536,
            syn_retry_count: 6,
            job_duration: job..=job,
            jobs_max: 1024,
            virtual_time_max: Duration::from_secs(24 * 3600),
            event_count_max: 1_000_000_000,
            record: false,
        }
    }

    /// All that may happen does: drawn order, latency, pieces, spurious edges, slow disks, small buffers.
    #[must_use]
    pub fn rough() -> Self {
        Self {
            latency: Duration::from_micros(50)..=Duration::from_millis(20),
            loopback_latency: Duration::from_micros(5)..=Duration::from_micros(200),
            shuffled: true,
            short_reads: true,
            short_writes: true,
            split_flights: true,
            spurious: true,
            send_buffer_bytes: 16 * 1024,
            recv_buffer_bytes: 16 * 1024,
            job_duration: Duration::from_micros(20)..=Duration::from_millis(50),
            ..Self::calm()
        }
    }
}

impl Default for WorldConfig {
    /// [`WorldConfig::calm`].
    fn default() -> Self {
        Self::calm()
    }
}
