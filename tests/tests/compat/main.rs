//! Other people's programs on this executor: hyper, rustls and tokio-postgres, each by one body that runs on the
//! operating system, by both of its pollers, and in the simulated machine room, calm and rough.
//!
//! `adapters` holds what every stream adapter promises; `timer` and `threads` what the others do; `worlds` is how a
//! program is run in each world. The servers of PostgreSQL and Redis are real ones on the operating system (`cluster`,
//! `redis_server`, both by `real_server`) and stand-ins in the room: what a client sees is the same.
//!
//! This binary has the guard, where there is one: `guarded` holds what these crates ask past their drivers, and what comes
//! of it.

mod adapters;
#[path = "../guests/certified.rs"]
mod certified;
mod cluster;
mod conversation;
mod guarded;
mod http1;
mod http2;
mod pattern;
mod postgres;
mod real_server;
mod redis;
mod redis_server;
#[path = "../../../sim/stand-ins/tests/it/resp.rs"]
mod resp;
mod server;
mod threads;
mod timer;
mod tls;
mod wireshark;
mod worlds;

use mainspring_sim_guard as _;
