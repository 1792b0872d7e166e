//! `Mailbox`: what a connection is to be told without having asked, also by tasks of other simulated machines.

use core::cell::{Cell, RefCell};
use core::fmt;
use std::collections::VecDeque;
use std::io::{self, ErrorKind};

use crate::bell::Bell;

/// Letters that wait for one connection. One more is for a client that does not keep up: all that waits is dropped, and
/// its connection ends, as a real server ends it.
pub(crate) const LETTERS_MAX: usize = 65_536;

/// Letters for one connection, first in, first out.
pub(crate) struct Mailbox<T> {
    letters: RefCell<VecDeque<T>>,
    /// Whether there was once one too many.
    is_over: Cell<bool>,
    bell: Bell,
}

impl<T> Default for Mailbox<T> {
    fn default() -> Self {
        let (letters, is_over, bell) = (RefCell::default(), Cell::new(false), Bell::default());
        Self { letters, is_over, bell }
    }
}

impl<T> Mailbox<T> {
    /// Puts one in. See [`LETTERS_MAX`] for one too many.
    pub(crate) fn put(&self, letter: T) {
        let mut letters = self.letters.borrow_mut();
        if self.is_over.get() || letters.len() == LETTERS_MAX {
            self.is_over.set(true);
            letters.clear();
        } else {
            letters.push_back(letter);
        }
        drop(letters);
        self.bell.ring();
    }

    /// Waits for the next letter, whenever it was put in, and takes it out. Cancel-safe.
    ///
    /// # Errors
    /// `ConnectionAborted` from when there was one too many.
    pub(crate) async fn next(&self) -> io::Result<T> {
        loop {
            // Listened to before the look, so that nothing comes in between unheard.
            let rung = self.bell.listen();
            if self.is_over.get() {
                return Err(ErrorKind::ConnectionAborted.into());
            }
            if let Some(letter) = self.letters.borrow_mut().pop_front() {
                return Ok(letter);
            }
            rung.await;
        }
    }
}

impl<T> fmt::Debug for Mailbox<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Mailbox({} letters)", self.letters.borrow().len())
    }
}
