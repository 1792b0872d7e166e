//! `Statement`: a query that was understood, and `Portal`: one with its parameters, ready to run.

use core::time::Duration;

use super::answers::{Answer, Answers, Rows, plain};
use super::error::PostgresError;
use super::sql::{self, Query};
use super::values::{Kind, Value};

/// A query that is understood.
#[derive(Clone, Debug)]
pub(super) struct Statement {
    pub(super) sql: String,
    what: Understood,
    /// The types of its parameters, by their numbers in the catalogue.
    pub(super) parameters: Vec<i32>,
}

#[derive(Clone, Debug)]
enum Understood {
    Arithmetic(Query),
    Given(Rows),
    Done(String),
    Error(PostgresError),
    Transaction(Step),
}

/// What a query does to the transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Begin,
    Commit,
    Rollback,
}

impl Statement {
    /// Understands a query. `types` are those that the client says its parameters have; 0 where it does not.
    pub(super) fn parse(
        answers: &Answers,
        sql: &str,
        types: &[i32],
    ) -> Result<Self, PostgresError> {
        let what = match answers.find(sql) {
            Some(Answer::Rows(rows)) => Understood::Given(rows.clone()),
            Some(Answer::Done(tag)) => Understood::Done(tag.clone()),
            Some(Answer::Error(error)) => Understood::Error(error.clone()),
            None => understand(sql)?,
        };
        let count = parameter_count(sql).max(types.len());
        let parameters = (0..count).map(|index| match types.get(index) {
            Some(number) if *number != 0 => *number,
            _ => cast(sql, index + 1).unwrap_or(Kind::Text).number_and_size().0,
        });
        let parameters = parameters.collect();
        Ok(Self { sql: sql.to_owned(), what, parameters })
    }

    /// What it does to the transaction.
    pub(super) fn step(&self) -> Option<Step> {
        match self.what {
            Understood::Transaction(step) => Some(step),
            _ => None,
        }
    }

    /// The columns of its result, if it has one.
    pub(super) fn columns(&self) -> Option<Vec<(String, Kind)>> {
        match &self.what {
            Understood::Given(rows) => Some(rows.columns.clone()),
            Understood::Arithmetic(query) => {
                let (name, kind) = query.column();
                Some(vec![(name.to_owned(), kind)])
            }
            Understood::Done(_) | Understood::Error(_) | Understood::Transaction(_) => None,
        }
    }

    /// How long it takes.
    pub(super) fn takes(&self) -> Duration {
        match &self.what {
            Understood::Given(rows) => rows.takes,
            Understood::Arithmetic(Query::Sleep(time)) => *time,
            _ => Duration::ZERO,
        }
    }
}

/// A statement with its parameters, planned: as in the real server, that finds what is wrong with constants.
#[derive(Clone, Debug)]
pub(super) struct Portal {
    pub(super) statement: Statement,
    pub(super) parameters: Vec<Option<String>>,
    /// For each column; one for all; none is text.
    formats: Vec<i16>,
    number: Option<i32>,
}

impl Portal {
    pub(super) fn new(
        statement: Statement,
        parameters: Vec<Option<String>>,
        formats: Vec<i16>,
    ) -> Result<Self, PostgresError> {
        let number = match &statement.what {
            Understood::Arithmetic(query) => {
                let first = parameters.first().cloned().flatten();
                let first = first.map(|text| text.parse().map_err(|_| PostgresError::BAD_VALUE));
                query.number(first.transpose()?)?
            }
            _ => None,
        };
        Ok(Self { statement, parameters, formats, number })
    }

    pub(super) fn is_binary(&self, column: usize) -> bool {
        match self.formats.as_slice() {
            [all] => *all == 1,
            formats => formats.get(column) == Some(&1),
        }
    }

    /// Its rows, and the tag that says what was done.
    pub(super) fn result(&self) -> Result<(Vec<Vec<Value>>, String), PostgresError> {
        let selected = |rows: Vec<Vec<Value>>| {
            let tag = format!("SELECT {}", rows.len());
            (rows, tag)
        };
        match &self.statement.what {
            Understood::Given(rows) => Ok(selected(rows.rows(&self.parameters)?)),
            Understood::Arithmetic(Query::Sleep(_)) => Ok(selected(vec![vec![Value::Void]])),
            Understood::Arithmetic(_) => {
                Ok(selected(vec![vec![self.number.map_or(Value::Null, Value::Int4)]]))
            }
            Understood::Done(tag) => Ok((Vec::new(), tag.clone())),
            Understood::Error(error) => Err(error.clone()),
            Understood::Transaction(step) => Ok((
                Vec::new(),
                match step {
                    Step::Begin => "BEGIN",
                    Step::Commit => "COMMIT",
                    Step::Rollback => "ROLLBACK",
                }
                .to_owned(),
            )),
        }
    }
}

fn understand(sql: &str) -> Result<Understood, PostgresError> {
    let plain = plain(sql);
    let first = plain.split(' ').next().unwrap_or_default();
    Ok(match first {
        "begin" => Understood::Transaction(Step::Begin),
        "start" if plain.starts_with("start transaction") => Understood::Transaction(Step::Begin),
        "commit" | "end" => Understood::Transaction(Step::Commit),
        "rollback" | "abort" => Understood::Transaction(Step::Rollback),
        "set" => Understood::Done("SET".to_owned()),
        _ => Understood::Arithmetic(sql::parse(sql)?),
    })
}

/// The highest number of a parameter.
fn parameter_count(sql: &str) -> usize {
    let numbers = sql.split('$').skip(1).filter_map(|rest| {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        rest[..digits].parse::<usize>().ok()
    });
    // More are no query of anybody's.
    numbers.filter(|number| *number <= 1000).max().unwrap_or(0)
}

/// The type that parameter `number` is cast to.
fn cast(sql: &str, number: usize) -> Option<Kind> {
    let (_, rest) = sql.split_once(&format!("${number}::"))?;
    let end = rest.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(rest.len());
    Kind::named(&rest[..end].to_ascii_lowercase())
}
