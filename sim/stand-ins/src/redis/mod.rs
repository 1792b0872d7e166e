//! `Redis`: a stand-in for a Redis server, by RESP2: strings, counters, lists, hashes, expiry, transactions and channels.
//!
//! What it answers, it answers as the real server does: the same body of a test runs against both. `HELLO 3` is refused as by a
//! server that has RESP2 alone; what it does not know is an error that says so.

mod commands;
mod session;
mod store;

use core::cell::RefCell;
use std::collections::BTreeMap;
use std::io;
use std::rc::Rc;

use mainspring_sim::Host;
use redis_protocol::resp2::types::OwnedFrame;

use crate::call::Call;
use crate::mailbox::Mailbox;
use crate::rules::Act;
use crate::stand_in::{Protocol, StandIn};
use store::Store;

/// How a Redis server misbehaves in words of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RedisBehaviour {
    /// An error in place of the answer, in full: `ERR whatever`.
    Error(String),
    /// `LOADING`: it has just started, and has its data still to read.
    Loading,
    /// `MOVED`: it is a cluster's, and another node has the key.
    Moved {
        /// `host:port` of that node.
        to: String,
    },
    /// `OOM`: whatever needs memory is refused, the rest answered.
    OutOfMemory,
    /// `READONLY`: whatever writes is refused, as by a replica after a failover.
    ReadOnly,
    /// `MASTERDOWN`: a replica that has lost its master, and may not answer from what it has.
    MasterDown,
    /// `BUSY`: a script runs and does not end.
    Busy,
    /// `EXECABORT`: `EXEC` does nothing.
    ExecAborts,
    /// `EXEC` gives nil, as when a watched key was changed.
    ExecLoses,
    /// Takes a `SET`, says OK, and has not written. Other writes are done.
    LosesWrites,
    /// Has forgotten every key it is asked for: a cache that is cold.
    Cold,
    /// Bytes that are no RESP.
    NotResp,
}

impl From<RedisBehaviour> for Act<RedisBehaviour> {
    fn from(behaviour: RedisBehaviour) -> Self {
        Self::Own(behaviour)
    }
}

/// A Redis server.
///
/// ```
/// # use mainspring_sim::{World, WorldConfig};
/// use mainspring_stand_ins::{Redis, RedisBehaviour};
/// # let world = World::new(1, WorldConfig::calm());
/// let cache = Redis::new().with("visits", "41").serve(&world.host("cache"), 6379);
/// cache.behave(RedisBehaviour::Loading).times(3);
/// # cache.stop();
/// # world.run().unwrap();
/// ```
#[derive(Debug, Default)]
pub struct Redis {
    store: RefCell<Store>,
    channels: RefCell<Channels>,
}

/// Who listens to what.
#[derive(Debug, Default)]
struct Channels {
    /// The connections of each channel, in the order of their numbers.
    listeners: BTreeMap<Vec<u8>, BTreeMap<u64, Rc<Mailbox<OwnedFrame>>>>,
}

impl Redis {
    /// One without keys.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Has a string under a key from the start.
    #[must_use]
    pub fn with(self, key: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Self {
        self.set(key, value);
        self
    }

    /// Puts a string under a key, as if somebody else had.
    pub fn set(&self, key: impl AsRef<[u8]>, value: impl AsRef<[u8]>) {
        self.store.borrow_mut().set(key.as_ref().to_vec(), value.as_ref().to_vec());
    }

    /// The string under a key, expired or not.
    #[must_use]
    pub fn get(&self, key: impl AsRef<[u8]>) -> Option<Vec<u8>> {
        self.store.borrow().string(key.as_ref())
    }

    /// Forgets all keys, as if somebody else had asked for it.
    pub fn clear(&self) {
        self.store.borrow_mut().clear();
    }

    /// Tells a message to those who listen to a channel, and gives how many they are. A client for which 65,536 messages wait is
    /// too slow for one more: they are dropped, and its connection ends, as soon as what is being sent to it has gone out.
    pub fn publish(&self, channel: impl AsRef<[u8]>, message: impl AsRef<[u8]>) -> usize {
        self.channels.borrow().publish(channel.as_ref(), message.as_ref())
    }

    /// Serves on a simulated host. See [`StandIn::serve`].
    ///
    /// # Panics
    /// As [`StandIn::serve`].
    #[must_use = "a stand-in ends with its last handle"]
    #[track_caller]
    pub fn serve(self, host: &Host, port: u16) -> StandIn<Self> {
        StandIn::serve(self, host, port)
    }
}

impl Channels {
    fn publish(&self, channel: &[u8], message: &[u8]) -> usize {
        let Some(listeners) = self.listeners.get(channel) else { return 0 };
        for mailbox in listeners.values() {
            let letter = OwnedFrame::Array(vec![bulk(b"message"), bulk(channel), bulk(message)]);
            mailbox.put(letter);
        }
        listeners.len()
    }

    fn leave(&mut self, connection: u64) {
        self.listeners.retain(|_, listeners| {
            listeners.remove(&connection);
            !listeners.is_empty()
        });
    }
}

fn bulk(bytes: &[u8]) -> OwnedFrame {
    OwnedFrame::BulkString(bytes.to_vec())
}

fn ok() -> OwnedFrame {
    OwnedFrame::SimpleString(b"OK".to_vec())
}

fn error(text: &str) -> OwnedFrame {
    OwnedFrame::Error(text.to_owned())
}

fn integer(count: usize) -> OwnedFrame {
    OwnedFrame::Integer(i64::try_from(count).expect("counts are small"))
}

impl Protocol for Redis {
    type Behaviour = RedisBehaviour;
    /// The command with its arguments.
    type Question = Vec<String>;

    async fn converse(call: Call<Self>) -> io::Result<()> {
        session::run(call).await
    }
}
