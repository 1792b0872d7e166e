//! A session: what one client says, one message after the other, and what it is answered.
//!
//! ```text
//! first message ─┬─ asks for TLS ── "no" ── first message
//!                ├─ cancels: passed on, and the connection ends without a word
//!                └─ starts: greeted ─┬─► query: rows or error, ready
//!                                    ├─► parse, bind, describe, execute: each answered, nothing sent before …
//!                                    ├─► sync: ready
//!                                    │   after an error in one of them, all are skipped up to the sync
//!                                    └─► terminate, or the client's end
//! ```

use core::pin::pin;
use core::time::Duration;
use std::collections::BTreeMap;
use std::io::{self, ErrorKind};

use futures::{FutureExt, select_biased};
use mainspring_executor::CancelToken;
use mainspring_executor::time::sleep;

use super::error::PostgresError;
use super::statement::{Portal, Statement, Step};
use super::values::Kind;
use super::wire::{Fields, Wire};
use super::{Postgres, PostgresBehaviour, PostgresQuestion};
use crate::call::Call;

/// What the first message of a connection asks for.
const START: i32 = 3 << 16;
const CANCEL: i32 = 80_877_102;
const TLS: i32 = 80_877_103;

/// Prepared statements and portals of a session; one more of them is a broken client.
const NAMES_MAX: usize = 1024;

/// Talks with one client to its end.
pub(super) async fn run(call: Call<Postgres>) -> io::Result<()> {
    let mut wire = Wire::new(call);
    while let Some(first) = wire.untyped().await? {
        let mut fields = Fields::new(&first);
        match fields.int32() {
            Some(START) => return greet(wire).await,
            Some(TLS) => wire.call.send(b"N").await?,
            Some(CANCEL) => {
                let (number, secret) = (fields.int32(), fields.int32());
                return cancel(&mut wire.call, number, secret).await;
            }
            _ => return Err(ErrorKind::InvalidData.into()),
        }
    }
    Ok(())
}

/// Passes a request to cancel on. The client learns of nothing but the end of the connection.
async fn cancel(
    call: &mut Call<Postgres>,
    number: Option<i32>,
    secret: Option<i32>,
) -> io::Result<()> {
    call.ask(PostgresQuestion::Cancel)?;
    let delay = call.own(|own| match own {
        PostgresBehaviour::IgnoreCancel => Some(None),
        PostgresBehaviour::LateCancel(time) => Some(Some(*time)),
        _ => None,
    });
    match delay {
        Some(None) => return Ok(()),
        Some(Some(time)) => sleep(time).await,
        None => {}
    }
    if let (Some(number), Some(secret)) = (number, secret) {
        call.protocol().backends.cancel(number, secret);
    }
    Ok(())
}

/// Lets anybody in, and serves.
async fn greet(mut wire: Wire) -> io::Result<()> {
    let own = wire.call.own(|own| match own {
        PostgresBehaviour::Reject(_)
        | PostgresBehaviour::StallAtStart
        | PostgresBehaviour::StallAfterLogin => Some(own.clone()),
        _ => None,
    });
    match &own {
        _ if wire.call.is_beyond_limit() => {
            return end(&mut wire, &PostgresError::too_many_connections()).await;
        }
        Some(PostgresBehaviour::Reject(error)) => return end(&mut wire, error).await,
        Some(PostgresBehaviour::StallAtStart) => return Err(wire.stall().await),
        _ => {}
    }
    let (number, secret) = wire.call.protocol().backends.enter();
    wire.put(b'R', |body| body.int32(0));
    for (name, value) in [("server_version", "15.0"), ("client_encoding", "UTF8")] {
        wire.put(b'S', |body| {
            body.text(name);
            body.text(value);
        });
    }
    wire.put(b'K', |body| {
        body.int32(number);
        body.int32(secret);
    });
    let mut session = Session {
        wire,
        number,
        statements: BTreeMap::new(),
        portals: BTreeMap::new(),
        transaction: Transaction::None,
    };
    if own.is_some() {
        session.wire.send().await?;
        return Err(session.wire.stall().await);
    }
    session.put_ready();
    session.wire.send().await?;
    session.serve().await
}

/// FATAL, and the end.
async fn end(wire: &mut Wire, error: &PostgresError) -> io::Result<()> {
    put_error(wire, "FATAL", error);
    wire.answer().await
}

