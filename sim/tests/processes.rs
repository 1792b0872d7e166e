//! Child processes in the machine room: what is theirs and what is the machine's, and how they end.

use core::cell::{Cell, RefCell};
use core::time::Duration;
use std::ffi::OsStr;
use std::rc::Rc;

use mainspring_executor::driver::{ListenOptions, Signal};
use mainspring_executor::net::{TcpListener, TcpStream};
use mainspring_executor::process::{Command, ExitStatus, Stdio};
use mainspring_executor::time::{now, sleep};
use mainspring_executor::{random, spawn};
use mainspring_sim::{World, WorldConfig};

/// Runs one program in a room that knows some others; nothing may be left.
fn run<F: Future<Output = ()> + 'static>(
    config: WorldConfig,
    programs: impl FnOnce(&World),
    main: F,
) -> u64 {
    let world = World::new(7, config);
    programs(&world);
    let host = world.host("host");
    host.run(main);
    let report = world.run().expect("it ends well");
    assert_eq!(world.leaks(), Vec::<String>::new());
    assert!(host.processes().is_empty());
    report.trace_hash
}

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn a_program_ends_with_its_main_task_and_takes_the_others_along() {
    let dropped = Rc::new(Cell::new(false));
    struct Told(Rc<Cell<bool>>);
    impl Drop for Told {
        fn drop(&mut self) {
            self.0.set(true);
        }
    }
    let told = Rc::clone(&dropped);
    let programs = move |world: &World| {
        world.add_program("/bin/leaves", move |_| {
            let told = Told(Rc::clone(&told));
            async move {
                drop(spawn(async move {
                    let _told = told;
                    sleep(SECOND * 1000).await;
                }));
                sleep(SECOND).await;
                0x1_02
            }
        });
    };
    run(WorldConfig::calm(), programs, async move {
        let before = now();
        let status = Command::new("leaves").status().await.unwrap();
        // A machine keeps eight bits of a code.
        assert_eq!(status, ExitStatus::Exited(2));
        assert!(now() - before >= SECOND && now() - before < SECOND * 2);
        assert!(dropped.get(), "what it had spawned is gone when its end is told");
    });
}

#[test]
fn a_panic_is_an_exit_code() {
    let programs = |world: &World| {
        world.add_program("/bin/panics", |process| async move {
            // As a panic, without a word on standard error.
            std::panic::resume_unwind(Box::new(process.id()))
        });
    };
    run(WorldConfig::calm(), programs, async {
        let status = Command::new("/bin/panics").status().await.unwrap();
        assert_eq!(status, ExitStatus::Exited(101));
    });
}

#[test]
fn a_child_has_what_it_is_given_and_its_own_children_have_that_too() {
    let programs = |world: &World| {
        world.add_program("/bin/outer", |process| async move {
            assert_eq!(process.args(), ["one", "two"]);
            assert_eq!(process.program(), "/bin/outer");
            assert_eq!(process.env("A"), Some(OsStr::new("1")));
            let mut inner = Command::new("/bin/inner");
            let status = inner.env("B", "2").current_dir("below").status().await.unwrap();
            let cleared = inner.env_clear().status().await.unwrap();
            status.code().unwrap() + 10 * cleared.code().unwrap()
        });
        world.add_program("/bin/inner", |process| async move {
            assert_eq!(process.current_dir(), "/srv/below");
            let has = |name| i32::from(process.env(name).is_some());
            has("A") + 2 * has("B")
        });
    };
    let world = World::new(1, WorldConfig::calm());
    programs(&world);
    let host = world.host("host");
    host.add_folder("/srv/below");
    host.run(async {
        let mut outer = Command::new("/bin/outer");
        outer.args(["one", "two"]).env("A", "1").current_dir("/srv");
        assert_eq!(outer.status().await.unwrap(), ExitStatus::Exited(3));
    });
    world.run().expect("it ends well");
}

/// Ports are the machine's, signals and deaths the program's.
#[test]
fn a_child_serves_on_its_machine_and_dies_alone() {
    let programs = |world: &World| {
        world.add_program("/bin/server", |_| async {
            let address = ([127, 0, 0, 1], 80).into();
            let listener = TcpListener::bind(address, ListenOptions::default()).unwrap();
            loop {
                drop(listener.accept().await);
            }
        });
    };
    run(WorldConfig::calm(), programs, async {
        let address = ([127, 0, 0, 1], 80).into();
        let mut server = Command::new("server").spawn().await.unwrap();
        while TcpStream::connect(address).await.is_err() {
            sleep(Duration::from_millis(1)).await;
        }
        server.signal(Signal::Terminate).unwrap();
        assert_eq!(server.wait().await.unwrap(), ExitStatus::Signaled(15));
        assert!(TcpStream::connect(address).await.is_err());
    });
}

/// A kernel does not kill the children of who is killed: they find the ends of their pipes.
#[test]
fn children_of_a_program_that_is_killed_go_on() {
    let world = World::new(1, WorldConfig::calm());
    let log: Rc<RefCell<Vec<&str>>> = Rc::default();
    let orphan = Rc::clone(&log);
    world.add_program("/bin/orphan", move |process| {
        let log = Rc::clone(&orphan);
        async move {
            let mut stdin = process.stdin.expect("it is piped");
            assert_eq!(stdin.fill().await.unwrap(), 0);
            log.borrow_mut().push("the end of its input");
            0
        }
    });
    let (host, killed) = (world.host("host"), world.host("other"));
    host.run(async {
        let mut command = Command::new("orphan");
        let _child = command.stdin(Stdio::Piped).spawn().await.unwrap();
        sleep(SECOND * 1000).await;
    });
    let victim = host.clone();
    killed.run(async move {
        sleep(SECOND).await;
        assert_eq!(victim.processes().len(), 1);
        victim.signal(Signal::Terminate);
        sleep(SECOND).await;
    });
    let report = world.run().expect("it ends well");
    assert_eq!(report.killed, ["host"]);
    assert_eq!(*log.borrow(), ["the end of its input"]);
    assert!(host.processes().is_empty());
    assert_eq!(world.leaks(), Vec::<String>::new());
}

