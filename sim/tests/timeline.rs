//! The timeline of a run: who did what because of what, what was under way, who waited for what; and the two forms it is written in.

use core::time::Duration;
use std::collections::BTreeMap;
use std::rc::Rc;

use mainspring_executor::driver::ListenOptions;
use mainspring_executor::net::{TcpListener, TcpStream, UdpSocket};
use mainspring_executor::sync::Mutex;
use mainspring_executor::time::{sleep, timeout};
use mainspring_executor::{Instant, spawn, spawn_named};
use mainspring_sim::harness::{Run, Scenario, Setup, conclude};
use mainspring_sim::timeline::{Doing, Fate, Heading, LaneKind, Reason, Timeline};
use mainspring_sim::{Fault, Host, World, WorldConfig};
use serde_json::Value;

fn recorded(config: WorldConfig) -> World {
    World::new(7, WorldConfig { timeline: true, ..config })
}

/// Reads 4 bytes, and writes 6.
async fn answer() {
    let listener = TcpListener::bind(([0, 0, 0, 0], 80).into(), ListenOptions::default());
    let (mut stream, _) = listener.expect("a free port").accept().await.expect("a client comes");
    let mut bytes = [0; 4];
    let mut filled = 0;
    while filled < 4 {
        filled += stream.read(&mut bytes[filled..]).await.expect("the client asks");
    }
    stream.write_all(b"answer").await.expect("the client listens");
    sleep(Duration::from_millis(5)).await;
}

async fn ask(server: Host) {
    sleep(Duration::from_millis(3)).await;
    let mut stream = TcpStream::connect(server.address(80)).await.expect("the server is there");
    stream.write_all(b"what").await.expect("the server reads");
    let mut bytes = [0; 6];
    let mut filled = 0;
    while filled < 6 {
        filled += stream.read(&mut bytes[filled..]).await.expect("the server answers");
    }
}

/// A client that asks a server over TCP.
fn asked(config: WorldConfig) -> World {
    let world = recorded(config);
    let server = world.host("server");
    server.run(answer());
    world.host("client").run(ask(server));
    world
}

fn timeline(world: &World) -> Timeline {
    world.timeline().expect("it is recorded")
}

/// `host kind text`, for the eye.
fn told(timeline: &Timeline, event: usize) -> String {
    let event = &timeline.events[event];
    let lane = &timeline.lanes[event.lane];
    let host = lane.host.map_or("-", |host| &timeline.hosts[host]);
    format!("{host} {}: {}", lane.kind.name(), event.text)
}

fn last(timeline: &Timeline, text: &str) -> usize {
    let found = timeline.events.iter().rposition(|event| &*event.text == text);
    found.unwrap_or_else(|| panic!("nobody {text}"))
}

#[test]
fn an_answer_leads_back_to_its_question() {
    let world = asked(WorldConfig::calm());
    world.run().expect("it ends well");
    let timeline = timeline(&world);
    let chain = timeline.causes(last(&timeline, "reads 6 bytes"));
    let told: Vec<String> = chain.iter().map(|event| told(&timeline, *event)).collect();
    let expected = [
        "client connection: reads 6 bytes",
        "client task: runs",
        "client connection: the program is told: there is something to read",
        "client connection: 6 bytes arrive",
        "server connection: writes 6 bytes",
        "server task: runs",
        "server connection: the program is told: there is something to read",
        "server connection: 4 bytes arrive",
        "client connection: writes 4 bytes",
        "client task: runs",
        "client connection: the program is told: there is room to write",
        "client connection: the connection is there (SYN-ACK)",
        "server connection: a connection is asked for (SYN)",
        "client connection: connects to port 80",
        // The sleep before.
        "client task: runs",
        "client task: runs",
    ];
    assert_eq!(told, expected);
    let at = |step: usize| timeline.events[chain[step]].at;
    assert_eq!(at(3) - at(4), Duration::from_millis(1), "on the way");
    assert_eq!(at(14) - at(15), Duration::from_millis(3), "the sleep");
}

