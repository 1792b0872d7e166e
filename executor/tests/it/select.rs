//! `select!`: which branch wins, what becomes of the others, and what a handler may do.

use core::cell::{Cell, RefCell};
use core::future::{Future, pending, poll_fn, ready};
use core::pin::pin;
use core::task::Poll;
use core::time::Duration;
use std::rc::Rc;

use futures::FutureExt;
use mainspring_executor::sync::{mpsc, oneshot};
use mainspring_executor::time::{sleep, yield_now};
use mainspring_executor::{select, spawn};
use proptest::prelude::*;

use crate::drops::Drops;
use crate::ticking::{World, run};

/// Runs `future` where the driver always chooses `first`, or the last there is.
#[track_caller]
fn run_choosing<F: Future + 'static>(first: usize, future: F) -> F::Output {
    let world = World::with_choices(move |count| first.min(count - 1));
    let output = world.run(future);
    world.end();
    output
}

/// Ready if `is_ready`, else never.
async fn ready_if<T>(is_ready: bool, value: T) -> T {
    if !is_ready {
        pending::<()>().await;
    }
    value
}

#[test]
fn the_first_that_is_ready_wins() {
    // Whether at once or after a while.
    run(async {
        let long = sleep(Duration::from_secs(2));
        let short = sleep(Duration::from_secs(1));
        let winner = select! {
            () = long => "long",
            () = short => "short",
        };
        assert_eq!(winner, "short");
        let winner = select! {
            () = pending() => 1,
            two = ready(2) => two,
            () = pending() => 3
        };
        assert_eq!(winner, 2);
    });
}

#[test]
fn all_futures_are_dropped_before_the_handler_runs() {
    run(async {
        let drops = Drops::default();
        let held = |is_ready: bool| {
            let value = drops.value();
            async move {
                let _value = value;
                ready_if(is_ready, ()).await;
            }
        };
        select! {
            () = held(false) => unreachable!(),
            () = held(true) => assert_eq!(drops.count(), 3),
            () = held(false) => unreachable!(),
        }
        // So it may use what they had borrowed.
        let mut text = String::from("a");
        select! {
            () = async { text.push('b') } => text.push('c'),
            () = pending() => {}
        }
        assert_eq!(text, "abc");
    });
}

#[test]
fn handlers_are_code_like_any_other() {
    // They break, continue, return, await and use `?`.
    async fn sum(mut numbers: mpsc::Receiver<u32>) -> Result<u32, String> {
        let mut sum = 0;
        loop {
            select! {
                number = numbers.recv() => match number {
                    None => break,
                    Some(0) => continue,
                    Some(9) => return Err("nine".to_owned()),
                    Some(8) => Err("eight")?,
                    Some(number) => {
                        yield_now().await;
                        sum += number;
                    }
                },
                () = pending() => {}
            }
        }
        Ok(sum)
    }
    let check = |numbers: &'static [u32], expected: Result<u32, &str>| {
        let found = run(async {
            let (sender, receiver) = mpsc::channel(numbers.len() + 1);
            numbers.iter().for_each(|number| sender.try_send(*number).unwrap());
            drop(sender);
            sum(receiver).await
        });
        assert_eq!(found, expected.map_err(str::to_owned));
    };
    check(&[], Ok(0));
    check(&[1, 0, 2], Ok(3));
    check(&[1, 9, 2], Err("nine"));
    check(&[1, 8, 2], Err("eight"));
}

