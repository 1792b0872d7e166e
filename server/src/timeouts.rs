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
    /// Between two writes that the peer makes room for. Then the connection is reset. Default 30 s: nginx 60 s.
    pub write: Duration,
    /// How long a connection that is closing goes on reading and discarding, so that the answer is not lost to a
    /// reset; also for a body that the handler left unread. Default 2 s, as in Apache.
    pub linger: Duration,
    /// From the start of a drain to the end of what still runs then. Default 30 s, as Kubernetes gives a pod.
    pub drain: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            idle: Duration::from_secs(60),
            head: Duration::from_secs(10),
            body: Duration::from_secs(30),
            write: Duration::from_secs(30),
            linger: Duration::from_secs(2),
            drain: Duration::from_secs(30),
        }
    }
}
