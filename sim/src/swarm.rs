//! Swarm testing (Groce, Zhang, Eide, Chen, Regehr: *Swarm testing*, ISSTA 2012): of the faults that a room may have, each run
//! has some wholly off and others in full. A fault that is always a little on hides what only shows without it.

use crate::choice::{Choices, Label};
use crate::config::WorldConfig;
use crate::order::Order;

/// What of `config` one run has. Each fault is drawn by itself, by the label of its own choices and for the whole room.
pub(crate) fn draw(config: WorldConfig, choices: &mut Choices) -> WorldConfig {
    let mut level = |label, bound| choices.choose(None, label, bound);
    // A fault that the config does not have is not drawn.
    let mut permille = |label, most: u32| match most {
        0 => 0,
        _ => most * u32::try_from(level(label, 4)).expect("below 4") / 3,
    };
    let datagram_loss_permille = permille(Label::Loss, config.datagram_loss_permille);
    let datagram_duplication_permille =
        permille(Label::Duplication, config.datagram_duplication_permille);
    let segment_loss_permille = permille(Label::SegmentLoss, config.segment_loss_permille);
    let segment_reordering_permille =
        permille(Label::SegmentReordering, config.segment_reordering_permille);
    let segment_duplication_permille =
        permille(Label::SegmentDuplication, config.segment_duplication_permille);
    let mut one_in = |label, least: u64| match least {
        0 => 0,
        _ => [0, least.saturating_mul(100), least.saturating_mul(10), least]
            [usize::try_from(level(label, 4)).expect("below 4")],
    };
    let disk_error_one_in = one_in(Label::DiskError, config.disk_error_one_in);
    let disk_full_one_in = one_in(Label::DiskFull, config.disk_full_one_in);
    let name_failure_one_in = one_in(Label::NameFailure, config.name_failure_one_in);
    let socket_memory_bytes = config.socket_memory_bytes.and_then(|least| {
        let choices = [None, Some(4), Some(2), Some(1)];
        let times = choices[usize::try_from(level(Label::SocketMemory, 4)).expect("below 4")];
        times.map(|times| least.saturating_mul(times))
    });
    let mut is_on = |label, may_be: bool| may_be && level(label, 2) == 1;
    let short_reads = is_on(Label::ShortRead, config.short_reads);
    let short_writes = is_on(Label::ShortWrite, config.short_writes);
    let split_flights = is_on(Label::Pieces, config.split_flights);
    let spurious = is_on(Label::Spurious, config.spurious);
    let buggify = is_on(Label::Buggify, config.buggify);
    let (is_late, is_busy) = (is_on(Label::Latency, true), is_on(Label::Job, true));
    let has_small_buffers = is_on(Label::Buffers, true);
    let order = match config.order {
        Order::Fifo => Order::Fifo,
        drawn => [Order::Fifo, Order::Random, Order::Pct { depth: 3, polls: 1000 }, drawn]
            [usize::try_from(level(Label::Order, 4)).expect("below 4")],
    };
    let roomy = WorldConfig::calm();
    let buffer = |bytes: usize, roomy: usize| match has_small_buffers {
        true => bytes,
        false => bytes.max(roomy),
    };
    let span = |range: &core::ops::RangeInclusive<_>, is_drawn: bool| match is_drawn {
        true => range.clone(),
        false => *range.start()..=*range.start(),
    };
    WorldConfig {
        latency: span(&config.latency, is_late),
        loopback_latency: span(&config.loopback_latency, is_late),
        job_duration: span(&config.job_duration, is_busy),
        name_duration: span(&config.name_duration, is_busy),
        send_buffer_bytes: buffer(config.send_buffer_bytes, roomy.send_buffer_bytes),
        recv_buffer_bytes: buffer(config.recv_buffer_bytes, roomy.recv_buffer_bytes),
        order,
        short_reads,
        short_writes,
        split_flights,
        spurious,
        datagram_loss_permille,
        datagram_duplication_permille,
        segment_loss_permille,
        segment_reordering_permille,
        segment_duplication_permille,
        disk_error_one_in,
        disk_full_one_in,
        name_failure_one_in,
        socket_memory_bytes,
        buggify,
        // It is drawn.
        swarm: false,
        ..config
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tape::Tape;

    fn all() -> WorldConfig {
        let (disk_error_one_in, disk_full_one_in, name_failure_one_in) = (5, 6, 7);
        WorldConfig {
            disk_error_one_in,
            disk_full_one_in,
            name_failure_one_in,
            socket_memory_bytes: Some(64 * 1024),
            buggify: true,
            ..WorldConfig::swarm()
        }
    }

    fn drawn(seed: u64) -> WorldConfig {
        draw(all(), &mut Choices::new(&seed.into()))
    }

    /// Whether each fault is wholly off, and whether it is all that the config allows.
    fn faults(config: &WorldConfig) -> Vec<(&'static str, bool, bool)> {
        let most = all();
        let flag = |name, is_on: bool| (name, !is_on, is_on);
        let number = |name, value: u64, full: u64| (name, value == 0, value == full);
        let is_late = |range: &core::ops::RangeInclusive<_>| range.start() < range.end();
        vec![
            flag("latency", is_late(&config.latency)),
            flag("jobs", is_late(&config.job_duration)),
            flag("short reads", config.short_reads),
            flag("short writes", config.short_writes),
            flag("pieces", config.split_flights),
            flag("spurious", config.spurious),
            flag("buggify", config.buggify),
            flag("buffers", config.recv_buffer_bytes == most.recv_buffer_bytes),
            ("order", config.order == Order::Fifo, config.order == most.order),
            number(
                "loss",
                config.datagram_loss_permille.into(),
                most.datagram_loss_permille.into(),
            ),
            number(
                "duplication",
                config.datagram_duplication_permille.into(),
                most.datagram_duplication_permille.into(),
            ),
            number(
                "segment loss",
                config.segment_loss_permille.into(),
                most.segment_loss_permille.into(),
            ),
            number(
                "segment reordering",
                config.segment_reordering_permille.into(),
                most.segment_reordering_permille.into(),
            ),
            number(
                "segment duplication",
                config.segment_duplication_permille.into(),
                most.segment_duplication_permille.into(),
            ),
            number("disk error", config.disk_error_one_in, 5),
            number("disk full", config.disk_full_one_in, 6),
            number("name failure", config.name_failure_one_in, 7),
            (
                "socket memory",
                config.socket_memory_bytes.is_none(),
                config.socket_memory_bytes == most.socket_memory_bytes,
            ),
        ]
    }

    #[test]
    fn each_fault_is_off_in_some_runs_and_full_in_others() {
        let runs: Vec<_> = (0..200).map(|seed| faults(&drawn(seed))).collect();
        for index in 0..runs[0].len() {
            let name = runs[0][index].0;
            let off = runs.iter().filter(|run| run[index].1).count();
            let full = runs.iter().filter(|run| run[index].2).count();
            assert!((30..130).contains(&off), "{name} is off in {off} of 200");
            assert!((30..130).contains(&full), "{name} is full in {full} of 200");
        }
    }

    #[test]
    fn a_calm_day_has_none() {
        let calm = draw(all(), &mut Choices::new(&Tape::new(1).into()));
        assert!(faults(&calm).iter().all(|(_, is_off, _)| *is_off), "{calm:?}");
    }

    #[test]
    fn what_a_config_does_not_have_no_run_has() {
        for seed in 0..50 {
            let config = WorldConfig { swarm: true, ..WorldConfig::calm() };
            assert_eq!(draw(config, &mut Choices::new(&seed.into())), WorldConfig::calm());
        }
    }
}
