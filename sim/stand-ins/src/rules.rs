//! `Rules`: which misbehaviour is in force, when, and for whom. Open choices are drawn.

use core::cell::{Cell, RefCell};

use mainspring_executor::Instant;
use mainspring_executor::time::now;

use crate::behaviour::{Behaviour, Beyond};
use crate::bell::Bell;

/// A misbehaviour: of any server, or in the words of a protocol.
#[derive(Clone, Debug)]
pub enum Act<B> {
    /// See [`Behaviour`].
    Any(Behaviour),
    /// The protocol's own.
    Own(B),
}

impl<B> From<Behaviour> for Act<B> {
    fn from(behaviour: Behaviour) -> Self {
        Self::Any(behaviour)
    }
}

/// A rule that was set, to be narrowed: without more it holds for everybody, always. What it narrows holds from then on.
pub struct Rule<'a, B> {
    rules: &'a Rules<B>,
    id: u64,
}

pub(crate) struct Rules<B> {
    list: RefCell<Vec<Entry<B>>>,
    last_id: Cell<u64>,
    choose: Box<dyn Fn(u64) -> u64>,
    /// Rings at each change.
    pub(crate) changed: Bell,
}

struct Entry<B> {
    id: u64,
    act: Act<B>,
    one_in: u64,
    times: Option<u64>,
    from: Instant,
    until: Instant,
    connection: Option<u64>,
}

impl<B> Entry<B> {
    fn is_in_force(&self, at: Instant, connection: u64) -> bool {
        self.from <= at
            && at < self.until
            && self.times != Some(0)
            && self.connection.is_none_or(|only| only == connection)
    }
}

impl<B: Clone> Rules<B> {
    pub(crate) fn new(choose: Box<dyn Fn(u64) -> u64>) -> Self {
        let (list, last_id, changed) = (RefCell::default(), Cell::new(0), Bell::default());
        Self { list, last_id, choose, changed }
    }

    /// A number below `bound`, drawn; 0 is the harmless one.
    pub(crate) fn choose(&self, bound: u64) -> u64 {
        (self.choose)(bound)
    }

    pub(crate) fn clear(&self) {
        self.list.borrow_mut().clear();
        self.changed.ring();
    }

    pub(crate) fn add(&self, act: Act<B>) -> Rule<'_, B> {
        if let Act::Any(behaviour) = &act {
            behaviour.check();
        }
        let id = self.last_id.get() + 1;
        self.last_id.set(id);
        let (from, until) = (Instant::START, Instant::FAR_FUTURE);
        let entry = Entry { id, act, one_in: 1, times: None, from, until, connection: None };
        self.list.borrow_mut().push(entry);
        self.changed.ring();
        Rule { rules: self, id }
    }

    /// What of the rules in force comes to pass for this connection, now: those that `pick` picks, in the order in which they
    /// were set. Rules that hold for one in so many are drawn, those for so many times are used up.
    pub(crate) fn draw<T>(&self, connection: u64, pick: impl Fn(&Act<B>) -> Option<T>) -> Vec<T> {
        let mut list = self.list.borrow_mut();
        self.drawn(&mut list, connection, pick).collect()
    }

    /// The first of what [`Rules::draw`] gives. Rules behind it are neither drawn nor used up.
    pub(crate) fn draw_first<T>(
        &self,
        connection: u64,
        pick: impl Fn(&Act<B>) -> Option<T>,
    ) -> Option<T> {
        let mut list = self.list.borrow_mut();
        self.drawn(&mut list, connection, pick).next()
    }

    /// Draws one rule after the other, as far as it is asked to.
    fn drawn<T>(
        &self,
        list: &mut [Entry<B>],
        connection: u64,
        pick: impl Fn(&Act<B>) -> Option<T>,
    ) -> impl Iterator<Item = T> {
        let at = now();
        list.iter_mut().filter_map(move |entry| {
            let picked = pick(&entry.act)?;
            if !entry.is_in_force(at, connection) {
                return None;
            }
            if entry.one_in > 1 && (self.choose)(entry.one_in) != entry.one_in - 1 {
                return None;
            }
            entry.times = entry.times.map(|left| left - 1);
            Some(picked)
        })
    }

    fn of_server<T>(&self, pick: impl Fn(&Behaviour) -> Option<T>) -> Option<T> {
        let at = now();
        let list = self.list.borrow();
        let mut in_force = list.iter().filter(|entry| entry.is_in_force(at, 0));
        in_force.find_map(|entry| match &entry.act {
            Act::Any(behaviour) => pick(behaviour),
            Act::Own(_) => None,
        })
    }

    pub(crate) fn refuses(&self) -> bool {
        self.of_server(|behaviour| (*behaviour == Behaviour::Refuse).then_some(())).is_some()
    }

    pub(crate) fn limit(&self) -> Option<(usize, Beyond)> {
        self.of_server(|behaviour| match behaviour {
            Behaviour::Limit { connections, beyond } => Some((*connections, *beyond)),
            _ => None,
        })
    }

    /// When the next rule begins or ends by itself.
    pub(crate) fn next_change(&self) -> Instant {
        let at = now();
        let list = self.list.borrow();
        let times = list.iter().flat_map(|entry| [entry.from, entry.until]);
        times.filter(|time| *time > at).min().unwrap_or(Instant::FAR_FUTURE)
    }
}

#[expect(clippy::must_use_candidate, reason = "a rule holds whether anybody keeps this or not")]
impl<B: Clone> Rule<'_, B> {
    /// Holds for one of so many answers, or connections: each is drawn.
    ///
    /// # Panics
    /// For 0; for [`Behaviour::Refuse`] and [`Behaviour::Limit`], which are of the server as a whole.
    pub fn one_in(self, count: u64) -> Self {
        assert!(count > 0, "Rule::one_in: none of anything is no rule");
        self.narrow("one_in", |entry| entry.one_in = count)
    }

    /// Holds for the next answer, or connection, alone.
    ///
    /// # Panics
    /// As [`Rule::one_in`], of the server as a whole.
    pub fn once(self) -> Self {
        self.times(1)
    }

    /// Holds so many times.
    ///
    /// # Panics
    /// As [`Rule::one_in`], of the server as a whole.
    pub fn times(self, count: u64) -> Self {
        self.narrow("times", |entry| entry.times = Some(count))
    }

    /// Holds for this connection alone.
    ///
    /// # Panics
    /// As [`Rule::one_in`], of the server as a whole.
    pub fn on(self, connection: u64) -> Self {
        self.narrow("on", |entry| entry.connection = Some(connection))
    }

    /// Holds from this instant on.
    pub fn from(self, at: Instant) -> Self {
        self.change(|entry| entry.from = at)
    }

    /// Holds until this instant.
    pub fn until(self, at: Instant) -> Self {
        self.change(|entry| entry.until = at)
    }

    fn narrow(self, method: &str, change: impl FnOnce(&mut Entry<B>)) -> Self {
        self.change(|entry| {
            let is_of_server = matches!(&entry.act, Act::Any(any) if any.is_of_server());
            assert!(!is_of_server, "Rule::{method}: the rule is of the server as a whole");
            change(entry);
        })
    }

    fn change(self, change: impl FnOnce(&mut Entry<B>)) -> Self {
        // Not there where it was replaced meanwhile.
        if let Some(entry) =
            self.rules.list.borrow_mut().iter_mut().find(|entry| entry.id == self.id)
        {
            change(entry);
        }
        self.rules.changed.ring();
        self
    }
}
