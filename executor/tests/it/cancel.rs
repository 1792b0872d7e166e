//! Cancel tokens.

use core::pin::pin;
use std::cell::RefCell;
use std::rc::Rc;

use futures::future::join_all;
use futures::poll;
use mainspring_executor::time::yield_now;
use mainspring_executor::{CancelToken, spawn};

use crate::ticking::run;

#[test]
fn cancelling_wakes_all_waiters_in_the_order_they_came() {
    // Also where one came into the place of one that left.
    run(async {
        let token = CancelToken::new();
        let order = Rc::new(RefCell::new(Vec::new()));
        let waiter = |name: &'static str| {
            let (token, order) = (token.clone(), Rc::clone(&order));
            spawn(async move {
                token.cancelled().await;
                order.borrow_mut().push(name);
            })
        };
        let leaves = waiter("leaves");
        let mut stays = vec![waiter("first"), waiter("second")];
        yield_now().await;
        leaves.abort();
        assert!(leaves.await.is_err());
        stays.push(waiter("third"));
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
