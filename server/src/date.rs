//! `DateCache`: the `Date` of responses, written once a second.

use core::cell::Cell;
use core::fmt::Write;
use core::time::Duration;
use std::time::UNIX_EPOCH;

use mainspring_executor::{Instant, time};

use crate::http1::Date;

/// The date as of the present turn of the shard.
pub(crate) struct DateCache {
    text: Cell<Date>,
    /// When the second that `text` names is over.
    stale_at: Cell<Instant>,
}

impl DateCache {
    pub(crate) fn new() -> Self {
        Self { text: Cell::new([b' '; 29]), stale_at: Cell::new(Instant::START) }
    }

    /// The date at `now`, as RFC 9110 §5.6.7 wants it.
    pub(crate) fn at(&self, now: Instant) -> Date {
        if now >= self.stale_at.get() {
            self.render(now);
        }
        self.text.get()
    }

    fn render(&self, now: Instant) {
        let date = time::wall_clock().expect("dates are asked for inside a shard");
        let rest = Duration::from_secs(1) - Duration::from_nanos(date.subsec_nanos().into());
        self.stale_at.set(now + rest);
        let mut text = FixedText { bytes: [b' '; 29], length: 0 };
        let written = write!(text, "{}", httpdate::HttpDate::from(UNIX_EPOCH + date));
        assert!(written.is_ok(), "an IMF-fixdate has 29 bytes until the year 9999");
        self.text.set(text.bytes);
    }
}

/// Takes text into an array.
struct FixedText {
    bytes: Date,
    length: usize,
}

impl Write for FixedText {
    fn write_str(&mut self, text: &str) -> core::fmt::Result {
        let end = self.length + text.len();
        let room = self.bytes.get_mut(self.length..end).ok_or(core::fmt::Error)?;
        room.copy_from_slice(text.as_bytes());
        self.length = end;
        Ok(())
    }
}
