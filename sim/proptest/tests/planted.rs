//! Bugs on purpose, found by properties: each plan ends at the least that shows its bug, each failure stays the one it was, and
//! each report comes out the same again.

mod service;

use core::time::Duration;

use mainspring_executor::Instant;
use mainspring_executor::net::UdpSocket;
use mainspring_executor::time::{sleep, timeout_at};
use mainspring_sim::WorldConfig;
use mainspring_sim::harness::{Run, Setup, conclude};
use mainspring_sim_proptest::{
    FaultKind, FaultPlan, Property, PropertyFailure, Workload, config, faults, number, sooner,
    together, workload,
};
use proptest::strategy::Strategy;
use service::{Bugs, Plan, SOUND, service};

/// Faults begin and end within this time, as do the pauses of clients.
const WITHIN: Duration = Duration::from_secs(5);

/// With pauses of less than `pause_max`.
fn plans(pause_max: Duration) -> impl Strategy<Value = Plan> {
    let kinds = [FaultKind::Pause, FaultKind::Cut, FaultKind::Crash];
    let faults = faults(&kinds, &["client", "server"], WITHIN);
    together((config(), sooner(faults, workload(number(0..=9), 4, 4, pause_max))))
}

fn property(
    bugs: Bugs,
) -> Property<impl Strategy<Value = Plan>, impl Fn(&Plan, &Setup) -> Result<Run, String> + Sync> {
    Property::new("service", plans(WITHIN), move |plan: &Plan, setup: &Setup| {
        service(bugs, plan, setup)
    })
}

/// Its first failure, which is made small, is the same again, and is repeated by its plan and its tape.
#[track_caller]
fn found(bugs: Bugs) -> PropertyFailure<Plan> {
    let property = property(bugs);
    let failure = property.check(0..200).expect_err("the bug is found");
    let shrunk = failure.shrunk.as_ref().expect("it is made small");
    println!("{failure}");
    let seed = failure.seed;
    let again = property.check(seed..seed + 1).expect_err("the same seed fails again");
    assert_eq!(again.to_string(), failure.to_string());
    let first = property.replay(seed).expect_err("the first plan fails");
    assert_eq!(first.lines().next(), failure.message.lines().next());
    let smallest =
        property.run(&shrunk.plan, shrunk.tape.clone()).expect_err("so does the smallest");
    assert_eq!(smallest.lines().next(), shrunk.message.lines().next());
    *failure
}

#[test]
fn a_sound_service_holds() {
    let checked = property(SOUND).assert_holds(0..100);
    assert_eq!(checked.seed_count, 100);
    assert!(checked.request_count > 100, "they ask");
    assert_eq!(property(SOUND).assert_holds(0..100), checked, "the same again");
}

#[test]
fn a_lost_update_needs_two_clients_and_nothing_else() {
    let failure = found(Bugs { loses_updates: true, ..SOUND });
    let shrunk = failure.shrunk.expect("it is made small");
    assert_eq!(failure.signature, "lost update:  of  answers are counted");
    let (config, (faults, workload)) = shrunk.plan;
    let expected = "Workload { clients: [from 0ns [after 0ns: 0], from 0ns [after 0ns: 0]] }";
    assert_eq!(format!("{workload:?}"), expected);
    assert_eq!((faults, config), (FaultPlan::default(), WorldConfig::calm()));
    assert_eq!(shrunk.after.choice_count, 0, "it needs no chance");
    assert!(shrunk.is_minimal);
    assert!(shrunk.after.event_count < shrunk.before.event_count);
    assert!(shrunk.after.virtual_end < shrunk.before.virtual_end);
}

#[test]
fn a_lost_answer_needs_one_client_that_pauses() {
    let failure = found(Bugs { loses_answers: true, ..SOUND });
    let (config, (faults, workload)) = failure.shrunk.expect("it is made small").plan;
    // The server is tired after a second. It accepts the client 1 ms before that knows of it, and a byte takes 1 ms: at 998 ms
    // both are due at one instant.
    let expected = "Workload { clients: [from 0ns [after 999ms: 0]] }";
    assert_eq!(format!("{workload:?}"), expected);
    assert_eq!((faults, config), (FaultPlan::default(), WorldConfig::calm()));
}

