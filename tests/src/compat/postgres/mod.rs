//! A stand-in for the PostgreSQL server: enough of its protocol, version 3.0, for a client library to connect without a
//! password, to ask by simple and by extended query, several at a time, and to cancel.
//!
//! It knows no tables, no transactions and no SQL but what `sql` says. What it answers, it answers as the real server
//! does: the same body of a test runs against both.
//!
//! The protocol is described in the documentation of PostgreSQL 15, chapter 55.

mod session;
mod sql;
mod wire;

use core::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use mainspring_executor::net::TcpListener;
use mainspring_executor::{CancelToken, random};

use super::accept_each;

/// Serves connections until `stop` is cancelled; those that are left then are dropped.
///
/// # Panics
/// As [`accept_each`].
pub async fn serve(listener: TcpListener, stop: CancelToken) {
    let backends = Rc::new(Backends::default());
    let sessions = accept_each(listener, stop, move |stream| {
        let backends = Rc::clone(&backends);
        // A client that goes away or talks nonsense ends its own session only.
        async move { drop(session::run(stream, &backends).await) }
    });
    drop(sessions.await);
}

/// The sessions of a server, by the number that the real one has from its processes.
#[derive(Debug, Default)]
struct Backends {
    sessions: RefCell<BTreeMap<i32, Backend>>,
}

#[derive(Debug)]
struct Backend {
    /// What a request to cancel must know.
    secret: i32,
    /// Ends the query that runs.
    running: Option<CancelToken>,
}

impl Backends {
    /// Gives a session its number and its secret.
    #[expect(clippy::cast_possible_truncation, reason = "any 32 of the bits will do")]
    fn enter(&self) -> (i32, i32) {
        let secret = random() as i32;
        let mut sessions = self.sessions.borrow_mut();
        let number = sessions.last_key_value().map_or(1, |(last, _)| last + 1);
        sessions.insert(number, Backend { secret, running: None });
        (number, secret)
    }

    fn leave(&self, number: i32) {
        self.sessions.borrow_mut().remove(&number);
    }

    /// A query of this session begins or ends.
    fn set_running(&self, number: i32, query: Option<CancelToken>) {
        let mut sessions = self.sessions.borrow_mut();
        let session = sessions.get_mut(&number).expect("a session is there while it runs");
        session.running = query;
    }

    /// Ends the query of a session, if one runs. As with the real server, nobody is told whether that was so.
    fn cancel(&self, number: i32, secret: i32) {
        let running = {
            let sessions = self.sessions.borrow();
            let session = sessions.get(&number).filter(|session| session.secret == secret);
            session.and_then(|session| session.running.clone())
        };
        if let Some(query) = running {
            query.cancel();
        }
    }
}
