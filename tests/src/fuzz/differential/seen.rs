//! `Seen`: a request as a handler got it, whichever server it is the handler of.

use core::fmt::{self, Display, Formatter};
use std::io::Write;

use http::{HeaderMap, Method, Uri, Version};

/// A field: its name in lower case, and its value.
pub(super) type Field = (String, Vec<u8>);

/// A request as a handler got it.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) method: Method,
    pub(super) target: String,
    pub(super) version: Version,
    /// In the order of the names' first lines; those of one name in theirs.
    pub(super) fields: Vec<Field>,
    /// As much of it as came.
    pub(super) body: Vec<u8>,
    pub(super) trailers: Vec<Field>,
    /// Its body came to its end.
    pub(super) is_whole: bool,
}

impl Seen {
    /// One whose body is still to come.
    pub(super) fn new(method: &Method, uri: &Uri, version: Version, headers: &HeaderMap) -> Self {
        Self {
            method: method.clone(),
            target: uri.to_string(),
            version,
            fields: fields(headers),
            body: Vec::new(),
            trailers: Vec::new(),
            is_whole: false,
        }
    }

    /// All values of a field.
    pub(super) fn values<'s>(&'s self, name: &'s str) -> impl Iterator<Item = &'s [u8]> {
        let named = self.fields.iter().filter(move |(other, _)| other == name);
        named.map(|(_, value)| value.as_slice())
    }

    /// Whether an answer to it of this status has content: RFC 9112 §6.3, 1 and 2.
    pub(super) fn wants_content(&self, status: u16) -> bool {
        let is_tunnel = self.method == Method::CONNECT && (200..300).contains(&status);
        self.method != Method::HEAD && !is_tunnel
    }

    /// Whether both are the same as far as both came.
    pub(super) fn agrees_with(&self, other: &Self) -> bool {
        if self.is_whole && other.is_whole {
            return self == other;
        }
        let head = |seen: &Self| Self {
            body: Vec::new(),
            trailers: Vec::new(),
            is_whole: false,
            ..seen.clone()
        };
        let common = self.body.len().min(other.body.len());
        // What is whole has at least what the other got before it broke.
        let is_longest = |whole: &Self| {
            !whole.is_whole || whole.body.len() == self.body.len().max(other.body.len())
        };
        head(self) == head(other)
            && self.body[..common] == other.body[..common]
            && is_longest(self)
            && is_longest(other)
    }

    /// All of it: what the handler answers. Two requests that differ have two descriptions: the lengths see to that.
    pub(super) fn description(&self) -> Vec<u8> {
        let mut text = format!("{} {} {:?}\n", self.method, self.target, self.version).into_bytes();
        let mut add = |label: &str, value: &[u8]| {
            write!(text, "{label}, {}: ", value.len()).expect("memory takes all");
            text.extend_from_slice(value);
            text.push(b'\n');
        };
        self.fields.iter().for_each(|(name, value)| add(name, value));
        add(if self.is_whole { "- body" } else { "- broken body" }, &self.body);
        self.trailers.iter().for_each(|(name, value)| add(name, value));
        text
    }
}

impl Display for Seen {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let description = self.description();
        let mut lines = description.split(|byte| *byte == b'\n');
        lines.try_for_each(|line| writeln!(f, "{}", line.escape_ascii()))
    }
}

/// The fields of a map, in its order.
pub(super) fn fields(headers: &HeaderMap) -> Vec<Field> {
    let pairs = headers.iter();
    pairs.map(|(name, value)| (name.as_str().to_owned(), value.as_bytes().to_vec())).collect()
}
