//! The SQL of the stand-in: one row of one column, without tables.
//!
//! ```text
//! query = "SELECT" ( "pg_sleep(" seconds ")" | term [ ( "+" | "/" ) term ] )
//! term  = integer | "$1::INT4"
//! ```
//!
//! Words may be in any case and white space is free, as in SQL. All numbers are `INT4`, and NULL makes NULL.

use core::time::Duration;

use super::error::PostgresError;
use super::values::Kind;

/// A query that is understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Query {
    /// Waits.
    Sleep(Duration),
    /// A number alone.
    Number(Term),
    /// A sum.
    Sum(Term, Term),
    /// A quotient.
    Quotient(Term, Term),
}

/// A number, or the one parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Term {
    Constant(i32),
    Parameter,
}

/// Understands a query.
pub(super) fn parse(text: &str) -> Result<Query, PostgresError> {
    let text = text.trim().trim_end_matches(';').to_ascii_lowercase();
    let expression = text.strip_prefix("select ").ok_or(PostgresError::SYNTAX)?.trim();
    let argument = expression.strip_prefix("pg_sleep(").and_then(|rest| rest.strip_suffix(')'));
    if let Some(seconds) = argument {
        let seconds = seconds.trim().parse().map_err(|_| PostgresError::SYNTAX)?;
        return Ok(Query::Sleep(Duration::from_secs(seconds)));
    }
    if let Some((left, right)) = expression.split_once('+') {
        return Ok(Query::Sum(term(left)?, term(right)?));
    }
    match expression.split_once('/') {
        Some((left, right)) => Ok(Query::Quotient(term(left)?, term(right)?)),
        None => Ok(Query::Number(term(expression)?)),
    }
}

fn term(text: &str) -> Result<Term, PostgresError> {
    match text.trim() {
        "$1::int4" => Ok(Term::Parameter),
        digits => digits.parse().map(Term::Constant).map_err(|_| PostgresError::SYNTAX),
    }
}

impl Query {
    /// The name of the column, and its type.
    pub(super) fn column(&self) -> (&'static str, Kind) {
        match self {
            Self::Sleep(_) => ("pg_sleep", Kind::Void),
            _ => ("?column?", Kind::Int4),
        }
    }

    /// The number it gives, which is NULL for a wait. The wait itself is somebody else's.
    pub(super) fn number(&self, parameter: Option<i32>) -> Result<Option<i32>, PostgresError> {
        let value = |term: &Term| match term {
            Term::Constant(number) => Some(*number),
            Term::Parameter => parameter,
        };
        let combined = |left, right, operator: fn(i32, i32) -> Option<i32>| match (
            value(left),
            value(right),
        ) {
            (Some(left), Some(right)) => {
                operator(left, right).map(Some).ok_or(PostgresError::OVERFLOW)
            }
            _ => Ok(None),
        };
        match self {
            Self::Sleep(_) => Ok(None),
            Self::Number(term) => Ok(value(term)),
            Self::Sum(left, right) => combined(left, right, i32::checked_add),
            Self::Quotient(left, right) if value(left).is_some() && value(right) == Some(0) => {
                Err(PostgresError::BY_ZERO)
            }
            Self::Quotient(left, right) => combined(left, right, i32::checked_div),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_give_what_the_real_server_gives() {
        let check = |text: &str, parameter, expected: Result<Option<i32>, &str>| {
            let given = parse(text).and_then(|query| query.number(parameter));
            assert_eq!(given.map_err(|error| error.code), expected.map_err(Into::into), "{text}");
        };
        check("SELECT 7", None, Ok(Some(7)));
        check("select -7 ;", None, Ok(Some(-7)));
        check("SELECT $1::INT4 + 1", Some(41), Ok(Some(42)));
        check("SELECT $1::INT4 + 1", None, Ok(None));
        check("SELECT 2147483647 + 1", None, Err("22003"));
        check("SELECT 7 / 2", None, Ok(Some(3)));
        check("SELECT 1 / 0", None, Err("22012"));
        check("SELECT $1::INT4 / 0", None, Ok(None));
        check("SELEC 1", None, Err("42601"));
        check("SELECT 1 +", None, Err("42601"));
        check("", None, Err("42601"));
    }
}
