//! Stand-ins for the servers that a program depends on: an HTTP upstream, PostgreSQL, Redis, a WebSocket feed. They speak real
//! bytes to real clients, remember what they were asked, and misbehave as they are told: `docs/STAND-INS.md` has the
//! catalogue.
//!
//! ```
//! use core::time::Duration;
//! use mainspring_executor::net::TcpStream;
//! use mainspring_executor::time::timeout;
//! use mainspring_sim::{World, WorldConfig};
//! use mainspring_stand_ins::{Behaviour, Redis};
//!
//! let world = World::new(7, WorldConfig::rough());
//! let cache = Redis::new().with("greeting", "hello").serve(&world.host("cache"), 6379);
//! let address = world.find("cache").expect("it was made").address(6379);
//! world.host("client").run(async move {
//!     let get = b"*2\r\n$3\r\nGET\r\n$8\r\ngreeting\r\n";
//!     let mut stream = TcpStream::connect(address).await.expect("it listens");
//!     stream.write_all(get).await.expect("it reads");
//!     let mut answer = [0; 11];
//!     for at in 0..answer.len() {
//!         assert_eq!(stream.read(&mut answer[at..=at]).await.expect("it answers"), 1);
//!     }
//!     assert_eq!(&answer, b"$5\r\nhello\r\n");
//!     // From now on: not a word.
//!     cache.behave(Behaviour::Stall { after: 0 });
//!     stream.write_all(get).await.expect("it reads");
//!     assert!(timeout(Duration::from_secs(3600), stream.fill()).await.is_err());
//!     assert_eq!(cache.asked().len(), 2);
//! });
//! // The client's task held the stand-in, which ended with it.
//! world.run().unwrap_or_else(|failure| panic!("{failure}"));
//! assert!(world.leaks().is_empty());
//! ```
//!
//! For who asks the program there is [`fetch`], a client for HTTP that is none of a library.
//!
//! # How it is put together
//! A [`StandIn`] accepts connections and gives each to its [`Protocol`], as a [`Call`]. The call knows the misbehaviour that all
//! protocols share ([`Behaviour`]), and does it where the protocol answers; what needs a protocol's own words is in its
//! own enum, and done by it. A protocol that is not here is an implementation of that trait, and has the first kind for free.
//!
//! Nothing here knows whether the machine is simulated: `StandIn::serve_on` serves on any shard.
#![forbid(unsafe_code)]

mod behaviour;
mod bell;
mod call;
mod feed;
mod fetch;
mod http;
mod mailbox;
pub mod postgres;
mod redis;
mod rules;
mod seen;
mod stand_in;

pub use behaviour::{Behaviour, Beyond};
pub use call::Call;
pub use feed::{Feed, FeedBehaviour, FeedQuestion};
pub use fetch::fetch;
pub use http::{Http, HttpBehaviour};
pub use postgres::{Postgres, PostgresBehaviour, PostgresQuestion};
pub use redis::{Redis, RedisBehaviour};
pub use rules::{Act, Rule};
pub use seen::{Seen, What};
pub use stand_in::{Protocol, StandIn};

/// The example of the catalogue, compiled and run as a doctest.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/STAND-INS.md")]
pub struct Catalogue;