#[test]
fn causes_come_before_their_effects_whatever_happens() {
    for seed in 0..20 {
        let world = World::new(seed, WorldConfig { timeline: true, ..WorldConfig::swarm() });
        let server = world.host("server");
        server.run(answer());
        world.host("client").run(ask(server.clone()));
        world.host("sleeper").run(async { sleep(Duration::from_secs(2)).await });
        world.at(Instant::from_nanos(1_000_000), move |_| server.pause());
        let resumed = world.find("server").expect("it was made");
        world.at(Instant::from_nanos(900_000_000), move |_| resumed.resume());
        let _ended = world.run();
        let timeline = timeline(&world);
        for (place, event) in timeline.events.iter().enumerate() {
            assert!(event.cause.is_none_or(|cause| cause < place));
            assert!(event.lane < timeline.lanes.len());
        }
        for span in &timeline.spans {
            assert!(span.to.is_none_or(|to| span.from <= to && to < timeline.events.len()));
            assert_eq!(timeline.lanes[span.lane].kind, LaneKind::Task);
        }
        for message in &timeline.messages {
            assert!(message.arrived.is_none_or(|arrived| message.sent <= arrived));
        }
    }
}

#[test]
fn what_is_under_way_goes_from_one_end_to_the_other() {
    let world = asked(WorldConfig::calm());
    world.run().expect("it ends well");
    let timeline = timeline(&world);
    let host = |lane: usize| {
        let host = timeline.lanes[lane].host.expect("a socket is on a host");
        &*timeline.hosts[host]
    };
    let named = |text: &str| {
        let found = timeline.messages.iter().find(|message| &*message.text == text);
        found.unwrap_or_else(|| panic!("no {text} in {:?}", timeline.messages))
    };
    for (text, from, to) in [
        ("SYN", "client", "server"),
        ("SYN-ACK", "server", "client"),
        ("4 bytes", "client", "server"),
        ("6 bytes", "server", "client"),
    ] {
        let message = named(text);
        let ends = (host(message.from), host(message.to.expect("somebody is there")));
        assert_eq!((ends, message.fate), ((from, to), Fate::Arrives), "{text}");
        assert_eq!(message.is_control, text.starts_with("SYN"));
    }
    let names: Vec<&str> = timeline.lanes.iter().map(|lane| &*lane.name).collect();
    assert!(names.contains(&"→ server:80"), "{names:?}");
    assert!(names.contains(&"← client:32768"), "{names:?}");
}

#[test]
fn connections_lie_behind_the_task_that_uses_them() {
    let world = asked(WorldConfig::calm());
    world.run().expect("it ends well");
    let timeline = timeline(&world);
    let kinds: Vec<(Option<usize>, LaneKind)> =
        timeline.lanes.iter().map(|lane| (lane.host, lane.kind)).collect();
    use LaneKind::{Connection, Host, Scenario, Task};
    let expected = [
        (None, Scenario),
        (Some(0), Host),
        (Some(0), Task),
        (Some(0), Connection),
        (Some(1), Host),
        (Some(1), Task),
        (Some(1), Connection),
    ];
    assert_eq!(kinds, expected);
    assert_eq!(timeline.lanes[3].owner, Some(2));
    assert!(timeline.lanes[2].ended.is_some());
}

/// The spans of a task, by a part of its name.
fn spans(timeline: &Timeline, name: &str) -> Vec<(Doing, Duration, String)> {
    let of = |lane: usize| timeline.lanes[lane].name.contains(name);
    let spans = timeline.spans.iter().filter(|span| of(span.lane));
    let told = spans.map(|span| {
        let end = span.to.map_or(timeline.end, |to| timeline.events[to].at);
        (span.doing, end - timeline.events[span.from].at, span.text.to_string())
    });
    told.collect()
}

