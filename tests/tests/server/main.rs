//! The behaviour of the real server over the wire: each case is written once, and runs in the simulated machine room,
//! calm and rough, and, where it does not depend on exact time, over the loopback of the operating system.

mod balance;
mod bodies;
mod deadlines;
mod drain;
mod exchanges;
mod fairness;
mod files;
mod handlers;
mod leaving;
mod messages;
mod playground;
mod pressure;
mod refusals;
mod stage;
mod wire;
