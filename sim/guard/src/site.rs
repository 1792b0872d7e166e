//! The place of a call: the innermost frame of the stack that is neither of this crate, nor of `std`, nor of libc, nor of the
//! crate `getrandom`, which only passes on what others ask for.
//!
//! Where there is debug information a frame is told by its file, else by its name: of functions that were inlined the name may
//! come without its path.

use backtrace::Symbol;

/// The functions that this crate stands in for.
const STAND_INS: [&str; 6] =
    ["clock_gettime", "gettimeofday", "time", "getrandom", "getentropy", "syscall"];

/// Where they are.
const STAND_INS_FILE: &str = "guard/src/interposed.rs";

/// Parts of the paths of files that are never the place.
const NOT_FILES: [&str; 6] = [
    STAND_INS_FILE,
    "/rustc/",
    "library/std/src/",
    "library/core/src/",
    "/rust/deps/",
    "/getrandom-",
];

/// Starts of the names of functions that are never the place.
const NOT_NAMES: [&str; 6] =
    ["mainspring_sim_guard::", "std::", "core::", "alloc::", "getrandom::", "hashbrown::"];

/// The place that called one of the functions that this crate stands in for: file and line, and the function.
pub(crate) fn caller() -> String {
    let mut is_past = false;
    let mut place = None;
    backtrace::trace(|frame| {
        // Functions that were inlined come first.
        backtrace::resolve_frame(frame, |symbol| {
            let (name, file, line) = parts(symbol);
            if is_past && place.is_none() && is_place(&name, &file) {
                place =
                    Some(if file.is_empty() { name } else { format!("{file}:{line} ({name})") });
            } else {
                is_past = is_past || is_stand_in(&name, &file);
            }
        });
        place.is_none()
    });
    place.unwrap_or_else(|| "a place that has no name".to_owned())
}

/// Its name, file and line; empty where they are not known.
fn parts(symbol: &Symbol) -> (String, String, u32) {
    let name = symbol.name().map(|name| format!("{name:#}")).unwrap_or_default();
    let file = symbol.filename().map(|file| file.display().to_string()).unwrap_or_default();
    (name, file, symbol.lineno().unwrap_or(0))
}

fn is_stand_in(name: &str, file: &str) -> bool {
    file.ends_with(STAND_INS_FILE) || (file.is_empty() && STAND_INS.contains(&name))
}

fn is_place(name: &str, file: &str) -> bool {
    if !file.is_empty() {
        return !NOT_FILES.iter().any(|part| file.contains(part));
    }
    // `<T as Trait>::function` is of T. What has no path is of libc.
    let start = name.trim_start_matches(['<', '&']);
    name.contains("::") && !NOT_NAMES.iter().any(|prefix| start.starts_with(prefix))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_somebody_elses() {
        let check =
            |name, file, expected| assert_eq!(is_place(name, file), expected, "{name} {file}");
        check("start_thread", "", false);
        check("std::time::Instant::now", "", false);
        check("<std::hash::random::RandomState as core::default::Default>::default", "", false);
        check("mainspring_sim_guard::interposed::filled", "", false);
        check("<ring::rand::SystemRandom as ring::rand::SecureRandom>::fill", "", true);
        check("my_service::handler", "", true);
        check("now", "/rustc/0123/library/std/src/time.rs", false);
        check("inner", "/registry/getrandom-0.2.17/src/lib.rs", false);
        check("clock_gettime", "/work/sim/guard/src/interposed.rs", false);
        check("fill", "/registry/ring-0.17.14/src/rand.rs", true);
        check("handler", "src/main.rs", true);
    }

    #[test]
    fn the_stand_ins_are_told_by_file_or_name() {
        assert!(is_stand_in("shown", "/work/sim/guard/src/interposed.rs"));
        assert!(is_stand_in("syscall", ""));
        assert!(!is_stand_in("time", "src/time.rs"));
    }
}
