//! What a program says of itself: who hears of it, and that nothing changes where nobody does.

use core::cell::Cell;
use core::time::Duration;
use std::cell::RefCell;
use std::rc::Rc;

use mainspring_executor::driver::{Observer, Site, SiteKind, TaskId};
use mainspring_executor::time::{now, sleep};
use mainspring_executor::{Shard, always, buggify, eventually, never, reachable, sometimes, spawn};

use crate::ticking::Ticking;

const SECOND: Duration = Duration::from_secs(1);

type Heard = (SiteKind, &'static str, Option<TaskId>, bool);

/// Notes what it is told, and lets everything go wrong that may.
#[derive(Default)]
struct Ear {
    heard: RefCell<Vec<Heard>>,
    asked: RefCell<Vec<(&'static str, u32)>>,
}

impl Observer for Ear {
    fn passed(&self, site: &'static Site, task: Option<TaskId>, holds: bool) {
        self.heard.borrow_mut().push((site.kind, site.name, task, holds));
    }

    fn fires(&self, site: &'static Site, permille: u32) -> bool {
        self.asked.borrow_mut().push((site.name, permille));
        true
    }
}

impl Ear {
    fn held(&self) -> Vec<(&'static str, bool)> {
        self.heard.borrow().iter().map(|(_, name, _, holds)| (*name, *holds)).collect()
    }
}

/// Runs `program` once with an observer and once without; gives what was heard, and how many promises were broken.
fn check<F: Future<Output = ()> + 'static>(program: impl Fn() -> F) -> (Rc<Ear>, u64) {
    let ear = Rc::new(Ear::default());
    let drivers = [Ticking::default(), Ticking::observed(Rc::clone(&ear) as Rc<dyn Observer>)];
    let broken = drivers.map(|driver| {
        let shard = Shard::new(Rc::new(driver));
        shard.run(program()).expect("the driver works");
        shard.metrics().snapshot().promises_broken
    });
    assert_eq!(broken[0], broken[1], "the same program");
    (ear, broken[0])
}

#[test]
fn each_macro_says_what_it_should() {
    let (ear, broken) = check(|| async {
        always!(true, "a");
        always!(false, "b");
        sometimes!(true, "c");
        sometimes!(false, "d");
        reachable!("e");
        never!("f");
    });
    let kinds: Vec<_> = ear.heard.borrow().iter().map(|(kind, ..)| *kind).collect();
    use SiteKind::{Always, Never, Reachable, Sometimes};
    assert_eq!(kinds, [Always, Always, Sometimes, Sometimes, Reachable, Never]);
    let said = [("a", true), ("b", false), ("c", true), ("d", false), ("e", true), ("f", false)];
    assert_eq!(ear.held(), said);
    assert_eq!(broken, 2, "what may be is no promise");
}

#[test]
fn a_site_knows_its_place() {
    struct Place(RefCell<Option<&'static Site>>);
    impl Observer for Place {
        fn passed(&self, site: &'static Site, _: Option<TaskId>, _: bool) {
            self.0.replace(Some(site));
        }

        fn fires(&self, _: &'static Site, _: u32) -> bool {
            false
        }
    }
    let place = Rc::new(Place(RefCell::new(None)));
    let shard = Shard::new(Rc::new(Ticking::observed(Rc::clone(&place) as Rc<dyn Observer>)));
    let line = Cell::new(0);
    shard.enter(|| {
        line.set(line!() + 1);
        reachable!("here");
    });
    let site = place.0.take().expect("it was told");
    assert_eq!((site.file, site.line), (file!(), line.get()));
    assert!(site.to_string().starts_with("reachable!(\"here\") at "), "{site}");
}

#[test]
fn the_task_is_told() {
    let (ear, _) = check(|| async {
        let told = spawn(async { reachable!("inside") });
        let id = told.id();
        told.await.expect("it ends");
        spawn(async move { always!(id != TaskId(u64::MAX), "outside") }).await.expect("it ends");
    });
    let tasks: Vec<_> = ear.heard.borrow().iter().map(|(_, _, task, _)| *task).collect();
    let [Some(first), Some(second)] = tasks[..] else { panic!("{tasks:?}") };
    assert_ne!(first, second);
}

#[test]
fn conditions_are_evaluated_whoever_hears() {
    thread_local!(static EVALUATED: Cell<u32> = const { Cell::new(0) });
    let count = || {
        EVALUATED.set(EVALUATED.get() + 1);
        true
    };
    check(move || async move {
        always!(count(), "a");
        sometimes!(count(), "b");
    });
    assert_eq!(EVALUATED.get(), 4, "two conditions, with an observer and without");
}

#[test]
fn nothing_goes_wrong_where_nobody_decides() {
    let shard = Shard::new(Rc::new(Ticking::default()));
    let fired = shard.run(async { buggify!("a") || buggify!("b", permille = 1000) });
    assert!(!fired.expect("the driver works"));
    assert!(!buggify!("outside of a shard", permille = 1000));
}

#[test]
fn a_fault_point_says_how_often_it_may_fire() {
    let ear = Rc::new(Ear::default());
    let shard = Shard::new(Rc::new(Ticking::observed(Rc::clone(&ear) as Rc<dyn Observer>)));
    let fired = shard.run(async { buggify!("usual") && buggify!("rare", permille = 3) });
    assert!(fired.expect("the driver works"));
    assert_eq!(*ear.asked.borrow(), [("usual", 250), ("rare", 3)]);
    assert!(ear.held().is_empty(), "who decides need not be told");
}

#[test]
fn outside_of_a_shard_nothing_panics() {
    always!(false, "broken");
    never!("broken");
    sometimes!(true, "so");
    reachable!("here");
}

/// What was so when is told at the first look that sees it; what never is, at the end of the time.
#[test]
fn what_is_to_come_has_its_time() {
    let eventually_after = |delay: Duration, within: Duration| {
        let answer = Rc::new(Cell::new(None));
        let told = Rc::clone(&answer);
        let (ear, broken) = check(move || {
            let told = Rc::clone(&told);
            async move {
                let (is_there, start) = (Rc::new(Cell::new(false)), now());
                let there = Rc::clone(&is_there);
                drop(spawn(async move {
                    sleep(delay).await;
                    there.set(true);
                }));
                let held = eventually!(within, is_there.get(), "it comes").await;
                told.set(Some((held, now() - start)));
            }
        });
        let (held, took) = answer.get().expect("it ended");
        assert_eq!(ear.held(), [("it comes", held)]);
        assert_eq!(broken, u64::from(!held));
        (held, took)
    };
    assert!(eventually_after(SECOND / 2, SECOND).0);
    let (held, took) = eventually_after(SECOND / 4 + SECOND / 1000, SECOND);
    assert!(held && took <= SECOND / 4 + SECOND / 100, "seen at the next look: {took:?}");
    assert_eq!(eventually_after(2 * SECOND, SECOND), (false, SECOND));
    assert_eq!(eventually_after(SECOND, Duration::ZERO), (false, Duration::ZERO));
}

#[test]
fn what_is_so_already_takes_no_time() {
    let (ear, broken) = check(|| async {
        let start = now();
        assert!(eventually!(SECOND, true, "it is").await);
        assert_eq!(now(), start);
    });
    assert_eq!((ear.held(), broken), (vec![("it is", true)], 0));
}

/// Dropped half way it has said nothing.
#[test]
fn what_nobody_waits_for_says_nothing() {
    let (ear, broken) = check(|| async {
        let waited =
            mainspring_executor::time::timeout(SECOND / 2, eventually!(SECOND, false, "it comes"));
        assert!(waited.await.is_err());
    });
    assert_eq!((ear.held(), broken), (vec![], 0));
}
