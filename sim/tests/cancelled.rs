//! Scenarios whose victims are dropped wherever they wait, as the command line does it.

use core::cell::Cell;
use core::time::Duration;
use std::rc::Rc;

use mainspring_executor::time::sleep;
use mainspring_sim::harness::{Run, Scenario, Setup, conclude};
use mainspring_sim::{World, WorldConfig};

/// Gives its place back only by [`Guest::leaves`], unless it is one of those who do so wherever they are dropped.
struct Guest {
    places: Rc<Cell<u64>>,
    gives_back_when_dropped: bool,
}

impl Guest {
    fn comes(places: &Rc<Cell<u64>>, gives_back_when_dropped: bool) -> Self {
        places.set(places.get() - 1);
        Self { places: Rc::clone(places), gives_back_when_dropped }
    }

    fn leaves(mut self) {
        self.gives_back_when_dropped = true;
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        if self.gives_back_when_dropped {
            self.places.set(self.places.get() + 1);
        }
    }
}

/// Two guests, each in a world of its own, who wait before they sit down, while they sit, and after they have left.
fn evening(setup: &Setup, is_careful: bool) -> Result<Run, String> {
    let places = Rc::new(Cell::new(2));
    let mut run = Run::default();
    for _ in 0..2 {
        let world = setup.world(WorldConfig::calm());
        let (victims, places) = (world.victims(), Rc::clone(&places));
        world.host("house").run(async move {
            let pause = || sleep(Duration::from_secs(1));
            let guest = async {
                pause().await;
                let guest = Guest::comes(&places, is_careful);
                pause().await;
                guest.leaves();
                pause().await;
            };
            victims.wrap(guest).await;
        });
        run = conclude(&world, 1)?;
    }
    match places.get() {
        2 => Ok(run),
        left => Err(format!("{left} places are left of 2")),
    }
}

const CAREFUL: Scenario = Scenario::new("careful", "", |setup| evening(setup, true));
const CARELESS: Scenario = Scenario::new("careless", "", |setup| evening(setup, false));
const ALONE: Scenario =
    Scenario::new("alone", "", |setup| conclude(&setup.world(WorldConfig::calm()), 0));
const BROKEN: Scenario = Scenario::new("broken", "", |setup| {
    let world: World = setup.world(WorldConfig::calm());
    drop(world.host("host").spawn(core::future::pending::<()>()));
    conclude(&world, 0)
});

#[test]
fn each_point_is_tried_in_both_ways() {
    let cancelled = CAREFUL.cancel(0, None).expect("it has victims");
    assert!(cancelled.failure.is_none(), "{cancelled:?}");
    // Three waits in each of two worlds.
    assert_eq!((cancelled.point_count, cancelled.run_count), (6, 1 + 2 * 6));
    let one = CAREFUL.cancel(0, Some(6)).expect("there are six");
    assert_eq!((one.point_count, one.run_count), (6, 1 + 2));
}

#[test]
fn what_is_lost_with_a_victim_is_found() {
    let cancelled = CARELESS.cancel(0, None).expect("it has victims");
    let failure = cancelled.failure.expect("a place is lost with a guest who sits");
    assert_eq!((failure.point, cancelled.run_count), (2, 1 + 2 + 1));
    let text = failure.to_string();
    assert!(text.contains("careless failed with seed 0: 1 places are left of 2"), "{text}");
    assert!(text.contains("dropped as soon as it is suspended for the 2. time"), "{text}");
    assert!(text.ends_with("cancel --scenario careless --seed 0 --point 2"), "{text}");
    let again = CARELESS.cancel(0, Some(2)).expect("there is such a point").failure;
    assert_eq!(again.expect("it fails again").to_string(), text);
    assert!(CARELESS.cancel(0, Some(1)).expect("there is such a point").failure.is_none());
}

#[test]
fn what_cannot_be_tried_is_told() {
    let error = ALONE.cancel(0, None).expect_err("it has no victims");
    assert!(error.starts_with("alone has no victims that wait"), "{error}");
    let error = CAREFUL.cancel(0, Some(7)).expect_err("there is no such point");
    assert_eq!(error, "there is no point 7: expected is 1 to 6");
    let broken = BROKEN.cancel(0, None).expect("it fails by itself").failure.expect("it fails");
    assert_eq!(broken.point, 0);
    assert!(broken.to_string().ends_with("replay --scenario broken --seed 0 --trace"), "{broken}");
}
