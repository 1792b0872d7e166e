//! The executor from outside: what a program, a test or another driver may count on.
//!
//! `wakers`, `net`, `unix`, `files`, `offload` and `signals` run on the operating system, once for each of its pollers; the
//! others on [`ticking::Ticking`], a driver that has nothing but a clock.

mod cancel;
mod check;
mod context;
mod deadline;
mod drops;
mod dump;
mod ends;
mod files;
mod foreign;
mod handle;
mod handover;
mod join;
mod net;
mod offload;
mod permits_model;
mod polled;
mod recorder;
mod scope;
mod scope_suspensions;
mod select;
mod shield;
mod signals;
mod spans;
mod suspensions;
mod sync;
mod sync_models;
mod sync_programs;
mod sync_suspensions;
mod tasks;
mod ticking;
mod time;
mod trees;
mod try_scope;
mod unix;
mod victim;
mod wakers;
mod worlds;
