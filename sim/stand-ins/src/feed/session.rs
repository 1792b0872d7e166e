//! A session: frames both ways after the handshake.

use core::pin::pin;
use core::time::Duration;
use std::io::{self, Cursor, ErrorKind};
use std::rc::Rc;

use futures::{FutureExt, select_biased};
use mainspring_executor::Instant;
use mainspring_executor::time::{now, sleep_until};
use tungstenite::protocol::frame::coding::{CloseCode, Control, Data, OpCode};
use tungstenite::protocol::frame::{CloseFrame, Frame, FrameHeader};

use super::{Feed, FeedBehaviour, FeedQuestion};
use crate::call::Call;
use crate::mailbox::Mailbox;

/// The longest frame that is taken from a client, in bytes: what fits into the receive buffer.
const FRAME_BYTES_MAX: u64 = 60 * 1024;

/// Talks with one client to its end.
pub(super) async fn run(call: Call<Feed>) -> io::Result<()> {
    let number = call.number();
    let mailbox = Rc::<Mailbox<String>>::default();
    call.protocol().mailboxes.borrow_mut().insert(number, Rc::clone(&mailbox));
    let feed = call.protocol();
    let next = feed.ticking.as_ref().map_or(0, |ticking| ticks_until(now(), ticking.every) + 1);
    Session { call, mailbox, next, held: None }.serve().await
}

/// How many whole intervals have passed.
fn ticks_until(at: Instant, every: Duration) -> u64 {
    let ticks = u128::from(at.as_nanos()) / every.as_nanos();
    u64::try_from(ticks).expect("no more than nanoseconds have passed")
}

struct Session {
    call: Call<Feed>,
    mailbox: Rc<Mailbox<String>>,
    /// The number of the next message by the clock.
    next: u64,
    /// A message that another one is to overtake.
    held: Option<String>,
}

impl Drop for Session {
    /// Nobody tells it anything from now on, however it ends.
    fn drop(&mut self) {
        self.call.protocol().mailboxes.borrow_mut().remove(&self.call.number());
    }
}

/// What a session waits for.
enum Event {
    Received(usize),
    Tick,
    Told(String),
}

impl Session {
    async fn serve(&mut self) -> io::Result<()> {
        loop {
            while let Some((header, payload)) = self.next_frame()? {
                if !self.take(&header, payload).await? {
                    return Ok(());
                }
            }
            let tick = match &self.call.protocol().ticking {
                Some(ticking) => tick_at(ticking.every, self.next),
                None => Instant::FAR_FUTURE,
            };
            let event = select_biased! {
                text = pin!(self.mailbox.next().fuse()) => Event::Told(text?),
                count = pin!(self.call.receive().fuse()) => Event::Received(count?),
                () = pin!(sleep_until(tick).fuse()) => Event::Tick,
            };
            match event {
                Event::Received(0) => return Ok(()),
                Event::Received(_) => {}
                Event::Tick => {
                    let ticking = self.call.protocol().ticking.as_ref();
                    let text = ticking.map(|ticking| (ticking.message)(self.next));
                    self.next += 1;
                    if let Some(text) = text {
                        self.tell(text).await?;
                    }
                }
                Event::Told(text) => self.tell(text).await?,
            }
        }
    }

