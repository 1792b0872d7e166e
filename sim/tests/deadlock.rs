//! What a deadlock prints: who waits for whom, on which host, and where in the program.

use core::future::pending;
use core::net::Ipv4Addr;
use core::time::Duration;
use std::cell::RefCell;
use std::rc::Rc;

use futures::channel::oneshot;
use mainspring_executor::driver::ListenOptions;
use mainspring_executor::net::{TcpListener, TcpStream};
use mainspring_executor::time::sleep;
use mainspring_executor::{JoinHandle, spawn_named};
use mainspring_sim::{FailureKind, World, WorldConfig};

/// A place that holds a handle until somebody joins it.
type Slot = Rc<RefCell<Option<JoinHandle<()>>>>;

/// Spawns a task that waits for the one in `slot`.
fn waits_for(name: &'static str, slot: &Slot) -> JoinHandle<()> {
    let slot = Rc::clone(slot);
    spawn_named(name, async move {
        sleep(Duration::from_secs(1)).await;
        let other = slot.take().expect("it was put there");
        let _ = other.await;
    })
}

#[test]
fn tasks_that_wait_for_each_other_are_told_as_a_ring() {
    let world = World::new(5, WorldConfig::calm());
    world.host("bystander").run(async { sleep(Duration::from_secs(2)).await });
    let host = world.host("knot");
    host.run(async {
        let (left_slot, right_slot) = (Slot::default(), Slot::default());
        let left = waits_for("left", &right_slot);
        let right = waits_for("right", &left_slot);
        left_slot.replace(Some(left));
        right_slot.replace(Some(right));
        sleep(Duration::from_secs(3)).await;
        // Something else that cannot come: its sender waits for ever.
        let (sender, receiver) = oneshot::channel::<()>();
        let _sender = spawn_named("sender", async move {
            let _sender = sender;
            pending::<()>().await;
        });
        receiver.await.expect("it never comes so far");
    });
    let failure = world.run().unwrap_err();
    assert_eq!(failure.kind, FailureKind::Deadlock);
    let text = failure.to_string();
    let expected = [
        "the run waits for task 0 of knot\n",
        "knot: 4 tasks: 0 running, 0 ready, 4 waiting\n",
        "  task 0: waiting, 3.0 s old, ",
        "      nothing known: a waker is kept by other code\n",
        "    task 1 'left': waiting, 3.0 s old, ",
        "        waits 2.0 s for the end of task 2 'right'\n",
        "  deadlock: 2 tasks wait for each other\n",
        "    task 1 'left' waits 2.0 s for the end of task 2 'right'\n",
        "    task 2 'right' waits 2.0 s for the end of task 1 'left'\n",
    ];
    let mut rest = text.as_str();
    for part in expected {
        let Some(at) = rest.find(part) else { panic!("{part} is missing, or too early:\n{text}") };
        rest = &rest[at + part.len()..];
    }
    assert_eq!(text.matches("deadlock: 2 tasks").count(), 1, "told once: {text}");
    assert!(!text.contains("bystander"), "its task has ended: {text}");
}

/// A ring through a task that would also go on by an edge: proven only because no edge will come.
#[test]
fn a_ring_counts_where_nothing_is_to_come() {
    let world = World::new(5, WorldConfig::calm());
    let server = world.host("server");
    server.run(async {
        let any = (Ipv4Addr::UNSPECIFIED, 80).into();
        let listener = TcpListener::bind(any, ListenOptions::default()).expect("a free port");
        let (mut stream, _) = listener.accept().await.expect("one connects");
        let (left_slot, right_slot) = (Slot::default(), Slot::default());
        let other = Rc::clone(&right_slot);
        let left = spawn_named("left", async move {
            sleep(Duration::from_secs(1)).await;
            let right = other.take().expect("it was put there");
            let mut buffer = [0; 9];
            let reading = core::pin::pin!(stream.read(&mut buffer));
            drop(futures::future::select(right, reading).await);
        });
        let right = waits_for("right", &left_slot);
        left_slot.replace(Some(left));
        right_slot.replace(Some(right));
        pending::<()>().await;
    });
    let address = server.address(80);
    world.host("client").run(async move {
        let _stream = TcpStream::connect(address).await.expect("it listens");
        pending::<()>().await;
    });
    let text = world.run().unwrap_err().to_string();
    let waits =
        ["for something to read: stream opened at sim/tests/deadlock.rs:", "deadlock: 2 tasks"];
    assert!(waits.into_iter().all(|part| text.contains(part)), "{text}");
    assert!(text.contains("\nclient: 1 task: "), "each host is told of: {text}");
}

#[test]
fn a_failure_is_a_bounded_text() {
    let world = World::new(5, WorldConfig::calm());
    let host = world.host("crowd");
    for _ in 0..1000 {
        host.run(pending());
    }
    let text = world.run().unwrap_err().to_string();
    assert_eq!(text.lines().count(), 1003, "two lines of the failure, and a thousand and one");
    assert!(text.ends_with("lines more\n"), "{text}");
}
