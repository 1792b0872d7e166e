//! The suites that run the server in the simulator, and what they are made of.
//!
//! This package is the only one that knows all the others. `scenarios` are the
//! scenarios; `client` is a client that shares no code with the server, so that both cannot be
//! wrong in the same way; `conformance` compares the simulator with the operating system; `fuzz` holds the bodies of
//! the fuzz targets.

#![forbid(unsafe_code)]

pub mod client;
pub mod compat;
pub mod conformance;
pub mod fuzz;
pub mod http1_cases;
pub mod scenarios;

/// The examples of the README, compiled and run as doctests.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
pub struct Readme;

/// That of the description of the simulator.
#[cfg(doctest)]
#[doc = include_str!("../../docs/SIMULATION.md")]
pub struct Simulation;

/// Those of the guide.
#[cfg(doctest)]
#[doc = include_str!("../../docs/GUIDE.md")]
pub struct Guide;