    /// A frame that was received whole, unmasked.
    fn next_frame(&mut self) -> io::Result<Option<(FrameHeader, Vec<u8>)>> {
        let invalid = |_| io::Error::from(ErrorKind::InvalidData);
        let mut cursor = Cursor::new(self.call.received());
        let Some((header, length)) = FrameHeader::parse(&mut cursor).map_err(invalid)? else {
            return Ok(None);
        };
        let Some(mask) = header.mask.filter(|_| length <= FRAME_BYTES_MAX) else {
            return Err(ErrorKind::InvalidData.into());
        };
        let start = usize::try_from(cursor.position()).expect("a header is short");
        let end = start + usize::try_from(length).expect("it is bounded");
        let Some(payload) = self.call.received().get(start..end) else { return Ok(None) };
        let unmasked = payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask);
        let payload = unmasked.collect();
        self.call.consume(end);
        Ok(Some((header, payload)))
    }

    /// Acts on a frame of the client; false at the end of all.
    async fn take(&mut self, header: &FrameHeader, payload: Vec<u8>) -> io::Result<bool> {
        let own = |wanted: FeedBehaviour| move |own: &FeedBehaviour| (*own == wanted).then_some(());
        match header.opcode {
            OpCode::Control(Control::Ping) => {
                self.call.ask(FeedQuestion::Ping)?;
                if self.call.own(own(FeedBehaviour::NoPong)).is_none() {
                    self.call.send(&encode(Frame::pong(payload))).await?;
                }
            }
            OpCode::Control(Control::Close) => {
                let code = payload.first_chunk().map(|code| u16::from_be_bytes(*code));
                self.call.ask(FeedQuestion::Close(code))?;
                if self.call.own(own(FeedBehaviour::NoClose)).is_some() {
                    return Err(self.call.stall().await);
                }
                let reason = code.map(|code| CloseFrame { code: code.into(), reason: "".into() });
                self.call.send(&encode(Frame::close(reason))).await?;
                return Ok(false);
            }
            OpCode::Data(Data::Text) => {
                let text = String::from_utf8_lossy(&payload).into_owned();
                self.call.ask(FeedQuestion::Text(text.clone()))?;
                if self.call.protocol().echoes {
                    self.tell(text).await?;
                }
            }
            OpCode::Data(Data::Binary) => {
                self.call.ask(FeedQuestion::Binary(payload.clone()))?;
                if self.call.protocol().echoes {
                    let opcode = OpCode::Data(Data::Binary);
                    self.call.answer(&encode(Frame::message(payload, opcode, true))).await?;
                }
            }
            // Pongs need nothing; messages in several frames are taken for their first.
            _ => {}
        }
        Ok(true)
    }

    /// Sends a message, or what the rules in force make of it.
    async fn tell(&mut self, text: String) -> io::Result<()> {
        let held = self.held.take();
        self.tell_one(text).await?;
        match held {
            Some(text) => self.call.answer(&encode(message(text.into_bytes(), true))).await,
            None => Ok(()),
        }
    }

    async fn tell_one(&mut self, text: String) -> io::Result<()> {
        let right = || encode(message(text.clone().into_bytes(), true));
        let own = self.call.own(|own| is_of_message(own).then(|| own.clone()));
        match own {
            Some(FeedBehaviour::Gap) => Ok(()),
            Some(FeedBehaviour::Overtaken) => {
                self.held = Some(text);
                Ok(())
            }
            Some(FeedBehaviour::CloseFrame { code, reason }) => {
                let code = CloseCode::from(code);
                let frame = Frame::close(Some(CloseFrame { code, reason: reason.into() }));
                self.call.answer(&encode(frame)).await?;
                Err(ErrorKind::ConnectionAborted.into())
            }
            Some(FeedBehaviour::HalfFrame) => {
                let bytes = right();
                self.call.answer(&bytes[..bytes.len() / 2]).await?;
                Err(self.call.stall().await)
            }
            Some(FeedBehaviour::HalfMessage) => {
                let half = text.as_bytes()[..text.len() / 2].to_vec();
                self.call.answer(&encode(message(half, false))).await?;
                Err(self.call.stall().await)
            }
            Some(FeedBehaviour::Fragments { bytes }) => {
                self.call.answer(&fragments(text.as_bytes(), bytes.max(1))).await
            }
            Some(FeedBehaviour::Twice) => {
                self.call.answer(&right()).await?;
                self.call.answer(&right()).await
            }
            Some(FeedBehaviour::Flood { copies }) => {
                for _ in 0..=copies {
                    self.call.answer(&right()).await?;
                }
                Ok(())
            }
            Some(FeedBehaviour::Pings { count }) => {
                for _ in 0..count {
                    self.call.send(&encode(Frame::ping(Vec::new()))).await?;
                }
                self.call.answer(&right()).await
            }
            Some(FeedBehaviour::Long { bytes }) => {
                self.call.answer(&encode(message(vec![b'x'; bytes], true))).await
            }
            Some(FeedBehaviour::Masked) => {
                let mut frame = message(text.into_bytes(), true);
                // Of zeros: the payload stays as it is.
                frame.header_mut().mask = Some([0; 4]);
                self.call.answer(&encode(frame)).await
            }
            Some(FeedBehaviour::ReservedBit) => {
                let mut frame = message(text.into_bytes(), true);
                frame.header_mut().rsv1 = true;
                self.call.answer(&encode(frame)).await
            }
            Some(FeedBehaviour::NotText) => {
                self.call.answer(&encode(message(vec![0xff, 0xfe], true))).await
            }
            Some(
                FeedBehaviour::Refuse(_)
                | FeedBehaviour::WrongKey
                | FeedBehaviour::NoPong
                | FeedBehaviour::NoClose,
            )
            | None => self.call.answer(&right()).await,
        }
    }
}

fn is_of_message(own: &FeedBehaviour) -> bool {
    !matches!(
        own,
        FeedBehaviour::Refuse(_)
            | FeedBehaviour::WrongKey
            | FeedBehaviour::NoPong
            | FeedBehaviour::NoClose
    )
}

/// When message number `number` is due; never, where that is out of reach.
fn tick_at(every: Duration, number: u64) -> Instant {
    let nanos = every.as_nanos().saturating_mul(u128::from(number));
    u64::try_from(nanos).map_or(Instant::FAR_FUTURE, Instant::from_nanos)
}

fn message(payload: Vec<u8>, is_final: bool) -> Frame {
    Frame::message(payload, OpCode::Data(Data::Text), is_final)
}

/// A text in frames of so many bytes each.
fn fragments(text: &[u8], bytes: usize) -> Vec<u8> {
    let count = text.len().div_ceil(bytes).max(1);
    let mut frames = Vec::new();
    for index in 0..count {
        let part = &text[index * bytes..text.len().min((index + 1) * bytes)];
        let opcode = if index == 0 { Data::Text } else { Data::Continue };
        let frame = Frame::message(part.to_vec(), OpCode::Data(opcode), index + 1 == count);
        frames.extend(encode(frame));
    }
    frames
}

fn encode(frame: Frame) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(frame.len());
    frame.format(&mut bytes).expect("a vector takes all");
    bytes
}
