//! A leader that tells its follower that it lives, and a follower that takes over when it hears nothing.

use core::cell::{Cell, RefCell};
use core::time::Duration;
use std::rc::Rc;

use mainspring_executor::Instant;
use mainspring_executor::net::UdpSocket;
use mainspring_executor::time::{now, timeout};
use mainspring_sim::harness::{Run, Setup};
use mainspring_sim::{Host, WorldConfig};

use super::line::{PORT, finish, ms};
use super::trouble;
use crate::specimen::{Specimen, Twin, specimen};

pub(super) const TWO_LEADERS: Specimen = specimen!(
    "two-leaders",
    "a leader that is not heard goes on, and its follower leads as well",
    search: "a link that is cut in one direction for a while",
    source: "Alquraan et al., An Analysis of Network-Partitioning Failures, OSDI 2018",
    run,
);

const BEAT: Duration = Duration::from_millis(500);
/// Without an answer for so long, a leader leads no more.
const STEP_DOWN: Duration = Duration::from_secs(2);
/// Without a heartbeat for so long, a follower leads.
const TAKE_OVER: Duration = Duration::from_secs(4);

/// Who leads: each says so of itself.
#[derive(Default)]
struct Roles {
    leads: [Cell<bool>; 2],
    both: Cell<bool>,
}

impl Roles {
    fn set(&self, index: usize, leads: bool) {
        self.leads[index].set(leads);
        if self.leads.iter().all(Cell::get) {
            self.both.set(true);
        }
    }
}

/// Sends heartbeats, each with a number that comes back.
async fn lead(follower: Host, roles: Rc<Roles>, end: Instant, twin: Twin) {
    let socket = UdpSocket::bind(([0, 0, 0, 0], PORT).into()).expect("the port is free");
    let sent = RefCell::new(Vec::new());
    let mut answered = now();
    roles.set(0, true);
    while now() < end {
        let number = sent.borrow().len();
        sent.borrow_mut().push(now());
        let beat = u64::try_from(number).expect("there are few").to_le_bytes();
        // An error tells of one before; what is not sent is missed as what is lost.
        let _ = socket.send_to(&beat, follower.address(PORT)).await;
        let listening = async {
            loop {
                let mut beat = [0; 8];
                if socket.recv_from(&mut beat).await.is_ok() {
                    let number = usize::try_from(u64::from_le_bytes(beat)).expect("it was ours");
                    answered = answered.max(sent.borrow()[number]);
                }
            }
        };
        let _ = timeout(BEAT, listening).await;
        if twin.is_fixed() && now() - answered >= STEP_DOWN {
            break;
        }
    }
    roles.set(0, false);
}

async fn follow(leader: Host, roles: Rc<Roles>, end: Instant) {
    let socket = UdpSocket::bind(([0, 0, 0, 0], PORT).into()).expect("the port is free");
    while now() < end {
        let mut beat = [0; 8];
        match timeout(TAKE_OVER, socket.recv_from(&mut beat)).await {
            // As above: who leads asks again.
            Ok(Ok(_)) => drop(socket.send_to(&beat, leader.address(PORT)).await),
            Ok(Err(_)) => {}
            Err(_) => break,
        }
    }
    roles.set(1, now() < end);
}

fn run(setup: &Setup, twin: Twin) -> Result<Run, String> {
    let world = setup.world(WorldConfig::rough());
    let [leader, follower] = ["leader", "follower"].map(|name| world.host(name));
    let roles = Rc::new(Roles::default());
    // Each run has some cuts, of either direction.
    let mut after = Duration::ZERO;
    for _ in 0..world.choose(6) {
        after += ms(world.choose(10_000));
        let duration = ms(world.choose(6_000));
        let (from, to) = match world.choose(2) {
            0 => (&leader, &follower),
            _ => (&follower, &leader),
        };
        trouble::cut(&world, from, to, after, duration);
    }
    let end = Instant::START + ms(8_000 + world.choose(60_000));
    leader.run(lead(follower.clone(), Rc::clone(&roles), end, twin));
    follower.run(follow(leader.clone(), Rc::clone(&roles), end));
    let run = finish(&world, &[], 1)?;
    assert!(!roles.both.get(), "one leads at a time");
    Ok(run)
}
