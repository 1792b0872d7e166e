//! Cancel tokens, by themselves and as a tree.

use core::ops::DerefMut;
use core::pin::{Pin, pin};
use core::task::{Context, Poll, Waker};
use core::time::Duration;
use std::cell::{Cell, RefCell};
use std::future::pending;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;

use futures::future::join_all;
use futures::poll;
use mainspring_executor::cancel::Cancelled;
use mainspring_executor::time::{sleep, yield_now};
use mainspring_executor::{CancelToken, JoinHandle, spawn};
use proptest::prelude::*;

use crate::drops::{Drops, on_drop};
use crate::foreign::waker;
use crate::ticking::run;

/// What happened, in order.
type Log<T> = Rc<RefCell<Vec<T>>>;

fn poll_once(wait: &mut Pin<impl DerefMut<Target = Cancelled>>, waker: &Waker) -> Poll<()> {
    wait.as_mut().poll(&mut Context::from_waker(waker))
}

/// A task that waits for `token`, then tells its name.
fn waits_for<T: 'static>(token: &CancelToken, log: &Log<T>, name: T) -> JoinHandle<()> {
    let (token, log) = (token.clone(), Rc::clone(log));
    spawn(async move {
        token.cancelled().await;
        log.borrow_mut().push(name);
    })
}

#[test]
fn cancelling_wakes_all_waiters_in_the_order_they_came() {
    // Also where one came into the place of one that left.
    run(async {
        let token = CancelToken::new();
        let order = Log::default();
        let leaves = waits_for(&token, &order, "leaves");
        let mut stays =
            vec![waits_for(&token, &order, "first"), waits_for(&token, &order, "second")];
        yield_now().await;
        leaves.abort();
        assert!(leaves.await.is_err());
        stays.push(waits_for(&token, &order, "third"));
        yield_now().await;
        token.cancel();
        token.cancel();
        join_all(stays).await;
        assert_eq!(*order.borrow(), ["first", "second", "third"]);
    });
}

#[test]
fn a_token_that_is_cancelled_is_so_for_all_clones_and_for_good() {
    // Waiting for it again is ready at once.
    run(async {
        let token = CancelToken::new();
        let twin = token.clone();
        let mut waits = pin!(twin.cancelled());
        assert!(poll!(waits.as_mut()).is_pending());
        assert!(poll!(waits.as_mut()).is_pending());
        assert!(!twin.is_cancelled());
        token.cancel();
        assert!(twin.is_cancelled());
        assert!(poll!(waits.as_mut()).is_ready());
        assert!(poll!(waits.as_mut()).is_ready());
        token.cancelled().await;
    });
}

#[test]
fn descendants_are_cancelled_depth_first_in_the_order_they_were_made() {
    // Whatever the order in which the waiters came, and wherever the places of those that are gone were.
    run(async {
        let root = CancelToken::new();
        let gone = root.child();
        let first = root.child();
        drop(gone);
        let second = root.child();
        let (first_a, second_a) = (first.child(), second.child());
        let first_b = first.child();
        let order = Log::default();
        let tokens = [
            (&second_a, "second a"),
            (&first_b, "first b"),
            (&root, "root"),
            (&second, "second"),
            (&first_a, "first a"),
            (&first, "first"),
        ];
        let waiters: Vec<_> =
            tokens.map(|(token, name)| waits_for(token, &order, name)).into_iter().collect();
        yield_now().await;
        root.cancel();
        join_all(waiters).await;
        let expected = ["root", "first", "first a", "first b", "second", "second a"];
        assert_eq!(*order.borrow(), expected);
    });
}

#[test]
fn cancelling_goes_down_and_never_up() {
    let root = CancelToken::new();
    let (left, right) = (root.child(), root.child());
    let below = left.child();
    left.cancel();
    let cancelled = [&root, &left, &below, &right].map(CancelToken::is_cancelled);
    assert_eq!(cancelled, [false, true, true, false]);
    assert!(left.child().is_cancelled(), "made after the end");
    assert!(left.child().child().is_cancelled());
    root.cancel();
    assert!(right.is_cancelled());
}

#[test]
fn a_token_in_the_middle_that_nobody_holds_hands_on() {
    let root = CancelToken::new();
    let leaf = root.child().child().child();
    assert!(!leaf.is_cancelled());
    root.cancel();
    assert!(leaf.is_cancelled());
}

