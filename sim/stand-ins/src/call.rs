//! `Call`: a connection of a stand-in, as its protocol sees it. Here all that is not a protocol's own happens to answers.

use core::future::poll_fn;
use core::time::Duration;
use std::io::{self, ErrorKind};
use std::rc::Rc;

use mainspring_executor::net::TcpStream;
use mainspring_executor::time::sleep;

use crate::behaviour::Behaviour;
use crate::rules::Act;
use crate::seen::What;
use crate::stand_in::{Protocol, Shared};

/// A connection, for [`Protocol::converse`].
pub struct Call<P: Protocol> {
    shared: Rc<Shared<P>>,
    number: u64,
    /// `None` once it was reset.
    stream: Option<TcpStream>,
    answer_count: u64,
    is_beyond_limit: bool,
}

/// How an answer ends that is not sent to its end.
#[derive(Clone, Copy)]
enum Cut {
    Stall,
    Close,
    Reset,
}

/// What happens to an answer.
#[derive(Default)]
struct Plan {
    pause: Duration,
    drip: Option<(usize, Duration)>,
    hiccup: Option<(usize, Duration)>,
    cut: Option<(usize, Cut)>,
}

impl<P: Protocol> Call<P> {
    pub(crate) fn new(
        shared: Rc<Shared<P>>,
        number: u64,
        stream: TcpStream,
        is_beyond_limit: bool,
    ) -> Self {
        Self { shared, number, stream: Some(stream), answer_count: 0, is_beyond_limit }
    }

    /// The number of the connection; 1 is the first.
    #[must_use]
    pub fn number(&self) -> u64 {
        self.number
    }

    /// The protocol, which all connections share.
    #[must_use]
    pub fn protocol(&self) -> &P {
        &self.shared.protocol
    }

    /// Whether it is one too many, and is to be told so: [`Beyond::Tell`](crate::Beyond::Tell).
    #[must_use]
    pub fn is_beyond_limit(&self) -> bool {
        self.is_beyond_limit
    }

    /// Bytes that were received and not consumed.
    #[must_use]
    pub fn received(&self) -> &[u8] {
        self.stream.as_ref().map_or(&[], TcpStream::buffered)
    }

    /// Receives more of them, and gives how many; 0 is the client's end. Cancel-safe.
    ///
    /// # Errors
    /// Those of [`TcpStream::fill`].
    ///
    /// # Panics
    /// As [`TcpStream::fill`]: where too many are received and not consumed.
    pub async fn receive(&mut self) -> io::Result<usize> {
        self.stream()?.fill().await
    }

    /// Drops the first `count` bytes of what was received.
    ///
    /// # Panics
    /// When there are fewer.
    pub fn consume(&mut self, count: usize) {
        match &mut self.stream {
            Some(stream) => stream.consume(count),
            None => assert_eq!(count, 0, "nothing is received after a reset"),
        }
    }

    /// Takes so many bytes; `None` where the client ended before the first of them. Not cancel-safe.
    ///
    /// # Errors
    /// `UnexpectedEof` where it ended later; those of [`Call::receive`].
    pub async fn take(&mut self, count: usize) -> io::Result<Option<Vec<u8>>> {
        let mut bytes = Vec::new();
        loop {
            let part = self.received().len().min(count - bytes.len());
            bytes.extend_from_slice(&self.received()[..part]);
            self.consume(part);
            if bytes.len() == count {
                return Ok(Some(bytes));
            }
            if self.receive().await? == 0 {
                return match bytes.is_empty() {
                    true => Ok(None),
                    false => Err(ErrorKind::UnexpectedEof.into()),
                };
            }
        }
    }

    /// A question has come: it is remembered, and where [`Behaviour::Leave`] has it so, the connection ends.
    ///
    /// # Errors
    /// `ConnectionAborted` then.
    pub fn ask(&mut self, question: P::Question) -> io::Result<()> {
        self.shared.note(self.number, What::Asked(question));
        let answered = self.answer_count;
        let leaves = self.shared.rules.draw_first(self.number, |act| match act {
            Act::Any(any) if any.is_of_question() => match any {
                Behaviour::Leave { answers } => (answered >= *answers).then_some(()),
                _ => None,
            },
            _ => None,
        });
        if leaves.is_none() { Ok(()) } else { Err(ErrorKind::ConnectionAborted.into()) }
    }

    /// What of the protocol's own misbehaviour comes to pass now, of all that `pick` picks: the first. The others are not used
    /// up, where they hold for so many times.
    pub fn own<T>(&self, pick: impl Fn(&P::Behaviour) -> Option<T>) -> Option<T> {
        self.shared.rules.draw_first(self.number, |act| match act {
            Act::Own(own) => pick(own),
            Act::Any(_) => None,
        })
    }

    /// A number below `bound`, drawn; 0 is to be the harmless one.
    ///
    /// # Panics
    /// When `bound` is 0.
    #[must_use]
    pub fn choose(&self, bound: u64) -> u64 {
        assert!(bound > 0, "Call::choose: there is no number below 0");
        self.shared.rules.choose(bound)
    }

