//! `config`: rooms between calm and swarm.

use core::ops::RangeInclusive;
use core::time::Duration;

use mainspring_sim::{Order, WorldConfig};
use proptest::strategy::Strategy;

use crate::number::number;
use crate::together::together;

/// Bytes of a page, by which buffers are smaller.
const PAGE: usize = 4096;

/// A room between [`WorldConfig::calm`] and [`WorldConfig::swarm`]: most faults are off in half of them, and else as frequent as
/// drawn. The run itself draws none of it (`swarm` is off). Shrinks to calm, field by field.
///
/// What a property sets itself, it sets afterwards: `config().prop_map(|config| WorldConfig { tokens_max: 10, ..config })`.
pub fn config() -> impl Strategy<Value = WorldConfig> {
    let calls = together((flag(), flag(), flag(), flag()));
    let machines = together((order(), buffers(), buffers(), spans(50), spans(2_000)));
    let swarm = WorldConfig::swarm();
    let packets = together((
        spans(20),
        up_to(swarm.segment_loss_permille),
        up_to(swarm.segment_reordering_permille),
        up_to(swarm.segment_duplication_permille),
        up_to(swarm.datagram_loss_permille),
        up_to(swarm.datagram_duplication_permille),
    ));
    together((calls, machines, packets)).prop_map(|(calls, machines, packets)| {
        let calm = WorldConfig::calm();
        let (short_reads, short_writes, split_flights, spurious) = calls;
        let (order, send_buffer_bytes, recv_buffer_bytes, job, name) = machines;
        let (latency, loss, reordering, duplication, datagram_loss, datagram_duplication) = packets;
        WorldConfig {
            latency: stretch(&calm.latency, latency),
            order,
            short_reads,
            short_writes,
            split_flights,
            spurious,
            datagram_loss_permille: datagram_loss,
            datagram_duplication_permille: datagram_duplication,
            segment_loss_permille: loss,
            segment_reordering_permille: reordering,
            segment_duplication_permille: duplication,
            send_buffer_bytes,
            recv_buffer_bytes,
            job_duration: stretch(&calm.job_duration, job),
            name_duration: stretch(&calm.name_duration, name),
            ..calm
        }
    })
}

fn flag() -> impl Strategy<Value = bool> {
    number(0..=1).prop_map(|number| number == 1)
}

fn order() -> impl Strategy<Value = Order> {
    number(0..=2).prop_map(|number| match number {
        0 => Order::Fifo,
        1 => Order::Random,
        _ => Order::Pct { depth: 3, polls: 1000 },
    })
}

/// Nothing in half of all cases, and else up to so many permille.
fn up_to(max: u32) -> impl Strategy<Value = u32> {
    let twice = number(0..=2 * u64::from(max));
    twice.prop_map(move |twice| u32::try_from(twice).expect("small").saturating_sub(max))
}

/// 64 KiB, or less by whole pages, down to 16 KiB.
fn buffers() -> impl Strategy<Value = usize> {
    number(0..=12).prop_map(|less| (16 - usize::try_from(less).expect("small")) * PAGE)
}

/// What a duration has at most, in milliseconds; `None`, in half of all cases, is as in a calm room.
fn spans(max: u64) -> impl Strategy<Value = Option<u64>> {
    let twice = number(0..=2 * max);
    twice.prop_map(move |twice| Some(twice.saturating_sub(max)).filter(|most| *most > 1))
}

/// From a twentieth of a calm duration up to so many milliseconds.
fn stretch(calm: &RangeInclusive<Duration>, most: Option<u64>) -> RangeInclusive<Duration> {
    most.map_or_else(|| calm.clone(), |most| *calm.start() / 20..=Duration::from_millis(most))
}
