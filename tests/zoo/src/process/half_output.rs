//! A service that reads what a program prints, and not how it ended.

use mainspring_executor::process::Command;
use mainspring_executor::time::sleep;
use mainspring_sim::harness::{Run, Setup, conclude};
use mainspring_sim::{Host, SimProcess, WorldConfig};

use crate::net::line::ms;
use crate::specimen::{Specimen, Twin, specimen};

pub(super) const HALF_OUTPUT: Specimen = specimen!(
    "half-output",
    "what a program has printed before it failed is taken for all of it",
    search: "a program that fails half way",
    source: "",
    run,
);

const LINES: u64 = 10;

/// Prints some lines; now and then it runs out of memory.
async fn export(process: SimProcess, on: Host) -> i32 {
    let Some(mut output) = process.stdout else { return 2 };
    let fails_at = if on.choose(50) == 49 { on.choose(LINES) } else { LINES };
    for number in 0..fails_at {
        if output.write_all(format!("line {number}\n").as_bytes()).await.is_err() {
            return 1;
        }
        sleep(ms(1)).await;
    }
    if fails_at == LINES { 0 } else { 137 }
}

/// The lines that the program prints, if it prints all of them; it is tried until it does.
async fn import(twin: Twin) -> usize {
    loop {
        let output = Command::new("export").output().await.expect("the program is there");
        if output.status.is_success() || !twin.is_fixed() {
            return output.stdout.iter().filter(|byte| **byte == b'\n').count();
        }
    }
}

fn run(setup: &Setup, twin: Twin) -> Result<Run, String> {
    let world = setup.world(WorldConfig::rough());
    let host = world.host("service");
    let on = host.clone();
    world.add_program("/bin/export", move |process| export(process, on.clone()));
    let imports = 1 + world.choose(40);
    for _ in 0..imports {
        let arrival = host.choose(5_000);
        host.run(async move {
            sleep(ms(arrival)).await;
            assert_eq!(import(twin).await as u64, LINES, "all lines are imported");
        });
    }
    conclude(&world, imports)
}
