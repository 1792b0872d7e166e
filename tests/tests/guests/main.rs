//! Other people's services inside: axum under its middleware, hyper's server and client, a user of tokio-postgres, rustls on
//! both ends. Each is a program as its users write it, but for the adapter at its sockets, in rooms that are rough and in
//! swarms; and each is there once more with a bug, which has to be found.
//!
//! `room` is what every guest is held to. `works` says what of these crates does not work inside, and what it says then.
//! `tests/tests/compat/` has the adapters themselves, in both worlds.
#![cfg(all(target_os = "linux", target_arch = "x86_64", target_env = "gnu"))]

mod axum_shop;
mod certified;
mod client;
mod hyper_pair;
mod postgres_user;
mod room;
mod tls_ends;
mod works;

use mainspring_sim_guard as _;
