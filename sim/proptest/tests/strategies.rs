//! The strategies: what they draw, what they shrink to, and that faults are over when they say so.

use core::cell::Cell;
use core::time::Duration;
use std::collections::BTreeSet;
use std::rc::Rc;

use mainspring_executor::driver::{Driver, Instant, ListenOptions, Signal};
use mainspring_executor::net::{TcpListener, TcpStream};
use mainspring_executor::time::{now, sleep, sleep_until, timeout, wall_clock};
use mainspring_sim::harness::{Run, Setup, conclude};
use mainspring_sim::{Coverage, Fault as Happened, Host, World, WorldConfig};
use mainspring_sim_proptest::{
    Fault, FaultKind, FaultPlan, Property, Topology, Workload, config, faults, number, sooner,
    together, topology, workload,
};
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::TestRunner;

const WITHIN: Duration = Duration::from_secs(20);

/// How far packets have it from `one` to `other`, before a plan and after it.
const FAR: Duration = Duration::from_millis(7);

/// Goes down a tree as long as `fails`, and gives what is left.
fn smallest<T: ValueTree>(mut tree: T, fails: impl Fn(&T::Value) -> bool) -> T::Value {
    for _ in 0..3 {
        let mut goes_on = tree.simplify();
        while goes_on {
            goes_on = if fails(&tree.current()) { tree.simplify() } else { tree.complicate() };
        }
    }
    tree.current()
}

/// Draws many, and gives what each of those that fail ends at.
fn smallest_of<S: Strategy>(strategy: &S, fails: impl Fn(&S::Value) -> bool) -> Vec<S::Value> {
    let mut runner = TestRunner::deterministic();
    let trees = (0..200).map(|_| strategy.new_tree(&mut runner).expect("nothing is filtered"));
    let smallest: Vec<_> =
        trees.filter(|tree| fails(&tree.current())).map(|tree| smallest(tree, &fails)).collect();
    assert!(smallest.len() > 5, "some fail");
    smallest
}

fn drawn<S: Strategy>(strategy: &S) -> Vec<S::Value> {
    let mut runner = TestRunner::deterministic();
    let trees = (0..500).map(|_| strategy.new_tree(&mut runner).expect("nothing is filtered"));
    trees.map(|tree| tree.current()).collect()
}

fn all_faults() -> impl Strategy<Value = FaultPlan> {
    faults(&FaultKind::ALL, &["one", "other", "third"], WITHIN)
}

#[test]
fn configs_shrink_to_calm_field_by_field() {
    assert!(smallest_of(&config(), |_| true).iter().all(|config| *config == WorldConfig::calm()));
    let expected = WorldConfig { short_writes: true, ..WorldConfig::calm() };
    assert!(smallest_of(&config(), |config| config.short_writes).iter().all(|it| *it == expected));
    let expected = WorldConfig { segment_loss_permille: 7, ..WorldConfig::calm() };
    let lossy = |config: &WorldConfig| config.segment_loss_permille >= 7;
    assert!(smallest_of(&config(), lossy).iter().all(|it| *it == expected));
    let expected = WorldConfig { recv_buffer_bytes: 32 * 1024, ..WorldConfig::calm() };
    let small = |config: &WorldConfig| config.recv_buffer_bytes <= 32 * 1024;
    assert!(smallest_of(&config(), small).iter().all(|it| *it == expected));
}

#[test]
fn configs_have_each_fault_and_are_without_each() {
    let (all, calm) = (drawn(&config()), WorldConfig::calm());
    let check = |differs: fn(&WorldConfig, &WorldConfig) -> bool| {
        let count = all.iter().filter(|config| differs(config, &calm)).count();
        assert!((150..=480).contains(&count), "{count} of 500");
    };
    check(|config, calm| config.latency != calm.latency);
    check(|config, calm| config.order != calm.order);
    check(|config, calm| config.short_reads != calm.short_reads);
    check(|config, calm| config.short_writes != calm.short_writes);
    check(|config, calm| config.split_flights != calm.split_flights);
    check(|config, calm| config.spurious != calm.spurious);
    check(|config, calm| config.segment_loss_permille != calm.segment_loss_permille);
    check(|config, calm| config.segment_reordering_permille != calm.segment_reordering_permille);
    check(|config, calm| config.segment_duplication_permille != calm.segment_duplication_permille);
    check(|config, calm| config.datagram_loss_permille != calm.datagram_loss_permille);
    check(|config, calm| {
        config.datagram_duplication_permille != calm.datagram_duplication_permille
    });
    check(|config, calm| config.send_buffer_bytes != calm.send_buffer_bytes);
    check(|config, calm| config.recv_buffer_bytes != calm.recv_buffer_bytes);
    check(|config, calm| config.job_duration != calm.job_duration);
    check(|config, calm| config.name_duration != calm.name_duration);
    assert!(all.iter().any(|config| config.recv_buffer_bytes == 16 * 1024));
    for config in all {
        drop(World::new(1, config));
    }
}

