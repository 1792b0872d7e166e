//! What the run on a thread answers to who asks libc, and that nobody else is answered by it.
#![cfg(all(target_os = "linux", target_arch = "x86_64", target_env = "gnu"))]
#![expect(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "to go past the driver is the point"
)]
#![expect(unsafe_code, reason = "it calls libc as a C program does")]

use core::cell::Cell;
use core::mem::MaybeUninit;
use core::time::Duration;
use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::rc::Rc;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use mainspring_executor::driver::Driver;
use mainspring_executor::offload;
use mainspring_executor::os::OsDriver;
use mainspring_executor::time::{now, sleep, wall_clock};
use mainspring_sim::bypass::{self, Asked, Bypasses, alone, is_guarded};
use mainspring_sim::{FailureKind, Host, World, WorldConfig};
use mainspring_sim_guard as _;
use rand::Rng;

const HOUR: Duration = Duration::from_secs(3600);

/// Runs a program alone, on one host, and gives what it gives with what it asked past its driver.
fn run<R: Send + 'static, F: Future<Output = R> + 'static>(
    seed: u64,
    program: impl FnOnce() -> F + Send,
) -> (R, Bypasses) {
    alone(seed, || {
        let world = World::new(seed, WorldConfig { record: true, ..WorldConfig::rough() });
        let result = Rc::new(Cell::new(None));
        let (given, program) = (Rc::clone(&result), program());
        world.host("host").run(async move { given.set(Some(program.await)) });
        world.run().expect("it ends");
        (result.take().expect("it has run"), world.bypasses())
    })
}

fn libc_time(clock: libc::clockid_t) -> Duration {
    let mut time = MaybeUninit::uninit();
    // SAFETY: there is room for a time.
    assert_eq!(unsafe { libc::clock_gettime(clock, time.as_mut_ptr()) }, 0);
    // SAFETY: it was written, or the assertion would not hold.
    let time: libc::timespec = unsafe { time.assume_init() };
    let seconds = u64::try_from(time.tv_sec).expect("after 1970");
    Duration::new(seconds, u32::try_from(time.tv_nsec).expect("below a second"))
}

/// The date by each of the calls that give it, in whole seconds.
fn libc_dates() -> [u64; 4] {
    let mut time = libc::timeval { tv_sec: 0, tv_usec: 0 };
    // SAFETY: there is room for a time, and a zone is not asked for.
    assert_eq!(unsafe { libc::gettimeofday(&raw mut time, core::ptr::null_mut()) }, 0);
    // SAFETY: null is allowed.
    let seconds = unsafe { libc::time(core::ptr::null_mut()) };
    let mut written = 0;
    // SAFETY: there is room for a time.
    let by_number = unsafe { libc::syscall(libc::SYS_time, &raw mut written) };
    assert_eq!(by_number, written);
    let seconds_of = |seconds: i64| u64::try_from(seconds).expect("after 1970");
    [
        seconds_of(time.tv_sec),
        seconds_of(seconds),
        seconds_of(written),
        libc_time(libc::CLOCK_REALTIME).as_secs(),
    ]
}

#[test]
fn the_clocks_of_std_are_those_of_the_machine() {
    let ((), asked) = run(1, || async {
        let (begin, date, before) = (Instant::now(), SystemTime::now(), now());
        sleep(HOUR).await;
        assert_eq!(begin.elapsed(), now() - before);
        assert!(begin.elapsed() >= HOUR);
        assert_eq!(date.elapsed().expect("it goes on"), begin.elapsed());
        assert_eq!(SystemTime::now().duration_since(UNIX_EPOCH).ok(), wall_clock());
    });
    assert_eq!((asked.time_count, asked.date_count, asked.entropy_count), (4, 3, 0));
}

#[test]
fn a_clock_that_is_wrong_is_wrong_for_all() {
    alone(1, || {
        let world = World::new(1, WorldConfig::calm());
        let (right, wrong) = (world.host("right"), world.host("wrong"));
        wrong.set_drift(100_000);
        wrong.set_date_behind(HOUR);
        for host in [&right, &wrong] {
            host.run(async {
                let (begin, before) = (Instant::now(), now());
                sleep(HOUR).await;
                assert_eq!(begin.elapsed(), now() - before);
                assert_eq!(SystemTime::now().duration_since(UNIX_EPOCH).ok(), wall_clock());
            });
        }
        world.run().expect("both hold");
    });
}

