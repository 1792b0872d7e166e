//! `Cache`: answers about names, for a while. It knows no clock: whoever asks says when.
//!
//! Invariant: each name is in both maps, and there are at most [`NAMES_MAX`].

use core::net::IpAddr;
use core::time::Duration;
use std::collections::BTreeMap;
use std::io;
use std::rc::Rc;

use crate::driver::Exhausted;
use crate::instant::Instant;

/// Names that are remembered by a shard. Beyond it the one that was not asked for the longest time goes.
const NAMES_MAX: usize = 1024;

/// For how long addresses are taken for true. The resolver of the system does not tell; this is about what those who move
/// a service to other addresses expect of clients.
const KNOWN_TTL: Duration = Duration::from_secs(30);

/// For how long a name is taken for unknown. Short: one that is asked for will often come to be soon.
const UNKNOWN_TTL: Duration = Duration::from_secs(5);

/// What became of a lookup.
pub(super) type Answer = Result<Rc<[IpAddr]>, Failure>;

/// An error that can be told to many.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Failure {
    kind: io::ErrorKind,
    text: Rc<str>,
    is_exhausted: bool,
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        let is_exhausted = Exhausted::is(&error);
        Self { kind: error.kind(), text: error.to_string().into(), is_exhausted }
    }
}

impl From<Failure> for io::Error {
    fn from(failure: Failure) -> Self {
        match failure.is_exhausted {
            true => Exhausted.into(),
            false => Self::new(failure.kind, &*failure.text),
        }
    }
}

/// See the file.
#[derive(Default)]
pub(super) struct Cache {
    entries: BTreeMap<Rc<str>, Entry>,
    /// By when they were last asked for.
    by_use: BTreeMap<u64, Rc<str>>,
    uses: u64,
}

struct Entry {
    answer: Answer,
    until: Instant,
    used: u64,
}

impl Cache {
    /// What is known of `name` at `now`.
    pub(super) fn get(&mut self, name: &str, now: Instant) -> Option<Answer> {
        let (name, entry) = self.entries.get_key_value(name)?;
        if entry.until <= now {
            let name = Rc::clone(name);
            self.forget(&name);
            return None;
        }
        let (name, answer) = (Rc::clone(name), entry.answer.clone());
        let used = self.use_of(&name);
        let entry = self.entries.get_mut(&name).expect("it is there");
        let before = core::mem::replace(&mut entry.used, used);
        self.by_use.remove(&before);
        Some(answer)
    }

    /// Remembers what a lookup gave, if it is worth it: what went wrong may go well the next time.
    pub(super) fn put(&mut self, name: &str, answer: Answer, now: Instant) {
        let ttl = match &answer {
            Ok(_) => KNOWN_TTL,
            Err(failure) if failure.kind == io::ErrorKind::NotFound => UNKNOWN_TTL,
            Err(_) => return,
        };
        self.forget(name);
        if self.entries.len() == NAMES_MAX {
            let (_, oldest) = self.by_use.first_key_value().expect("there are as many");
            let oldest = Rc::clone(oldest);
            self.forget(&oldest);
        }
        let name: Rc<str> = name.into();
        let used = self.use_of(&name);
        self.entries.insert(name, Entry { answer, until: now + ttl, used });
    }

    fn use_of(&mut self, name: &Rc<str>) -> u64 {
        self.uses += 1;
        self.by_use.insert(self.uses, Rc::clone(name));
        self.uses
    }

    fn forget(&mut self, name: &str) {
        if let Some(entry) = self.entries.remove(name) {
            self.by_use.remove(&entry.used);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(last: u8) -> Answer {
        Ok([IpAddr::from([10, 0, 0, last])].into())
    }

    fn failed(kind: io::ErrorKind) -> Answer {
        Err(io::Error::from(kind).into())
    }

    fn at(seconds: u64) -> Instant {
        Instant::START + Duration::from_secs(seconds)
    }

    #[test]
    fn answers_are_good_for_a_while() {
        let mut cache = Cache::default();
        cache.put("known", found(1), at(100));
        cache.put("unknown", failed(io::ErrorKind::NotFound), at(100));
        cache.put("broken", failed(io::ErrorKind::TimedOut), at(100));
        cache.put("busy", Err(Failure::from(io::Error::from(Exhausted))), at(100));
        for (name, seconds, expected) in [
            ("known", 129, Some(found(1))),
            ("known", 130, None),
            ("unknown", 104, Some(failed(io::ErrorKind::NotFound))),
            ("unknown", 105, None),
            ("broken", 100, None),
            ("busy", 100, None),
        ] {
            assert_eq!(cache.get(name, at(seconds)), expected, "{name} after {seconds} s");
        }
        assert!(cache.entries.is_empty() && cache.by_use.is_empty());
        cache.put("known", found(1), at(200));
        cache.put("known", found(2), at(220));
        assert_eq!(cache.get("known", at(249)), Some(found(2)));
        assert_eq!(cache.by_use.len(), 1);
    }

    #[test]
    fn the_one_not_asked_for_the_longest_goes_first() {
        let mut cache = Cache::default();
        let name = |number: usize| format!("host-{number}");
        for number in 0..NAMES_MAX {
            cache.put(&name(number), found(1), at(0));
        }
        assert!(cache.get(&name(0), at(1)).is_some());
        cache.put("one more", found(2), at(2));
        cache.put("another", found(2), at(2));
        let left = |cache: &mut Cache, number| cache.get(&name(number), at(3)).is_some();
        assert!(left(&mut cache, 0), "it was asked for since");
        assert!(!left(&mut cache, 1) && !left(&mut cache, 2) && left(&mut cache, 3));
        assert_eq!((cache.entries.len(), cache.by_use.len()), (NAMES_MAX, NAMES_MAX));
    }

    #[test]
    fn a_failure_can_be_told_twice() {
        let told = |error: io::Error| io::Error::from(Failure::from(error).clone());
        assert!(Exhausted::is(&told(Exhausted.into())));
        let error = told(io::Error::new(io::ErrorKind::NotFound, "no such name"));
        assert_eq!((error.kind(), &*error.to_string()), (io::ErrorKind::NotFound, "no such name"));
        assert!(!Exhausted::is(&error));
    }
}
