//! `FaultPlan`: what goes wrong in a run, and when it is over.

use core::fmt;
use core::time::Duration;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use mainspring_executor::Instant;
use mainspring_sim::{Host, World};
use proptest::strategy::Strategy;

use crate::fault::{Fault, FaultKind, Harm, Usual};
use crate::items::items;
use crate::number::{Number, number};
use crate::together::together;

/// So many faults has a plan at most: of more, each would hide what the others do.
const FAULTS_MAX: usize = 4;

/// What goes wrong in a run. After the last of its faults links are whole and have the latency that they had, clocks are right from then on,
/// and all machines run.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct FaultPlan {
    /// In any order; they may overlap.
    pub faults: Vec<Fault>,
}

impl fmt::Debug for FaultPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FaultPlan ")?;
        f.debug_list().entries(&self.faults).finish()
    }
}

/// Harms that have begun and not ended: how often, and what was there before.
type Begun = Rc<RefCell<BTreeMap<(FaultKind, String, String), (u32, Usual)>>>;

impl FaultPlan {
    /// Lets all of it happen, at its times, and puts right what it did: links have the latency that they had, whoever is cut off is
    /// back, whoever is paused goes on, and a machine that crashed is [restarted](Host::restart) and given to `revive`, which starts
    /// its program again. What two faults do at one time is over when both are. A program that is off is not paused, and not when it is back.
    ///
    /// A run is over when all that it waits for has ended, and what a crash takes with it has. Who wants to see the end of the faults
    /// lets a task of another host wait for it: `sleep_until(plan.end())`.
    ///
    /// Call it when the hosts are made. A fault with a host that this world does not have is none, so that plans fit rooms of
    /// any size. One plan is for one world, and one that is applied twice is two.
    pub fn apply(&self, world: &World, revive: impl Fn(&Host) + 'static) {
        let revive = Rc::new(revive);
        let begun = Begun::default();
        for fault in &self.faults {
            for harm in fault.harms(world) {
                let (begins, ends) = (Rc::clone(&begun), Rc::clone(&begun));
                let (revive, harmed) = (Rc::clone(&revive), harm.clone());
                world.at(Instant::START + fault.begin, move |world| begin(world, &harm, &begins));
                world.at(Instant::START + fault.end(), move |world| {
                    end(world, &harmed, &ends, &*revive);
                });
            }
        }
    }

    /// When the last fault is over.
    #[must_use]
    pub fn end(&self) -> Instant {
        let last = self.faults.iter().map(Fault::end).max().unwrap_or_default();
        Instant::START + last
    }
}

fn begin(world: &World, harm: &Harm, begun: &Begun) {
    let key = harm.key();
    if let Some((count, _)) = begun.borrow_mut().get_mut(&key) {
        *count += 1;
        return;
    }
    let usual = harm.begin(world);
    begun.borrow_mut().insert(key, (1, usual));
}

fn end(world: &World, harm: &Harm, begun: &Begun, revive: &dyn Fn(&Host)) {
    let key = harm.key();
    let (count, usual) = begun.borrow_mut().remove(&key).expect("it has begun");
    if count > 1 {
        begun.borrow_mut().insert(key, (count - 1, usual));
    } else {
        harm.end(world, usual, revive);
    }
}

/// Up to four faults of these kinds on these hosts, each over after `within` at the latest. Shrinks to fewer faults, then to kinds
/// and hosts that come first in the lists, to an earlier begin and a shorter time: to none at all. Times are whole milliseconds.
///
/// # Panics
/// When there are no kinds or no hosts, when one of the kinds is [of a link](FaultKind::is_of_link) and there is one host only, or when
/// `within` has no millisecond.
pub fn faults(
    kinds: &[FaultKind],
    hosts: &[&str],
    within: Duration,
) -> impl Strategy<Value = FaultPlan> + use<> {
    let has_links = kinds.iter().any(|kind| kind.is_of_link());
    assert!(!kinds.is_empty(), "a plan of faults has kinds of them");
    let hosts_min = if has_links { 2 } else { 1 };
    assert!(hosts.len() >= hosts_min, "these kinds of faults need {hosts_min} hosts or more");
    let within = u64::try_from(within.as_millis()).expect("below 584 million years");
    assert!(within > 0, "faults that are over within a time have a millisecond for it");
    let hosts: Vec<_> = hosts.iter().map(|host| (*host).to_owned()).collect();
    let kinds = kinds.to_vec();
    // The peer is counted from the host on, so that it is never the host itself.
    let peer = number(1..=hosts.len().max(2) as u64 - 1);
    let (kind, host) = (place_in(kinds.len()), place_in(hosts.len()));
    let fault = together((kind, host, peer, number(0..=within - 1), number(1..=within)));
    let fault = fault.prop_map(move |(kind, host, peer, begin, length)| {
        let at = |place: u64| usize::try_from(place).expect("a place in a list");
        let kind = kinds[at(kind)];
        let peer = &hosts[at(host + peer) % hosts.len()];
        Fault {
            kind,
            host: hosts[at(host)].clone(),
            peer: kind.is_of_link().then(|| peer.clone()),
            begin: Duration::from_millis(begin),
            length: Duration::from_millis(length.min(within - begin)),
        }
    });
    items(fault, 0..=FAULTS_MAX).prop_map(|faults| FaultPlan { faults })
}

fn place_in(count: usize) -> Number {
    number(0..=count as u64 - 1)
}