fn put_error(wire: &mut Wire, severity: &str, error: &PostgresError) {
    wire.put(b'E', |body| {
        let fields =
            [(b'S', severity), (b'V', severity), (b'C', &error.code), (b'M', &error.message)];
        for (field, text) in fields {
            body.byte(field);
            body.text(text);
        }
        body.byte(0);
    });
}

struct Session {
    wire: Wire,
    number: i32,
    statements: BTreeMap<String, Statement>,
    portals: BTreeMap<String, Portal>,
    transaction: Transaction,
}

impl Drop for Session {
    /// Takes the session off the list, however it ends.
    fn drop(&mut self) {
        self.wire.call.protocol().backends.leave(self.number);
    }
}

/// Whether the session is in a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Transaction {
    None,
    Open,
    /// After an error: nothing is done until it ends.
    Failed,
}

/// Why a message has no answer.
enum Fault {
    /// The client is told, and goes on.
    Sql(PostgresError),
    /// The connection ends.
    Broken(io::Error),
}

impl From<PostgresError> for Fault {
    fn from(error: PostgresError) -> Self {
        Self::Sql(error)
    }
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        Self::Broken(error)
    }
}

/// A message that is too short, or not what it says.
fn malformed() -> Fault {
    Fault::Broken(ErrorKind::InvalidData.into())
}

impl Session {
    async fn serve(&mut self) -> io::Result<()> {
        let mut is_skipping = false;
        while let Some((kind, body)) = self.wire.message().await? {
            match kind {
                b'X' => break,
                b'S' => {
                    is_skipping = false;
                    // Cursors, which outlive a sync in a transaction, are none of what is known here.
                    self.portals.clear();
                    self.ready().await?;
                    continue;
                }
                _ if is_skipping => continue,
                _ => {}
            }
            match self.reply(kind, &mut Fields::new(&body)).await {
                Ok(()) => {}
                Err(Fault::Sql(error)) => {
                    put_error(&mut self.wire, "ERROR", &error);
                    if self.transaction == Transaction::Open {
                        self.transaction = Transaction::Failed;
                    }
                    is_skipping = kind != b'Q';
                }
                Err(Fault::Broken(error)) => return Err(error),
            }
            if kind == b'Q' {
                self.ready().await?;
            }
        }
        Ok(())
    }

    async fn reply(&mut self, kind: u8, fields: &mut Fields<'_>) -> Result<(), Fault> {
        match kind {
            b'Q' => self.query(fields.text().ok_or_else(malformed)?).await,
            b'P' => self.parse(fields),
            b'B' => self.bind(fields),
            b'D' => self.describe(fields),
            b'E' => self.execute(fields).await,
            b'C' => self.close(fields),
            b'H' => Ok(self.wire.answer().await?),
            _ => Err(malformed()),
        }
    }

    /// The simple query: text in, text out.
    async fn query(&mut self, sql: &str) -> Result<(), Fault> {
        self.ask(sql, Vec::new())?;
        if sql.trim().trim_matches(';').is_empty() {
            self.wire.put(b'I', |_| {});
            return Ok(());
        }
        let statement = self.understand(sql, &[])?;
        if !statement.parameters.is_empty() {
            return Err(PostgresError::NO_PARAMETER.into());
        }
        let portal = Portal::new(statement, Vec::new(), Vec::new())?;
        if portal.statement.columns().is_some() {
            self.row_description(&portal.statement, |column| portal.is_binary(column));
        }
        self.run(&portal).await
    }

    fn understand(&self, sql: &str, types: &[i32]) -> Result<Statement, PostgresError> {
        let statement = Statement::parse(&self.wire.call.protocol().answers, sql, types)?;
        self.check_not_aborted(&statement)?;
        Ok(statement)
    }

    /// After an error in a transaction nothing is done but to end it, also if it was prepared before.
    fn check_not_aborted(&self, statement: &Statement) -> Result<(), PostgresError> {
        match (self.transaction, statement.step()) {
            (Transaction::Failed, None | Some(Step::Begin)) => Err(PostgresError::ABORTED),
            _ => Ok(()),
        }
    }

    fn parse(&mut self, fields: &mut Fields<'_>) -> Result<(), Fault> {
        let name = fields.text().ok_or_else(malformed)?;
        let sql = fields.text().ok_or_else(malformed)?;
        let types = fields.list(Fields::int32).ok_or_else(malformed)?;
        let statement = self.understand(sql, &types)?;
        check_room(self.statements.len())?;
        self.statements.insert(name.to_owned(), statement);
        self.wire.put(b'1', |_| {});
        Ok(())
    }

