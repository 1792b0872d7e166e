//! Other people's programs on this executor: hyper, rustls and tokio-postgres, each by one body that runs on the
//! operating system, by both of its pollers, and in the simulated machine room, calm and rough.
//!
//! `adapters` holds what every stream adapter promises; `timer` and `threads` what the others do; `worlds` is how a
//! program is run in each world. The PostgreSQL server is a real one on the operating system (`cluster`) and the
//! stand-in of `mainspring_tests::compat` in the room.

mod adapters;
mod cluster;
mod conversation;
mod http1;
mod http2;
mod pattern;
mod postgres;
mod threads;
mod timer;
mod tls;
mod worlds;
