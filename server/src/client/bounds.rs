//! Every bound of a client, in one place: what it is, and what happens there.

use core::time::Duration;

use crate::http1::exchange::ResponseLimits;

/// How long after a connection went idle the reaper looks at it. From then on its end is noticed when it comes; until then,
/// when the connection would be used. So a connection that goes from request to request costs the reaper nothing.
pub(super) const WATCH_DELAY: Duration = Duration::from_millis(100);

/// What a client may hold at most.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Connections to one origin, idle ones included. Who comes then waits in a queue.
    ///
    /// Default 64: an upstream that needs more at once for one shard of ours is slow, and more would make it slower. nginx
    /// and hyper have no such bound.
    pub connections_per_origin_max: usize,
    /// Requests that wait for a connection to one origin. One more is refused with
    /// [`ErrorKind::QueueFull`](super::ErrorKind::QueueFull). Default 1024.
    pub queue_max: usize,
    /// Idle connections, to all origins together. The one that is idle for the longest time is closed. Default 256.
    pub idle_max: usize,
    /// Bytes of a response that are read and thrown away when its body is dropped before its end, as far as they have come
    /// already: then the connection can be used again. Else it is closed. Default 64 KiB.
    pub discard_bytes_max: usize,
    /// What a response may be.
    pub response: ResponseLimits,
}

impl Limits {
    /// Asserts that the values make sense together.
    ///
    /// # Panics
    /// When no connection is allowed, or as [`ResponseLimits::check`].
    pub fn check(&self) {
        assert!(self.connections_per_origin_max > 0, "a client without connections asks nobody");
        self.response.check();
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections_per_origin_max: 64,
            queue_max: 1024,
            idle_max: 256,
            discard_bytes_max: 64 * 1024,
            response: ResponseLimits::default(),
        }
    }
}

/// How long a client waits for what. [`Duration::MAX`] is for ever.
///
/// Whoever has a [deadline](mainspring_executor::deadline) is held to that as well. Only the body of a request is waited
/// for as long as it likes: that is the caller's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// For a connection, while all of them are in use. Default 5 s.
    pub queue: Duration,
    /// For the addresses of a host and a connection to one of them. Of several addresses each gets its share of what is left.
    /// Default 5 s.
    pub connect: Duration,
    /// Between two writes that the server makes room for. Default 30 s, as the server's own.
    pub write: Duration,
    /// From the end of the request to that of the head of its final response, interim ones included. Default 30 s.
    pub head: Duration,
    /// For the next bytes of a response's body, whenever its reader wants some. Default 30 s.
    pub body: Duration,
    /// For 100 (Continue), by a request that expects it; then its body is sent anyway. Default 1 s, as curl does.
    pub continue_wait: Duration,
    /// From the call to the end of the response's body. Default: for ever.
    pub total: Duration,
    /// For which an unused connection is kept. Default 30 s: less than most servers wait, so that they are rarely the ones
    /// who close.
    pub idle: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            queue: Duration::from_secs(5),
            connect: Duration::from_secs(5),
            write: Duration::from_secs(30),
            head: Duration::from_secs(30),
            body: Duration::from_secs(30),
            continue_wait: Duration::from_secs(1),
            total: Duration::MAX,
            idle: Duration::from_secs(30),
        }
    }
}

/// Both.
#[derive(Clone, Debug, Default)]
pub(super) struct Bounds {
    pub(super) limits: Limits,
    pub(super) timeouts: Timeouts,
}