/// What the tasks of a program hold is dropped when it returns or panics, and dropping a child kills it.
#[test]
fn children_of_a_program_that_returns_or_panics_are_killed() {
    for panics in [false, true] {
        let ended = Rc::new(Cell::new(false));
        let orphan = Rc::clone(&ended);
        let programs = move |world: &World| {
            world.add_program("/bin/orphan", move |process| {
                let ended = Rc::clone(&orphan);
                async move {
                    let mut stdin = process.stdin.expect("it is piped");
                    drop(stdin.fill().await);
                    ended.set(true);
                    0
                }
            });
            world.add_program("/bin/parent", move |_| async move {
                drop(spawn(async {
                    let mut command = Command::new("orphan");
                    let _child = command.stdin(Stdio::Piped).spawn().await.unwrap();
                    sleep(SECOND * 1000).await;
                }));
                sleep(SECOND).await;
                if panics {
                    // As a panic, without a word on standard error.
                    std::panic::resume_unwind(Box::new(()));
                }
                0
            });
        };
        run(WorldConfig::calm(), programs, async move {
            let status = Command::new("parent").status().await.unwrap();
            assert_eq!(status, ExitStatus::Exited(if panics { 101 } else { 0 }));
            sleep(SECOND).await;
            assert!(!ended.get(), "it was killed");
        });
    }
}

/// Nobody has a turn after his end, also one who was to have it at that moment.
#[test]
fn who_dies_in_line_for_a_turn_has_none() {
    let world = World::new(1, WorldConfig { record: true, ..WorldConfig::calm() });
    let (killer, victim) = (world.host("killer"), world.host("victim"));
    let target = victim.clone();
    killer.run(async move {
        sleep(SECOND).await;
        target.signal(Signal::Terminate);
    });
    victim.run(async {
        sleep(SECOND).await;
        unreachable!("the other one was first");
    });
    assert_eq!(world.run().expect("it ends well").killed, ["victim"]);
    let trace = world.trace();
    let death = trace
        .iter()
        .position(|line| line.contains("victim") && line.contains("killed by a signal"));
    let death = death.unwrap_or_else(|| panic!("{trace:#?}"));
    let after: Vec<_> = trace[death + 1..].iter().filter(|line| line.contains("turn")).collect();
    assert!(after.iter().all(|line| !line.contains("victim")), "{after:?}");
}

/// Whenever the one who starts a child goes away, no child is left.
#[test]
fn a_start_that_is_cancelled_at_any_instant_leaves_no_child() {
    for micros in (0..300).step_by(10) {
        let programs = |world: &World| {
            world.add_program("/bin/stays", |_| async {
                sleep(SECOND * 1000).await;
                0
            });
        };
        run(WorldConfig::calm(), programs, async move {
            let mut command = Command::new("stays");
            let starting = Box::pin(command.stdin(Stdio::Piped).spawn());
            let pause = Box::pin(sleep(Duration::from_micros(micros)));
            drop(futures::future::select(starting, pause).await);
            // The job of a child that is starting ends by itself.
            sleep(SECOND).await;
        });
    }
}

/// Limits are each program's own.
#[test]
fn a_child_that_finds_no_room_for_its_tokens_is_killed() {
    let config = WorldConfig { tokens_max: 3, ..WorldConfig::calm() };
    let programs = |world: &World| {
        world.add_program("/bin/stays", |_| async {
            sleep(SECOND * 1000).await;
            0
        });
    };
    run(config, programs, async {
        let mut command = Command::new("stays");
        command.stdin(Stdio::Piped).stdout(Stdio::Piped);
        let child = command.spawn().await.unwrap();
        let full = command.spawn().await.map(drop).unwrap_err();
        assert_eq!(full.raw_os_error(), Some(24));
        drop(child);
        drop(command.spawn().await.unwrap());
    });
}

#[test]
fn one_seed_is_one_run_of_all_processes() {
    let go = || {
        let programs = |world: &World| {
            world.add_program("/bin/sums", |process| async move {
                let (mut stdin, mut stdout) = (process.stdin.unwrap(), process.stdout.unwrap());
                let mut bytes = Vec::new();
                stdin.read_to_end(&mut bytes).await.unwrap();
                let sum = bytes.iter().map(|byte| u64::from(*byte)).sum::<u64>() + random() % 100;
                stdout.write_all(sum.to_string().as_bytes()).await.unwrap();
                i32::try_from(sum % 256).unwrap()
            });
        };
        run(WorldConfig::rough(), programs, async {
            let children = (0..8).map(|number: u8| async move {
                let mut command = Command::new("sums");
                command.stdin(Stdio::Piped).stdout(Stdio::Piped);
                let mut child = command.spawn().await.unwrap();
                let bytes = vec![number; 100_000];
                child.stdin.as_mut().unwrap().write_all(&bytes).await.unwrap();
                drop(child.stdin.take());
                let mut text = Vec::new();
                child.stdout.as_mut().unwrap().read_to_end(&mut text).await.unwrap();
                let sum: u64 = String::from_utf8(text).unwrap().parse().unwrap();
                assert!(sum >= u64::from(number) * 100_000);
                let code = i32::try_from(sum % 256).unwrap();
                assert_eq!(child.wait().await.unwrap(), ExitStatus::Exited(code));
            });
            futures::future::join_all(children).await;
        })
    };
    assert_eq!(go(), go());
}