#[test]
fn a_child_outlives_its_parent_and_is_none_the_worse() {
    let root = CancelToken::new();
    let child = root.child();
    drop(root);
    assert!(!child.is_cancelled());
    child.cancel();
    assert!(child.is_cancelled());
}

#[test]
fn a_tree_may_be_deeper_than_the_stack() {
    // Cancelled from the top, and dropped from the bottom, in either order. Recursion would need far more than a test's
    // two megabytes.
    const DEPTH: usize = 100_000;
    for is_cancelled in [true, false] {
        let root = CancelToken::new();
        let mut leaf = root.child();
        for _ in 0..DEPTH {
            leaf = leaf.child();
        }
        if is_cancelled {
            root.cancel();
        }
        assert_eq!(leaf.is_cancelled(), is_cancelled);
        drop(root);
        drop(leaf);
    }
}

#[test]
fn a_parent_forgets_the_children_that_are_gone() {
    // A million of them, while others stay: each takes the same short time, and no place is left behind. A list that is
    // searched, or one that only grows, would show as minutes or gigabytes.
    let root = CancelToken::new();
    let stay: Vec<_> = (0..10_000).map(|_| root.child()).collect();
    for round in 0..1_000_000 {
        let child = root.child();
        if round % 100_000 == 0 {
            assert!(poll_once(&mut pin!(child.cancelled()), Waker::noop()).is_pending());
        }
    }
    root.cancel();
    assert!(stay.iter().all(CancelToken::is_cancelled));
}

#[test]
fn foreign_wakers_may_come_back_while_all_flags_are_set_and_nothing_is_borrowed() {
    // The first to be woken already finds the last token cancelled.
    let root = CancelToken::new();
    let tokens = [root.child(), root.child().child(), root.child()];
    let seen = Log::default();
    let mut waits: Vec<Pin<Box<Cancelled>>> =
        tokens.iter().map(|token| Box::pin(token.cancelled())).collect();
    for wait in &mut waits {
        let (token, seen) = (tokens[2].clone(), Rc::clone(&seen));
        let waker = waker(move || {
            seen.borrow_mut().push(token.is_cancelled());
            token.cancel();
            drop(token.child());
            assert!(poll_once(&mut pin!(token.cancelled()), Waker::noop()).is_ready());
        });
        assert!(poll_once(wait, &waker).is_pending());
    }
    root.cancel();
    assert_eq!(*seen.borrow(), [true, true, true]);
}

#[test]
fn a_guard_cancels_however_it_goes_unless_it_is_disarmed() {
    let by_drop = CancelToken::new();
    drop(by_drop.guard());
    assert!(by_drop.is_cancelled());

    let by_panic = CancelToken::new();
    let panics = catch_unwind(AssertUnwindSafe(|| {
        let _guard = by_panic.guard();
        panic!("on purpose");
    }));
    assert!(panics.is_err() && by_panic.is_cancelled());

    let disarmed = CancelToken::new();
    disarmed.guard().disarm();
    assert!(!disarmed.is_cancelled());
}

#[test]
fn run_until_cancelled_gives_the_output_or_drops_the_future_first() {
    #[derive(Debug)]
    enum Cancel {
        Never,
        Before,
        Meanwhile,
        /// Before the poll in which the future is ready, and after that was woken.
        JustBefore,
        /// In the very poll in which the future is ready: that is not thrown away.
        WhileReady,
    }
    for (cancel, expected, polls_expected) in [
        (Cancel::Never, Some(7), 2),
        (Cancel::Before, None, 0),
        (Cancel::Meanwhile, None, 1),
        (Cancel::JustBefore, Some(7), 2),
        (Cancel::WhileReady, Some(7), 2),
    ] {
        run(async move {
            let token = CancelToken::new();
            if matches!(cancel, Cancel::Before) {
                token.cancel();
            }
            let (drops, polls) = (Drops::default(), Cell::new(0));
            let value = drops.value();
            let (own, when) = (token.clone(), &cancel);
            let work = async {
                let _value = value;
                polls.set(1);
                sleep(Duration::from_secs(2)).await;
                polls.set(2);
                if matches!(when, Cancel::WhileReady) {
                    own.cancel();
                }
                7
            };
            let cancelled_after = match cancel {
                Cancel::Meanwhile => Some(1),
                Cancel::JustBefore => Some(2),
                Cancel::Never | Cancel::Before | Cancel::WhileReady => None,
            };
            if let Some(wait) = cancelled_after {
                let token = token.clone();
                spawn(async move {
                    sleep(Duration::from_secs(wait)).await;
                    token.cancel();
                });
                // Its timer is the first to be set, and to fire.
                yield_now().await;
            }
            let mut runs = pin!(token.run_until_cancelled(work));
            let output = runs.as_mut().await;
            assert_eq!(output, expected, "{cancel:?}");
            assert_eq!((polls.get(), drops.live()), (polls_expected, 0), "{cancel:?}");
        });
    }
}

