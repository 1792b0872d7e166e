//! A session: what one client says, one message after the other, and what it is answered.
//!
//! ```text
//! first message ─┬─ asks for TLS ── "no" ── first message
//!                ├─ cancels: passed on, and the connection ends without a word
//!                └─ starts: greeted ─┬─► query: row or error, ready
//!                                    ├─► parse, bind, describe, execute: each answered, nothing sent before …
//!                                    ├─► sync: ready
//!                                    │   after an error in one of them, all are skipped up to the sync
//!                                    └─► terminate, or the client's end
//! ```

use core::pin::pin;
use std::collections::BTreeMap;
use std::io::{self, ErrorKind};

use futures::{FutureExt, select_biased};
use mainspring_executor::CancelToken;
use mainspring_executor::net::TcpStream;
use mainspring_executor::time::sleep;

use super::Backends;
use super::sql::{INT4, Query, SqlError, parse};
use super::wire::{Fields, Wire};

/// What the first message of a connection asks for.
const START: i32 = 3 << 16;
const CANCEL: i32 = 80_877_102;
const TLS: i32 = 80_877_103;

/// Prepared statements and portals of a session; one more of them is a broken client.
const NAMES_MAX: usize = 64;

/// Talks with one client to its end.
pub(super) async fn run(stream: TcpStream, backends: &Backends) -> io::Result<()> {
    let mut wire = Wire::new(stream);
    while let Some(first) = wire.untyped().await? {
        let mut fields = Fields::new(&first);
        match fields.int32() {
            Some(START) => return greet(wire, backends).await,
            Some(TLS) => {
                wire.put_byte(b'N');
                wire.flush().await?;
            }
            Some(CANCEL) => {
                if let (Some(number), Some(secret)) = (fields.int32(), fields.int32()) {
                    backends.cancel(number, secret);
                }
                return Ok(());
            }
            _ => return Err(ErrorKind::InvalidData.into()),
        }
    }
    Ok(())
}

/// Lets anybody in, and serves.
async fn greet(mut wire: Wire, backends: &Backends) -> io::Result<()> {
    let (number, secret) = backends.enter();
    let _left = Leaves { backends, number };
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
    let mut session =
        Session { wire, backends, number, statements: BTreeMap::new(), portals: BTreeMap::new() };
    session.ready().await?;
    session.serve().await
}

/// Takes a session off the list, however it ends.
struct Leaves<'a> {
    backends: &'a Backends,
    number: i32,
}

impl Drop for Leaves<'_> {
    fn drop(&mut self) {
        self.backends.leave(self.number);
    }
}

struct Session<'a> {
    wire: Wire,
    backends: &'a Backends,
    number: i32,
    statements: BTreeMap<String, Query>,
    portals: BTreeMap<String, Portal>,
}

/// A statement with its parameter, planned: as in the real server, that finds what is wrong with constants.
#[derive(Clone)]
struct Portal {
    query: Query,
    number: Option<i32>,
    is_binary: bool,
}

impl Portal {
    fn new(query: Query, parameter: Option<i32>, is_binary: bool) -> Result<Self, SqlError> {
        let number = query.number(parameter)?;
        Ok(Self { query, number, is_binary })
    }
}

/// Why a message has no answer.
enum Fault {
    /// The client is told, and goes on.
    Sql(SqlError),
    /// The connection ends.
    Broken(io::Error),
}