fn longest(timeline: &Timeline, name: &str) -> (Doing, Duration, String) {
    let spans = spans(timeline, name);
    spans.into_iter().max_by_key(|(_, duration, _)| *duration).expect("a task does something")
}

#[test]
fn waits_are_told_with_their_reason() {
    let world = recorded(WorldConfig::calm());
    let host = world.host("host");
    host.run(async {
        let lock = Rc::new(Mutex::new(()));
        let held = lock.lock().await;
        let other = Rc::clone(&lock);
        let locks = spawn_named("locks", async move { drop(other.lock().await) });
        let listens = spawn_named("listens", async {
            let listener = TcpListener::bind(([0, 0, 0, 0], 80).into(), ListenOptions::default());
            let listener = listener.expect("a free port");
            let waited = timeout(Duration::from_millis(20), listener.accept()).await;
            assert!(waited.is_err(), "nobody comes");
        });
        let joins = spawn_named("joins", async move { listens.await.expect("it ends") });
        sleep(Duration::from_millis(50)).await;
        drop(held);
        locks.await.expect("it has the lock");
        joins.await.expect("it has joined");
    });
    world.run().expect("it ends well");
    let timeline = timeline(&world);
    let milliseconds = Duration::from_millis;
    let (doing, time, text) = longest(&timeline, "locks");
    assert_eq!((doing, time), (Doing::Waits(Reason::Sync), milliseconds(50)));
    assert!(text.starts_with("a lock, asked for at sim/tests/timeline.rs:"), "{text}");
    let (doing, time, text) = longest(&timeline, "joins");
    assert_eq!((doing, time), (Doing::Waits(Reason::Tasks), milliseconds(20)));
    assert!(text.starts_with("the end of listens (task "), "{text}");
    // The timer has ended it, and it has waited for a connection as well.
    let (doing, time, text) = longest(&timeline, "listens");
    assert_eq!((doing, time), (Doing::Waits(Reason::Timer), milliseconds(20)));
    assert!(text.contains("; or a connection: listener opened at"), "{text}");
}

/// Keeps a lock for 5 ms, while a task that is called `locks` waits for it.
async fn keep_a_lock() {
    let lock = Rc::new(Mutex::new(()));
    let held = lock.lock().await;
    let other = Rc::clone(&lock);
    let locks = spawn_named("locks", async move { drop(other.lock().await) });
    sleep(Duration::from_millis(5)).await;
    drop(held);
    locks.await.expect("it has the lock");
}

#[test]
fn who_woke_whom_is_its_cause() {
    let world = recorded(WorldConfig::calm());
    world.host("host").run(keep_a_lock());
    world.run().expect("it ends well");
    let timeline = timeline(&world);
    let lane = timeline.lanes.iter().position(|lane| lane.name.starts_with("locks"));
    let polls: Vec<_> = timeline.events.iter().filter(|event| Some(event.lane) == lane).collect();
    assert_eq!(polls.len(), 2);
    let causes = polls.iter().map(|poll| &timeline.events[poll.cause.expect("somebody did it")]);
    let causes: Vec<_> = causes.map(|cause| (cause.kind, cause.at.as_nanos())).collect();
    // It was spawned by the first poll, and woken by that after the sleep.
    assert_eq!(causes, [("poll", 0), ("poll", 5_000_000)]);
}

#[test]
fn a_deadlock_marks_the_tasks_that_the_run_waits_for() {
    let world = recorded(WorldConfig::calm());
    let lock = Rc::new(Mutex::new(()));
    let leaked = Rc::clone(&lock);
    world.host("careless").run(async move { core::mem::forget(leaked.lock().await) });
    world.host("waiting").run(async move {
        sleep(Duration::from_millis(1)).await;
        drop(lock.lock().await);
    });
    world.run().expect_err("nobody lets go");
    let timeline = timeline(&world);
    let [stop] = &timeline.stops[..] else { panic!("one failure: {:?}", timeline.stops) };
    assert!(stop.text.starts_with("deadlock"), "{}", stop.text);
    let [lane] = stop.lanes[..] else { panic!("one task: {:?}", stop.lanes) };
    let host = timeline.lanes[lane].host.expect("a task is on a host");
    assert_eq!(&*timeline.hosts[host], "waiting");
    let open = timeline.spans.iter().find(|span| span.lane == lane && span.to.is_none());
    assert_eq!(open.expect("it waits to the end").doing, Doing::Waits(Reason::Sync));
}

