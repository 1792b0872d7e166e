//! `Difference`: the first place at which two servers part, and what is known of it.

use core::fmt::{self, Display, Formatter};

use mainspring::http1::Error;

use super::message::Message;
use super::reading::Reading;
use super::run::Run;
use super::seen::Seen;

/// What became of one message. What comes behind a whole request is another message's fate.
#[derive(Clone, Copy)]
pub(super) struct Fate<'r> {
    /// The request, if a handler got it.
    pub(super) seen: Option<&'r Seen>,
    /// The answer to what is no whole request.
    pub(super) refusal: Option<u16>,
    /// Whether the connection was left open, where that was waited for.
    pub(super) is_open: Option<bool>,
}

impl<'r> Fate<'r> {
    fn of(run: &'r Run, index: usize) -> Self {
        match run.served().get(index) {
            Some(seen) => Self { seen: Some(seen), refusal: None, is_open: None },
            None => Self { seen: run.begun(), refusal: run.refusal(), is_open: run.is_open },
        }
    }

    /// Whether a handler got the whole of it.
    pub(super) fn is_served(&self) -> bool {
        self.seen.is_some_and(|seen| seen.is_whole)
    }

    /// Whether nothing was made of it: no request, no answer.
    pub(super) fn is_nothing(&self) -> bool {
        self.seen.is_none() && self.refusal.is_none()
    }
}

/// The first message of which the two servers made different things.
pub(super) struct Difference<'r> {
    /// Its number; so many requests before it were the same for both.
    index: usize,
    /// Its bytes, and all behind them; none where our server had closed before it.
    pub(super) message: Message<'r>,
    /// The request before it.
    pub(super) before: Option<&'r Seen>,
    /// Why our server did not serve it.
    pub(super) error: Option<Error>,
    pub(super) ours: Fate<'r>,
    pub(super) hyper: Fate<'r>,
}

impl<'r> Difference<'r> {
    /// The first difference of two runs of `stream`, if there is one.
    pub(super) fn find(
        stream: &'r [u8],
        reading: &Reading,
        ours: &'r Run,
        hyper: &'r Run,
    ) -> Option<Self> {
        let pairs = ours.served().iter().zip(hyper.served());
        let index = pairs.take_while(|(ours, hyper)| ours == hyper).count();
        let (our_fate, fate) = (Fate::of(ours, index), Fate::of(hyper, index));
        let is_same = !our_fate.is_served()
            && !fate.is_served()
            && our_fate.seen.is_some() == fate.seen.is_some()
            && our_fate.refusal == fate.refusal
            && our_fate.is_open == fate.is_open;
        let difference = Self {
            index,
            message: reading
                .start(index)
                .map(|at| Message::read(&stream[at..]))
                .unwrap_or_default(),
            before: index.checked_sub(1).map(|before| &ours.served()[before]),
            error: if our_fate.is_served() { None } else { reading.error },
            ours: our_fate,
            hyper: fate,
        };
        (!is_same || !difference.is_one_request()).then_some(difference)
    }

    /// Whether both took it for the same request, as far as both took it for one. Nothing explains it if they did not.
    pub(super) fn is_one_request(&self) -> bool {
        match (self.ours.seen, self.hyper.seen) {
            (Some(ours), Some(hyper)) => ours.agrees_with(hyper),
            _ => true,
        }
    }
}

impl Display for Difference<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        writeln!(f, "message {} (our error: {:?}):", self.index, self.error)?;
        writeln!(f, "{}", self.message.head.escape_ascii())?;
        for (name, fate) in [("mainspring", &self.ours), ("hyper", &self.hyper)] {
            let Fate { seen, refusal, is_open } = fate;
            writeln!(f, "--- {name}: refusal {refusal:?}, open {is_open:?}, request:")?;
            writeln!(f, "{}", seen.map_or_else(|| "none".to_owned(), Seen::to_string))?;
        }
        Ok(())
    }
}
