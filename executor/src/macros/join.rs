//! `join!` and `try_join!`: all of several futures.

/// Waits for all of several futures at once, within the task, and gives their outputs as a tuple.
///
/// Each poll polls all that are not ready yet, each time from the next one on, so that none uses up the budget of the task
/// for the others. Which is the first of all is drawn from the driver. After `biased;` each poll begins with the first, and
/// goes in order. Takes anything that is [`IntoFuture`], up to 16.
///
/// Cancel-safe where all of its futures are: dropping it drops them, and the outputs of those that were ready.
///
/// ```
/// # use mainspring_executor::{Shard, join, os::OsDriver, sync::oneshot};
/// # let shard = Shard::new(std::rc::Rc::new(OsDriver::new()?));
/// # shard.run(async {
/// let (sender, receiver) = oneshot::channel();
/// let (received, sent) = join!(receiver, async { sender.send(1) });
/// assert_eq!((received, sent), (Ok(1), Ok(())));
/// # })?;
/// # Ok::<(), std::io::Error>(())
/// ```
#[macro_export]
macro_rules! join {
    (biased; $($future:expr),+ $(,)?) => {
        $crate::macros::outputs($crate::try_join!(
            biased; $($crate::macros::never_fails($future)),+
        ))
    };
    ($($future:expr),+ $(,)?) => {
        $crate::macros::outputs($crate::try_join!(
            $($crate::macros::never_fails($future)),+
        ))
    };
}

/// Waits for all of several futures at once, until one gives an error; gives their `Ok` values as a tuple.
///
/// At the first error the other futures are dropped, and so are the values of those that were ready. All errors are of
/// one type. Otherwise as [`join!`](crate::join).
///
/// ```
/// # use mainspring_executor::{Shard, os::OsDriver, sync::oneshot, try_join};
/// # let shard = Shard::new(std::rc::Rc::new(OsDriver::new()?));
/// # shard.run(async {
/// let (_keep, never) = oneshot::channel::<u8>();
/// let (sender, receiver) = oneshot::channel::<u8>();
/// drop(sender);
/// assert!(try_join!(never, receiver).is_err());
/// # })?;
/// # Ok::<(), std::io::Error>(())
/// ```
#[macro_export]
macro_rules! try_join {
    (biased; $($future:expr),+ $(,)?) => {
        $crate::__join!(@slots (first_branch first_branch_again) $($future),+)
    };
    ($($future:expr),+ $(,)?) => {
        $crate::__join!(@slots (draw_branch next_branch) $($future),+)
    };
}

/// What [`try_join!`] expands to, and with it [`join!`], whose futures never fail: each takes the next slot, which gives it
/// its name and its number; then all are run at once.
#[doc(hidden)]
#[macro_export]
macro_rules! __join {
    (@slots $turns:tt $($future:expr),+) => {
        $crate::__join!(@take $turns [
            (a 0) (b 1) (c 2) (d 3) (e 4) (f 5) (g 6) (h 7)
            (i 8) (j 9) (k 10) (l 11) (m 12) (n 13) (o 14) (p 15)
        ] [] $(($future))+)
    };

    (@take ($first:ident $next:ident) $free:tt $taken:tt) => {
        $crate::__join!(@run $first $next $taken)
    };
    (@take $turns:tt [] $taken:tt $($futures:tt)+) => {
        compile_error!("up to 16 futures can be joined")
    };
    (@take $turns:tt [($name:ident $index:tt) $($free:tt)*] [$($taken:tt)*]
        ($future:expr) $($futures:tt)*) => {
        $crate::__join!(@take $turns [$($free)*] [$($taken)* ($name $index $future)] $($futures)*)
    };

    (@run $first:ident $next:ident [$(($name:ident $index:tt $future:expr))+]) => {
        match ($(
            $crate::macros::try_maybe_done(::core::future::IntoFuture::into_future($future)),
        )+) {
            ($($name,)+) => {
                $(let mut $name = ::core::pin::pin!($name);)+
                let mut first = $crate::macros::$first([$($index),+].len());
                ::core::future::poll_fn(move |cx| {
                    let count = [$($index),+].len();
                    let mut is_waiting = false;
                    for turn in 0..count {
                        let polled = match (first + turn) % count {
                            $($index => ::core::future::Future::poll($name.as_mut(), cx),)+
                            _ => unreachable!("a remainder"),
                        };
                        match polled {
                            ::core::task::Poll::Pending => is_waiting = true,
                            ::core::task::Poll::Ready(::core::result::Result::Ok(())) => {}
                            ::core::task::Poll::Ready(::core::result::Result::Err(error)) => {
                                return ::core::task::Poll::Ready(::core::result::Result::Err(error));
                            }
                        }
                    }
                    first = $crate::macros::$next(first, count);
                    if is_waiting {
                        return ::core::task::Poll::Pending;
                    }
                    ::core::task::Poll::Ready(::core::result::Result::Ok(($(
                        $name.as_mut().take_output().expect("the output of a future that is ready"),
                    )+)))
                })
                .await
            }
        }
    };
}