    fn bind(&mut self, fields: &mut Fields<'_>) -> Result<(), Fault> {
        let portal = fields.text().ok_or_else(malformed)?;
        let statement = fields.text().ok_or_else(malformed)?;
        let formats = fields.list(Fields::int16).ok_or_else(malformed)?;
        let values = fields.list(Fields::value).ok_or_else(malformed)?;
        let result_formats = fields.list(Fields::int16).ok_or_else(malformed)?;
        let statement = self.statements.get(statement).ok_or(PostgresError::NO_STATEMENT)?.clone();
        if values.len() != statement.parameters.len() {
            return Err(malformed());
        }
        self.check_not_aborted(&statement)?;
        let mut parameters = Vec::new();
        for (index, (value, number)) in values.iter().zip(&statement.parameters).enumerate() {
            let format = if formats.len() == 1 { formats.first() } else { formats.get(index) };
            let decode = |bytes| {
                let text = Kind::decode(*number, bytes, format == Some(&1));
                text.ok_or(PostgresError::BAD_VALUE)
            };
            parameters.push(value.map(decode).transpose()?);
        }
        check_room(self.portals.len())?;
        let made = Portal::new(statement, parameters, result_formats)?;
        self.portals.insert(portal.to_owned(), made);
        self.wire.put(b'2', |_| {});
        Ok(())
    }

    fn describe(&mut self, fields: &mut Fields<'_>) -> Result<(), Fault> {
        let (what, name) = named(fields)?;
        if what == b'P' {
            let portal = self.portals.get(name).ok_or(PostgresError::NO_PORTAL)?.clone();
            self.check_describable(&portal.statement)?;
            self.row_description(&portal.statement, |column| portal.is_binary(column));
            return Ok(());
        }
        let statement = self.statements.get(name).ok_or(PostgresError::NO_STATEMENT)?.clone();
        self.check_describable(&statement)?;
        self.wire.put(b't', |body| {
            body.int16(i16::try_from(statement.parameters.len()).expect("they are bounded"));
            statement.parameters.iter().for_each(|number| body.int32(*number));
        });
        self.row_description(&statement, |_| false);
        Ok(())
    }

    /// After an error in a transaction nothing is told of rows.
    fn check_describable(&self, statement: &Statement) -> Result<(), PostgresError> {
        match statement.columns() {
            Some(_) => self.check_not_aborted(statement),
            None => Ok(()),
        }
    }

    async fn execute(&mut self, fields: &mut Fields<'_>) -> Result<(), Fault> {
        let name = fields.text().ok_or_else(malformed)?;
        let portal = self.portals.get(name).ok_or(PostgresError::NO_PORTAL)?.clone();
        self.check_not_aborted(&portal.statement)?;
        self.ask(&portal.statement.sql, portal.parameters.clone())?;
        self.run(&portal).await
    }

    fn close(&mut self, fields: &mut Fields<'_>) -> Result<(), Fault> {
        let (what, name) = named(fields)?;
        match what {
            b'P' => drop(self.portals.remove(name)),
            _ => drop(self.statements.remove(name)),
        }
        self.wire.put(b'3', |_| {});
        Ok(())
    }

    fn ask(&mut self, sql: &str, parameters: Vec<Option<String>>) -> io::Result<()> {
        self.wire.call.ask(PostgresQuestion::Query { sql: sql.to_owned(), parameters })
    }

