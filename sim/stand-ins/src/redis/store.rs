//! `Store`: keys and what is under them. It knows no commands.

use core::time::Duration;
use std::collections::{BTreeMap, VecDeque};

use mainspring_executor::Instant;
use mainspring_executor::time::now;

/// What is under a key.
#[derive(Debug)]
pub(super) enum Value {
    String(Vec<u8>),
    List(VecDeque<Vec<u8>>),
    Hash(BTreeMap<Vec<u8>, Vec<u8>>),
}

/// Why there is no answer: another kind of value is under the key.
#[derive(Debug)]
pub(super) struct WrongType;

#[derive(Debug)]
struct Entry {
    value: Value,
    expires: Instant,
}

#[derive(Debug, Default)]
pub(super) struct Store {
    entries: BTreeMap<Vec<u8>, Entry>,
    /// How often each key was written, for those who watch it.
    versions: BTreeMap<Vec<u8>, u64>,
}

impl Store {
    /// Drops a key whose time is over.
    fn settle(&mut self, key: &[u8]) {
        if self.entries.get(key).is_some_and(|entry| entry.expires <= now()) {
            self.entries.remove(key);
            self.written(key);
        }
    }

    fn written(&mut self, key: &[u8]) {
        *self.versions.entry(key.to_vec()).or_default() += 1;
    }

    pub(super) fn version(&mut self, key: &[u8]) -> u64 {
        self.settle(key);
        self.versions.get(key).copied().unwrap_or(0)
    }

    pub(super) fn set(&mut self, key: Vec<u8>, value: Vec<u8>) {
        self.written(&key);
        let entry = Entry { value: Value::String(value), expires: Instant::FAR_FUTURE };
        self.entries.insert(key, entry);
    }

    /// The string under a key, without a look at the clock.
    pub(super) fn string(&self, key: &[u8]) -> Option<Vec<u8>> {
        match &self.entries.get(key)?.value {
            Value::String(bytes) => Some(bytes.clone()),
            _ => None,
        }
    }

    pub(super) fn clear(&mut self) {
        for key in core::mem::take(&mut self.entries).into_keys() {
            self.written(&key);
        }
    }

    pub(super) fn len(&mut self) -> usize {
        let keys: Vec<Vec<u8>> = self.entries.keys().cloned().collect();
        keys.iter().for_each(|key| self.settle(key));
        self.entries.len()
    }

    pub(super) fn get(&mut self, key: &[u8]) -> Option<&Value> {
        self.settle(key);
        self.entries.get(key).map(|entry| &entry.value)
    }

    pub(super) fn remove(&mut self, key: &[u8]) -> bool {
        self.settle(key);
        let was_there = self.entries.remove(key).is_some();
        if was_there {
            self.written(key);
        }
        was_there
    }

    /// The time that a key has left; `None` without the key, `Some(None)` for ever.
    pub(super) fn time_left(&mut self, key: &[u8]) -> Option<Option<Duration>> {
        self.settle(key);
        let entry = self.entries.get(key)?;
        let is_bounded = entry.expires < Instant::FAR_FUTURE;
        Some(is_bounded.then(|| entry.expires - now()))
    }

    /// Gives a key so much time; whether it is there.
    pub(super) fn expire(&mut self, key: &[u8], after: Duration) -> bool {
        self.settle(key);
        let Some(entry) = self.entries.get_mut(key) else { return false };
        entry.expires = now() + after;
        self.written(key);
        true
    }

    /// The list under a key, made where there is none, for a change.
    pub(super) fn list(&mut self, key: &[u8]) -> Result<&mut VecDeque<Vec<u8>>, WrongType> {
        // Looked at before it counts as written.
        if self.get(key).is_some_and(|value| !matches!(value, Value::List(_))) {
            return Err(WrongType);
        }
        match self.entry(key, || Value::List(VecDeque::new())) {
            Value::List(list) => Ok(list),
            _ => Err(WrongType),
        }
    }

    /// The hash under a key, made where there is none, for a change.
    pub(super) fn hash(
        &mut self,
        key: &[u8],
    ) -> Result<&mut BTreeMap<Vec<u8>, Vec<u8>>, WrongType> {
        if self.get(key).is_some_and(|value| !matches!(value, Value::Hash(_))) {
            return Err(WrongType);
        }
        match self.entry(key, || Value::Hash(BTreeMap::new())) {
            Value::Hash(hash) => Ok(hash),
            _ => Err(WrongType),
        }
    }

    /// Writes a string under a key; the time that it has left stays.
    pub(super) fn put(&mut self, key: &[u8], value: Vec<u8>) {
        *self.entry(key, || Value::String(Vec::new())) = Value::String(value);
    }

    /// Drops a key whose list or hash has become empty.
    pub(super) fn tidy(&mut self, key: &[u8]) {
        let is_empty = match self.entries.get(key).map(|entry| &entry.value) {
            Some(Value::List(list)) => list.is_empty(),
            Some(Value::Hash(hash)) => hash.is_empty(),
            _ => false,
        };
        if is_empty {
            self.entries.remove(key);
        }
    }

    fn entry(&mut self, key: &[u8], make: impl FnOnce() -> Value) -> &mut Value {
        self.settle(key);
        self.written(key);
        let made = || Entry { value: make(), expires: Instant::FAR_FUTURE };
        &mut self.entries.entry(key.to_vec()).or_insert_with(made).value
    }
}