#[test]
fn a_panic_marks_the_task_that_panicked() {
    let world = recorded(WorldConfig::calm());
    world.host("fine").run(async { sleep(Duration::from_secs(1)).await });
    world.host("bad").run(async {
        sleep(Duration::from_millis(1)).await;
        panic!("on purpose");
    });
    world.run().expect_err("it panics");
    let timeline = timeline(&world);
    let stop = &timeline.stops[0];
    assert!(stop.text.contains("on purpose"), "{}", stop.text);
    let host = timeline.lanes[stop.lanes[0]].host.expect("a task is on a host");
    assert_eq!(&*timeline.hosts[host], "bad");
    assert_eq!(told(&timeline, stop.event.expect("something happened")), "bad task: runs");
}

#[test]
fn what_goes_wrong_is_told_as_such() {
    let world = recorded(WorldConfig { datagram_loss_permille: 1000, ..WorldConfig::calm() });
    let sink = world.host("sink");
    let address = sink.address(53);
    world.host("source").run(async move {
        let socket = UdpSocket::bind(([0, 0, 0, 0], 0).into()).expect("a free port");
        socket.send_to(b"lost", address).await.expect("it leaves");
        sleep(Duration::from_millis(30)).await;
    });
    let (from, to) = (sink.clone(), world.find("source").expect("it was made"));
    world.at(Instant::from_nanos(2_000_000), move |world| world.cut(&from, &to));
    world.at(Instant::from_nanos(4_000_000), move |_| sink.crash());
    world.run().expect("it ends well");
    let timeline = timeline(&world);
    let faults: Vec<(Fault, String)> = (0..timeline.events.len())
        .filter_map(|event| Some((timeline.events[event].fault?, told(&timeline, event))))
        .collect();
    let expected = [
        (Fault::DatagramLost, "source datagrams: datagram 0 gets lost"),
        (Fault::Cut, "sink host: nothing gets from here to source any more"),
        (Fault::Crash, "sink host: loses its power"),
    ];
    let expected = expected.map(|(fault, text)| (fault, text.to_owned()));
    assert_eq!(faults, expected);
    let lost: Vec<_> = timeline.messages.iter().map(|message| message.fate).collect();
    assert_eq!(lost, [Fate::Lost]);
    // A cut is a step of the scenario.
    let cut = last(&timeline, "nothing gets from here to source any more");
    let cause = timeline.events[cut].cause.expect("somebody did it");
    assert_eq!(told(&timeline, cause), "- scenario: a step of the scenario");
}

#[test]
fn a_run_that_is_recorded_is_the_same_run() {
    let hash = |timeline: bool| {
        let world = World::new(3, WorldConfig { timeline, ..WorldConfig::rough() });
        let server = world.host("server");
        server.run(answer());
        world.host("client").run(ask(server));
        assert_eq!(world.timeline().is_some(), timeline);
        world.run().expect("it ends well").trace_hash
    };
    assert_eq!(hash(true), hash(false));
}

/// The data of a page.
fn data(page: &str) -> Value {
    let start = "<script type=\"application/json\" id=\"data\">";
    let after = page.split_once(start).expect("the page has data").1;
    let (json, _) = after.split_once("</script>").expect("it ends");
    serde_json::from_str(json).expect("it is JSON")
}

