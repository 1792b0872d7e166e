//! `select!`: the first of several futures to be ready.

/// Waits for several futures at once, and runs the handler of the first that is ready.
///
/// ```text
/// select! {
///     pattern = future => handler,
///     pattern = future, if condition => handler,
///     else => handler,
/// }
/// select! { biased; … }
/// ```
///
/// 1. The conditions are evaluated, in order. A branch whose condition is false is disabled: its future is not made.
/// 2. The other futures are made, in order: anything that is [`IntoFuture`], also `&mut future`.
/// 3. At each poll all futures are polled until one is ready, from a branch on that is drawn from the
///    [`Driver`](crate::driver::Driver::choose), and then in order. So no branch starves another, and in a simulation the
///    order is a matter of the seed. With `biased;` it always begins with the first: a branch that is always ready starves
///    those after it, and it is for you to see that this does no harm.
/// 4. If the output does not match the pattern, the branch is disabled and the others go on.
/// 5. All futures are dropped, then the handler runs; so it may use what they borrowed. It may `await`, `return`, `break`
///    and use `?` as any code at this place. The value of the whole is that of the handler.
///
/// Where all branches are disabled, `else` runs.
///
/// Temporary values in the expression of a future live as long as the future, but not where there is a condition: bind them
/// before.
///
/// Up to 16 branches. A comma may be left out after a handler in braces. Works with any future, in and outside of a shard;
/// outside it is always biased.
///
/// # Cancel-safety
/// The `select!` itself loses nothing when it is dropped. But it drops the futures that were not first, and what they had
/// done is lost unless they are cancel-safe. In a loop, use futures that are, or make the others outside and pass
/// `&mut future`.
///
/// # Panics
/// When all branches are disabled and there is no `else`.
///
/// ```
/// # use core::time::Duration;
/// # use mainspring_executor::{Shard, os::OsDriver, select, spawn, sync::mpsc, time::sleep};
/// # let shard = Shard::new(std::rc::Rc::new(OsDriver::new()?));
/// # shard.run(async {
/// let (sender, mut numbers) = mpsc::channel(1);
/// spawn(async move {
///     for number in 1..=3 {
///         if sender.send(number).await.is_err() {
///             break;
///         }
///     }
/// });
/// let mut late = core::pin::pin!(sleep(Duration::from_secs(60)));
/// let mut sum = 0;
/// loop {
///     select! {
///         Some(number) = numbers.recv() => sum += number,
///         () = &mut late, if sum < 3 => panic!("that took long"),
///         else => break,
///     }
/// }
/// assert_eq!(sum, 6);
/// # })?;
/// # Ok::<(), std::io::Error>(())
/// ```
#[macro_export]
macro_rules! select {
    (biased; $($branches:tt)+) => {
        $crate::__select!(@slots first_branch $($branches)+)
    };
    ($($branches:tt)+) => {
        $crate::__select!(@slots draw_branch $($branches)+)
    };
}

