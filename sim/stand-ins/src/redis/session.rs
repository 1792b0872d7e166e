//! A session: what one client commands, one command after the other, and what it is told.
//!
//! ```text
//! commands ─┬─ on keys: done, and answered
//!           ├─ MULTI … EXEC: queued in between, done at once; DISCARD: forgotten
//!           └─ SUBSCRIBE: told what is published, until the last UNSUBSCRIBE; meanwhile nothing but these, PING and QUIT
//! ```

use core::pin::pin;
use std::collections::BTreeSet;
use std::io::{self, ErrorKind};
use std::rc::Rc;

use futures::{FutureExt, select_biased};
use redis_protocol::resp2::decode::decode;
use redis_protocol::resp2::encode::encode;
use redis_protocol::resp2::types::{OwnedFrame, Resp2Frame};

use super::commands::{Effect, execute, known};
use super::{Redis, RedisBehaviour, bulk, error, integer, ok};
use crate::call::Call;
use crate::mailbox::Mailbox;

/// The longest command, in bytes: what fits into the receive buffer.
const COMMAND_BYTES_MAX: usize = 60 * 1024;

/// Hash slots of a cluster.
const SLOT_COUNT: u16 = 16_384;

/// Talks with one client to its end.
pub(super) async fn run(call: Call<Redis>) -> io::Result<()> {
    let mut session = Session {
        call,
        queue: None,
        is_spoilt: false,
        watched: Vec::new(),
        channels: BTreeSet::new(),
        mailbox: Rc::default(),
    };
    if session.call.is_beyond_limit() {
        return session.reply(&error("ERR max number of clients reached")).await;
    }
    session.serve().await
}

struct Session {
    call: Call<Redis>,
    /// The commands between `MULTI` and `EXEC`.
    queue: Option<Vec<Vec<Vec<u8>>>>,
    /// Whether one of them was refused.
    is_spoilt: bool,
    /// Keys with the version that they had.
    watched: Vec<(Vec<u8>, u64)>,
    channels: BTreeSet<Vec<u8>>,
    mailbox: Rc<Mailbox<OwnedFrame>>,
}

impl Drop for Session {
    /// Leaves all channels, however it ends.
    fn drop(&mut self) {
        self.call.protocol().channels.borrow_mut().leave(self.call.number());
    }
}

/// What a session waits for.
enum Event {
    Received(usize),
    /// What came by way of a channel.
    Told(OwnedFrame),
}

impl Session {
    async fn serve(&mut self) -> io::Result<()> {
        loop {
            while let Some(words) = self.next_command()? {
                let text = |word: &Vec<u8>| String::from_utf8_lossy(word).into_owned();
                self.call.ask(words.iter().map(text).collect())?;
                let name = text(&words[0]).to_ascii_uppercase();
                for reply in self.command(&name, &words) {
                    self.reply(&reply).await?;
                }
                if name == "QUIT" {
                    return Ok(());
                }
            }
            let event = select_biased! {
                letter = pin!(self.mailbox.next().fuse()) => Event::Told(letter?),
                count = pin!(self.call.receive().fuse()) => Event::Received(count?),
            };
            match event {
                Event::Received(0) => return Ok(()),
                Event::Received(_) => {}
                Event::Told(letter) => self.reply(&letter).await?,
            }
        }
    }

    /// A command that was received whole.
    fn next_command(&mut self) -> io::Result<Option<Vec<Vec<u8>>>> {
        let invalid = || io::Error::from(ErrorKind::InvalidData);
        if self.call.received().is_empty() {
            return Ok(None);
        }
        let Some((frame, count)) = decode(self.call.received()).map_err(|_| invalid())? else {
            let is_short = self.call.received().len() <= COMMAND_BYTES_MAX;
            return if is_short { Ok(None) } else { Err(invalid()) };
        };
        self.call.consume(count);
        let OwnedFrame::Array(words) = frame else { return Err(invalid()) };
        let words = words.into_iter().map(|word| match word {
            OwnedFrame::BulkString(bytes) => Some(bytes),
            _ => None,
        });
        let words: Option<Vec<Vec<u8>>> = words.collect();
        words.filter(|words| !words.is_empty()).map(Some).ok_or_else(invalid)
    }

