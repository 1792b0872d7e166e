//! The guard of a binary that simulates: it stands in for the functions of libc by which a program gets a time, a date or
//! entropy without its driver.
//!
//! Other people's crates do: `std::time::Instant::now`, `SystemTime::now`, the keys of `std`'s hash maps, `getrandom`,
//! `rand::rng()`, `ring`. In a binary that links this crate such a call, made on a thread that runs a simulated world, is
//! answered by that world, put into its trace and counted; or it fails the run and names the place
//! ([`mainspring_sim::bypass`] has the rules). On any other thread, and outside of a run, it is what it was: the system answers.
//!
//! One line in a test or a `main` is enough, and nothing else about the program changes:
//!
//! ```
//! use mainspring_sim_guard as _;
//! ```
//!
//! # How
//! An executable's own definition of a function goes before that of a shared library, for the executable and for all libraries
//! that it loads. So this crate defines `clock_gettime`, `gettimeofday`, `time`, `getrandom`, `getentropy`, and `syscall`, by
//! which some crates ask for the same. The real answers are those of the system's calls themselves, without libc: nothing is
//! looked up, nothing is set up, so it does not matter how early they come; and where one of these functions calls another,
//! that is this crate's own.
//!
//! # What it does not see
//! Who goes past libc: inline assembly, `rdtsc`, the vDSO, and crates like `rustix` that make system calls on their own. What
//! glibc calls inside of itself: `clock`, `arc4random`, `timespec_get`. Files: `/dev/urandom`,
//! `/proc`. `docs/SIMULATION.md` has the whole list.
//!
//! This is for Linux on x86-64 with glibc. Elsewhere the crate is empty: programs run as they do without it.

#[cfg(all(target_os = "linux", target_arch = "x86_64", target_env = "gnu"))]
mod interposed;
#[cfg(all(target_os = "linux", target_arch = "x86_64", target_env = "gnu"))]
mod kernel;
#[cfg(all(target_os = "linux", target_arch = "x86_64", target_env = "gnu"))]
mod site;
