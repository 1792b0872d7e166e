//! Bytes per host: what a service keeps is its own, and a leak shows as growth from phase to phase.

use core::cell::RefCell;
use core::time::Duration;
use std::rc::Rc;

use mainspring_executor::driver::ListenOptions;
use mainspring_executor::net::{TcpListener, TcpStream};
use mainspring_executor::time::sleep;
use mainspring_executor::{offload, spawn};
use mainspring_sim::{Host, Source, World, WorldConfig};
use mainspring_sim_allocator::CountingAllocator;

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

/// So long a kernel remembers a connection that it has closed first.
const TIME_WAIT: Duration = Duration::from_secs(61);

/// A request and what was read of it, each of which may know the other.
#[derive(Default)]
struct Session {
    body: Vec<u8>,
    peer: RefCell<Option<Rc<Session>>>,
}

/// Answers each connection, and makes two sessions for it. The bug: `is_leaky` ones know each other, and are never dropped.
async fn serve(is_leaky: bool) {
    let any = ([0, 0, 0, 0], 80).into();
    let listener = TcpListener::bind(any, ListenOptions::default()).expect("a free port");
    loop {
        let (mut stream, _) = listener.accept().await.expect("a connection");
        drop(spawn(async move {
            let mut byte = [0];
            while stream.read(&mut byte).await.is_ok_and(|count| count > 0) {
                let front = Rc::new(Session { body: vec![byte[0]; 1000], ..Session::default() });
                let back = Rc::new(Session::default());
                back.peer.replace(Some(Rc::clone(&front)));
                if is_leaky {
                    front.peer.replace(Some(back));
                }
                if stream.write_all(&front.body[..1]).await.is_err() {
                    break;
                }
            }
        }));
    }
}

/// A phase: ten clients with ten requests each, once the kernels have forgotten the connections of the phase before.
fn phase(world: &World, server: &Host, client: &Host) {
    for _ in 0..10 {
        let address = server.address(80);
        client.run(async move {
            sleep(TIME_WAIT).await;
            let mut stream = TcpStream::connect(address).await.expect("it listens");
            for _ in 0..10 {
                stream.write_all(b"x").await.expect("it reads");
                assert_eq!(stream.read(&mut [0]).await.expect("it answers"), 1);
            }
        });
    }
    world.run().expect("it ends well");
    world.note_memory();
}

fn service(is_leaky: bool, source: Source, config: WorldConfig) -> (World, Host) {
    let world = World::new(source, config);
    let (server, client) = (world.host("server"), world.host("client"));
    drop(server.spawn(serve(is_leaky)));
    for _ in 0..6 {
        phase(&world, &server, &client);
    }
    (world, server)
}

#[test]
fn a_leak_grows_from_phase_to_phase() {
    for config in [WorldConfig::calm(), WorldConfig::rough()] {
        let (world, _server) = service(true, 1.into(), config);
        let growth = world.memory_growth();
        let names: Vec<&str> = growth.iter().map(|growth| &*growth.host).collect();
        assert_eq!(names, ["server"], "{growth:?}");
        // A hundred requests a phase, each with a body and two sessions.
        assert!((100_000..130_000).contains(&growth[0].least), "{}", growth[0]);
        assert_eq!(growth[0].bytes.len(), 6);
        assert!(growth[0].to_string().starts_with("server: at least 1"), "{}", growth[0]);
    }
}

#[test]
fn the_same_service_without_the_leak_stays_as_it_is() {
    for config in [WorldConfig::calm(), WorldConfig::rough()] {
        let (world, server) = service(false, 1.into(), config);
        assert_eq!(world.memory_growth(), []);
        assert!(server.bytes_live() < 100_000, "{}", server.bytes_live());
    }
}

/// What each of the two hosts has in the end.
fn bytes(source: Source, config: WorldConfig) -> Vec<usize> {
    let (world, _) = service(false, source, config);
    let hosts = ["server", "client"].map(|name| world.find(name).expect("it is there"));
    hosts.map(|host| host.bytes_live()).to_vec()
}

