//! `PostgresError`: a code of SQL and words.

use std::borrow::Cow;

/// An error of a server: its SQLSTATE, and what it says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PostgresError {
    pub(super) code: Cow<'static, str>,
    pub(super) message: Cow<'static, str>,
}

impl PostgresError {
    /// One with this code, of five letters and digits.
    ///
    /// # Panics
    /// Where it has another length.
    #[must_use]
    pub fn new(code: &str, message: &str) -> Self {
        assert_eq!(
            code.len(),
            5,
            "PostgresError: {code:?} is no SQLSTATE, which has five characters"
        );
        Self { code: code.to_owned().into(), message: message.to_owned().into() }
    }

    const fn of(code: &'static str, message: &'static str) -> Self {
        Self { code: Cow::Borrowed(code), message: Cow::Borrowed(message) }
    }

    /// 53300: all places are taken. FATAL.
    #[must_use]
    pub const fn too_many_connections() -> Self {
        Self::of("53300", "sorry, too many clients already")
    }

    /// 57P03: it was just started, and recovers. FATAL.
    #[must_use]
    pub const fn starting_up() -> Self {
        Self::of("57P03", "the database system is starting up")
    }

    /// 57P01: it is told to end. FATAL.
    #[must_use]
    pub const fn shutting_down() -> Self {
        Self::of("57P01", "terminating connection due to administrator command")
    }

    /// 28P01: a wrong password. FATAL.
    #[must_use]
    pub const fn wrong_password() -> Self {
        Self::of("28P01", "password authentication failed")
    }

    /// 40001: two transactions cannot both be. To be tried again.
    #[must_use]
    pub const fn serialization() -> Self {
        Self::of("40001", "could not serialize access due to concurrent update")
    }

    /// 40P01: two transactions wait for each other. To be tried again.
    #[must_use]
    pub const fn deadlock() -> Self {
        Self::of("40P01", "deadlock detected")
    }

    /// 25006: it is a replica, as after a failover.
    #[must_use]
    pub const fn read_only() -> Self {
        Self::of("25006", "cannot execute in a read-only transaction")
    }

    /// 57014: `statement_timeout` has come.
    #[must_use]
    pub const fn statement_timeout() -> Self {
        Self::of("57014", "canceling statement due to statement timeout")
    }

    /// 53100: the disk is full.
    #[must_use]
    pub const fn disk_full() -> Self {
        Self::of("53100", "could not extend file: No space left on device")
    }

    pub(super) const SYNTAX: Self =
        Self::of("42601", "syntax error, or no answer was given for this");
    pub(super) const CANCELED: Self = Self::of("57014", "canceling statement due to user request");
    pub(super) const NO_STATEMENT: Self = Self::of("26000", "prepared statement does not exist");
    pub(super) const NO_PORTAL: Self = Self::of("34000", "portal does not exist");
    pub(super) const BAD_VALUE: Self = Self::of("22P03", "incorrect binary data format");
    pub(super) const NO_PARAMETER: Self = Self::of("42P02", "there is no parameter $1");
    pub(super) const OVERFLOW: Self = Self::of("22003", "integer out of range");
    pub(super) const BY_ZERO: Self = Self::of("22012", "division by zero");
    pub(super) const ABORTED: Self = Self::of(
        "25P02",
        "current transaction is aborted, commands ignored until end of transaction block",
    );
}
