//! The SQL of the stand-in: one row of one column, without tables.
//!
//! ```text
//! query = "SELECT" ( "pg_sleep(" seconds ")" | term [ ( "+" | "/" ) term ] )
//! term  = integer | "$1::INT4"
//! ```
//!
//! Words may be in any case and white space is free, as in SQL. All numbers are `INT4`, and NULL makes NULL.

use core::time::Duration;

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

/// Why there is no result: the code that SQL has for it, and words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SqlError {
    pub(super) code: &'static str,
    pub(super) message: &'static str,
}

impl SqlError {
    pub(super) const SYNTAX: Self = Self { code: "42601", message: "syntax error" };
    pub(super) const CANCELED: Self =
        Self { code: "57014", message: "canceling statement due to user request" };
    pub(super) const NO_STATEMENT: Self =
        Self { code: "26000", message: "prepared statement does not exist" };
    pub(super) const NO_PORTAL: Self = Self { code: "34000", message: "portal does not exist" };
    pub(super) const BAD_VALUE: Self =
        Self { code: "22P03", message: "incorrect binary data format" };
    pub(super) const NO_PARAMETER: Self =
        Self { code: "42P02", message: "there is no parameter $1" };
    const OVERFLOW: Self = Self { code: "22003", message: "integer out of range" };
    const BY_ZERO: Self = Self { code: "22012", message: "division by zero" };
}

/// Understands a query.
pub(super) fn parse(text: &str) -> Result<Query, SqlError> {
    let text = text.trim().trim_end_matches(';').to_ascii_lowercase();
    let expression = text.strip_prefix("select ").ok_or(SqlError::SYNTAX)?.trim();
    let argument = expression.strip_prefix("pg_sleep(").and_then(|rest| rest.strip_suffix(')'));
    if let Some(seconds) = argument {
        let seconds = seconds.trim().parse().map_err(|_| SqlError::SYNTAX)?;
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

fn term(text: &str) -> Result<Term, SqlError> {
    match text.trim() {
        "$1::int4" => Ok(Term::Parameter),
        digits => digits.parse().map(Term::Constant).map_err(|_| SqlError::SYNTAX),
    }
}

impl Query {
    /// The name of the column, and the number of its type in the system's catalogue.
    pub(super) fn column(&self) -> (&'static str, i32) {
        match self {
            Self::Sleep(_) => ("pg_sleep", 2278),
            _ => ("?column?", INT4),
        }
    }

    /// How many parameters it takes.
    pub(super) fn parameter_count(&self) -> usize {
        let terms = match self {
            Self::Sleep(_) => vec![],
            Self::Number(term) => vec![term],
            Self::Sum(left, right) | Self::Quotient(left, right) => vec![left, right],
        };
        usize::from(terms.contains(&&Term::Parameter))
    }

    /// The number it gives, which is NULL for a wait. The wait itself is somebody else's.
    pub(super) fn number(&self, parameter: Option<i32>) -> Result<Option<i32>, SqlError> {
        let value = |term: &Term| match term {
            Term::Constant(number) => Some(*number),
            Term::Parameter => parameter,
        };
        let combined = |left, right, operator: fn(i32, i32) -> Option<i32>| match (
            value(left),
            value(right),
        ) {
            (Some(left), Some(right)) => operator(left, right).map(Some).ok_or(SqlError::OVERFLOW),
            _ => Ok(None),
        };
        match self {
            Self::Sleep(_) => Ok(None),
            Self::Number(term) => Ok(value(term)),
            Self::Sum(left, right) => combined(left, right, i32::checked_add),
            Self::Quotient(left, right) if value(left).is_some() && value(right) == Some(0) => {
                Err(SqlError::BY_ZERO)
            }
            Self::Quotient(left, right) => combined(left, right, i32::checked_div),
        }
    }
}

/// The number of the type `INT4`.
pub(super) const INT4: i32 = 23;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_give_what_the_real_server_gives() {
        let check = |text: &str, parameter, expected: Result<Option<i32>, &str>| {
            let given = parse(text).and_then(|query| query.number(parameter));
            assert_eq!(given.map_err(|error| error.code), expected, "{text}");
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