#[test]
fn a_run_that_is_recorded_shows_the_same_bytes() {
    let mut choice_count = 0;
    for (seed, config) in (0..4)
        .flat_map(|seed| [WorldConfig::calm(), WorldConfig::rough()].map(|config| (seed, config)))
    {
        let silent = bytes(seed.into(), config.clone());
        let record = WorldConfig { record: true, ..config.clone() };
        assert_eq!(bytes(seed.into(), record), silent, "its trace is kept");
        let captured = WorldConfig { captures_packets: true, ..config.clone() };
        assert_eq!(bytes(seed.into(), captured), silent, "its packets are kept");
        let mut source = Source::from(seed);
        let recording = source.record();
        assert_eq!(bytes(source, config), silent, "its choices are kept");
        choice_count += recording.choice_count();
    }
    assert!(choice_count > 400, "{choice_count}");
}

#[test]
fn what_a_run_keeps_of_itself_is_nobodys() {
    let world = World::new(1, WorldConfig::calm());
    let (host, latencies) = (world.host("client"), world.latencies());
    let measured = latencies.clone();
    host.run(async move {
        for _ in 0..10_000 {
            measured.measure(core::future::ready(())).await;
        }
    });
    let before = host.bytes_live();
    world.run().expect("it ends well");
    assert!(host.bytes_live() < before + 50_000, "{} from {before}", host.bytes_live());
    assert_eq!(latencies.all().count(), 10_000);
}

#[test]
fn bytes_are_those_of_the_host_that_allocated_them() {
    let world = World::new(1, WorldConfig::calm());
    let (rich, poor) = (world.host("rich"), world.host("poor"));
    let before = (rich.bytes_live(), poor.bytes_live());
    let kept: Rc<RefCell<Vec<Vec<u8>>>> = Rc::default();
    let (keeps, frees) = (Rc::clone(&kept), Rc::clone(&kept));
    rich.run(async move {
        let lot = vec![1; 1 << 20];
        // On the one thread that there is, for the host that asked.
        let more = offload::blocking(|| vec![2_u8; 1 << 20]).await.expect("it does not panic");
        keeps.borrow_mut().extend([lot, more]);
    });
    world.run().expect("it ends well");
    let of_rich = rich.bytes_live() - before.0;
    assert!((2 << 20..(2 << 20) + 50_000).contains(&of_rich), "{of_rich}");
    assert!(poor.bytes_live() - before.1 < 50_000);
    // Freed by another, it is no longer the first one's, nor less of the other's.
    poor.run(async move { frees.borrow_mut().clear() });
    world.run().expect("it ends well");
    assert!(rich.bytes_live() - before.0 < 50_000, "{}", rich.bytes_live());
    assert!((before.1..before.1 + 50_000).contains(&poor.bytes_live()));
}

#[test]
fn a_crash_frees_what_the_program_had() {
    let world = World::new(1, WorldConfig::calm());
    let host = world.host("server");
    drop(host.spawn(async {
        let kept = vec![1_u8; 1 << 20];
        sleep(Duration::from_secs(1000)).await;
        drop(kept);
    }));
    let crashes = host.clone();
    host.run(async { sleep(Duration::from_secs(2)).await });
    world.at(mainspring_executor::driver::Instant::START + Duration::from_secs(1), move |_| {
        assert!(crashes.bytes_live() > 1 << 20);
        crashes.crash();
    });
    world.run().expect("it ends well");
    assert!(host.bytes_live() < 100_000, "{}", host.bytes_live());
}

#[test]
#[should_panic(expected = "memory was noted 3 times, and growth shows in 4")]
fn three_notes_show_nothing() {
    let world = World::new(1, WorldConfig::calm());
    world.note_memory();
    world.note_memory();
    world.note_memory();
    let _ = world.memory_growth();
}
