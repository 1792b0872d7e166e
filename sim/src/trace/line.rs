//! `Line`: the text of an entry of the trace.

use core::fmt;
use std::rc::Rc;

use mainspring_executor::driver::Token;

use super::{Entry, FAILED, Shape, WOULD_BLOCK};

/// An entry with the names to print it.
pub(super) struct Line<'a> {
    pub(super) entry: &'a Entry,
    pub(super) names: &'a [Rc<str>],
}

impl fmt::Display for Line<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Entry { at, shard, kind, subject, number, .. } = *self.entry;
        let (name, shape) = kind.shape();
        let shard = shard.map_or("-", |shard| &self.names[shard.index()]);
        write!(f, "{at} {shard} {name}")?;
        let labelled = |f: &mut fmt::Formatter<'_>, label: &str| match label {
            "" => Ok(()),
            _ => write!(f, " {label} {number}"),
        };
        match shape {
            Shape::Nothing => Ok(()),
            Shape::Number => write!(f, " {subject}"),
            Shape::Task => write!(f, " task {subject}"),
            Shape::Token(label) => {
                write!(f, " {:?}", Token::from_bits(subject))?;
                labelled(f, label)
            }
            Shape::Moved => {
                write!(f, " {:?}", Token::from_bits(subject))?;
                match number {
                    WOULD_BLOCK => f.write_str(" would block"),
                    FAILED => f.write_str(" failed"),
                    count => write!(f, " {count} bytes"),
                }
            }
            Shape::Connection(label) => {
                write!(f, " on connection {subject}")?;
                labelled(f, label)
            }
            Shape::Datagram(label) => {
                write!(f, " {subject}")?;
                labelled(f, label)
            }
            Shape::Choice => write!(f, " {subject} of {number}"),
        }
    }
}
