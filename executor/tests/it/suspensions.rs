//! Drops a future at each point where it is suspended, and sees to it that nobody else suffers.
//!
//! A [`Scene`] is a small program: a victim, and tasks that must end whatever becomes of it. It is played once to count how
//! often the victim is suspended, then twice for each of these points: with the victim's future dropped as soon as it is
//! pending, and with it dropped when it was woken, instead of being polled. The second is where things that were handed
//! over get lost. All of it is done in several orders of the tasks.

use futures::future::LocalBoxFuture;
use mainspring_executor::driver::{ReadyTasks, Schedule};
use mainspring_executor::spawn;

use crate::ticking::World;
use crate::victim::{Cut, Victim};

/// How many of the orders are drawn.
const RANDOM_ORDERS: u64 = 20;

/// Which of the ready tasks goes next.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Order {
    FirstReady,
    LastReady,
    Random(u64),
}

impl Order {
    fn all() -> impl Iterator<Item = Self> {
        [Self::FirstReady, Self::LastReady].into_iter().chain((0..RANDOM_ORDERS).map(Self::Random))
    }
}

impl Schedule for Order {
    fn choose(&mut self, ready: &ReadyTasks<'_>) -> Option<usize> {
        Some(match self {
            Self::FirstReady => 0,
            Self::LastReady => ready.len() - 1,
            Self::Random(seed) => {
                let mut draws = Draws(*seed);
                let drawn = draws.below(ready.len());
                *seed = draws.0;
                drawn
            }
        })
    }
}

/// A generator of numbers.
pub(crate) struct Draws(pub(crate) u64);

impl Draws {
    /// A number below `count`.
    pub(crate) fn below(&mut self, count: usize) -> usize {
        // Knuth's constants for a linear congruential generator (MMIX); the high bits are the good ones.
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005);
        self.0 = self.0.wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).expect("31 bits") % count
    }
}

/// A program to play.
pub(crate) struct Scene {
    victim: LocalBoxFuture<'static, ()>,
    others: Vec<LocalBoxFuture<'static, ()>>,
}

impl Scene {
    pub(crate) fn new(victim: impl Future<Output = ()> + 'static) -> Self {
        Self { victim: Box::pin(victim), others: Vec::new() }
    }

    /// One more task, which must end.
    pub(crate) fn with(mut self, other: impl Future<Output = ()> + 'static) -> Self {
        self.others.push(Box::pin(other));
        self
    }
}

/// Plays the scenes of `make` with their victims dropped at each point. `make` gives a scene, and what to check after it; the
/// check is told whether the victim came to its end, and should own the things that the scene is about: they must hold
/// nothing of the shard then.
///
/// Says how often a victim was suspended at most.
#[track_caller]
pub(crate) fn drop_at_each<C: FnOnce(bool)>(make: impl Fn() -> (Scene, C)) -> usize {
    let mut suspensions_max = 0;
    for order in Order::all() {
        let suspensions = play(&make, order, Cut::Never);
        for point in 1..=suspensions {
            play(&make, order, Cut::WhenSuspended(point));
            play(&make, order, Cut::WhenWoken(point));
        }
        suspensions_max = suspensions_max.max(suspensions);
    }
    assert!(suspensions_max > 0, "a victim that never waits tests nothing");
    suspensions_max
}

/// Plays one scene. Says how often the victim was suspended.
fn play<C: FnOnce(bool)>(make: &impl Fn() -> (Scene, C), order: Order, cut: Cut) -> usize {
    // Seen only where the test fails. A wake that is lost ends in a panic of `Ticking::wait`.
    println!("{order:?}, {cut:?}");
    let world = World::with_schedule(order);
    let (Scene { victim, others }, check) = make();
    let (victim, fate) = Victim::new(victim, cut);
    world.run(async move {
        let mut tasks = vec![spawn(victim)];
        tasks.extend(others.into_iter().map(spawn));
        for task in tasks {
            task.await.expect("nobody panics");
        }
    });
    assert!(world.shard.ledger().is_empty(), "left behind:\n{}", world.shard.ledger());
    let (shards_left, _) = world.end_with_leftovers();
    assert_eq!(shards_left, 0, "a record of a wait or of a lock is left");
    check(fate.has_ended());
    fate.suspensions()
}
