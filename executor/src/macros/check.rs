//! `always!`, `never!`, `eventually!`, `sometimes!`, `reachable!` and `buggify!`: what a program says of itself, where it
//! does what it says, for whoever wants to know. After the assertions of the Antithesis SDK, and `BUGGIFY` and `TEST` of
//! FoundationDB (Zhou et al.: *FoundationDB: A distributed unbundled transactional key value store*, SIGMOD 2021, §4).

/// The condition holds whenever this is passed.
///
/// Where it does not, it is counted ([`MetricsSnapshot::promises_broken`](crate::MetricsSnapshot::promises_broken)), logged
/// as an error of the target `mainspring::check`, once for each site and shard, and the program goes on. An observer of the
/// driver is told each time: the simulator's fails the run. Outside of a shard, as in an offloaded closure, nobody but the log
/// is told.
///
/// The name is a literal, by which reports call it. The condition is evaluated in any case, so that the program is the
/// same with and without an observer; besides that, one that holds costs a thread-local read and three branches: 8
/// instructions on x86-64, of which two are the comparison.
///
/// ```
/// use mainspring_executor::always;
///
/// fn withdraw(balance: u64, amount: u64) -> u64 {
///     always!(amount <= balance, "nobody takes more than there is");
///     balance.saturating_sub(amount)
/// }
/// assert_eq!(withdraw(3, 2), 1);
/// ```
#[macro_export]
macro_rules! always {
    ($condition:expr, $name:literal $(,)?) => {
        $crate::macros::promise($crate::__site!(Always, $name), $condition)
    };
}

/// This is not reached: [`always!`](crate::always) with a condition that is false, to be put where an `unreachable!` would
/// take the whole program down for one broken promise.
#[macro_export]
macro_rules! never {
    ($name:literal $(,)?) => {
        $crate::macros::promise($crate::__site!(Never, $name), false)
    };
}

/// The condition holds within a time: a future that looks at once, then a hundred times at equal intervals, and gives
/// whether it did. Where it does not, as [`always!`](crate::always).
///
/// For what must come right again when the trouble is over: whoever awaits it knows when that is. What holds only between
/// two looks is not seen. Dropped before its end it says nothing.
///
/// ```
/// # use core::{cell::Cell, time::Duration};
/// # use mainspring_executor::{Shard, eventually, os::OsDriver, time::sleep};
/// # let shard = Shard::new(std::rc::Rc::new(OsDriver::new()?));
/// # shard.run(async {
/// let open = std::rc::Rc::new(Cell::new(2));
/// # let closing = std::rc::Rc::clone(&open);
/// # drop(mainspring_executor::spawn(async move { closing.set(0) }));
/// assert!(eventually!(Duration::from_secs(1), open.get() == 0, "all connections end").await);
/// # })?;
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// # Panics
/// Its future, when polled outside of a shard.
#[macro_export]
macro_rules! eventually {
    ($within:expr, $condition:expr, $name:literal $(,)?) => {
        $crate::macros::eventually($crate::__site!(Eventually, $name), $within, || $condition)
    };
}

/// In some runs this is passed, and the condition holds: a sweep of the simulator in which it never does says so. That is
/// how one knows that a test reaches what it is meant to reach.
///
/// Nothing is promised, so nothing is broken: without an observer it evaluates the condition and costs a thread-local read
/// and two branches, 6 instructions on x86-64.
///
/// ```
/// # let queue: Vec<u8> = Vec::new();
/// mainspring_executor::sometimes!(queue.len() > 100, "many wait");
/// ```
#[macro_export]
macro_rules! sometimes {
    ($condition:expr, $name:literal $(,)?) => {
        $crate::macros::pass($crate::__site!(Sometimes, $name), $condition)
    };
}

/// In some runs this is passed: [`sometimes!`](crate::sometimes) with a condition that is true.
///
/// A site that no run passes is not known to the simulator, for nothing lists the sites of a program. A scenario says by
/// its names which it expects (`Scenario::expects`).
#[macro_export]
macro_rules! reachable {
    ($name:literal $(,)?) => {
        $crate::macros::pass($crate::__site!(Reachable, $name), true)
    };
}

/// Whether something is to go wrong here: a buffer is small, a cache forgets, a call fails that may, a task takes its time.
/// `false` without an observer of the driver, for a thread-local read and two branches, 6 instructions on x86-64; nothing is
/// drawn then.
///
/// In a simulated room with `WorldConfig::buggify` each site is on in one run of four, for a whole run, and fires in 250 of
/// 1,000 times then, or as often as `permille` says. What goes wrong must be something that a correct program survives.
///
/// ```
/// use mainspring_executor::buggify;
///
/// let piece_bytes = if buggify!("small pieces") { 1 } else { 65_536 };
/// assert!(!buggify!("the reply is late", permille = 10), "nobody asked for trouble");
/// # assert_eq!(piece_bytes, 65_536);
/// ```
#[macro_export]
macro_rules! buggify {
    ($name:literal $(,)?) => {
        $crate::buggify!($name, permille = 250)
    };
    ($name:literal, permille = $permille:expr $(,)?) => {
        $crate::macros::fires($crate::__site!(FaultPoint, $name), $permille)
    };
}

/// The site of the macro that is expanded.
#[doc(hidden)]
#[macro_export]
macro_rules! __site {
    ($kind:ident, $name:literal) => {{
        static SITE: $crate::driver::Site = $crate::driver::Site {
            file: ::core::file!(),
            line: ::core::line!(),
            column: ::core::column!(),
            kind: $crate::driver::SiteKind::$kind,
            name: $name,
        };
        &SITE
    }};
}
