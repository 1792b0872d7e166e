//! `join!` and `try_join!`.

use core::cell::Cell;
use core::future::{Future, pending, ready};
use core::task::Poll;
use core::time::Duration;
use std::rc::Rc;

use futures::FutureExt;
use mainspring_executor::sync::mpsc;
use mainspring_executor::time::{sleep, yield_now};
use mainspring_executor::{Instant, join, time::now, try_join};

use crate::drops::Drops;
use crate::ticking::{World, run};

fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

/// Gives `value` after some seconds.
async fn after<T>(count: u64, value: T) -> T {
    sleep(seconds(count)).await;
    value
}

#[test]
fn join_gives_all_outputs_in_their_order() {
    // They wait at the same time.
    run(async {
        let all = join!(after(3, 'a'), ready(1), after(2, "b"),);
        assert_eq!(all, ('a', 1, "b"));
        assert_eq!(now(), Instant::START + seconds(3));
        assert_eq!(join!(ready(1)), (1,));
        let text = String::from("x");
        assert_eq!(join!(async { text.len() }, async { text.clone() + "y" }), (1, "xy".to_owned()));
    });
}

#[test]
fn try_join_gives_all_values_or_the_first_error() {
    // At the error the others are dropped, and the values that were there.
    run(async {
        let all: Result<_, ()> = try_join!(after(1, Ok('a')), ready(Ok(1)));
        assert_eq!(all, Ok(('a', 1)));
        let drops = Drops::default();
        let (one, other) = (drops.value(), drops.value());
        let all: Result<((), _, ()), &str> =
            try_join!(after(2, Err("late")), async move { Ok(one) }, async move {
                let _other = other;
                after(1, Err("early")).await
            },);
        assert_eq!(all.err(), Some("early"));
        assert_eq!(drops.count(), 2);
        assert_eq!(now(), Instant::START + seconds(2), "one second after the first");
    });
}

#[test]
fn up_to_sixteen_futures() {
    run(async {
        let all = join!(
            ready(0),
            ready(1),
            ready(2),
            ready(3),
            ready(4),
            ready(5),
            ready(6),
            ready(7),
            ready(8),
            ready(9),
            ready(10),
            ready(11),
            ready(12),
            ready(13),
            ready(14),
            after(1, 15)
        );
        let ((first, .., last), ok) = (all, Ok::<_, ()>);
        assert_eq!((first, last), (0, 15));
        let all = try_join!(
            ready(ok(0)),
            ready(ok(1)),
            ready(ok(2)),
            ready(ok(3)),
            ready(ok(4)),
            ready(ok(5)),
            ready(ok(6)),
            ready(ok(7)),
            ready(ok(8)),
            ready(ok(9)),
            ready(ok(10)),
            ready(ok(11)),
            ready(ok(12)),
            ready(ok(13)),
            ready(ok(14)),
            after(1, ok(15))
        );
        assert_eq!(all.map(|all| all.15), Ok(15));
    });
}

#[test]
fn dropping_a_join_drops_all_that_is_in_it() {
    // Outputs, and futures that are not ready.
    let drops = Drops::default();
    let (output, future) = (drops.value(), drops.value());
    let joined = async {
        join!(async { output }, async {
            let _future = future;
            pending::<()>().await;
        })
    };
    assert!(joined.now_or_never().is_none());
    assert_eq!(drops.count(), 2);
}

#[test]
fn they_work_outside_of_a_shard() {
    let joined = async { (join!(ready(1), ready(2)), try_join!(ready(Ok::<_, ()>(3)))) };
    assert_eq!(joined.now_or_never(), Some(((1, 2), Ok((3,)))));
}

#[test]
fn none_uses_up_the_budget_of_the_task_for_the_others() {
    // Each of two is always ready: they keep step, though one poll is not enough for one of them.
    fn drain(
        count: usize,
        other: Rc<Cell<usize>>,
        own: Rc<Cell<usize>>,
    ) -> impl Future<Output = ()> {
        let (sender, mut receiver) = mpsc::channel(count);
        (0..count).for_each(|number| sender.try_send(number).expect("there is room"));
        async move {
            for _ in 0..count {
                receiver.recv().await;
                own.set(own.get() + 1);
                let ahead = own.get().saturating_sub(other.get());
                assert!(ahead <= 256, "it is {ahead} ahead");
            }
        }
    }
    run(async {
        let (one, other) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(0)));
        let both =
            (drain(2000, other.clone(), one.clone()), drain(2000, one.clone(), other.clone()));
        join!(both.0, both.1);
        assert_eq!((one.take(), other.take()), (2000, 2000));
        let both = (drain(2000, other.clone(), one.clone()), drain(2000, one, other));
        let joined = try_join!(both.0.map(Ok::<_, ()>), both.1.map(Ok));
        assert_eq!(joined, Ok(((), ())));
        yield_now().await;
    });
}

/// In which order the branches of a join of three are polled, in each of its polls, where the driver draws `first`.
fn order_of_polls(first: usize, is_biased: bool) -> Vec<Vec<usize>> {
    let world = World::with_choices(move |count| first % count);
    let order = world.run(async move {
        let seen = Rc::new(Cell::new(Vec::new()));
        let branch = |number: usize| {
            let (seen, mut polls) = (Rc::clone(&seen), 0);
            core::future::poll_fn(move |cx| {
                let mut order = seen.take();
                order.push(number);
                seen.set(order);
                polls += 1;
                cx.waker().wake_by_ref();
                if polls < 4 { Poll::Pending } else { Poll::Ready(()) }
            })
        };
        if is_biased {
            join!(biased; branch(0), branch(1), branch(2));
            let ok = |number| branch(number).map(Ok::<_, ()>);
            assert_eq!(try_join!(biased; ok(0), ok(1), ok(2)), Ok(((), (), ())));
        } else {
            join!(branch(0), branch(1), branch(2));
            let ok = |number| branch(number).map(Ok::<_, ()>);
            assert_eq!(try_join!(ok(0), ok(1), ok(2)), Ok(((), (), ())));
        }
        seen.take().chunks(3).map(<[usize]>::to_vec).collect()
    });
    world.end();
    order
}

#[test]
fn the_order_begins_where_the_driver_says_and_moves_on_unless_it_is_biased() {
    let biased = vec![vec![0, 1, 2]; 8];
    for first in 0..3 {
        assert_eq!(order_of_polls(first, true), biased);
        let from = |poll: usize| (0..3).map(|turn| (first + poll + turn) % 3).collect();
        let once: Vec<Vec<usize>> = (0..4).map(from).collect();
        assert_eq!(order_of_polls(first, false), [once.clone(), once].concat());
    }
}
