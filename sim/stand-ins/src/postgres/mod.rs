//! `Postgres`: a stand-in for a PostgreSQL server: enough of its protocol, version 3.0, for a client library to connect without a
//! password, to ask by simple and by extended query, several at a time, to have transactions, and to cancel.
//!
//! It knows no tables, and no SQL but what a scenario gives it answers to, what `sql` says, and transactions. What it answers, it
//! answers as the real server does: the same body of a test runs against both.
//!
//! The protocol is described in the documentation of PostgreSQL 15, chapter 55.

mod answers;
mod backends;
mod error;
mod session;
mod sql;
mod statement;
mod values;
mod wire;

use core::time::Duration;
use std::io;

use mainspring_sim::Host;

use crate::call::Call;
use crate::rules::Act;
use crate::stand_in::{Protocol, StandIn};
use answers::Answers;
use backends::Backends;

pub use answers::Rows;
pub use error::PostgresError;
pub use values::{Kind, Value};

/// How a PostgreSQL server misbehaves in words of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PostgresBehaviour {
    /// FATAL in place of the greeting: [`PostgresError::too_many_connections`], [`PostgresError::starting_up`], …
    Reject(PostgresError),
    /// Reads who comes, and never greets.
    StallAtStart,
    /// Lets the client in, and never says that it is ready.
    StallAfterLogin,
    /// An error in place of the answer; the session goes on: [`PostgresError::serialization`], [`PostgresError::read_only`], …
    Fail(PostgresError),
    /// FATAL in place of the answer, and the end: [`PostgresError::shutting_down`].
    Terminate(PostgresError),
    /// So many rows, then nothing. A result without any stops before its end.
    StallAfterRows(usize),
    /// So many rows, then an error.
    FailAfterRows {
        /// At most so many.
        rows: usize,
        /// And then this.
        error: PostgresError,
    },
    /// The whole answer, but never that it is the client's turn.
    StallBeforeReady,
    /// Each query takes so long, unless it is cancelled.
    Slow(Duration),
    /// Requests to cancel are taken, and nothing comes of them.
    IgnoreCancel,
    /// Requests to cancel take effect so much later: by then another query may run, which they end.
    LateCancel(Duration),
}

impl From<PostgresBehaviour> for Act<PostgresBehaviour> {
    fn from(behaviour: PostgresBehaviour) -> Self {
        Self::Own(behaviour)
    }
}

/// What a client has asked of a PostgreSQL server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PostgresQuestion {
    /// A query was to run, with these parameters as text.
    Query {
        /// As the client wrote it.
        sql: String,
        /// Those of the extended query; `None` is NULL.
        parameters: Vec<Option<String>>,
    },
    /// The query of another connection was to be cancelled.
    Cancel,
}

/// A PostgreSQL server.
///
/// ```
/// # use mainspring_sim::{World, WorldConfig};
/// use mainspring_stand_ins::postgres::{Kind, PostgresError, Rows};
/// use mainspring_stand_ins::{Postgres, PostgresBehaviour};
/// # let world = World::new(1, WorldConfig::calm());
/// let users = Rows::new(&[("id", Kind::Int4), ("name", Kind::Text)]);
/// let db = Postgres::new()
///     .answer("select id, name from users", users.row([1.into(), "Ada".into()]))
///     .does("delete from users where id = $1", "DELETE 1")
///     .fails("select * from nothing", PostgresError::new("42P01", "there is no such table"))
///     .serve(&world.host("db"), 5432);
/// db.behave(PostgresBehaviour::Fail(PostgresError::serialization())).one_in(5);
/// # db.stop();
/// # world.run().unwrap();
/// ```
#[derive(Debug, Default)]
pub struct Postgres {
    answers: Answers,
    backends: Backends,
}

impl Postgres {
    /// One that knows arithmetic (`SELECT $1::INT4 + 1`), `pg_sleep` and transactions.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Answers a query with these rows. Case and white space of the query do not count.
    #[must_use]
    pub fn answer(mut self, sql: &str, rows: Rows) -> Self {
        self.answers.add(sql, answers::Answer::Rows(rows));
        self
    }

    /// Says that a query without a result was done, with a tag such as `INSERT 0 1`.
    #[must_use]
    pub fn does(mut self, sql: &str, tag: &str) -> Self {
        self.answers.add(sql, answers::Answer::Done(tag.to_owned()));
        self
    }

    /// Answers a query with an error.
    #[must_use]
    pub fn fails(mut self, sql: &str, error: PostgresError) -> Self {
        self.answers.add(sql, answers::Answer::Error(error));
        self
    }

    /// How many queries run at this moment: one that nobody waits for any more runs on.
    #[must_use]
    pub fn running_count(&self) -> usize {
        self.backends.running_count()
    }

    /// How many sessions are in a transaction at this moment.
    #[must_use]
    pub fn transaction_count(&self) -> usize {
        self.backends.transaction_count()
    }

    /// Serves on a simulated host. See [`StandIn::serve`].
    ///
    /// # Panics
    /// As [`StandIn::serve`].
    #[must_use = "a stand-in ends with its last handle"]
    #[track_caller]
    pub fn serve(self, host: &Host, port: u16) -> StandIn<Self> {
        StandIn::serve(self, host, port)
    }
}

impl Protocol for Postgres {
    type Behaviour = PostgresBehaviour;
    type Question = PostgresQuestion;

    async fn converse(call: Call<Self>) -> io::Result<()> {
        session::run(call).await
    }
}
