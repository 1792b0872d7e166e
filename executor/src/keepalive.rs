//! `Keepalive`: how a connection on which nothing happens asks whether its peer is still there. Part of the contract of
//! [`Driver`](crate::driver::Driver), and public there.

use core::time::Duration;
use std::io;

/// The longest time that Linux takes (`MAX_TCP_KEEPIDLE`, `MAX_TCP_KEEPINTVL`).
const SECONDS_MAX: u64 = 32_767;

/// The most probes that it takes (`MAX_TCP_KEEPCNT`).
const COUNT_MAX: u32 = 127;

/// How a TCP connection asks whether its peer is still there, when nothing has come from it for a while (RFC 9293 §3.8.4).
/// A peer whose machine has crashed, or that nothing reaches any more, is found out after
/// `idle + interval * count`: the connection has timed out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keepalive {
    /// How long nothing comes before the first probe is sent (`TCP_KEEPIDLE`).
    pub idle: Duration,
    /// How long each probe waits for its answer (`TCP_KEEPINTVL`).
    pub interval: Duration,
    /// After how many probes without an answer the connection is given up (`TCP_KEEPCNT`).
    pub count: u32,
}

impl Keepalive {
    /// The same as machines take it: in whole seconds, rounded up.
    ///
    /// # Errors
    /// `InvalidInput` where a time is 0 or longer than 32,767 s, or the count is 0 or above 127.
    pub fn in_whole_seconds(self) -> io::Result<Self> {
        if !(1..=COUNT_MAX).contains(&self.count) {
            return Err(invalid(format!("count is {}: 1 to {COUNT_MAX} is expected", self.count)));
        }
        Ok(Self {
            idle: whole_seconds("idle", self.idle)?,
            interval: whole_seconds("interval", self.interval)?,
            count: self.count,
        })
    }
}

fn whole_seconds(name: &str, time: Duration) -> io::Result<Duration> {
    let seconds = time.as_secs().saturating_add(u64::from(time.subsec_nanos() > 0));
    match seconds {
        1..=SECONDS_MAX => Ok(Duration::from_secs(seconds)),
        _ => Err(invalid(format!(
            "{name} is {time:?}: more than 0 s and at most {SECONDS_MAX} s are expected"
        ))),
    }
}

fn invalid(what: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, format!("of Keepalive, {what}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keepalive(
        idle: Duration,
        interval: Duration,
        count: u32,
    ) -> Result<(u64, u64, u32), String> {
        let whole = Keepalive { idle, interval, count }.in_whole_seconds();
        whole
            .map(|whole| (whole.idle.as_secs(), whole.interval.as_secs(), whole.count))
            .map_err(|error| error.to_string())
    }

    #[test]
    fn seconds_are_whole_and_bounded() {
        let (short, long) = (Duration::from_nanos(1), Duration::from_secs(SECONDS_MAX));
        assert_eq!(keepalive(short, long, 127), Ok((1, 32_767, 127)));
        assert_eq!(keepalive(Duration::from_millis(2500), 2 * short, 1), Ok((3, 1, 1)));
        for (idle, interval, count, expect) in [
            (
                Duration::ZERO,
                long,
                1,
                "of Keepalive, idle is 0ns: more than 0 s and at most 32767 s are expected",
            ),
            (long, Duration::MAX, 1, "interval is 18446744073709551615.999999999s"),
            (long + short, long, 1, "idle is 32767.000000001s"),
            (long, long, 0, "of Keepalive, count is 0: 1 to 127 is expected"),
            (long, long, 128, "count is 128"),
        ] {
            let error = keepalive(idle, interval, count).unwrap_err();
            assert!(error.contains(expect), "{error}");
        }
    }
}
