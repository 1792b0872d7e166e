//! `Reading`: the protocol core alone, on the whole stream. It says what the wire does not: which error a refusal is for,
//! and at which byte each message begins.

use std::rc::Rc;

use http::{HeaderMap, StatusCode};
use mainspring::http1::{BodyLength, Connection, Error, Event};

use super::super::DATE;
use super::run::{Run, limits};
use super::seen::{Seen, fields};

/// What the core made of a stream.
pub(super) struct Reading {
    /// Requests, in order; only the last may be one that did not come to its end.
    seen: Vec<Seen>,
    /// Where each message begins; one more than there are whole requests, unless the connection was closed.
    starts: Vec<usize>,
    /// What was wrong in the end, if anything was.
    pub(super) error: Option<Error>,
    /// The connection ends before the client ends it.
    closes: bool,
    /// The answer to what was wrong has content, if there is one.
    pub(super) refusal_has_content: bool,
}

impl Reading {
    /// Reads all of `stream`, which is all that comes.
    pub(super) fn of(stream: &[u8]) -> Self {
        let mut connection = Connection::new(Rc::new(limits()));
        let mut reading = Self {
            seen: Vec::new(),
            starts: vec![0],
            error: None,
            closes: true,
            refusal_has_content: true,
        };
        if let Err(error) = reading.read(&mut connection, stream) {
            let mut refusal = Vec::new();
            connection.reject(error, DATE, &mut refusal);
            reading.refusal_has_content = !refusal.ends_with(b"\r\n\r\n");
            reading.error = Some(error);
        }
        reading
    }

    fn read(&mut self, connection: &mut Connection, stream: &[u8]) -> Result<(), Error> {
        let mut at = 0;
        loop {
            let step = connection.next_event(&stream[at..])?;
            at += step.consumed;
            match step.event {
                Some(Event::Request(head)) => {
                    let seen = Seen::new(head.method(), head.uri(), head.version(), head.headers());
                    self.seen.push(seen);
                }
                Some(Event::Data(data)) => self.last().body.extend_from_slice(data),
                Some(Event::End { trailers }) => {
                    let seen = self.last();
                    seen.is_whole = true;
                    seen.trailers = trailers.map(|trailers| fields(&trailers)).unwrap_or_default();
                    answer(connection);
                    if !connection.next_cycle() {
                        return Ok(());
                    }
                    self.starts.push(at);
                }
                None => {
                    self.closes = false;
                    return connection.end_of_input(&stream[at..]);
                }
            }
        }
    }

    fn last(&mut self) -> &mut Seen {
        self.seen.last_mut().expect("its head came first")
    }

    /// Where message `index` begins, if the connection is still there for it.
    pub(super) fn start(&self, index: usize) -> Option<usize> {
        self.starts.get(index).copied()
    }

    /// Compares with what the server made of the same stream in pieces.
    ///
    /// # Errors
    /// That they differ.
    pub(super) fn check(&self, run: &Run) -> Result<(), String> {
        if self.seen != run.seen {
            let texts: Vec<String> = self.seen.iter().map(Seen::to_string).collect();
            return Err(format!("the core has seen\n{}", texts.join("\n")));
        }
        let status = self.error.filter(|error| *error != Error::Incomplete);
        let status = status.map(|error| error.status().as_u16());
        if status != run.refusal() {
            return Err(format!(
                "the core refuses with {status:?}, the server with {:?}",
                run.refusal()
            ));
        }
        if run.is_open == Some(self.closes) {
            return Err(format!("the core closes: {}, the server does not so", self.closes));
        }
        Ok(())
    }
}

fn answer(connection: &mut Connection) {
    let (fields, none, mut wire) = (HeaderMap::new(), BodyLength::Known(0), Vec::new());
    let started = connection.start_response(StatusCode::OK, &fields, none, DATE, &mut wire);
    started.expect("a valid response");
    connection.finish(None, &mut wire).expect("it has no body");
}
