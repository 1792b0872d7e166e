//! What decided a failure, where that is known by construction.

use mainspring_executor::time::sleep;
use mainspring_sim::WorldConfig;
use mainspring_sim::harness::{Rate, Run, Scenario, Setup, conclude};
use std::time::Duration;

/// Draws some numbers that do not matter before, between and after those that do.
fn play(setup: &Setup, is_bad: fn(&[u64]) -> bool) -> Result<Run, String> {
    let world = setup.world(WorldConfig::rough());
    let host = world.host("host");
    let mut drawn = Vec::new();
    for _ in 0..4 {
        let _ = world.choose(1000);
        drawn.push(world.choose(4));
    }
    let draws = host.clone();
    host.run(async move {
        for _ in 0..20 {
            sleep(Duration::from_micros(1 + draws.choose(100))).await;
        }
    });
    let run = conclude(&world, 1)?;
    if is_bad(&drawn) { Err("bad luck".to_owned()) } else { Ok(run) }
}

const ONE: Scenario =
    Scenario::new("one", "the third number is not 3", |setup| play(setup, |drawn| drawn[2] == 3));

const TWO: Scenario =
    Scenario::new("two", "the second is not above 1 where the last is 3", |setup| {
        play(setup, |drawn| drawn[1] > 1 && drawn[3] == 3)
    });

const NONE: Scenario =
    Scenario::new("none", "the second is above 0 where the first is 1", |setup| {
        play(setup, |drawn| drawn[0] == 1 && drawn[1] == 0)
    });

const ALWAYS: Scenario = Scenario::new("always", "it fails", |setup| play(setup, |_| true));

/// The position of a number that matters among the choices of the scenario.
fn position(number: u64) -> u64 {
    2 * number + 1
}

fn first_failure(scenario: &Scenario) -> u64 {
    (0..1000).find(|seed| scenario.run(*seed, false).is_err()).expect("it fails often")
}

#[test]
fn the_decisive_choice_is_named() {
    let explained = ONE.explain(first_failure(&ONE), 1000, 200).expect("it fails");
    let decisive = explained.decisive().expect("one did it");
    let chosen = &explained.points[decisive].chosen;
    assert_eq!((&*chosen.stream, chosen.position, chosen.value), ("/scenario", position(2), 3));
    assert!((30..70).contains(&explained.before.failed), "one of four: {}", explained.before);
    assert_eq!(explained.points[decisive].rate.failed, 200);
    let text = explained.to_string();
    assert!(text.contains("◄ decisive") && text.contains("it was decided at 0"), "{text}");
    assert_eq!(text, ONE.explain(first_failure(&ONE), 1000, 200).expect("it fails").to_string());
}

/// One of two makes it likelier, and the other certain: that is the one.
#[test]
fn of_two_choices_the_one_that_makes_it_certain_is_named() {
    let explained = TWO.explain(first_failure(&TWO), 1000, 400).expect("it fails");
    let positions: Vec<u64> = explained.story.chosen.iter().map(|chosen| chosen.position).collect();
    assert_eq!(positions, [position(1), position(3)]);
    let decisive = explained.decisive().expect("one did it");
    assert_eq!(explained.points[decisive].chosen.position, position(3));
    let shares = [explained.before, explained.points[0].rate, explained.points[1].rate];
    let [before, first, second] = shares.map(Rate::share);
    assert!((0.07..0.18).contains(&before) && (0.18..0.33).contains(&first), "{explained}");
    assert!((second - 1.0).abs() < 1e-9, "{explained}");
}

/// What is harmless as a rule decides this one.
#[test]
fn a_harmless_choice_may_be_the_decisive_one() {
    let explained = NONE.explain(first_failure(&NONE), 1000, 200).expect("it fails");
    let chosen = explained.story.chosen.iter().map(|chosen| chosen.position);
    assert_eq!(chosen.collect::<Vec<_>>(), [position(0)]);
    let decisive = &explained.points[explained.decisive().expect("one did it")];
    assert_eq!((decisive.chosen.position, decisive.chosen.value), (position(1), 0));
    assert_eq!(decisive.rate.failed, 200, "{explained}");
}

#[test]
fn what_fails_in_any_case_was_decided_by_nothing() {
    let explained = ALWAYS.explain(0, 1000, 50).expect("it fails");
    assert_eq!((explained.before.failed, explained.decisive()), (50, None));
    assert!(explained.to_string().contains("no choice alone"), "{explained}");
}

#[test]
fn what_holds_is_not_explained() {
    let holds = (0..1000).find(|seed| ONE.run(*seed, false).is_ok()).expect("it holds as well");
    assert_eq!(ONE.explain(holds, 1000, 50).expect_err("nothing is wrong"), "one holds");
}
