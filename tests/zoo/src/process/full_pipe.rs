//! A service that gives all of a document to a filter, and then reads what comes out.

use mainspring_executor::join;
use mainspring_executor::process::{Command, Stdio};
use mainspring_executor::time::sleep;
use mainspring_sim::harness::{Run, Setup, conclude};
use mainspring_sim::{SimProcess, World, WorldConfig};

use crate::net::line::ms;
use crate::specimen::{Specimen, Twin, specimen};

pub(super) const FULL_PIPE: Specimen = specimen!(
    "full-pipe",
    "a program is given all of its input before its output is read",
    search: "a document that is longer than both pipes",
    source: "rust-by-example #1273",
    run,
);

/// Gives back what it reads.
async fn filter(mut process: SimProcess) -> i32 {
    let (Some(input), Some(output)) = (&mut process.stdin, &mut process.stdout) else { return 2 };
    while matches!(input.fill().await, Ok(1..)) {
        let bytes = input.buffered().to_vec();
        input.consume(bytes.len());
        if output.write_all(&bytes).await.is_err() {
            return 1;
        }
    }
    0
}

async fn convert(document: &[u8], twin: Twin) -> Vec<u8> {
    let mut command = Command::new("filter");
    command.stdin(Stdio::Piped).stdout(Stdio::Piped);
    let mut child = command.spawn().await.expect("the filter is there");
    let mut input = child.stdin.take().expect("it is a pipe");
    let mut output = child.stdout.take().expect("it is a pipe");
    let mut converted = Vec::new();
    let write = async move { input.write_all(document).await };
    match twin {
        Twin::Buggy => {
            write.await.expect("the filter reads");
            output.read_to_end(&mut converted).await.expect("the filter writes");
        }
        Twin::Fixed => {
            let (written, read) = join!(write, output.read_to_end(&mut converted));
            written.and(read).expect("the filter reads and writes");
        }
    }
    child.wait().await.expect("it ends");
    converted
}

fn add_filter(world: &World) {
    world.add_program("/bin/filter", filter);
}

fn run(setup: &Setup, twin: Twin) -> Result<Run, String> {
    let world = setup.world(WorldConfig { short_reads: false, ..WorldConfig::rough() });
    add_filter(&world);
    let host = world.host("service");
    let documents = 1 + world.choose(30);
    for _ in 0..documents {
        // Most are short.
        let most = if host.choose(20) == 19 { 300_000 } else { 3_000 };
        let (length, arrival) = (host.choose(most), host.choose(5_000));
        host.run(async move {
            sleep(ms(arrival)).await;
            let document = vec![b'x'; usize::try_from(length).expect("it fits into memory")];
            let converted = convert(&document, twin).await;
            assert_eq!(converted.len(), document.len(), "all of it comes back");
        });
    }
    conclude(&world, documents)
}
