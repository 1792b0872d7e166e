//! The scenarios, one file each.

mod conformance;
mod crowd;
mod dependencies;
mod hangup;
mod mixed;
mod planted;
mod stalled;

use core::net::SocketAddr;

use mainspring::{Handler, Server, Shutdown};
use mainspring_executor::driver::{ListenOptions, Signal};
use mainspring_executor::net::TcpListener;
use mainspring_sim::Host;
use mainspring_sim::harness::Scenario;

pub(crate) use mixed::MIXED;

/// All scenarios.
pub const ALL: &[Scenario] = &[
    conformance::CONFORMANCE,
    crowd::CROWD,
    crowd::LOSSY,
    dependencies::DEPENDENCIES,
    hangup::HANGUP,
    MIXED,
    stalled::STALLED,
    planted::LEAK,
    planted::LOST_WAKE,
    planted::WRONG_ORDER,
    planted::OVERTAKEN,
];

/// The scenario of that name.
#[must_use]
pub fn find(name: &str) -> Option<&'static Scenario> {
    ALL.iter().find(|scenario| scenario.name == name)
}

/// The port that the servers of the scenarios listen on.
const PORT: u16 = 80;

/// Runs the real server on `host`, until it gets SIGTERM.
fn serve<H: Handler>(host: &Host, server: impl FnOnce() -> Server<H> + 'static) {
    let address = SocketAddr::from(([0, 0, 0, 0], PORT));
    host.run(async move {
        let shutdown = Shutdown::on_signals().expect("signals can be watched");
        let listener = TcpListener::bind(address, ListenOptions::default()).expect("a free port");
        let summary = server().serve(vec![listener], shutdown).await;
        assert_eq!(summary.connections_cut, 0, "a drain lets everything end");
    });
}

/// Tells the server on `host` to drain.
fn drain(host: &Host) {
    host.signal(Signal::Terminate);
}
