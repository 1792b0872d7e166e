//! `Test`: the test of `cargo test` that checks a scenario.

use core::any::type_name;
use core::panic::Location;

use super::variables::{REPLAY, variable};

/// The test that asks.
pub(super) struct Test {
    pub(super) location: &'static Location<'static>,
    /// Its path in its crate, as `cargo test` has it.
    pub(super) name: String,
    pub(super) type_name: &'static str,
}

impl Test {
    /// That of a body which is a closure in the test's function.
    pub(super) fn of<B>(location: &'static Location<'static>) -> Self {
        let type_name = type_name::<B>();
        let path = type_name.split_once("::").map_or(type_name, |(_, path)| path);
        let path = path.split("::{{closure}}").next().unwrap_or(path);
        // `cargo test` names the thread of a test for it, where it has more than one.
        let name = thread_name().filter(|name| name != "main").unwrap_or_else(|| path.to_owned());
        Self { location, name, type_name }
    }

    /// What repeats a run of it.
    pub(super) fn repeats(&self, what: &str) -> String {
        let package =
            variable("CARGO_PKG_NAME").map_or(String::new(), |name| format!(" -p {name}"));
        format!("{REPLAY}={what} cargo test{package} {} -- --exact --nocapture", self.name)
    }
}

fn thread_name() -> Option<String> {
    std::thread::current().name().map(str::to_owned)
}
