//! `Ring`: the messages of a broadcast channel, each with the number of receivers that have yet to see it. It knows
//! neither senders nor who waits.
//!
//! Messages are numbered from 0. Receivers see them in order, so who has seen one has seen all before it: the count of
//! those that have not only grows from the oldest to the newest.
//!
//! Invariant: the oldest message has not been seen by everybody, so nothing is kept for nobody. (But for a moment, while
//! a receiver ends: see [`Ring::pop_unwanted`].)

use std::collections::VecDeque;
use std::rc::Rc;

/// See the file. Never drops a message itself: they come back to the caller, who borrows nothing then.
pub(super) struct Ring<T> {
    messages: VecDeque<Message<T>>,
    /// The number of the oldest.
    first: u64,
    /// At most so many messages.
    capacity: usize,
    /// Memory of messages that are gone, for those to come; at most `capacity`.
    spare: Vec<Shell<T>>,
}

struct Message<T> {
    shell: Shell<T>,
    /// How many receivers have not seen it.
    unseen: usize,
}

/// The memory of one message. Who reads it has a reference while its clone is made, with the ring not borrowed.
pub(super) struct Shell<T>(Rc<Option<T>>);

impl<T: Clone> Shell<T> {
    /// A clone of the message.
    pub(super) fn get(self) -> T {
        (*self.0).clone().expect("a message that is read stays")
    }
}

/// What a receiver finds.
pub(super) enum Next<T> {
    /// A message that nobody else will see.
    Last(T),
    /// A message that others will see, too.
    Shared(Shell<T>),
    /// So many messages are gone.
    Missed(u64),
    /// Nothing yet.
    Nothing,
}

impl<T> Ring<T> {
    pub(super) fn new(capacity: usize) -> Self {
        Self { messages: VecDeque::new(), first: 0, capacity, spare: Vec::new() }
    }

    pub(super) fn len(&self) -> usize {
        self.messages.len()
    }

    /// The number of the next message to be sent.
    pub(super) fn end(&self) -> u64 {
        self.first + self.messages.len() as u64
    }

    /// Adds a message for so many receivers. Gives back the oldest where it had to go.
    pub(super) fn push(&mut self, message: T, receivers: usize) -> Next<T> {
        let is_full = self.messages.len() == self.capacity;
        let displaced = if is_full { self.pop() } else { Next::Nothing };
        let mut shell = self.spare.pop().unwrap_or(Shell(Rc::new(None)));
        let place = Rc::get_mut(&mut shell.0).expect("a spare shell belongs to nobody");
        *place = Some(message);
        self.messages.push_back(Message { shell, unseen: receivers });
        displaced
    }

    /// The message at `position`, which moves on.
    pub(super) fn next(&mut self, position: &mut u64) -> Next<T> {
        if *position < self.first {
            let missed = self.first - *position;
            *position = self.first;
            return Next::Missed(missed);
        }
        let Some(message) = self.index(*position).and_then(|index| self.messages.get_mut(index))
        else {
            return Next::Nothing;
        };
        *position += 1;
        message.unseen -= 1;
        if message.unseen > 0 {
            return Next::Shared(Shell(Rc::clone(&message.shell.0)));
        }
        self.pop()
    }

    fn index(&self, position: u64) -> Option<usize> {
        usize::try_from(position - self.first).ok()
    }

    /// A receiver that would have seen `position` next is gone.
    pub(super) fn unsubscribe(&mut self, position: u64) {
        let seen = self.index(position.max(self.first)).unwrap_or(usize::MAX);
        for message in self.messages.iter_mut().skip(seen) {
            message.unseen -= 1;
        }
    }

    /// The oldest message, if nobody is left to see it. Asked after [`Ring::unsubscribe`] until there is none.
    pub(super) fn pop_unwanted(&mut self) -> Option<Next<T>> {
        let is_unwanted = self.messages.front().is_some_and(|message| message.unseen == 0);
        is_unwanted.then(|| self.pop())
    }

    /// Takes the oldest message out, and keeps its memory, unless somebody reads it right now.
    fn pop(&mut self) -> Next<T> {
        let Some(Message { mut shell, .. }) = self.messages.pop_front() else {
            return Next::Nothing;
        };
        self.first += 1;
        let Some(place) = Rc::get_mut(&mut shell.0) else {
            return Next::Shared(shell);
        };
        let message = place.take().expect("a message in the ring has not been taken");
        self.spare.push(shell);
        Next::Last(message)
    }
}
