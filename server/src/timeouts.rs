//! Every wait of a connection that the peer decides, and how long it may take.

use core::time::Duration;

/// The deadlines of a connection. What happens at each is said there; all of them count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// Between two requests, and before the first. Then the connection is closed without a word.
    /// Default 60 s: nginx 75 s, Apache and node 5 s.
    pub idle: Duration,
    /// From the first byte of a head to its end, however many bytes trickle in. Then 408 and close.
    /// Default 10 s, as in h2o; Apache 20 to 40 s, node 60 s.
    pub head: Duration,
    /// Between two reads of a request body that the handler waits for. Then the handler's read fails, and the answer
    /// is 408 and close. Default 30 s: nginx 60 s, Apache 20 s.
    pub body: Duration,
    /// From the head of a request, or from the last piece of its body that the handler has read, to the head of the
    /// response. Then the handler is dropped, and the answer is 503 and close. It is also the
    /// [deadline](mainspring_executor::deadline) of all that the handler awaits. The body of a response may take longer.
    /// Default 60 s: nginx waits as long for an upstream; Apache, node and hyper wait for ever.
    pub handler: Duration,
    /// Between two writes that the peer makes room for. Then the connection is reset. Default 30 s: nginx 60 s.
    pub write: Duration,
    /// How slow a peer may be on the whole, sending a body or taking a response; what happens is what happens at `body`
    /// and at `write`.
    pub pace: Pace,
    /// How long a connection that is closing goes on reading and discarding, so that the answer is not lost to a
    /// reset; also for a body that the handler left unread. Default 2 s, as in Apache.
    pub linger: Duration,
    /// From the first signal to the start of the drain: the server is not [ready](crate::Shutdown::is_ready) any more, but
    /// serves as before, so that those who send it requests notice before it refuses them. Default zero.
    pub lame_duck: Duration,
    /// From the start of a drain to the end of what still runs then. Default 30 s, as Kubernetes gives a pod.
    pub drain: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            idle: Duration::from_secs(60),
            head: Duration::from_secs(10),
            body: Duration::from_secs(30),
            handler: Duration::from_secs(60),
            write: Duration::from_secs(30),
            pace: Pace::default(),
            linger: Duration::from_secs(2),
            lame_duck: Duration::ZERO,
            drain: Duration::from_secs(30),
        }
    }
}

/// The least that a peer has to send or to take, so that one who trickles just enough to meet the other deadlines does not
/// hold a connection for ever. Only time spent waiting for the peer counts, in a body as a whole: a handler may be as slow
/// as it likes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// Bytes a second; zero is no least. Default 500, as in Apache; Kestrel 240.
    pub bytes_per_second_min: u32,
    /// The wait that is free, however few bytes come of it. Default 30 s; Apache 20 s, Kestrel 5 s.
    pub grace: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self { bytes_per_second_min: 500, grace: Duration::from_secs(30) }
    }
}

impl Pace {
    /// How long all waits for `bytes` of a body may take together.
    pub(crate) fn allowance(self, bytes: u64) -> Duration {
        match u64::from(self.bytes_per_second_min) {
            0 => Duration::MAX,
            rate => self.grace.saturating_add(Duration::from_secs_f64(bytes as f64 / rate as f64)),
        }
    }
}