#[test]
fn each_clock_of_libc_is_one_of_the_two() {
    let (_, asked) = run(1, || async {
        sleep(HOUR).await;
        let (time, date) = (now().as_nanos(), wall_clock().expect("it has a date"));
        for clock in [
            libc::CLOCK_MONOTONIC,
            libc::CLOCK_MONOTONIC_RAW,
            libc::CLOCK_MONOTONIC_COARSE,
            libc::CLOCK_BOOTTIME,
            libc::CLOCK_PROCESS_CPUTIME_ID,
            libc::CLOCK_THREAD_CPUTIME_ID,
        ] {
            assert_eq!(libc_time(clock), Duration::from_nanos(time), "{clock}");
        }
        assert_eq!(libc_time(libc::CLOCK_REALTIME_COARSE), date);
        assert_eq!(libc_dates(), [date.as_secs(); 4]);
    });
    assert_eq!((asked.time_count, asked.date_count), (6, 5));
}

/// What each source of entropy gives, by its name.
fn draws() -> Vec<(&'static str, u64)> {
    let mut target = [0; 8];
    let mut draw = |name, draw: &dyn Fn(&mut [u8; 8])| {
        draw(&mut target);
        (name, u64::from_le_bytes(target))
    };
    vec![
        draw("std's hash maps", &|target| *target = RandomState::new().hash_one(7).to_le_bytes()),
        draw("getrandom 0.2", &|target| getrandom_02::getrandom(target).expect("there is some")),
        draw("getrandom 0.4", &|target| getrandom::fill(target).expect("there is some")),
        draw("rand", &|target| rand::rng().fill_bytes(target)),
        draw("libc::getrandom", &|target| {
            // SAFETY: there is room for 8 bytes.
            assert_eq!(unsafe { libc::getrandom(target.as_mut_ptr().cast(), 8, 0) }, 8);
        }),
        draw("libc::getentropy", &|target| {
            // SAFETY: there is room for 8 bytes.
            assert_eq!(unsafe { libc::getentropy(target.as_mut_ptr().cast(), 8) }, 0);
        }),
    ]
}

#[test]
fn entropy_is_the_seeds_whoever_asks() {
    let drawn = |seed| run(seed, || async { draws() });
    let (first, asked) = drawn(1);
    assert_eq!(first, drawn(1).0, "the seed is the same");
    assert_eq!(asked.entropy_count, 6, "{asked:?}");
    for (one, other) in first.iter().zip(drawn(2).0) {
        assert_ne!(*one, other, "the seed is another");
    }
    let mut values: Vec<u64> = first.iter().map(|(_, value)| *value).collect();
    values.sort_unstable();
    values.dedup();
    assert_eq!(values.len(), first.len(), "nothing is given twice");
}

/// One more host, one more draw: the others do what they did.
#[test]
fn each_host_has_entropy_of_its_own() {
    let drawn = |others: &'static [&str]| {
        alone(1, move || {
            let world = World::new(1, WorldConfig::calm());
            for other in others {
                world
                    .host(other)
                    .run(async { getrandom::fill(&mut [0; 100]).expect("there is some") });
            }
            let drawn = Rc::new(Cell::new([0; 16]));
            let given = Rc::clone(&drawn);
            world.host("host").run(async move {
                let mut target = [0; 16];
                getrandom::fill(&mut target).expect("there is some");
                given.set(target);
            });
            world.run().expect("it ends");
            drawn.get()
        })
    };
    assert_eq!(drawn(&[]), drawn(&["first", "second"]));
}

/// Also where a scenario makes its worlds, and looks at what came of them.
#[test]
fn around_its_worlds_a_run_is_answered_too() {
    let around = || {
        alone(7, || {
            let (begin, before) = (Instant::now(), draws());
            let world = World::new(7, WorldConfig::calm());
            world.host("host").run(async { sleep(HOUR).await });
            world.run().expect("it ends");
            assert_eq!(world.bypasses(), Bypasses::default(), "none of that is in the world");
            (before, draws(), begin.elapsed(), SystemTime::now())
        })
    };
    let first = around();
    assert_eq!(first.2, HOUR);
    assert_ne!(first.0, first.1);
    assert_eq!(first, around());
}

fn is_real(date: SystemTime) -> bool {
    // By a crate that makes its system calls itself: nobody stands between.
    let of_system = rustix::time::clock_gettime(rustix::time::ClockId::Realtime);
    let date = date.duration_since(UNIX_EPOCH).expect("after 1970");
    date.as_secs().abs_diff(of_system.tv_sec as u64) < 3600
}

