//! A worker whose results go the same way as its heartbeats, and a monitor that counts the heartbeats.

use core::cell::Cell;
use std::rc::Rc;

use mainspring_executor::net::TcpStream;
use mainspring_executor::time::{sleep, timeout};
use mainspring_executor::{Instant, time};
use mainspring_sim::WorldConfig;
use mainspring_sim::harness::{Run, Setup};

use super::line::{PORT, finish, ms, say, serve};
use crate::specimen::{Specimen, Twin, specimen};

pub(super) const HEARTBEAT_BEHIND: Specimen = specimen!(
    "heartbeat-behind",
    "a worker is declared dead, for its heartbeats wait behind what it sends",
    search: "a long result on a slow link",
    source: "",
    run,
);

const SILENCE_MAX_MS: u64 = 3_000;

/// Looks at what one worker sends, and notes whether it would have called it dead.
async fn watch(mut stream: TcpStream, dead: Rc<Cell<bool>>, twin: Twin) {
    let mut last = time::now();
    loop {
        let left = (last + ms(SILENCE_MAX_MS)).saturating_duration_since(time::now());
        match timeout(left, stream.fill()).await {
            Ok(Ok(1..)) => {}
            Ok(_) => return,
            Err(_) => return dead.set(true),
        }
        let bytes = stream.buffered();
        let is_alive = twin.is_fixed() || bytes.windows(5).any(|word| word == b"beat\n");
        if is_alive {
            last = time::now();
        }
        // A word may go on in the next piece.
        let kept = if bytes.ends_with(b"\n") { 0 } else { bytes.len().min(4) };
        stream.consume(stream.buffered().len() - kept);
    }
}

fn run(setup: &Setup, twin: Twin) -> Result<Run, String> {
    // Small buffers: a flight is not longer than a packet.
    let narrow = WorldConfig {
        send_buffer_bytes: 1_000,
        recv_buffer_bytes: 1_000,
        short_reads: false,
        short_writes: false,
        split_flights: false,
        ..WorldConfig::rough()
    };
    let world = setup.world(narrow);
    let monitor = world.host("monitor");
    let dead = Rc::new(Cell::new(false));
    let noted = Rc::clone(&dead);
    monitor.spawn(serve(move |stream| watch(stream, Rc::clone(&noted), twin)));
    let workers = 1 + world.choose(40);
    for number in 0..workers {
        let host = world.host(&format!("worker-{number}"));
        world.set_bandwidth(&host, &monitor, 2_000, 1 << 20);
        let (address, on) = (monitor.address(PORT), host.clone());
        let jobs = 1 + host.choose(10);
        host.run(async move {
            let mut stream = TcpStream::connect(address).await.expect("the monitor listens");
            let mut next = time::now();
            for _ in 0..jobs {
                // Most results are short.
                let length = usize::from(on.choose(30) == 29) * 10_000 + 10;
                let result = "x".repeat(length);
                say(&mut stream, result).await.expect("the monitor reads");
                for _ in 0..3 {
                    next = Instant::max(next + ms(1_000), time::now());
                    time::sleep_until(next).await;
                    say(&mut stream, "beat").await.expect("the monitor reads");
                }
            }
            sleep(ms(500)).await;
        });
    }
    let run = finish(&world, &[&monitor], workers)?;
    assert!(!dead.get(), "nobody is declared dead who lives");
    Ok(run)
}