#[test]
fn a_page_is_whole_and_nothing_in_it_breaks_out() {
    let world = recorded(WorldConfig::rough());
    world.host("host").run(async {
        spawn_named("</script><b>&{{script}}", sleep(Duration::from_millis(1)))
            .await
            .expect("it sleeps");
    });
    world.run().expect("it ends well");
    let timeline = timeline(&world);
    let failure = Some("</script>\n<!--".to_owned());
    let page =
        timeline.html(&Heading { name: "a <b> & c".to_owned(), failure, ..Heading::default() });
    assert_eq!(page.matches("</script>").count(), 2, "its own");
    assert!(page.contains("<title>a &lt;b> &amp; c · seed 7</title>"));
    for outside in ["src=", "href=", "@import", "url(", "fetch("] {
        assert!(!page.contains(outside), "it asks for something: {outside}");
    }
    let data = data(&page);
    let names = data["lanes"].as_array().expect("lanes").iter().map(|lane| &lane["name"]);
    let names: Vec<_> = names.filter_map(Value::as_str).collect();
    assert!(
        names.iter().any(|name| name.starts_with("</script><b>&{{script}} (task")),
        "{names:?}"
    );
    let count = timeline.events.len();
    for column in ["at", "lane", "kind", "text", "task", "cause"] {
        assert_eq!(data["events"][column].as_array().map(Vec::len), Some(count), "{column}");
    }
    assert_eq!(data["heading"]["failure"], "</script>\n<!--");
}

/// What is open on each thread of a trace, by end, innermost last.
type Open = BTreeMap<(u64, u64), Vec<f64>>;

#[test]
fn a_chrome_trace_is_well_formed() {
    for seed in 0..10 {
        let world = World::new(seed, WorldConfig { timeline: true, ..WorldConfig::swarm() });
        let server = world.host("server");
        server.run(answer());
        world.host("client").run(ask(server));
        let _ended = world.run();
        check_chrome(&timeline(&world).chrome());
    }
}

fn check_chrome(text: &str) {
    let trace: Value = serde_json::from_str(text).expect("it is JSON");
    let events = trace["traceEvents"].as_array().expect("a list of events");
    let number =
        |event: &Value, key: &str| event[key].as_f64().unwrap_or_else(|| panic!("{key}: {event}"));
    let thread = |event: &Value| {
        let id = |key: &str| event[key].as_u64().unwrap_or_else(|| panic!("{key}: {event}"));
        (id("pid"), id("tid"))
    };
    let named: Vec<_> =
        events.iter().filter(|event| event["name"] == "thread_name").map(thread).collect();
    let (mut open, mut before) = (Open::new(), f64::MIN);
    let mut flows: BTreeMap<u64, f64> = BTreeMap::new();
    let (mut slices, mut ended) = (0, 0);
    for event in events.iter().filter(|event| event["ph"] != "M") {
        let (at, thread) = (number(event, "ts"), thread(event));
        assert!(at >= before, "events are in order: {event}");
        before = at;
        assert!(named.contains(&thread), "a thread has a name: {event}");
        let stack = open.entry(thread).or_default();
        // What has ended is closed. A nanosecond is the least, and halves of it are how numbers are kept.
        stack.retain(|end| *end > at + 0.0005);
        match event["ph"].as_str() {
            Some("X") => {
                let end = at + number(event, "dur");
                assert!(end > at, "a slice has a length: {event}");
                let outer = stack.last().copied().unwrap_or(f64::MAX);
                assert!(end <= outer + 0.0005, "slices lie within each other: {event}");
                stack.push(end);
                slices += 1;
            }
            Some("s") => {
                assert!(!stack.is_empty(), "a flow begins in a slice: {event}");
                flows.insert(event["id"].as_u64().expect("an id"), at);
            }
            Some("f") => {
                assert!(!stack.is_empty(), "a flow ends in a slice: {event}");
                let begun = flows.remove(&event["id"].as_u64().expect("an id"));
                assert!(begun.is_some_and(|begun| begun <= at), "it has begun: {event}");
                ended += 1;
            }
            Some("i") => assert!(["g", "p"].contains(&event["s"].as_str().unwrap_or_default())),
            other => panic!("{other:?} is no phase of ours: {event}"),
        }
    }
    assert!(flows.is_empty(), "flows that begin and do not end: {flows:?}");
    assert!(slices > 20 && ended > 3, "{slices} slices, {ended} flows");
}