#[test]
fn workloads_shrink_to_one_request_at_once() {
    let workloads = workload(number(3..=9), 4, 5, Duration::from_secs(1));
    for workload in smallest_of(&workloads, |_| true) {
        assert_eq!(format!("{workload:?}"), "Workload { clients: [from 0ns [after 0ns: 3]] }");
    }
    let late = |workload: &Workload<u64>| {
        let steps = workload.clients.iter().flat_map(|client| &client.steps);
        workload.clients.len() > 1
            && steps.map(|step| step.pause).max() >= Some(Duration::from_millis(123))
    };
    for workload in smallest_of(&workloads, late) {
        assert_eq!(workload.request_count(), 2);
        let pauses: Duration =
            workload.clients.iter().flat_map(|client| &client.steps).map(|step| step.pause).sum();
        assert_eq!(pauses, Duration::from_millis(123));
    }
    let all = drawn(&workloads);
    assert!(all.iter().any(|workload| workload.clients.len() == 4));
    assert!(all.iter().any(|workload| workload.request_count() >= 15));
}

/// Who has to be there at one time still is when all times are shorter.
#[test]
fn times_shrink_together() {
    let soon = |from: Duration, to: Duration| {
        to.checked_sub(from).is_some_and(|after| after < Duration::from_millis(200))
    };
    let workloads = workload(number(0..=9), 2, 1, Duration::from_secs(1));
    let meet = |workload: &Workload<u64>| match &*workload.clients {
        [one, other] => soon(one.start, other.start),
        _ => false,
    };
    for workload in smallest_of(&workloads, meet) {
        assert!(workload.clients.iter().all(|client| client.start.is_zero()), "{workload:?}");
    }
    let faults = faults(&[FaultKind::Pause], &["one"], Duration::from_secs(1));
    let plans = sooner(faults, workload(number(0..=9), 1, 1, Duration::from_secs(1)));
    let meet = |(faults, workload): &(FaultPlan, Workload<u64>)| {
        faults.faults.iter().any(|fault| soon(workload.clients[0].start, fault.begin))
    };
    for (faults, workload) in smallest_of(&plans, meet) {
        assert_eq!(format!("{faults:?}"), "FaultPlan [Pause one at 0ns for 1ms]");
        assert!(workload.clients[0].start.is_zero());
    }
}

#[test]
fn topologies_shrink_to_one_server_that_is_near() {
    let topologies = topology(1..=5, Duration::from_millis(200));
    let one = Topology { distances: vec![Duration::ZERO] };
    assert!(smallest_of(&topologies, |_| true).iter().all(|topology| *topology == one));
    assert!(drawn(&topologies).iter().any(|topology| topology.distances.len() == 5));
}

#[test]
fn faults_shrink_to_none_or_to_the_one_that_matters() {
    assert!(smallest_of(&all_faults(), |_| true).iter().all(|plan| plan.faults.is_empty()));
    let needed =
        |fault: &Fault| fault.kind >= FaultKind::Cut && fault.begin >= Duration::from_secs(3);
    for plan in smallest_of(&all_faults(), |plan| plan.faults.iter().any(needed)) {
        let text = format!("{plan:?}");
        assert_eq!(text, "FaultPlan [Cut one -> other at 3s for 1ms]");
    }
}

