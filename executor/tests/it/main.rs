//! The executor from outside: what a program, a test or another driver may count on.
//!
//! `tasks`, `scope`, `time` and `cancel` run on [`ticking::Ticking`], a driver that has nothing but a clock; `wakers`, `net`,
//! `files` and `signals` on the operating system, once for each of its pollers.

mod cancel;
mod drops;
mod files;
mod net;
mod scope;
mod signals;
mod tasks;
mod ticking;
mod time;
mod wakers;
mod worlds;
