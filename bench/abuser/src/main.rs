//! A crowd of clients that mean no good: idle ones, slow heads (slowloris), slow uploads and slow readers. Whoever is cut
//! comes back at once, so that their number stays.
//!
//! Over loopback only, from a hundred source addresses, bounded in count and in time; one thread. Each second it says, as
//! one line of JSON, how many of each kind hold a connection, and what has happened so far.

mod crowd;
mod peer;

use std::error::Error;
use std::net::SocketAddrV4;
use std::time::Duration;

use crate::crowd::Crowd;
use crate::peer::Kind;

const USAGE: &str = "usage: abuser ADDR IDLE SLOWLORIS UPLOADS READERS SECONDS";
/// More peers than that are more descriptors than a process is given.
const PEERS_MAX: usize = 19_000;
const SECONDS_MAX: u64 = 3600;

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [address, counts @ .., seconds] = args.as_slice() else {
        return Err(USAGE.into());
    };
    let address: SocketAddrV4 = address.parse()?;
    if !address.ip().is_loopback() {
        return Err("abuse is for loopback only".into());
    }
    let counts: Vec<usize> = counts.iter().map(|it| it.parse()).collect::<Result<_, _>>()?;
    let seconds: u64 = seconds.parse()?;
    let is_bounded = counts.iter().sum::<usize>() <= PEERS_MAX && seconds <= SECONDS_MAX;
    if counts.len() != Kind::ALL.len() || !is_bounded {
        return Err(USAGE.into());
    }
    let mut crowd = Crowd::new(address)?;
    for (kind, count) in Kind::ALL.into_iter().zip(counts) {
        crowd.add(kind, count);
    }
    crowd.run(Duration::from_secs(seconds))
}
