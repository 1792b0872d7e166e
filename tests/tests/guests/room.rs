//! What every guest is held to: for each seed it ends well, leaves nothing, does the same when it is run again, and asks past
//! the driver for nothing but what it is known to; and with a bug it does not.

use core::time::Duration;
use std::collections::BTreeSet;
use std::sync::Mutex;

use mainspring_sim::bypass::Bypass;
use mainspring_sim::harness::{Run, Scenario, Setup, conclude};
use mainspring_sim::{World, WorldConfig};

/// Seeds of each kind of room; each is run twice.
const SEEDS: core::ops::Range<u64> = 0..100;

/// Those that are run once more, and tell who asks past the driver.
const RECORDED_SEEDS: core::ops::Range<u64> = 0..10;

/// What a run may take, in virtual time. A pair of hosts that lose each other takes 15 minutes to notice.
const VIRTUAL_TIME_MAX: Duration = Duration::from_secs(3600);

/// Looks at what came of a run that ended: how many requests were answered, or what is wrong.
pub(crate) type Verdict = Box<dyn FnOnce() -> Result<u64, String>>;

/// Puts a guest into a room.
pub(crate) type Guest = fn(&World) -> Verdict;

/// Runs a guest in both kinds of rooms. `asks` is all that its crates ask past the driver.
#[track_caller]
pub(crate) fn holds(guest: Guest, asks: &[&str]) {
    for (kind, config) in kinds() {
        let asked = Mutex::new(BTreeSet::new());
        let scenario =
            Scenario::with_body(kind, "a guest", |setup| run(guest, &config, setup, &asked));
        let runs = SEEDS.map(|seed| scenario.run_twice(seed).unwrap_or_else(|it| panic!("{it}")));
        let runs: Vec<Run> = runs.collect();
        let hashes: BTreeSet<u64> = runs.iter().map(|run| run.trace_hash).collect();
        assert_eq!(hashes.len(), runs.len(), "{kind}: seeds make a difference");
        assert!(runs.iter().all(|run| run.request_count > 0), "{kind}: somebody is answered");
        for seed in RECORDED_SEEDS {
            scenario.run(seed, true).unwrap_or_else(|failure| panic!("{failure}"));
        }
        let asked = asked.into_inner().expect("no run panics while it notes");
        assert!(asked.iter().map(String::as_str).eq(asks.iter().copied()), "{kind}: {asked:#?}");
    }
}

/// Runs a guest with a bug: it is found, in both kinds of rooms, and told in these words.
#[track_caller]
pub(crate) fn is_found(guest: Guest, words: &str) {
    for (kind, config) in kinds() {
        let body = |setup: &Setup| run(guest, &config, setup, &Mutex::default());
        let scenario = Scenario::with_body(kind, "a guest with a bug", body);
        let failure = SEEDS.clone().find_map(|seed| scenario.run_twice(seed).err());
        let failure = failure.unwrap_or_else(|| panic!("{kind}: no seed finds it"));
        assert!(failure.message.contains(words), "{failure}");
    }
}

fn kinds() -> [(&'static str, WorldConfig); 2] {
    [("rough", WorldConfig::rough()), ("swarm", WorldConfig::swarm())]
}

fn run(
    guest: Guest,
    config: &WorldConfig,
    setup: &Setup,
    asked: &Mutex<BTreeSet<String>>,
) -> Result<Run, String> {
    let config = WorldConfig { virtual_time_max: VIRTUAL_TIME_MAX, ..config.clone() };
    let world = setup.world(config);
    let verdict = guest(&world);
    let run = conclude(&world, 0)?;
    // There where the run is recorded.
    asked.lock().expect("no run panics here").extend(world.bypasses().kept.iter().map(who));
    Ok(Run { request_count: verdict()?, ..run })
}

/// What was asked for, and the crate that did.
fn who(Bypass { asked, site, .. }: &Bypass) -> String {
    let mut folders = site.rsplit("/src/").skip(1);
    let package = folders.next().and_then(|path| path.rsplit('/').next()).unwrap_or(site);
    let name = package.rsplit_once('-').map_or(package, |(name, _)| name);
    format!("{name}: {asked}")
}