#[test]
fn faults_are_of_all_kinds_and_over_in_time() {
    let mut seen = BTreeSet::new();
    for plan in drawn(&all_faults()) {
        assert!(plan.end() <= Instant::START + WITHIN);
        for fault in plan.faults {
            assert!(!fault.length.is_zero());
            assert_eq!(fault.peer.is_some(), fault.kind.is_of_link());
            assert_ne!(fault.peer.as_ref(), Some(&fault.host));
            seen.insert((fault.kind, fault.host, fault.peer));
        }
    }
    // Four kinds of machines, three of links, three hosts.
    assert_eq!(seen.len(), 4 * 3 + 3 * 6);
}

async fn serve() {
    let listener = TcpListener::bind(([0, 0, 0, 0], 1).into(), ListenOptions::default());
    let listener = listener.expect("a free port");
    while listener.accept().await.is_ok() {}
}

/// Runs a plan, and looks afterwards whether all is as it was.
fn heals(plan: &FaultPlan, setup: &Setup) -> Result<Run, String> {
    let world = setup.world(WorldConfig::calm());
    let hosts: Vec<_> = ["one", "other"].into_iter().map(|name| world.host(name)).collect();
    let judge = world.host("judge");
    world.set_latency(&hosts[0], &hosts[1], FAR..=FAR);
    for host in &hosts {
        host.run(serve());
    }
    plan.apply(&world, |host| host.run(serve()));
    // Else the run is over as soon as both have crashed.
    let end = plan.end() + Duration::from_secs(1);
    judge.run(async move { sleep_until(end).await });
    let asked = Rc::new(Cell::new(0));
    let asking = Rc::clone(&asked);
    world.at(plan.end() + Duration::from_millis(1), move |world| {
        assert_eq!(world.latency(&hosts[0], &hosts[1]), FAR..=FAR);
        assert_eq!(world.latency(&hosts[1], &hosts[0]), WorldConfig::calm().latency);
        for (host, peer) in [(&hosts[0], &hosts[1]), (&hosts[1], &hosts[0])] {
            // A drift that is over leaves what it did until then: two seconds.
            let date = |host: &Host| host.driver().wall_clock().as_secs_f64();
            assert!((date(host) - date(&judge)).abs() < 10.0, "the date is right again");
            host.run(look(host.clone(), peer.clone(), Rc::clone(&asking)));
        }
    });
    let run = conclude(&world, 0)?;
    assert_eq!(asked.get(), 2, "both machines run programs again");
    Ok(run)
}

/// Asks the peer, and ends both.
async fn look(me: Host, peer: Host, asked: Rc<Cell<u32>>) {
    let began = now();
    let stream = timeout(Duration::from_secs(1), TcpStream::connect(peer.address(1))).await;
    drop(stream.expect("packets arrive, and the program runs").expect("it listens"));
    assert_eq!(now() - began, FAR + Duration::from_millis(1), "the clock is right");
    asked.set(asked.get() + 1);
    // So that the peer has looked as well.
    sleep(Duration::from_secs(1)).await;
    peer.signal(Signal::Terminate);
    me.signal(Signal::Terminate);
}

fn fault(kind: FaultKind, begin: u64, length: u64) -> Fault {
    let seconds = Duration::from_secs;
    Fault {
        kind,
        host: "one".to_owned(),
        peer: kind.is_of_link().then(|| "other".to_owned()),
        begin: seconds(begin),
        length: seconds(length),
    }
}

#[test]
fn all_faults_heal() {
    let checked = Property::new("heals", all_faults(), heals).assert_holds(0..300);
    let reached = |fault| checked.coverage.fault(fault).runs;
    for fault in [Happened::Cut, Happened::Crash, Happened::Pause, Happened::DateJump] {
        assert!(reached(fault) > 20, "{fault:?}");
    }
}

/// Two that overlap on one machine or link end with the second.
#[test]
fn faults_that_overlap_heal() {
    for kind in FaultKind::ALL {
        for other in FaultKind::ALL {
            let plan = FaultPlan { faults: vec![fault(kind, 1, 4), fault(other, 3, 5)] };
            let property = Property::new("heals", proptest::strategy::Just(plan), heals);
            property.assert_holds(0..1);
        }
    }
}

