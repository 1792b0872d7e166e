//! Frames that come in pieces: a read that loses a select has taken the first of them, and it is gone.

use core::time::Duration;

use mainspring_executor::select;
use mainspring_executor::sync::mpsc::{self, Receiver};
use mainspring_executor::time::{interval, sleep};
use mainspring_sim::WorldConfig;
use mainspring_sim::harness::{Run, Setup, conclude};

use crate::specimen::{Specimen, Twin, specimen};

pub(super) const CANCELLED_READ: Specimen = specimen!(
    "cancelled-read",
    "a frame is half read when a tick wins the select, and its bytes are lost",
    search: "a tick between two pieces",
    source: "iroh #2572",
    run,
);

const FRAME_BYTES: usize = 4;

fn run(setup: &Setup, twin: Twin) -> Result<Run, String> {
    let world = setup.world(WorldConfig::rough());
    let service = world.host("service");
    let (pieces, receiver) = mpsc::channel(16);
    let frames = 1 + world.choose(250);
    // Where each frame is cut, which one in a hundred is, and how long each piece takes.
    let cuts: Vec<_> =
        (0..frames).map(|_| (world.choose(300).saturating_sub(296), world.choose(120))).collect();
    service.run(async move {
        for (frame, (cut, pause)) in (0_u8..=u8::MAX).zip(cuts) {
            let cut = usize::try_from(cut).expect("a small number");
            let bytes = [frame; FRAME_BYTES];
            for piece in [&bytes[..cut], &bytes[cut..]] {
                pieces.send(piece.to_vec()).await.expect("the reader stays");
                sleep(Duration::from_millis(pause)).await;
            }
        }
    });
    service.run(read_all(receiver, twin));
    conclude(&world, frames)
}

async fn read_all(mut pieces: Receiver<Vec<u8>>, twin: Twin) {
    let mut keep_alive = interval(Duration::from_millis(100));
    // The bytes of a frame that has not come as a whole.
    let mut partial = Vec::new();
    loop {
        if !twin.is_fixed() {
            // The bug: as if the future had them, which a tick has dropped.
            partial.clear();
        }
        select! {
            is_whole = read_frame(&mut pieces, &mut partial) => {
                if !is_whole {
                    return;
                }
                let is_one = partial.iter().all(|byte| *byte == partial[0]);
                assert!(is_one && partial.len() == FRAME_BYTES, "a frame out of two");
                partial.clear();
            }
            _ = keep_alive.tick() => {}
        }
    }
}

async fn read_frame(pieces: &mut Receiver<Vec<u8>>, bytes: &mut Vec<u8>) -> bool {
    while bytes.len() < FRAME_BYTES {
        let Some(piece) = pieces.recv().await else { return false };
        bytes.extend(piece);
    }
    true
}