#[test]
fn a_future_that_cancels_its_own_token_is_not_polled_again() {
    run(async {
        let token = CancelToken::new();
        let own = token.clone();
        let dropped = Rc::new(Cell::new(false));
        let tells = Rc::clone(&dropped);
        let output = token
            .run_until_cancelled(async move {
                let _tells = on_drop(move || tells.set(true));
                own.cancel();
                pending::<()>().await;
            })
            .await;
        assert!(output.is_none() && dropped.get());
    });
}

/// What may be done to a tree.
#[derive(Clone, Debug)]
enum Op {
    Child(usize),
    Drop(usize),
    Cancel(usize),
    Wait(usize),
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let which = 0..40_usize;
    let op = prop_oneof![
        5 => which.clone().prop_map(Op::Child),
        2 => which.clone().prop_map(Op::Drop),
        1 => which.clone().prop_map(Op::Cancel),
        4 => which.prop_map(Op::Wait),
    ];
    proptest::collection::vec(op, 0..80)
}

/// A token of the plain model: it knows its parent and whether it is cancelled, and finds the rest by searching.
struct Plain {
    parent: Option<usize>,
    is_cancelled: bool,
    waiters: Vec<usize>,
}

/// All below `top`, itself first, depth-first in the order of making.
fn below(model: &[Plain], top: usize) -> Vec<usize> {
    let children = (0..model.len()).filter(|index| model[*index].parent == Some(top));
    core::iter::once(top).chain(children.flat_map(|child| below(model, child))).collect()
}

proptest! {
    /// The tree against one without links: who is cancelled, who is woken, and in which order.
    #[test]
    fn a_tree_does_as_a_list_that_is_searched(ops in ops()) {
        let mut tokens = vec![Some(CancelToken::new())];
        let mut model = vec![Plain { parent: None, is_cancelled: false, waiters: Vec::new() }];
        let mut waits: Vec<Pin<Box<Cancelled>>> = Vec::new();
        let woken = Log::default();
        for op in ops {
            let (Op::Child(which) | Op::Drop(which) | Op::Cancel(which) | Op::Wait(which)) = op;
            let index = which % tokens.len();
            let Some(token) = &tokens[index] else { continue };
            let mut expected = Vec::new();
            match op {
                Op::Child(_) => {
                    let is_cancelled = model[index].is_cancelled;
                    model.push(Plain { parent: Some(index), is_cancelled, waiters: Vec::new() });
                    let child = token.child();
                    tokens.push(Some(child));
                }
                Op::Drop(_) => tokens[index] = None,
                Op::Cancel(_) => {
                    for cancelled in below(&model, index) {
                        expected.append(&mut model[cancelled].waiters);
                        model[cancelled].is_cancelled = true;
                    }
                    token.cancel();
                }
                Op::Wait(_) => {
                    let name = waits.len();
                    let log = Rc::clone(&woken);
                    let mut wait = Box::pin(token.cancelled());
                    let poll = poll_once(&mut wait, &waker(move || log.borrow_mut().push(name)));
                    prop_assert_eq!(poll == Poll::Ready(()), model[index].is_cancelled);
                    if poll.is_pending() {
                        model[index].waiters.push(name);
                    }
                    waits.push(wait);
                }
            }
            prop_assert_eq!(woken.take(), expected);
            for (token, plain) in tokens.iter().zip(&model) {
                if let Some(token) = token {
                    prop_assert_eq!(token.is_cancelled(), plain.is_cancelled);
                }
            }
        }
    }
}
