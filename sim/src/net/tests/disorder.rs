//! Segments that come late, or twice.

use super::*;

fn all_late() -> WorldConfig {
    WorldConfig { segment_reordering_permille: 1000, ..WorldConfig::calm() }
}

#[test]
fn what_is_late_makes_all_behind_it_wait() {
    let latencies: std::collections::BTreeSet<u128> = (0..50)
        .map(|seed| {
            let bench = Bench::seeded(seed, all_late());
            let (client, server) = bench.pair();
            let sent = bench.now();
            write(&bench.client, client, b"one").unwrap();
            bench.room.borrow_mut().config.segment_reordering_permille = 0;
            bench.pass(Duration::from_micros(1));
            write(&bench.client, client, b"two").unwrap();
            loop {
                let next = bench.room.borrow().next_instant().unwrap();
                bench.settle_until(next);
                match read(&bench.server, server, 99) {
                    Ok((bytes, _)) => {
                        assert_eq!(bytes, b"onetwo", "they come together, in order");
                        break (bench.now() - sent).as_millis();
                    }
                    Err(error) => assert_eq!(error, ErrorKind::WouldBlock),
                }
            }
        })
        .collect();
    assert!(latencies.into_iter().eq(2..=5), "one latency, and one to four more");
}

#[test]
fn what_three_segments_overtake_is_sent_again_and_one_of_both_is_a_duplicate() {
    // A line, so that segments go one by one; so fast that it takes no time worth mention.
    let sent = |seed, bytes: usize| {
        let bench = Bench::seeded(seed, WorldConfig { record: true, ..all_late() });
        let (client, server) = bench.pair();
        bench.set_line(1 << 40, 1 << 30);
        let start = bench.now();
        write(&bench.client, client, &vec![1; bytes]).unwrap();
        bench.settle();
        assert_eq!(read(&bench.server, server, 99_999).unwrap().0.len(), bytes);
        let lines = bench.room.borrow().trace_lines(1000);
        let is_first = |line: &&String| line.contains("bytes arrive");
        let first = lines.iter().find(is_first).unwrap().clone();
        let again = lines.iter().filter(|line| line.contains("arrives again")).count();
        let seconds: f64 = first.split(' ').next().unwrap().parse().unwrap();
        let took =
            seconds - f64::from(u32::try_from((start - Instant::START).as_nanos()).unwrap()) / 1e9;
        (took, again)
    };
    for seed in 0..50 {
        // The last three have too few behind them.
        let (took, again) = sent(seed, 4 * 1460);
        assert_eq!(again, 1, "seed {seed}");
        assert!(took < 0.003_1, "a round trip, and the way: {took}");
        assert_eq!(sent(seed, 3 * 1460).1, 0, "seed {seed}");
    }
    let slowest = (0..50).map(|seed| sent(seed, 3 * 1460).0).fold(0.0, f64::max);
    assert!(slowest > 0.004_9, "nobody is told: {slowest}");
}

#[test]
fn a_duplicate_is_answered_and_changes_nothing() {
    let config =
        WorldConfig { segment_duplication_permille: 1000, record: true, ..WorldConfig::calm() };
    let bench = Bench::new(config);
    let (client, server) = bench.pair();
    for _ in 0..3 {
        write(&bench.client, client, b"hello").unwrap();
        bench.settle();
        assert_eq!(read(&bench.server, server, 99), bytes("hello", true));
        assert_eq!(read(&bench.server, server, 99), Err(ErrorKind::WouldBlock));
    }
    bench.client.close(client);
    bench.settle();
    assert_eq!(read(&bench.server, server, 99), bytes("", false));
    bench.server.close(server);
    bench.settle();
    assert!(bench.room.borrow().connections.is_empty());
    let lines = bench.room.borrow().trace_lines(1000);
    assert_eq!(lines.iter().filter(|line| line.contains("arrives again")).count(), 5, "{lines:#?}");
}

proptest! {
    /// However packets come, what is read is what was written, and both ends come to their end.
    #[test]
    fn no_disorder_changes_a_byte(seed in any::<u64>(), sizes in proptest::collection::vec(1..6000_usize, 1..20)) {
        let config = WorldConfig {
            segment_reordering_permille: 300,
            segment_duplication_permille: 300,
            segment_loss_permille: 100,
            ..WorldConfig::rough()
        };
        let bench = Bench::seeded(seed, config);
        let (client, server) = bench.pair();
        let (mut sent, mut got) = (0, 0);
        for size in sizes {
            let bytes: Vec<u8> = (sent..sent + size).map(pattern_at).collect();
            if let Ok((count, _)) = write(&bench.client, client, &bytes) {
                sent += count;
            }
            bench.pass(Duration::from_millis(3));
            while let Ok((bytes, _)) = read(&bench.server, server, 5000) {
                prop_assert!(bytes.iter().enumerate().all(|(index, byte)| *byte == pattern_at(got + index)));
                got += bytes.len();
            }
        }
        bench.client.close(client);
        let mut has_ended = false;
        while !has_ended {
            bench.pass(Duration::from_secs(1));
            while let Ok((bytes, _)) = read(&bench.server, server, 5000) {
                prop_assert!(bytes.iter().enumerate().all(|(index, byte)| *byte == pattern_at(got + index)));
                got += bytes.len();
                if bytes.is_empty() {
                    has_ended = true;
                    break;
                }
            }
        }
        prop_assert_eq!(got, sent);
        bench.server.close(server);
        bench.settle();
        prop_assert!(bench.room.borrow().connections.is_empty());
    }
}
