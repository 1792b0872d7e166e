//! `Backends`: the sessions of a server, by the number that the real one has from its processes.

use core::cell::RefCell;
use std::collections::BTreeMap;

use mainspring_executor::{CancelToken, random};

#[derive(Debug, Default)]
pub(super) struct Backends {
    sessions: RefCell<BTreeMap<i32, Backend>>,
}

#[derive(Debug)]
struct Backend {
    /// What a request to cancel must know.
    secret: i32,
    /// Ends the query that runs.
    running: Option<CancelToken>,
    is_in_transaction: bool,
}

impl Backends {
    /// Gives a session its number and its secret.
    #[expect(clippy::cast_possible_truncation, reason = "any 32 of the bits will do")]
    pub(super) fn enter(&self) -> (i32, i32) {
        let secret = random() as i32;
        let mut sessions = self.sessions.borrow_mut();
        let number = sessions.last_key_value().map_or(1, |(last, _)| last + 1);
        sessions.insert(number, Backend { secret, running: None, is_in_transaction: false });
        (number, secret)
    }

    pub(super) fn leave(&self, number: i32) {
        self.sessions.borrow_mut().remove(&number);
    }

    /// A query of this session begins or ends.
    pub(super) fn set_running(&self, number: i32, query: Option<CancelToken>) {
        self.change(number, |session| session.running = query);
    }

    pub(super) fn set_in_transaction(&self, number: i32, is_in_transaction: bool) {
        self.change(number, |session| session.is_in_transaction = is_in_transaction);
    }

    fn change(&self, number: i32, change: impl FnOnce(&mut Backend)) {
        let mut sessions = self.sessions.borrow_mut();
        change(sessions.get_mut(&number).expect("a session is there while it runs"));
    }

    /// Ends the query of a session, if one runs. As with the real server, nobody is told whether that was so.
    pub(super) fn cancel(&self, number: i32, secret: i32) {
        let running = {
            let sessions = self.sessions.borrow();
            let session = sessions.get(&number).filter(|session| session.secret == secret);
            session.and_then(|session| session.running.clone())
        };
        if let Some(query) = running {
            query.cancel();
        }
    }

    pub(super) fn running_count(&self) -> usize {
        self.sessions.borrow().values().filter(|session| session.running.is_some()).count()
    }

    pub(super) fn transaction_count(&self) -> usize {
        self.sessions.borrow().values().filter(|session| session.is_in_transaction).count()
    }
}
