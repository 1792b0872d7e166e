//! Jobs in the machine room: threads in virtual time, queues, and programs that die.

use core::cell::RefCell;
use core::time::Duration;
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use futures::future::join_all;
use mainspring_executor::driver::{Driver, Instant, Job, Lane, OpenMode, Outcome, Ready, Signal};
use mainspring_executor::file::File;
use mainspring_executor::offload::{self, OffloadError};
use mainspring_executor::time::{now, sleep};
use mainspring_sim::{Host, World, WorldConfig};

/// What a job takes in these rooms, exactly.
const STEP: Duration = Duration::from_millis(1);

fn calm() -> WorldConfig {
    WorldConfig { job_duration: STEP..=STEP, ..WorldConfig::calm() }
}

/// Runs one program in a room, to its end; nothing may be left.
fn run<F: Future<Output = ()> + 'static>(config: WorldConfig, program: impl FnOnce(Host) -> F) {
    let world = World::new(1, config);
    let host = world.host("host");
    host.run(program(host.clone()));
    world.run().expect("it ends well");
    assert_eq!(world.leaks(), Vec::<String>::new());
}

#[test]
fn jobs_queue_for_threads_in_virtual_time() {
    // Ten jobs, three threads, a millisecond each: three at a time, in order; another lane does not wait for them.
    run(WorldConfig { compute_threads_max: 3, ..calm() }, |_| async {
        let jobs = (0..10).map(|_| async {
            offload::compute(|| ()).await.unwrap();
            now()
        });
        let blocking = async {
            offload::blocking(|| ()).await.unwrap();
            now()
        };
        let (ends, other) = futures::join!(join_all(jobs), blocking);
        let millis = ends.iter().map(|end| end.as_nanos() / 1_000_000);
        assert!(millis.eq([1, 1, 1, 2, 2, 2, 3, 3, 3, 4]));
        assert_eq!(other, Instant::START + STEP);
        let metrics = offload::metrics().snapshot();
        let lane = metrics.lane(Lane::Compute);
        assert_eq!((lane.wait_sum, lane.wait_max), (STEP * (3 + 2 * 3 + 3), STEP * 3));
        assert_eq!(lane.run_sum, STEP * 10);
    });
}

#[test]
fn a_job_that_waits_goes_when_it_is_dropped() {
    // And its place goes to the next; one that a thread has begun keeps it until its end.
    run(WorldConfig { compute_threads_max: 1, jobs_waiting_max: 1, ..calm() }, |_| async {
        let ran = Arc::new(Mutex::new(String::new()));
        let job = |name| {
            let ran = Arc::clone(&ran);
            let mut job = offload::compute(move || ran.lock().unwrap().push(name));
            let begun = futures::FutureExt::now_or_never(&mut job);
            begun.is_none().then_some(job)
        };
        let running = job('a').expect("there is a thread");
        let waiting = job('b').expect("there is a place");
        assert!(job('c').is_none(), "there is none");
        drop(running);
        assert!(job('d').is_none(), "it runs on");
        drop(waiting);
        let last = job('e').expect("there is a place");
        last.await.unwrap();
        assert_eq!(now(), Instant::START + STEP * 2);
        assert_eq!(*ran.lock().unwrap(), "ae");
    });
}

#[test]
fn those_in_line_go_in_order() {
    // One thread, one place: whoever came first is done first, and nobody who comes later gets in between.
    run(WorldConfig { compute_threads_max: 1, jobs_waiting_max: 1, ..calm() }, |_| async {
        let ends = Rc::new(RefCell::new(Vec::new()));
        let patient = (0..20).map(|number| {
            let ends = Rc::clone(&ends);
            async move {
                offload::compute(move || number).patient().await.unwrap();
                ends.borrow_mut().push(number);
            }
        });
        let hasty = async {
            for _ in 0..18 {
                sleep(STEP).await;
                let refused = offload::compute(|| ()).await;
                assert!(matches!(refused, Err(OffloadError::Full)), "{refused:?}");
            }
        };
        futures::join!(join_all(patient), hasty);
        assert!(ends.borrow().iter().copied().eq(0..20));
    });
}

#[test]
fn a_killed_program_runs_no_closure() {
    // Those that threads had begun died with it.
    let world = World::new(1, calm());
    let host = world.host("host");
    let ran = Arc::new(AtomicUsize::new(0));
    let twin = Arc::clone(&ran);
    host.run(async move {
        let job = |_| {
            let ran = Arc::clone(&twin);
            offload::compute(move || ran.fetch_add(1, Ordering::Relaxed))
        };
        join_all((0..10).map(job)).await;
    });
    let at = Instant::START + STEP + STEP / 2;
    world.at(at, move |_| host.signal(Signal::Terminate));
    world.run().expect("a death is no failure");
    assert_eq!(ran.load(Ordering::Relaxed), 2, "the first two had ended");
    assert_eq!(Arc::strong_count(&ran), 1);
    assert_eq!(world.leaks(), Vec::<String>::new());
}

#[test]
fn a_closure_may_do_what_it_does_on_a_thread() {
    // Wake a task of the same host, and drop what wakes one.
    run(calm(), |_| async {
        let (sender, receiver) = futures::channel::oneshot::channel::<()>();
        let waiting = mainspring_executor::spawn(receiver);
        // What it gives goes to nobody, and takes the hope of the receiver along.
        let mut job = offload::blocking(move || sender);
        assert!(futures::FutureExt::now_or_never(&mut job).is_none());
        drop(job);
        assert!(waiting.await.expect("it does not panic").is_err(), "the sender is gone");
        let (sender, receiver) = futures::channel::oneshot::channel();
        let (sent, received) = futures::join!(offload::blocking(move || sender.send(7)), receiver);
        assert_eq!((sent.unwrap(), received), (Ok(()), Ok(7)));
    });
}

#[test]
fn a_file_that_is_closed_while_it_is_read_is_still_read() {
    // Against the files of the instant at which the job ends; the driver alone, for a `File` would not allow it.
    let world = World::new(1, calm());
    let host = world.host("host");
    host.add_file("/srv", "a", b"hello");
    let twin = host.clone();
    host.run(async move {
        let file = File::open("/srv".into(), "a".into()).await.unwrap();
        drop(file);
        let driver = twin.driver();
        let open = Job::Open { root: "/srv".into(), path: "a".into(), mode: OpenMode::READ };
        let job = driver.submit(open).unwrap();
        let is_open = driver.collect(job).map(drop).map_err(|error| error.kind());
        assert_eq!(is_open, Err(std::io::ErrorKind::WouldBlock));
        sleep(STEP).await;
        let Ok(Outcome::Opened(file)) = driver.collect(job).unwrap().outcome else {
            panic!("not opened")
        };
        assert_eq!((file.metadata.length, file.metadata.is_folder), (5, false));
        let job = driver.submit(Job::ReadAt { file: file.token, offset: 2, length: 9 }).unwrap();
        driver.close(file.token);
        twin.add_file("/srv", "a", b"other");
        sleep(STEP).await;
        let ended = driver.collect(job).unwrap();
        assert_eq!((ended.waited, ended.ran), (Duration::ZERO, STEP));
        let Ok(Outcome::Bytes(bytes)) = ended.outcome else { panic!("not read") };
        assert_eq!(bytes, b"llo");
        let mut events = Vec::new();
        driver.wait(&mut events, None).unwrap();
        assert!(events.iter().all(|event| event.ready == Ready::READABLE));
    });
    world.run().expect("it ends well");
    assert_eq!(world.leaks(), Vec::<String>::new());
}