/// What each kind does meanwhile: how long it takes to connect from `one` to `other`, and what `one` thinks of it.
#[test]
fn faults_do_what_they_say() {
    let check = |kind: FaultKind, expected: &str| {
        let world = World::new(1, WorldConfig::calm());
        let (one, other) = (world.host("one"), world.host("other"));
        let plan = FaultPlan { faults: vec![fault(kind, 1, 4), fault(kind, 3, 2)] };
        plan.apply(&world, |_| {});
        other.spawn(serve());
        let (seen, seeing) = (Rc::new(Cell::new(None)), other.address(1));
        let saw = Rc::clone(&seen);
        one.spawn(async move {
            let date = wall_clock().expect("it has one");
            sleep(Duration::from_secs(2)).await;
            drop(TcpStream::connect(seeing).await);
            let later = wall_clock().expect("it has one");
            saw.set(Some((now(), later - date)));
        });
        world.host("judge").run(async { sleep(Duration::from_secs(20)).await });
        world.run().expect("the judge sleeps");
        let seen = seen.take().map_or("nothing".to_owned(), |(at, date)| {
            format!(
                "at {:.1}, {:.1} s later",
                (at - Instant::START).as_secs_f64(),
                date.as_secs_f64()
            )
        });
        assert_eq!(seen, expected, "{kind:?}");
    };
    check(FaultKind::DateJump, "at 2.0, 3602.0 s later");
    check(FaultKind::Drift, "at 2.0, 2.0 s later");
    check(FaultKind::Slow, "at 3.5, 3.5 s later");
    check(FaultKind::Pause, "at 5.0, 5.0 s later");
    check(FaultKind::Cut, "at 5.0, 5.0 s later");
    check(FaultKind::Partition, "at 5.0, 5.0 s later");
    check(FaultKind::Crash, "nothing");
}

/// A plan may be for more hosts than there are.
#[test]
fn faults_of_hosts_that_are_not_there_are_none() {
    let world = World::new(1, WorldConfig::calm());
    let one = world.host("one");
    let faults =
        FaultKind::ALL.map(|kind| Fault { host: "nobody".to_owned(), ..fault(kind, 1, 4) });
    let links = [FaultKind::Slow, FaultKind::Cut, FaultKind::Partition];
    let plan = FaultPlan {
        faults: faults.into_iter().chain(links.map(|kind| fault(kind, 1, 4))).collect(),
    };
    plan.apply(&world, |_| {});
    one.run(async { sleep(Duration::from_secs(9)).await });
    world.run().expect("it sleeps");
    assert_eq!(world.coverage(), Coverage::default());
}

#[test]
fn a_topology_puts_servers_at_their_distances() {
    let world = World::new(1, WorldConfig::calm());
    let millis = Duration::from_millis;
    let topology = Topology { distances: vec![millis(0), millis(10), millis(100)] };
    let servers = topology.build(&world);
    let client = world.host("client");
    topology.connect(&world, &client, &servers);
    let check = |from: &Host, to: &Host, expected: u64| {
        assert_eq!(world.latency(from, to), millis(expected)..=millis(expected));
        assert_eq!(world.latency(to, from), millis(expected)..=millis(expected));
    };
    check(&servers[0], &servers[1], 11);
    check(&servers[0], &servers[2], 101);
    check(&servers[1], &servers[2], 111);
    check(&client, &servers[0], 1);
    check(&client, &servers[2], 101);
    assert_eq!(servers[2].name(), "server-2");
}

/// What one part needed while another was large it does not need any more: the sum is what counts.
#[test]
fn parts_shrink_together_until_none_does() {
    let plans = together((number(0..=100), number(0..=100), number(0..=100)));
    // Not less than the second, as long as that is more than ten.
    let fails = |plan: &(u64, u64, u64)| plan.2 >= 5 && (plan.1 <= 10 || plan.0 >= plan.1);
    for plan in smallest_of(&plans, fails) {
        assert_eq!(plan, (0, 0, 5));
    }
}

#[test]
#[should_panic(expected = "these kinds of faults need 2 hosts or more")]
fn a_link_has_two_hosts() {
    drop(faults(&[FaultKind::Pause, FaultKind::Cut], &["one"], WITHIN));
}

#[test]
#[should_panic(expected = "a pause has room for a millisecond")]
fn a_pause_has_room() {
    drop(workload(number(0..=1), 1, 1, Duration::from_micros(999)));
}