    /// Runs a query to its end: rows, and what was done.
    async fn run(&mut self, portal: &Portal) -> Result<(), Fault> {
        let own = self.wire.call.own(|own| match own {
            PostgresBehaviour::Fail(_)
            | PostgresBehaviour::Terminate(_)
            | PostgresBehaviour::StallAfterRows(_)
            | PostgresBehaviour::FailAfterRows { .. }
            | PostgresBehaviour::Slow(_) => Some(own.clone()),
            _ => None,
        });
        let mut takes = portal.statement.takes();
        match &own {
            Some(PostgresBehaviour::Fail(error)) => return Err(error.clone().into()),
            Some(PostgresBehaviour::Terminate(error)) => {
                end(&mut self.wire, error).await?;
                return Err(io::Error::from(ErrorKind::ConnectionAborted).into());
            }
            Some(PostgresBehaviour::Slow(time)) => takes = takes.saturating_add(*time),
            _ => {}
        }
        self.wait(takes).await?;
        let (rows, tag) = portal.result()?;
        let stop_at = match &own {
            Some(PostgresBehaviour::StallAfterRows(count)) => Some(*count),
            Some(PostgresBehaviour::FailAfterRows { rows: count, .. }) => Some(*count),
            _ => None,
        };
        for row in &rows[..stop_at.unwrap_or(rows.len()).min(rows.len())] {
            self.wire.put(b'D', |body| {
                body.int16(i16::try_from(row.len()).expect("rows are short"));
                for (column, value) in row.iter().enumerate() {
                    body.value(value.encode(portal.is_binary(column)).as_deref());
                }
            });
        }
        match own {
            Some(PostgresBehaviour::FailAfterRows { error, .. }) => return Err(error.into()),
            Some(PostgresBehaviour::StallAfterRows(_)) => {
                return Err(self.wire.stall().await.into());
            }
            _ => {}
        }
        let tag = self.step(portal.statement.step(), tag);
        self.wire.put(b'C', |body| body.text(&tag));
        Ok(())
    }

    /// Goes into a transaction or out of it, and gives the tag for that.
    fn step(&mut self, step: Option<Step>, tag: String) -> String {
        let Some(step) = step else { return tag };
        // What has failed cannot be committed.
        let is_failed = self.transaction == Transaction::Failed;
        self.transaction = match step {
            Step::Begin => Transaction::Open,
            Step::Commit | Step::Rollback => Transaction::None,
        };
        let is_in = self.transaction != Transaction::None;
        self.wire.call.protocol().backends.set_in_transaction(self.number, is_in);
        if is_failed { "ROLLBACK".to_owned() } else { tag }
    }

    /// Waits so long, unless the query is cancelled meanwhile.
    async fn wait(&self, time: Duration) -> Result<(), PostgresError> {
        if time.is_zero() {
            return Ok(());
        }
        let backends = &self.wire.call.protocol().backends;
        let cancel = CancelToken::new();
        backends.set_running(self.number, Some(cancel.clone()));
        let is_cancelled = select_biased! {
            () = pin!(cancel.cancelled().fuse()) => true,
            () = pin!(sleep(time).fuse()) => false,
        };
        backends.set_running(self.number, None);
        if is_cancelled { Err(PostgresError::CANCELED) } else { Ok(()) }
    }

    fn row_description(&mut self, statement: &Statement, is_binary: impl Fn(usize) -> bool) {
        let Some(columns) = statement.columns() else {
            self.wire.put(b'n', |_| {});
            return;
        };
        self.wire.put(b'T', |body| {
            body.int16(i16::try_from(columns.len()).expect("rows are short"));
            for (index, (name, kind)) in columns.iter().enumerate() {
                let (number, size) = kind.number_and_size();
                body.text(name);
                // Of no table, hence no column of one.
                body.int32(0);
                body.int16(0);
                body.int32(number);
                body.int16(size);
                // No modifier of the type.
                body.int32(-1);
                body.int16(i16::from(is_binary(index)));
            }
        });
    }

    /// Says that it is the client's turn, with what there is to say before.
    async fn ready(&mut self) -> io::Result<()> {
        let stalls =
            self.wire.call.own(|own| (*own == PostgresBehaviour::StallBeforeReady).then_some(()));
        if stalls.is_some() {
            return Err(self.wire.stall().await);
        }
        self.put_ready();
        self.wire.answer().await
    }

    fn put_ready(&mut self) {
        let status = match self.transaction {
            Transaction::None => b'I',
            Transaction::Open => b'T',
            Transaction::Failed => b'E',
        };
        self.wire.put(b'Z', |body| body.byte(status));
    }
}

/// A statement or a portal, by name.
fn named<'a>(fields: &mut Fields<'a>) -> Result<(u8, &'a str), Fault> {
    let what = fields.byte().filter(|what| b"SP".contains(what)).ok_or_else(malformed)?;
    Ok((what, fields.text().ok_or_else(malformed)?))
}

fn check_room(count: usize) -> Result<(), Fault> {
    if count < NAMES_MAX { Ok(()) } else { Err(malformed()) }
}