/// The client thanks too late; its next request, or another's, finds no permit.
#[test]
fn a_leaked_permit_needs_one_fault_and_two_requests() {
    let failure = found(Bugs { leaks_permits: true, ..SOUND });
    let (config, (faults, workload)) = failure.shrunk.expect("it is made small").plan;
    assert_eq!((workload.request_count(), faults.faults.len()), (2, 1), "{workload:?} {faults:?}");
    assert_eq!(config, WorldConfig::calm());
}

/// All three bugs at once: which of them a seed shows first is also what its smallest plan shows.
#[test]
fn no_bug_ends_as_another() {
    let bugs = Bugs { loses_updates: true, loses_answers: true, leaks_permits: true };
    let body = move |plan: &Plan, setup: &Setup| service(bugs, plan, setup);
    let property = Property::new("service", plans(Duration::from_millis(1_100)), body);
    let which = |message: &str| {
        ["lost update", "no answer", "no permit"].iter().position(|bug| message.contains(bug))
    };
    let mut seen = [0; 3];
    for seed in 0..60 {
        let Err(failure) = property.check(seed..seed + 1) else { continue };
        let shrunk = failure.shrunk.as_ref().expect("it is made small");
        let bug = which(&failure.message).expect("one of the three");
        assert_eq!(which(&shrunk.message), Some(bug), "{failure}");
        seen[bug] += 1;
    }
    println!("{seen:?}");
    assert!(seen.iter().all(|count| *count > 0), "each of them is the first to show: {seen:?}");
}

/// What is no property of the plan alone is not made small, and says so.
#[test]
fn what_does_not_come_back_is_not_made_small() {
    use core::sync::atomic::{AtomicU64, Ordering};
    let runs = AtomicU64::new(0);
    let property = Property::new(
        "once",
        workload(number(0..=1), 1, 1, WITHIN),
        |_: &Workload<u64>, setup: &Setup| {
            if runs.fetch_add(1, Ordering::Relaxed) == 0 {
                return Err("the first".to_owned());
            }
            conclude(&setup.world(WorldConfig::calm()), 0)
        },
    );
    let failure = property.check(0..1).expect_err("the first run fails");
    let text = failure.to_string();
    assert!(text.contains("the failure does not come back"), "{text}");
    assert!(text.contains("not made small: it does not fail so each time"), "{text}");
}

/// Readings in datagrams, of which each is to be newer than the last.
fn readings((config, count): &(WorldConfig, u64), setup: &Setup) -> Result<Run, String> {
    let count = *count;
    let world = setup.world(config.clone());
    let (sensor, keeper) = (world.host("sensor"), world.host("keeper"));
    let address = keeper.address(9);
    keeper.run(async move {
        let socket = UdpSocket::bind(address).expect("a free port");
        let (mut newest, mut buffer) = (0, [0; 8]);
        let deadline = Instant::START + Duration::from_secs(2);
        while let Ok(Ok(_)) = timeout_at(deadline, socket.recv_from(&mut buffer)).await {
            let reading = u64::from_le_bytes(buffer);
            assert!(reading >= newest, "an older reading came later");
            newest = reading;
        }
    });
    sensor.run(async move {
        let socket = UdpSocket::bind(([0, 0, 0, 0], 0).into()).expect("a free port");
        for reading in 0..count {
            socket.send_to(&reading.to_le_bytes(), address).await.expect("a socket is good");
            sleep(Duration::from_millis(5)).await;
        }
    });
    conclude(&world, count)
}

/// A bug that needs chance keeps what it needs of it: a room in which latencies differ by more than the 5 ms between two
/// readings, two readings, and the first of them late.
#[test]
fn what_needs_chance_keeps_one_choice() {
    let property = Property::new("readings", together((config(), number(0..=50))), readings);
    let failure = property.check(0..100).expect_err("the bug is found");
    println!("{failure}");
    let shrunk = failure.shrunk.expect("it is made small");
    let millis = Duration::from_millis;
    assert_eq!(shrunk.plan.1, 2);
    let latency = Duration::from_micros(50)..=millis(6);
    assert_eq!(shrunk.plan.0, WorldConfig { latency, ..WorldConfig::calm() });
    assert_eq!((shrunk.after.choice_count, shrunk.tape.len()), (1, 1));
    assert!(shrunk.before.choice_count > 1);
    assert!(shrunk.chosen[0].value > 5_000_000, "5 ms: {}", shrunk.chosen[0]);
    assert_eq!(&*shrunk.chosen[0].stream, "sensor/latency");
}

#[test]
#[should_panic(expected = "service: a check of no seeds shows nothing")]
fn no_seeds_are_refused() {
    drop(property(SOUND).check(3..3));
}