#[test]
fn patterns_are_patterns() {
    // By move, by reference, mutable, alternatives, constants, with bindings.
    const ONE: u32 = 1;
    #[derive(Debug, PartialEq)]
    struct NoCopy(u32);
    run(async {
        let mut moved = select! {
            Some(NoCopy(mut number)) = ready(Some(NoCopy(3))) => {
                number += 1;
                NoCopy(number)
            }
        };
        select! { ref mut value = ready(NoCopy(5)) => moved.0 += value.0 }
        assert_eq!(moved, NoCopy(9));
        let number = 7;
        assert_eq!(select! { &copied = ready(&number) => copied }, 7);
        assert_eq!(select! { Ok(it) | Err(it) = ready(Err::<u32, u32>(2)) => it }, 2);
        assert_eq!(
            select! { (ONE, all @ [.., last]) = ready((1, [1, 2])) => (all, last) },
            ([1, 2], 2)
        );
        assert_eq!(select! { _ = ready(NoCopy(0)) => 1, else => 2 }, 1);
        let boxed: Box<dyn Future<Output = NoCopy> + Unpin> = Box::new(ready(NoCopy(1)));
        assert_eq!(select! { it = boxed => it }, NoCopy(1));
    });
}

#[test]
fn an_output_that_does_not_match_disables_its_branch() {
    // It is dropped, its future with it, and the others go on; where there are none, `else` runs.
    run(async {
        let drops = Drops::default();
        let value = drops.value();
        let counted = drops.clone();
        let found = select! {
            biased;
            None = async move { Some(value) } => 0,
            two = async {
                yield_now().await;
                assert_eq!(counted.count(), 1);
                2
            } => two,
        };
        assert_eq!(found, 2);
        let found = select! {
            Some(1) = ready(Some(2)) => 1,
            None::<u8> = async { yield_now().await; Some(1) } => 2,
            else => 3,
        };
        assert_eq!(found, 3);
    });
}

#[test]
fn a_condition_that_is_false_disables_its_branch() {
    // Its future is not even made. Conditions come first: what they look at may be borrowed by the futures.
    run(async {
        let mut numbers = vec![1, 2];
        let mut none: Option<oneshot::Receiver<u8>> = None;
        for _ in 0..2 {
            select! {
                last = async { numbers.pop() }, if !numbers.is_empty() => assert!(last.is_some()),
                _ = none.as_mut().unwrap(), if none.is_some() => unreachable!(),
                else => unreachable!(),
            }
        }
        let found = select! {
            last = async { numbers.pop() }, if !numbers.is_empty() => last,
            else => Some(7)
        };
        assert_eq!(found, Some(7));
    });
}

#[test]
fn without_an_else_all_disabled_is_a_panic() {
    run(async {
        let selects = spawn(async {
            select! {
                Some(()) = ready(None) => {},
                () = pending(), if false => {}
            }
        });
        let error = selects.await.unwrap_err().to_string();
        assert_eq!(
            error,
            "the task panicked: all branches of a select! are disabled, and it has no else"
        );
    });
}

#[test]
fn futures_made_outside_go_on_where_they_were() {
    run(async {
        let mut slow = pin!(async {
            for _ in 0..3 {
                yield_now().await;
            }
            "slow"
        });
        let mut rounds = 0;
        let found = loop {
            select! {
                found = &mut slow => break found,
                () = yield_now() => rounds += 1,
            }
        };
        assert_eq!(found, "slow");
        assert!(rounds > 0);
    });
}

#[test]
fn what_the_expressions_borrow_lives_until_one_is_ready() {
    async fn length(text: &str) -> usize {
        yield_now().await;
        text.len()
    }
    run(async {
        let number = 17;
        let found = select! {
            length = length(&format!("{number}")) => length,
            length = length(&"x".repeat(number)) => length,
        };
        assert_eq!(found, 2);
    });
}

#[test]
fn up_to_sixteen_branches() {
    for winner in 0..16 {
        let of = move |branch: usize| ready_if(branch == winner, branch);
        let found = run_choosing(5, async move {
            select! {
                it = of(0) => it, it = of(1) => it, it = of(2) => it, it = of(3) => it,
                it = of(4) => it, it = of(5) => it, it = of(6) => it, it = of(7) => it,
                it = of(8) => it, it = of(9) => it, it = of(10) => it, it = of(11) => it,
                it = of(12) => it, it = of(13) => it, it = of(14) => it, it = of(15) => it,
                else => unreachable!()
            }
        });
        assert_eq!(found, winner);
    }
}

