//! `Answers`: what a scenario has a server say to its queries.

use core::fmt;
use core::time::Duration;
use std::collections::BTreeMap;
use std::rc::Rc;

use super::error::PostgresError;
use super::values::{Kind, Value};

/// The result of a query: columns, and rows that are given or computed.
#[derive(Clone)]
pub struct Rows {
    pub(super) columns: Vec<(String, Kind)>,
    rows: Vec<Vec<Value>>,
    computed: Option<Rc<Compute>>,
    pub(super) takes: Duration,
}

type Compute = dyn Fn(&[Option<String>]) -> Result<Vec<Vec<Value>>, PostgresError>;

impl Rows {
    /// No rows, of these columns.
    #[must_use]
    pub fn new(columns: &[(&str, Kind)]) -> Self {
        let columns = columns.iter().map(|(name, kind)| ((*name).to_owned(), *kind)).collect();
        Self { columns, rows: Vec::new(), computed: None, takes: Duration::ZERO }
    }

    /// One row more.
    ///
    /// # Panics
    /// Where it does not fit the columns.
    #[must_use]
    pub fn row<const N: usize>(mut self, values: [Value; N]) -> Self {
        self.check(&values);
        self.rows.push(values.to_vec());
        self
    }

    /// Rows, behind those that are given, that depend on the parameters of the query, as text. They are to depend on nothing else, or
    /// runs cannot be repeated.
    #[must_use]
    pub fn computed(
        mut self,
        compute: impl Fn(&[Option<String>]) -> Result<Vec<Vec<Value>>, PostgresError> + 'static,
    ) -> Self {
        self.computed = Some(Rc::new(compute));
        self
    }

    /// The query takes so long, unless it is cancelled.
    #[must_use]
    pub fn takes(mut self, time: Duration) -> Self {
        self.takes = time;
        self
    }

    pub(super) fn rows(
        &self,
        parameters: &[Option<String>],
    ) -> Result<Vec<Vec<Value>>, PostgresError> {
        let mut rows = self.rows.clone();
        if let Some(compute) = &self.computed {
            let computed = compute(parameters)?;
            computed.iter().for_each(|row| self.check(row));
            rows.extend(computed);
        }
        Ok(rows)
    }

    fn check(&self, values: &[Value]) {
        let (columns, count) = (&self.columns, values.len());
        assert_eq!(
            count,
            columns.len(),
            "Rows: a row has {count} values, the columns are {columns:?}"
        );
        for (value, (name, kind)) in values.iter().zip(columns) {
            assert!(value.is_of(*kind), "Rows: {value:?} is none of the column {name}, a {kind:?}");
        }
    }
}

impl fmt::Debug for Rows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Rows({:?}, {} rows)", self.columns, self.rows.len())
    }
}

/// What a query is answered.
#[derive(Clone, Debug)]
pub(super) enum Answer {
    Rows(Rows),
    Done(String),
    Error(PostgresError),
}

/// By query, without case and with single spaces.
#[derive(Debug, Default)]
pub(super) struct Answers(BTreeMap<String, Answer>);

impl Answers {
    pub(super) fn add(&mut self, sql: &str, answer: Answer) {
        self.0.insert(plain(sql), answer);
    }

    pub(super) fn find(&self, sql: &str) -> Option<&Answer> {
        self.0.get(&plain(sql))
    }
}

/// A query in the form in which queries are compared.
pub(super) fn plain(sql: &str) -> String {
    let words: Vec<&str> = sql.trim().trim_end_matches(';').split_whitespace().collect();
    words.join(" ").to_ascii_lowercase()
}