impl From<SqlError> for Fault {
    fn from(error: SqlError) -> Self {
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

impl Session<'_> {
    async fn serve(&mut self) -> io::Result<()> {
        let mut is_skipping = false;
        while let Some((kind, body)) = self.wire.message().await? {
            match kind {
                b'X' => break,
                b'S' => {
                    is_skipping = false;
                    // There are no transactions, which portals might outlive a sync in.
                    self.portals.clear();
                    self.ready().await?;
                    continue;
                }
                _ if is_skipping => continue,
                _ => {}
            }
            match self.answer(kind, &mut Fields::new(&body)).await {
                Ok(()) => {}
                Err(Fault::Sql(error)) => {
                    self.refuse(&error);
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

    async fn answer(&mut self, kind: u8, fields: &mut Fields<'_>) -> Result<(), Fault> {
        match kind {
            b'Q' => self.query(fields.text().ok_or_else(malformed)?).await,
            b'P' => self.parse(fields),
            b'B' => self.bind(fields),
            b'D' => self.describe(fields),
            b'E' => self.execute(fields).await,
            b'C' => self.close(fields),
            b'H' => Ok(self.wire.flush().await?),
            _ => Err(malformed()),
        }
    }

    /// The simple query: text in, text out.
    async fn query(&mut self, text: &str) -> Result<(), Fault> {
        let query = parse(text)?;
        if query.parameter_count() > 0 {
            return Err(SqlError::NO_PARAMETER.into());
        }
        let portal = Portal::new(query, None, false)?;
        self.row_description(&portal.query, portal.is_binary);
        Ok(self.row(&portal).await?)
    }

    fn parse(&mut self, fields: &mut Fields<'_>) -> Result<(), Fault> {
        let name = fields.text().ok_or_else(malformed)?;
        let query = parse(fields.text().ok_or_else(malformed)?)?;
        check_room(self.statements.len())?;
        self.statements.insert(name.to_owned(), query);
        self.wire.put(b'1', |_| {});
        Ok(())
    }

    fn bind(&mut self, fields: &mut Fields<'_>) -> Result<(), Fault> {
        let portal = fields.text().ok_or_else(malformed)?;
        let statement = fields.text().ok_or_else(malformed)?;
        let formats = fields.list(Fields::int16).ok_or_else(malformed)?;
        let values = fields.list(Fields::value).ok_or_else(malformed)?;
        let result_formats = fields.list(Fields::int16).ok_or_else(malformed)?;
        let query = self.statements.get(statement).ok_or(SqlError::NO_STATEMENT)?.clone();
        if values.len() != query.parameter_count() {
            return Err(malformed());
        }
        let parameter = match values.first() {
            Some(Some(bytes)) => Some(int4(bytes, formats.first() == Some(&1))?),
            _ => None,
        };
        let is_binary = result_formats.first() == Some(&1);
        check_room(self.portals.len())?;
        self.portals.insert(portal.to_owned(), Portal::new(query, parameter, is_binary)?);
        self.wire.put(b'2', |_| {});
        Ok(())
    }

    fn describe(&mut self, fields: &mut Fields<'_>) -> Result<(), Fault> {
        let (what, name) = named(fields)?;
        if what == b'P' {
            let portal = self.portals.get(name).ok_or(SqlError::NO_PORTAL)?.clone();
            self.row_description(&portal.query, portal.is_binary);
            return Ok(());
        }
        let query = self.statements.get(name).ok_or(SqlError::NO_STATEMENT)?.clone();
        self.wire.put(b't', |body| {
            let count = query.parameter_count();
            body.int16(i16::try_from(count).expect("one at most"));
            (0..count).for_each(|_| body.int32(INT4));
        });
        self.row_description(&query, false);
        Ok(())
    }

    async fn execute(&mut self, fields: &mut Fields<'_>) -> Result<(), Fault> {
        let name = fields.text().ok_or_else(malformed)?;
        let portal = self.portals.get(name).ok_or(SqlError::NO_PORTAL)?.clone();
        Ok(self.row(&portal).await?)
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

    /// Waits, if the query is one that does, and unless it is cancelled meanwhile.
    async fn wait(&self, query: &Query) -> Result<(), SqlError> {
        let Query::Sleep(duration) = *query else { return Ok(()) };
        let cancel = CancelToken::new();
        self.backends.set_running(self.number, Some(cancel.clone()));
        let is_cancelled = select_biased! {
            () = pin!(cancel.cancelled().fuse()) => true,
            () = pin!(sleep(duration).fuse()) => false,
        };
        self.backends.set_running(self.number, None);
        if is_cancelled { Err(SqlError::CANCELED) } else { Ok(()) }
    }

    fn row_description(&mut self, query: &Query, is_binary: bool) {
        let (name, type_number) = query.column();
        self.wire.put(b'T', |body| {
            body.int16(1);
            body.text(name);
            // Of no table, hence no column of one.
            body.int32(0);
            body.int16(0);
            body.int32(type_number);
            body.int16(4);
            // No modifier of the type.
            body.int32(-1);
            body.int16(i16::from(is_binary));
        });
    }

    /// The row, and that it was the only one.
    async fn row(&mut self, portal: &Portal) -> Result<(), SqlError> {
        self.wait(&portal.query).await?;
        let value = match (portal.number, &portal.query) {
            (Some(number), _) if portal.is_binary => Some(number.to_be_bytes().to_vec()),
            (Some(number), _) => Some(number.to_string().into_bytes()),
            // The type `void` has one value, which has no bytes.
            (None, Query::Sleep(_)) => Some(Vec::new()),
            (None, _) => None,
        };
        self.wire.put(b'D', |body| {
            body.int16(1);
            body.value(value.as_deref());
        });
        self.wire.put(b'C', |body| body.text("SELECT 1"));
        Ok(())
    }

    fn refuse(&mut self, error: &SqlError) {
        self.wire.put(b'E', |body| {
            for (field, text) in
                [(b'S', "ERROR"), (b'V', "ERROR"), (b'C', error.code), (b'M', error.message)]
            {
                body.byte(field);
                body.text(text);
            }
            body.byte(0);
        });
    }

    /// Says that it is the client's turn, outside of any transaction.
    async fn ready(&mut self) -> io::Result<()> {
        self.wire.put(b'Z', |body| body.byte(b'I'));
        self.wire.flush().await
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

fn int4(bytes: &[u8], is_binary: bool) -> Result<i32, SqlError> {
    let number = match is_binary {
        true => bytes.try_into().ok().map(i32::from_be_bytes),
        false => core::str::from_utf8(bytes).ok().and_then(|text| text.parse().ok()),
    };
    number.ok_or(SqlError::BAD_VALUE)
}