fn check_the_system_answers() {
    assert!(is_real(SystemTime::now()));
    assert!(libc_time(libc::CLOCK_MONOTONIC) <= libc_time(libc::CLOCK_MONOTONIC));
    assert!(libc_dates()[0] > 1_700_000_000);
    assert_ne!(draws(), draws());
    let driver = OsDriver::new().expect("the system has a poller");
    assert!(is_real(UNIX_EPOCH + driver.wall_clock()));
    assert_ne!((driver.entropy(), driver.entropy()), (0, 0));
    // SAFETY: there is no such clock, so that is an error.
    let result = unsafe { libc::clock_gettime(1000, core::ptr::null_mut()) };
    let errno = || std::io::Error::last_os_error().raw_os_error();
    assert_eq!((result, errno()), (-1, Some(libc::EINVAL)));
    // SAFETY: too many bytes are asked for, so that is an error.
    let result = unsafe { libc::getentropy(core::ptr::null_mut(), 257) };
    assert_eq!((result, errno()), (-1, Some(libc::EIO)));
}

#[test]
fn outside_of_a_run_the_system_answers() {
    assert!(is_guarded());
    check_the_system_answers();
    let ((), asked) = run(1, || async {
        assert!(!is_real(SystemTime::now()), "that is the machine's");
        // Other threads are none of the simulated machine's.
        let other = std::thread::spawn(check_the_system_answers);
        other.join().expect("it holds there");
    });
    assert_eq!(asked.count(), 1, "{asked:?}");
    check_the_system_answers();
}

/// A known leak.
#[test]
fn a_crate_that_makes_its_own_system_calls_is_not_answered() {
    let date = || rustix::time::clock_gettime(rustix::time::ClockId::Realtime).tv_sec;
    let (within, asked) = run(1, move || async move { date() });
    assert!(within.abs_diff(date()) < 3600, "that is the system's");
    assert_eq!(asked.count(), 0, "{asked:?}");
}

/// Time stands still during a turn, so who asks until it has passed would ask for ever.
#[test]
fn who_waits_for_the_time_to_pass_is_a_stall() {
    let (stalls, _) = run(1, || async {
        let begin = Instant::now();
        while begin.elapsed() < Duration::from_millis(200) {}
        mainspring_executor::metrics().snapshot().stalls
    });
    assert!(stalls > 0);
}

#[test]
fn who_panics_over_the_place_of_a_call_silences_no_other() {
    let (answers, bypasses) = run(1, || async {
        let panics = || bypass::time(|| panic!("no place"));
        assert!(std::panic::catch_unwind(panics).is_err());
        [bypass::time(String::new), bypass::date(String::new)]
    });
    assert!(answers.iter().all(Option::is_some), "{answers:?}");
    assert_eq!((bypasses.count(), bypasses.kept.len()), (3, 2));
}

/// The cause is told, not what may have come of it.
#[test]
fn a_call_is_told_before_what_comes_after_it() {
    fn check(play: fn(&World, &Host)) {
        let world = World::new(1, WorldConfig { is_strict: true, ..WorldConfig::calm() });
        play(&world, &world.host("server"));
        let failure = world.run().expect_err("it asks for the time");
        assert_eq!(failure.kind, FailureKind::Bypass, "{failure}");
    }
    check(|_, host| {
        host.run(async {
            let _ = Instant::now();
            panic!("in the same turn");
        });
    });
    check(|_, host| {
        host.run(async {
            let _ = Instant::now();
            mainspring_executor::always!(false, "it never holds");
        });
    });
    check(|_, host| {
        host.run(async {
            offload::blocking(|| {
                let _ = Instant::now();
                panic!("in the same call");
            })
            .await
            .expect("it does not panic");
        });
    });
    check(|world, host| {
        let fails = host.clone();
        host.run(async { sleep(Duration::from_secs(9)).await });
        world.at(mainspring_executor::driver::Instant::START, move |_| {
            let _ = Instant::now();
            fails.run(async { panic!("after the step") });
        });
    });
}

#[test]
fn a_strict_run_fails_at_the_first_call_and_names_it() {
    let config = WorldConfig { is_strict: true, ..WorldConfig::rough() };
    let world = World::new(1, config.clone());
    let line = line!() + 3;
    world.host("server").run(async {
        sleep(Duration::from_secs(3)).await;
        let map: HashMap<u32, u32> = HashMap::new();
        assert!(map.is_empty());
    });
    let failure = world.run().expect_err("it asks for keys");
    assert_eq!(failure.kind, FailureKind::Bypass);
    let text = failure.to_string();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[0], "something went past the driver");
    assert!(lines[2].starts_with("3.0"), "{text}");
    let (what, site) = lines[2].split_once(", at ").expect("a place");
    assert!(what.ends_with(" server asks libc for 16 bytes of entropy"), "{text}");
    assert!(site.contains(&format!("tests/answers.rs:{line} ")), "{text}");
    let kept = world.bypasses().kept;
    assert_eq!((kept.len(), kept[0].asked), (1, Asked::Entropy(16)));

    // Who asks for nothing is left alone.
    let world = World::new(1, config);
    world.host("server").run(async { sleep(HOUR).await });
    world.run().expect("it goes through the driver");
}