const PLANTED: Scenario =
    Scenario::new("planted", "fails", |setup: &Setup| -> Result<Run, String> {
        let world = setup.world(WorldConfig::rough());
        let late = world.choose(4);
        world.host("host").run(async move {
            spawn(sleep(Duration::from_millis(late))).await.expect("it sleeps");
            assert!(late < 2, "it is late");
        });
        conclude(&world, 1)
    });

#[test]
fn a_scenario_is_viewed_whether_it_holds_or_fails() {
    let views: Vec<_> = (0..20).map(|seed| PLANTED.view(seed).expect("it has a world")).collect();
    let failed: Vec<_> = views.iter().filter(|view| view.heading.failure.is_some()).collect();
    assert!((1..20).contains(&failed.len()), "{} fail", failed.len());
    for view in &views {
        assert_eq!(view.heading.failure.is_some(), !view.timeline.stops.is_empty());
    }
    let heading = &failed[0].heading;
    let failure = heading.failure.as_deref().expect("it failed");
    assert!(failure.contains("it is late") && !failure.contains("what happened last"), "{failure}");
    let replay = heading.replay.as_deref().expect("it can be repeated");
    assert!(replay.contains(" replay --scenario planted --seed "), "{replay}");
    let seed = failed[0].timeline.seed;
    let (small, story) = PLANTED.view_minimised(seed, 100).expect("it becomes smaller");
    assert_eq!(small.heading.choices.len(), story.chosen.len());
    assert!(small.heading.choices.iter().all(|mark| !mark.is_decisive));
    let (view, explained) = PLANTED.view_explained(seed, 100, 100).expect("it is explained");
    let decisive = explained.decisive().expect("one did it");
    let marked = view.heading.choices.iter().position(|mark| mark.is_decisive);
    assert_eq!(marked, Some(decisive));
    let (mark, chosen) = (&view.heading.choices[decisive], &explained.points[decisive].chosen);
    assert_eq!(
        (mark.at, mark.words.clone()),
        (chosen.at, format!("{}: {}", chosen.owner(), chosen.words()))
    );
    let page = view.html();
    assert!(view.heading.failure.is_some(), "the tape is that of a failure");
    assert!(page.contains("\"decisive\":true") && page.contains(&mark.words), "it is in the page");
    assert!(small.timeline.events.len() <= failed[0].timeline.events.len());
}

/// A processor is busy with a poll from when its task is picked; what it does it does at the end of that.
#[test]
fn a_poll_that_takes_time_is_as_long_as_that() {
    let world = recorded(WorldConfig::calm());
    let host = world.host("host");
    host.set_poll_cost(|_| Duration::from_micros(30)..=Duration::from_micros(30));
    host.run(keep_a_lock());
    world.run().expect("it ends well");
    let timeline = timeline(&world);
    let spans = spans(&timeline, "locks");
    let told: Vec<_> = spans.iter().map(|(doing, time, _)| (*doing, time.as_micros())).collect();
    let waits = Doing::Waits(Reason::Sync);
    // Its turn comes as soon as the poll that spawned it, or woke it, is over.
    let [(Doing::Runs, 30), (wait, time), (Doing::Runs, 30)] = told[..] else { panic!("{told:?}") };
    assert_eq!((wait, time), (waits, 5_000));
    let lane = timeline.lanes.iter().position(|lane| lane.name.starts_with("locks"));
    let polls =
        timeline.events.iter().filter(|event| Some(event.lane) == lane && event.kind == "poll");
    let causes = polls.map(|poll| timeline.events[poll.cause.expect("somebody did it")].kind);
    assert_eq!(causes.collect::<Vec<_>>(), ["poll", "poll"]);
}
