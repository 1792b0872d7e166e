//! The uniform random walk: with right counts all interleavings are equally likely, and a scenario gets its counts by itself.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use mainspring_executor::spawn;
use mainspring_executor::time::yield_now;
use mainspring_sim::harness::{Run, Scenario, Setup, conclude};
use mainspring_sim::{Host, Order, Source, World, WorldConfig};

/// The order of the polls of a run, one letter each.
type Polls = Rc<RefCell<String>>;

/// Polled so often, and says so by its letter.
async fn letters(polls: Polls, letter: char, count: usize) {
    for number in 0..count {
        if number > 0 {
            yield_now().await;
        }
        polls.borrow_mut().push(letter);
    }
}

/// Two tasks of few polls and one of many; none waits for another.
fn three(host: &Host, polls: &Polls) {
    for (letter, count) in [('a', 1), ('b', 1)] {
        host.run(letters(Rc::clone(polls), letter, count));
    }
    host.run(letters(Rc::clone(polls), 'c', 5));
}

/// One that spawns another with its first poll.
fn parent_and_child(host: &Host, polls: &Polls) {
    let (first, second) = (Rc::clone(polls), Rc::clone(polls));
    host.run(async move {
        let child = spawn(letters(first, 'c', 3));
        drop(child);
        letters(second, 'p', 3).await;
    });
}

fn play(
    source: impl Into<Source>,
    config: WorldConfig,
    body: fn(&Host, &Polls),
) -> (World, String) {
    let world = World::new(source, config);
    let polls = Polls::default();
    body(&world.host("host"), &polls);
    world.run().expect("all end");
    let polls = polls.take();
    (world, polls)
}

/// How often each interleaving comes in so many seeds, with counts from one run in which all orders are drawn alike.
fn frequencies(order: Order, runs: u64, body: fn(&Host, &Polls)) -> BTreeMap<String, u64> {
    let counting = WorldConfig { order: Order::Random, counts_polls: true, ..WorldConfig::calm() };
    let poll_counts = play(0, counting, body).0.poll_counts();
    let config = WorldConfig { order, poll_counts, ..WorldConfig::calm() };
    let mut frequencies = BTreeMap::new();
    for seed in 0..runs {
        *frequencies.entry(play(seed, config.clone(), body).1).or_default() += 1;
    }
    frequencies
}

fn spread(frequencies: &BTreeMap<String, u64>) -> (u64, u64) {
    let (least, most) = (frequencies.values().min(), frequencies.values().max());
    (*least.expect("one at least"), *most.expect("one at least"))
}

#[test]
fn all_interleavings_are_equally_likely() {
    // 7 polls, of which one is a's, and another b's.
    let interleavings = 7 * 6;
    let walk = frequencies(Order::Urw, 4200, three);
    assert_eq!(walk.len(), interleavings);
    let (least, most) = spread(&walk);
    assert!(least > 65 && most < 140, "100 of each: {walk:?}");
    let coins = frequencies(Order::Random, 4200, three);
    let (least, most) = spread(&coins);
    assert!(least < 20 && most > 400, "a and b are soon through: {coins:?}");
}

/// A parent has the polls of its child before it, and is not more likely to be late than it should be.
#[test]
fn what_is_not_spawned_yet_counts() {
    let walk = frequencies(Order::Urw, 4000, parent_and_child);
    // The first poll is the parent's, and of the five others two are its own.
    assert_eq!(walk.len(), 10);
    let (least, most) = spread(&walk);
    assert!(least > 330 && most < 470, "400 of each: {walk:?}");
}

#[test]
fn without_counts_it_draws_alike() {
    let config = WorldConfig { order: Order::Urw, ..WorldConfig::calm() };
    let late = (0..1000).filter(|seed| play(*seed, config.clone(), three).1.ends_with("ccccab"));
    assert!(late.count() < 8, "once in 3^5 times 2, where a walk has it once in 42");
}

/// Its bug takes that the last of eleven polls is that of a task with one.
fn late(setup: &Setup) -> Result<Run, String> {
    let world = setup.world(WorldConfig::swarm());
    let host = world.host("host");
    let polls = Polls::default();
    host.run(letters(Rc::clone(&polls), 'a', 1));
    host.run(letters(Rc::clone(&polls), 'b', 10));
    let run = conclude(&world, 1)?;
    if polls.borrow().ends_with('a') { Err("too late".to_owned()) } else { Ok(run) }
}

const LATE: Scenario = Scenario::new("late", "who has one poll is not the last", late);

#[test]
fn a_scenario_counts_by_itself() {
    let with = |order| Scenario { order: Some(order), ..LATE }.sweep(0..1000);
    let (walk, coins) = (with(Order::Urw), with(Order::Random));
    assert!((60..130).contains(&walk.failures.len()), "one of 11: {}", walk.failures.len());
    assert!(coins.failures.len() < 10, "one of 1024: {}", coins.failures.len());
    assert_eq!(with(Order::Fifo).failures.len(), 0);
    // Each was run twice, with equal traces, and says how it is run again.
    let failure = &walk.failures[0];
    assert_eq!(failure.message, "too late");
    assert!(failure.to_string().ends_with("--trace --order urw"), "{failure}");
}

#[test]
fn a_walk_is_made_small() {
    let scenario = Scenario { order: Some(Order::Urw), ..LATE };
    let seed = scenario.sweep(0..1000).failures[0].seed;
    let story = scenario.minimise(seed, 1000).expect("it fails, and comes back from its tape");
    assert_eq!(story.failure.message, "too late");
    assert!(scenario.run(story.tape, false).is_err());
}

/// What is drawn anew is drawn by the same walk, with the counts of its seed.
#[test]
fn a_walk_is_explained() {
    let scenario = Scenario { order: Some(Order::Urw), ..LATE };
    let seed = scenario.sweep(0..1000).failures[0].seed;
    let explained = scenario.explain(seed, 1000, 400).expect("it fails");
    let before = explained.before.share();
    assert!((0.05..0.15).contains(&before), "one of 11: {explained}");
    let last = explained.points.last().expect("it takes more than one choice");
    assert!(last.rate.share() > 0.4, "one poll more: {explained}");
}

/// An order that was found by going through all of them comes back by its tape, also where a swarm drew another kind.
#[test]
fn what_is_explored_comes_back() {
    for seed in 0..20 {
        let failure = LATE.explore(seed, 10, 10_000).failure.expect("one of the orders is it");
        let tape = failure.tape.clone().expect("it has one");
        let again = Scenario { order: failure.order, ..LATE }.run(tape, false);
        assert_eq!(again.expect_err("the same order").message, "too late");
    }
}