    async fn reply(&mut self, reply: &OwnedFrame) -> io::Result<()> {
        if self.call.own(|own| (*own == RedisBehaviour::NotResp).then_some(())).is_some() {
            return self.call.answer(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
        }
        let mut bytes = vec![0; reply.encode_len(false)];
        encode(&mut bytes, reply, false).expect("its length is known");
        self.call.answer(&bytes).await
    }

    fn command(&mut self, name: &str, words: &[Vec<u8>]) -> Vec<OwnedFrame> {
        let is_listener = !self.channels.is_empty();
        match name {
            "SUBSCRIBE" if words.len() > 1 => self.subscribe(&words[1..]),
            "UNSUBSCRIBE" => self.unsubscribe(&words[1..]),
            "PING" if is_listener => {
                let text = words.get(1).map_or(&[][..], Vec::as_slice);
                vec![OwnedFrame::Array(vec![bulk(b"pong"), bulk(text)])]
            }
            "QUIT" => vec![ok()],
            _ if is_listener => {
                let name = name.to_ascii_lowercase();
                vec![error(&format!(
                    "ERR Can't execute '{name}': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed in this context"
                ))]
            }
            _ => vec![self.one(name, words)],
        }
    }

    /// A command with one reply.
    fn one(&mut self, name: &str, words: &[Vec<u8>]) -> OwnedFrame {
        match (name, words.len()) {
            ("MULTI", 1) if self.queue.is_some() => error("ERR MULTI calls can not be nested"),
            ("MULTI", 1) => {
                self.queue = Some(Vec::new());
                ok()
            }
            ("EXEC", 1) => self.exec(),
            ("DISCARD", 1) => match self.queue.take() {
                None => error("ERR DISCARD without MULTI"),
                Some(_) => {
                    self.forget();
                    ok()
                }
            },
            ("WATCH", 2..) if self.queue.is_some() => {
                error("ERR WATCH inside MULTI is not allowed")
            }
            _ => match self.refusal(name, words) {
                Some(refused) => {
                    self.is_spoilt |= self.queue.is_some();
                    refused
                }
                None if self.queue.is_some() => {
                    self.queue.as_mut().expect("it is there").push(words.to_vec());
                    OwnedFrame::SimpleString(b"QUEUED".to_vec())
                }
                None => self.execute(name, words),
            },
        }
    }

    /// The error that a command gets in place of being done.
    fn refusal(&mut self, name: &str, words: &[Vec<u8>]) -> Option<OwnedFrame> {
        let effect = match (on_connection(name), known(name)) {
            (Some((least, most)), _) | (None, Some((least, most, Effect::None)))
                if (least..=most).contains(&words.len()) =>
            {
                Effect::None
            }
            (None, Some((least, most, effect))) if (least..=most).contains(&words.len()) => effect,
            (None, None) => return Some(unknown(words)),
            _ => {
                let name = name.to_ascii_lowercase();
                let text = format!("ERR wrong number of arguments for '{name}' command");
                return Some(error(&text));
            }
        };
        let text = self.call.own(|own| match own {
            RedisBehaviour::Error(text) => Some(text.clone()),
            RedisBehaviour::Loading => {
                Some("LOADING Redis is loading the dataset in memory".to_owned())
            }
            RedisBehaviour::Busy => Some(
                "BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE."
                    .to_owned(),
            ),
            RedisBehaviour::MasterDown if effect != Effect::None => Some(
                "MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'."
                    .to_owned(),
            ),
            RedisBehaviour::Moved { to } if effect != Effect::None => {
                let key = words.get(1).map_or(&[][..], Vec::as_slice);
                Some(format!("MOVED {} {to}", slot(key)))
            }
            RedisBehaviour::OutOfMemory if effect == Effect::Writes => {
                Some("OOM command not allowed when used memory > 'maxmemory'.".to_owned())
            }
            RedisBehaviour::ReadOnly if matches!(effect, Effect::Writes | Effect::Frees) => {
                Some("READONLY You can't write against a read only replica.".to_owned())
            }
            _ => None,
        })?;
        Some(error(&text))
    }

    fn execute(&mut self, name: &str, words: &[Vec<u8>]) -> OwnedFrame {
        if on_connection(name).is_some() {
            return self.connection_command(name, words);
        }
        let effect = known(name).map_or(Effect::None, |(_, _, effect)| effect);
        let fresh = self.call.own(|own| match own {
            RedisBehaviour::Cold if effect == Effect::Reads => Some(()),
            RedisBehaviour::LosesWrites if name == "SET" => Some(()),
            _ => None,
        });
        if fresh.is_some() {
            return execute(&mut super::Store::default(), name, words);
        }
        execute(&mut self.call.protocol().store.borrow_mut(), name, words)
    }

    fn connection_command(&mut self, name: &str, words: &[Vec<u8>]) -> OwnedFrame {
        let arg = |index: usize| words.get(index).map_or(&[][..], Vec::as_slice);
        match name {
            "HELLO" if words.len() > 1 && arg(1) != b"2" => {
                error("NOPROTO unsupported protocol version")
            }
            "HELLO" => {
                let fields: [(&[u8], OwnedFrame); 4] = [
                    (b"server", bulk(b"redis")),
                    (b"version", bulk(b"7.0.15")),
                    (b"proto", OwnedFrame::Integer(2)),
                    (b"mode", bulk(b"standalone")),
                ];
                let fields = fields.into_iter().flat_map(|(name, value)| [bulk(name), value]);
                OwnedFrame::Array(fields.collect())
            }
            "WATCH" => {
                for key in &words[1..] {
                    let version = self.call.protocol().store.borrow_mut().version(key);
                    self.watched.push((key.clone(), version));
                }
                ok()
            }
            "UNWATCH" => {
                self.watched.clear();
                ok()
            }
            "PUBLISH" => integer(self.call.protocol().channels.borrow().publish(arg(1), arg(2))),
            // `SELECT`, `CLIENT`: there is one database, and no list of clients.
            _ => ok(),
        }
    }

    fn exec(&mut self) -> OwnedFrame {
        let Some(queue) = self.queue.take() else { return error("ERR EXEC without MULTI") };
        let own = self.call.own(|own| match own {
            RedisBehaviour::ExecAborts | RedisBehaviour::ExecLoses => Some(own.clone()),
            _ => None,
        });
        let is_spoilt = self.is_spoilt || own == Some(RedisBehaviour::ExecAborts);
        let is_lost = own == Some(RedisBehaviour::ExecLoses) || {
            let mut store = self.call.protocol().store.borrow_mut();
            self.watched.iter().any(|(key, version)| store.version(key) != *version)
        };
        self.forget();
        if is_spoilt {
            return error("EXECABORT Transaction discarded because of previous errors.");
        }
        if is_lost {
            return OwnedFrame::Null;
        }
        let mut replies = Vec::new();
        for words in queue {
            let name = String::from_utf8_lossy(&words[0]).to_ascii_uppercase();
            replies.push(self.execute(&name, &words));
        }
        OwnedFrame::Array(replies)
    }

    /// A transaction is over.
    fn forget(&mut self) {
        self.is_spoilt = false;
        self.watched.clear();
    }

    fn subscribe(&mut self, channels: &[Vec<u8>]) -> Vec<OwnedFrame> {
        let mut replies = Vec::new();
        for channel in channels {
            self.channels.insert(channel.clone());
            let mailbox = Rc::clone(&self.mailbox);
            let listeners = &mut self.call.protocol().channels.borrow_mut().listeners;
            listeners.entry(channel.clone()).or_default().insert(self.call.number(), mailbox);
            replies.push(confirmation(b"subscribe", Some(channel), self.channels.len()));
        }
        replies
    }

    fn unsubscribe(&mut self, channels: &[Vec<u8>]) -> Vec<OwnedFrame> {
        let all: Vec<Vec<u8>> = self.channels.iter().cloned().collect();
        let channels = if channels.is_empty() { &all } else { channels };
        if channels.is_empty() {
            return vec![confirmation(b"unsubscribe", None, 0)];
        }
        let mut replies = Vec::new();
        for channel in channels {
            self.channels.remove(channel);
            let listeners = &mut self.call.protocol().channels.borrow_mut().listeners;
            if let Some(listeners) = listeners.get_mut(channel) {
                listeners.remove(&self.call.number());
            }
            replies.push(confirmation(b"unsubscribe", Some(channel), self.channels.len()));
        }
        replies
    }
}

fn confirmation(what: &[u8], channel: Option<&Vec<u8>>, count: usize) -> OwnedFrame {
    let channel = channel.map_or(OwnedFrame::Null, |channel| bulk(channel));
    OwnedFrame::Array(vec![bulk(what), channel, integer(count)])
}

/// Commands on the connection: how many words they take.
fn on_connection(name: &str) -> Option<(usize, usize)> {
    Some(match name {
        "HELLO" | "UNWATCH" => (1, usize::MAX),
        "SELECT" => (2, 2),
        "CLIENT" | "WATCH" => (2, usize::MAX),
        "PUBLISH" => (3, 3),
        "MULTI" | "EXEC" | "DISCARD" => (1, 1),
        "SUBSCRIBE" => (2, usize::MAX),
        _ => return None,
    })
}

fn unknown(words: &[Vec<u8>]) -> OwnedFrame {
    let text = |word: &Vec<u8>| String::from_utf8_lossy(word).into_owned();
    let args: String = words[1..].iter().map(|word| format!("'{}' ", text(word))).collect();
    error(&format!("ERR unknown command '{}', with args beginning with: {args}", text(&words[0])))
}

/// The hash slot of a key: of what is between the first braces, if that is something.
fn slot(key: &[u8]) -> u16 {
    redis_protocol::redis_keyslot(key) % SLOT_COUNT
}