    /// Sends bytes that are no answer, whatever is in force: an interim response, a part of a handshake.
    ///
    /// # Errors
    /// Those of [`TcpStream::write_all`].
    pub async fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream()?.write_all(bytes).await
    }

    /// Sends an answer, or what the rules in force make of it.
    ///
    /// # Errors
    /// Where the connection ended, by the client or by a rule.
    pub async fn answer(&mut self, bytes: &[u8]) -> io::Result<()> {
        let plan = self.plan(bytes.len());
        if !plan.pause.is_zero() {
            sleep(plan.pause).await;
        }
        let end = plan.cut.map_or(bytes.len(), |(at, _)| at);
        match plan.hiccup.filter(|(at, _)| *at < end) {
            Some((at, lasting)) => {
                self.drip(&bytes[..at], plan.drip).await?;
                sleep(lasting).await;
                self.drip(&bytes[at..end], plan.drip).await?;
            }
            None => self.drip(&bytes[..end], plan.drip).await?,
        }
        match plan.cut {
            None => {
                self.answer_count += 1;
                Ok(())
            }
            Some((_, Cut::Stall)) => Err(self.stall().await),
            Some((_, Cut::Close)) => Err(ErrorKind::ConnectionAborted.into()),
            Some((_, Cut::Reset)) => Err(self.reset()),
        }
    }

    /// Says nothing more, reads on to the client's end, and gives an error to leave with.
    pub async fn stall(&mut self) -> io::Error {
        loop {
            match self.receive().await {
                Ok(0) => return ErrorKind::ConnectionAborted.into(),
                Ok(_) => self.consume(self.received().len()),
                Err(error) => return error,
            }
        }
    }

    /// Resets the connection, and gives an error to leave with.
    pub fn reset(&mut self) -> io::Error {
        if let Some(stream) = self.stream.take() {
            stream.abort();
        }
        ErrorKind::ConnectionAborted.into()
    }

    /// Reads nothing, until the client has ended.
    pub(crate) async fn wait_for_end(&mut self) -> io::Result<()> {
        let stream = self.stream()?;
        poll_fn(|cx| stream.poll_peer_closed(cx)).await;
        Ok(())
    }

    fn stream(&mut self) -> io::Result<&mut TcpStream> {
        self.stream.as_mut().ok_or_else(|| ErrorKind::NotConnected.into())
    }

    /// Puts together what the rules say about an answer of so many bytes: waits add up, and of several cuts the earliest counts.
    fn plan(&self, length: usize) -> Plan {
        let acts = self.shared.rules.draw(self.number, |act| match act {
            Act::Any(behaviour) if behaviour.is_of_answer() => Some(behaviour.clone()),
            _ => None,
        });
        let last = length.saturating_sub(1);
        let mut plan = Plan::default();
        for act in acts {
            match act {
                Behaviour::Pause(time) => plan.pause += time,
                Behaviour::PauseUpTo(longest) => plan.pause += self.up_to(longest),
                Behaviour::Drip { bytes, every } => plan.drip = Some((bytes, every)),
                Behaviour::Hiccup { after, lasting } => {
                    plan.hiccup = Some((after.min(last), lasting));
                }
                Behaviour::Stall { after } => plan.cut(after.min(last), Cut::Stall),
                Behaviour::Close { after } => plan.cut(after.min(last), Cut::Close),
                Behaviour::Reset { after } => plan.cut(after.min(last), Cut::Reset),
                Behaviour::ResetLate(time) => {
                    plan.pause += time;
                    plan.cut(0, Cut::Reset);
                }
                Behaviour::Break => {
                    let at = self.index(length.max(1));
                    let cuts = [Cut::Close, Cut::Reset, Cut::Stall];
                    plan.cut(at, cuts[self.index(cuts.len())]);
                }
                Behaviour::Refuse
                | Behaviour::Limit { .. }
                | Behaviour::Silence
                | Behaviour::Deaf
                | Behaviour::Leave { .. } => unreachable!("it is of no answer"),
            }
        }
        plan
    }

    /// A drawn time, by the microsecond.
    fn up_to(&self, longest: Duration) -> Duration {
        let micros = u64::try_from(longest.as_micros()).unwrap_or(u64::MAX - 1);
        Duration::from_micros(self.choose(micros + 1))
    }

    fn index(&self, count: usize) -> usize {
        usize::try_from(self.choose(count as u64)).expect("below a size")
    }

    async fn drip(&mut self, bytes: &[u8], drip: Option<(usize, Duration)>) -> io::Result<()> {
        let Some((count, every)) = drip else { return self.send(bytes).await };
        for (index, piece) in bytes.chunks(count).enumerate() {
            if index > 0 {
                sleep(every).await;
            }
            self.send(piece).await?;
        }
        Ok(())
    }
}

impl Plan {
    fn cut(&mut self, at: usize, cut: Cut) {
        if self.cut.is_none_or(|(before, _)| at < before) {
            self.cut = Some((at, cut));
        }
    }
}