/// What [`select!`] expands to, step by step: the branches are taken one at a time, each with the next slot, which gives it
/// its names and its number; then all are run at once.
#[doc(hidden)]
#[macro_export]
macro_rules! __select {
    (@slots $first:ident $($branches:tt)+) => {
        $crate::__select!(@branch $first [
            (A a 0) (B b 1) (C c 2) (D d 3) (E e 4) (F f 5) (G g 6) (H h 7)
            (I i 8) (J j 9) (K k 10) (L l 11) (M m 12) (N n 13) (O o 14) (P p 15)
        ] [] $($branches)+)
    };

    // The end, or `else`.
    (@branch $first:ident $free:tt [$($done:tt)+]) => {
        $crate::__select!(@run $first [$($done)+] (
            panic!("all branches of a select! are disabled, and it has no else")
        ))
    };
    (@branch $first:ident $free:tt [$($done:tt)+] else => $handler:expr $(,)?) => {
        $crate::__select!(@run $first [$($done)+] ($handler))
    };
    (@branch $first:ident [] $done:tt $($branches:tt)+) => {
        compile_error!("a select! has at most 16 branches")
    };

    // The head of a branch.
    (@branch $first:ident $free:tt $done:tt
        $pattern:pat = $future:expr, if $condition:expr => $($rest:tt)+) => {
        $crate::__select!(@handler $first $free $done (($pattern) ($future) ($condition)) $($rest)+)
    };
    (@branch $first:ident $free:tt $done:tt $pattern:pat = $future:expr => $($rest:tt)+) => {
        $crate::__select!(@handler $first $free $done (($pattern) ($future) ()) $($rest)+)
    };

    // Its handler.
    (@handler $first:ident $free:tt $done:tt $head:tt $handler:block, $($rest:tt)*) => {
        $crate::__select!(@add $first $free $done $head ($handler) $($rest)*)
    };
    (@handler $first:ident $free:tt $done:tt $head:tt $handler:block $($rest:tt)*) => {
        $crate::__select!(@add $first $free $done $head ($handler) $($rest)*)
    };
    (@handler $first:ident $free:tt $done:tt $head:tt $handler:expr, $($rest:tt)*) => {
        $crate::__select!(@add $first $free $done $head ($handler) $($rest)*)
    };
    (@handler $first:ident $free:tt $done:tt $head:tt $handler:expr) => {
        $crate::__select!(@add $first $free $done $head ($handler))
    };

    (@add $first:ident [$slot:tt $($free:tt)*] [$($done:tt)*] $head:tt $handler:tt $($rest:tt)*) => {
        $crate::__select!(@branch $first [$($free)*] [$($done)* ($slot $head $handler)] $($rest)*)
    };

    (@run $first:ident [$((
        ($variant:ident $name:ident $index:tt)
        (($pattern:pat) ($future:expr) $condition:tt)
        ($handler:expr)
    ))+] ($else:expr)) => {{
        // Its name is not hygienic, so it is one that nobody else has.
        enum __SelectOutput<$($variant),+> {
            $($variant($variant),)+
            AllDisabled,
        }
        let enabled = [$($crate::__select!(@condition $condition)),+];
        // A match, so that what the expressions of the futures borrow lives until one is ready.
        let output = match ($($crate::__select!(@future enabled $index $condition $future),)+) {
            ($($name,)+) => {
                // Disabled is `None`.
                $(let mut $name = ::core::pin::pin!($name);)+
                ::core::future::poll_fn(|cx| {
                    let count = [$($index),+].len();
                    let first = $crate::macros::$first(count);
                    let mut is_waiting = false;
                    for turn in 0..count {
                        match (first + turn) % count {
                            $($index => {
                                let ::core::option::Option::Some(future) =
                                    $name.as_mut().as_pin_mut()
                                else {
                                    continue;
                                };
                                match ::core::future::Future::poll(future, cx) {
                                    ::core::task::Poll::Pending => is_waiting = true,
                                    #[allow(unused_mut, reason = "for patterns with `ref mut`")]
                                    ::core::task::Poll::Ready(mut output) => {
                                        // Asks whether it matches without moving out of it: the guard has the last word.
                                        let mut is_match = false;
                                        #[allow(unused_variables, unused_mut, reason = "only asks")]
                                        match output {
                                            $pattern if { is_match = true; false } => {
                                                unreachable!("by its guard")
                                            }
                                            _ => {}
                                        }
                                        if is_match {
                                            return ::core::task::Poll::Ready(
                                                __SelectOutput::$variant(output),
                                            );
                                        }
                                        $name.set(::core::option::Option::None);
                                    }
                                }
                            })+
                            _ => unreachable!("a remainder"),
                        }
                    }
                    match is_waiting {
                        true => ::core::task::Poll::Pending,
                        false => ::core::task::Poll::Ready(__SelectOutput::AllDisabled),
                    }
                })
                .await
            }
        };
        match output {
            $(#[allow(unused_mut, reason = "as above")]
            __SelectOutput::$variant(mut output) => match output {
                $pattern => $handler,
                #[allow(unreachable_patterns, reason = "most patterns match always")]
                _ => unreachable!("it matched before"),
            },)+
            __SelectOutput::AllDisabled => $else,
        }
    }};

    (@condition ()) => { true };
    (@condition ($condition:expr)) => { $condition };

    (@future $enabled:ident $index:tt () $future:expr) => {
        ::core::option::Option::Some(::core::future::IntoFuture::into_future($future))
    };
    (@future $enabled:ident $index:tt ($condition:expr) $future:expr) => {
        if $enabled[$index] {
            ::core::option::Option::Some(::core::future::IntoFuture::into_future($future))
        } else {
            ::core::option::Option::None
        }
    };
}