#[test]
fn one_within_the_other() {
    run(async {
        let found = select! {
            found = async { select! { one = ready(1) => one, () = pending() => 2 } } => {
                select! { two = ready(2) => found + two }
            }
            () = pending() => 0,
        };
        assert_eq!(found, 3);
    });
}

#[test]
fn outside_of_a_shard_the_first_is_polled_first() {
    // With any executor, and any futures.
    let found = async {
        let mut wins = 0;
        for _ in 0..100 {
            let (sender, receiver) = futures::channel::oneshot::channel();
            sender.send(1).unwrap();
            wins += select! {
                one = receiver.map(Result::unwrap) => one,
                two = ready(2) => two,
            };
        }
        wins
    };
    assert_eq!(found.now_or_never(), Some(100));
}

#[test]
fn each_poll_draws_once_and_goes_on_in_order() {
    let draws = Rc::new(RefCell::new(Vec::new()));
    let noted = draws.clone();
    let world = World::with_choices(move |count| {
        noted.borrow_mut().push(count);
        1
    });
    let order = Rc::new(RefCell::new(Vec::new()));
    let polled = order.clone();
    world.run(async move {
        let branch = |name: usize, polls: usize| {
            let order = polled.clone();
            let left = Cell::new(polls);
            poll_fn(move |cx| {
                order.borrow_mut().push(name);
                left.set(left.get() - 1);
                if left.get() == 0 {
                    return Poll::Ready(name);
                }
                cx.waker().wake_by_ref();
                Poll::Pending
            })
        };
        let found = select! {
            name = branch(0, 2) => name,
            name = branch(1, 9) => name,
            name = branch(2, 9) => name,
        };
        assert_eq!(found, 0);
        // Where there is nothing to choose, and where it is biased, nothing is drawn.
        select! { biased; () = ready(()) => {}, () = ready(()) => {} }
    });
    assert_eq!(*draws.borrow(), [3, 3]);
    assert_eq!(*order.borrow(), [1, 2, 0, 1, 2, 0]);
    world.end();
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// The winner is the first that is ready, from the one on that was drawn.
    #[test]
    fn the_winner_is_the_first_ready_from_the_draw_on(
        ready in proptest::array::uniform4(any::<bool>()),
        first in 0..4usize,
    ) {
        let of = move |branch: usize| ready_if(ready[branch], branch);
        let expected = (first..first + 4).map(|branch| branch % 4).find(|branch| ready[*branch]);
        let found = run_choosing(first, async move {
            select! {
                it = of(0) => Some(it),
                it = of(1) => Some(it),
                it = of(2) => Some(it),
                it = of(3) => Some(it),
                () = ready_if(expected.is_none(), ()) => None,
            }
        });
        // The fifth branch is ready only where no other is.
        prop_assert_eq!(found, expected);
        let found = run_choosing(first, async move {
            select! {
                biased;
                it = of(0) => Some(it),
                it = of(1) => Some(it),
                it = of(2) => Some(it),
                it = of(3) => Some(it),
                () = core::future::ready(()) => None,
            }
        });
        prop_assert_eq!(found, (0..4).find(|branch| ready[*branch]));
    }

    /// Whatever the seed, each branch that is always ready wins sometimes.
    #[test]
    fn no_branch_starves(seed in any::<u64>()) {
        let mut order = crate::suspensions::Draws(seed);
        let world = World::with_choices(move |count| order.below(count));
        let wins = world.run(async {
            let mut wins = [0; 4];
            for _ in 0..400 {
                let winner = select! {
                    () = ready(()) => 0,
                    () = ready(()) => 1,
                    () = ready(()) => 2,
                    () = ready(()) => 3,
                };
                wins[winner] += 1;
            }
            wins
        });
        world.end();
        prop_assert!(wins.iter().all(|wins| *wins > 40), "{:?}", wins);
    }
}
