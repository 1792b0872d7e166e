//! Runs a case on the protocol core alone: the loop of a server, without its I/O.

use std::rc::Rc;

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use mainspring::http1::{BodyLength, Connection, Date, Error, Event, UsageError};

use super::answers::has_interims;
use super::case::{Case, Step};
use super::delivery::Delivery;
use super::judge::{Outcome, Seen, fields, judge};
use super::plan::{Content, Plan};

/// Some date.
const DATE: &Date = b"Sun, 06 Nov 1994 08:49:37 GMT";

/// Runs `case` on [`Connection`].
///
/// # Errors
/// What did not hold.
pub fn check_codec(case: &Case, delivery: Delivery) -> Result<(), String> {
    let (mut server, mut interim_count) = (Server::new(case), 0);
    for step in &case.steps {
        match step {
            Step::Send(bytes) => {
                delivery.pieces(bytes).into_iter().for_each(|piece| server.receive(piece));
            }
            Step::AwaitContinue => {
                interim_count += 1;
                if !has_interims(&server.wire, interim_count) {
                    return Err("no 100 (Continue)".to_owned());
                }
            }
            Step::Fin => server.end_of_input(),
        }
    }
    if server.is_closed != case.ends() {
        let closed = server.is_closed;
        return Err(format!("closed: {closed}; the wire: {}", server.wire.escape_ascii()));
    }
    if let Some(epilogue) = case.epilogue() {
        delivery.pieces(epilogue).into_iter().for_each(|piece| server.receive(piece));
    }
    judge(&case.with_epilogue(), &Outcome { seen: server.seen, wire: server.wire })
}

/// A server that does what the requests ask for, at once.
struct Server {
    connection: Connection,
    /// What was received and not consumed.
    input: Vec<u8>,
    wire: Vec<u8>,
    seen: Vec<Seen>,
    /// What to answer to the current request, until it is answered.
    plan: Option<Plan>,
    is_closed: bool,
}

/// An event without what it borrows.
enum Told {
    Request(Box<Seen>, Plan),
    Data(Vec<u8>),
    End(Option<HeaderMap>),
    Nothing,
}

impl Server {
    fn new(case: &Case) -> Self {
        Self {
            connection: Connection::new(Rc::new(case.limits.clone())),
            input: Vec::new(),
            wire: Vec::new(),
            seen: Vec::new(),
            plan: None,
            is_closed: false,
        }
    }

    fn receive(&mut self, piece: &[u8]) {
        self.input.extend_from_slice(piece);
        while !self.is_closed {
            match self.next_event() {
                Ok(Told::Request(seen, plan)) => self.begin(*seen, plan),
                Ok(Told::Data(data)) => {
                    let seen = self.current();
                    if !seen.is_ignored {
                        seen.body.extend_from_slice(&data);
                    }
                }
                Ok(Told::End(trailers)) => self.end(trailers.as_ref()),
                Ok(Told::Nothing) => {
                    if self.plan.as_ref().is_some_and(|plan| plan.reads) {
                        self.connection.send_continue(&mut self.wire);
                    }
                    return;
                }
                Err(error) => self.reject(error),
            }
        }
    }

    fn end_of_input(&mut self) {
        if !self.is_closed
            && let Err(error) = self.connection.end_of_input(&self.input)
        {
            self.reject(error);
        }
        self.is_closed = true;
    }

    /// The only place that looks at the events of the core.
    fn next_event(&mut self) -> Result<Told, Error> {
        let step = self.connection.next_event(&self.input)?;
        let told = match step.event {
            Some(Event::Request(head)) => {
                let plan = Plan::of(head.uri());
                let seen = Seen::new(&head, plan.reads);
                Told::Request(Box::new(seen), plan)
            }
            Some(Event::Data(data)) => Told::Data(data.to_vec()),
            Some(Event::End { trailers }) => Told::End(trailers.map(|trailers| *trailers)),
            None => Told::Nothing,
        };
        let consumed = step.consumed;
        self.input.drain(..consumed);
        Ok(told)
    }

    fn current(&mut self) -> &mut Seen {
        self.seen.last_mut().expect("there is a request")
    }

    fn begin(&mut self, seen: Seen, plan: Plan) {
        self.seen.push(seen);
        let answers_early = !plan.reads;
        self.plan = Some(plan);
        if answers_early {
            self.answer();
            // The server does not read on where nothing comes of it.
            self.is_closed = self.connection.must_close();
        }
    }

    fn end(&mut self, trailers: Option<&HeaderMap>) {
        let trailers = trailers.map(fields).unwrap_or_default();
        let seen = self.current();
        seen.is_whole = true;
        if !seen.is_ignored {
            seen.trailers = trailers;
        }
        self.answer();
        self.is_closed = !self.connection.next_cycle();
    }

    /// Answers the current request, if that was not done.
    fn answer(&mut self) {
        let Some(plan) = self.plan.take() else { return };
        if self.try_answer(&plan).is_err() {
            let sorry = StatusCode::INTERNAL_SERVER_ERROR;
            let none = BodyLength::Known(0);
            let headers = HeaderMap::new();
            let started =
                self.connection.start_response(sorry, &headers, none, DATE, &mut self.wire);
            started.expect("nothing was written");
            self.connection.finish(None, &mut self.wire).expect("it has no body");
        }
    }

    fn try_answer(&mut self, plan: &Plan) -> Result<(), UsageError> {
        let pieces: Vec<Bytes> = match &plan.content {
            Content::Full(content) => vec![content.clone()],
            Content::Stream(pieces) => pieces.iter().cloned().collect(),
            Content::Echo => vec![Bytes::from(self.current().body.clone())],
        };
        let length = match &plan.content {
            Content::Full(content) => BodyLength::Known(content.len() as u64),
            Content::Echo if self.current().trailers.is_empty() => {
                self.connection.request_body_length()
            }
            Content::Stream(_) | Content::Echo => BodyLength::Unknown,
        };
        let (connection, wire) = (&mut self.connection, &mut self.wire);
        connection.start_response(plan.status, &plan.headers, length, DATE, wire)?;
        for piece in pieces {
            connection.send_data(&piece, wire).expect("the cases keep to what they promise");
        }
        connection.finish(plan.trailers.as_ref(), wire).expect("the cases send good trailers");
        Ok(())
    }

    fn reject(&mut self, error: Error) {
        self.connection.reject(error, DATE, &mut self.wire);
        assert!(self.connection.must_close(), "nothing goes on after an error");
        self.is_closed = true;
    }
}
