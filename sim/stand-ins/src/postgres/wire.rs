//! `Wire`: messages in and out. It knows how they are framed, not what they mean.

use std::io::{self, ErrorKind};

use super::Postgres;
use crate::call::Call;

/// The longest message that is taken, in bytes; what asks for more is refused.
const MESSAGE_BYTES_MAX: usize = 1024 * 1024;

/// A connection that speaks in messages. What is put waits to be sent.
pub(super) struct Wire {
    pub(super) call: Call<Postgres>,
    output: Vec<u8>,
}

impl Wire {
    pub(super) fn new(call: Call<Postgres>) -> Self {
        Self { call, output: Vec::new() }
    }

    /// The next message with its type; `None` where the client has ended.
    pub(super) async fn message(&mut self) -> io::Result<Option<(u8, Vec<u8>)>> {
        let Some(kind) = self.call.take(1).await? else { return Ok(None) };
        let body = self.untyped().await?.ok_or(ErrorKind::UnexpectedEof)?;
        Ok(Some((kind[0], body)))
    }

    /// A message without a type: the first of each connection.
    pub(super) async fn untyped(&mut self) -> io::Result<Option<Vec<u8>>> {
        let Some(length) = self.call.take(4).await? else { return Ok(None) };
        let length = u32::from_be_bytes(length.try_into().expect("four bytes")) as usize;
        if !(4..=MESSAGE_BYTES_MAX).contains(&length) {
            return Err(ErrorKind::InvalidData.into());
        }
        self.call.take(length - 4).await
    }

    /// Puts a message.
    pub(super) fn put(&mut self, kind: u8, body: impl FnOnce(&mut Body<'_>)) {
        self.output.push(kind);
        let start = self.output.len();
        let mut message = Body { bytes: &mut self.output };
        message.int32(0);
        body(&mut message);
        let length = i32::try_from(self.output.len() - start).expect("messages are short");
        self.output[start..start + 4].copy_from_slice(&length.to_be_bytes());
    }

    /// Sends what was put, as an answer.
    pub(super) async fn answer(&mut self) -> io::Result<()> {
        if self.output.is_empty() {
            return Ok(());
        }
        let output = core::mem::take(&mut self.output);
        self.call.answer(&output).await
    }

    /// Sends what was put, which is no answer.
    pub(super) async fn send(&mut self) -> io::Result<()> {
        let output = core::mem::take(&mut self.output);
        self.call.send(&output).await
    }

    /// Sends what was put, and then nothing more; gives an error to leave with.
    pub(super) async fn stall(&mut self) -> io::Error {
        match self.answer().await {
            Ok(()) => self.call.stall().await,
            Err(error) => error,
        }
    }
}

/// The body of a message to be sent.
pub(super) struct Body<'a> {
    bytes: &'a mut Vec<u8>,
}

impl Body<'_> {
    pub(super) fn byte(&mut self, byte: u8) {
        self.bytes.push(byte);
    }

    pub(super) fn int16(&mut self, number: i16) {
        self.bytes.extend(number.to_be_bytes());
    }

    pub(super) fn int32(&mut self, number: i32) {
        self.bytes.extend(number.to_be_bytes());
    }

    /// A text that ends with a zero.
    pub(super) fn text(&mut self, text: &str) {
        self.bytes.extend(text.as_bytes());
        self.bytes.push(0);
    }

    /// A value with its length; `None` is NULL.
    pub(super) fn value(&mut self, value: Option<&[u8]>) {
        let length = value.map(|value| i32::try_from(value.len()).expect("values are short"));
        self.int32(length.unwrap_or(-1));
        self.bytes.extend(value.unwrap_or_default());
    }
}

/// The body of a message that was received, field by field. Each gives `None` where the message is too short.
pub(super) struct Fields<'a> {
    rest: &'a [u8],
}

impl<'a> Fields<'a> {
    pub(super) fn new(body: &'a [u8]) -> Self {
        Self { rest: body }
    }

    fn split(&mut self, count: usize) -> Option<&'a [u8]> {
        let (field, rest) = self.rest.split_at_checked(count)?;
        self.rest = rest;
        Some(field)
    }

    pub(super) fn byte(&mut self) -> Option<u8> {
        Some(self.split(1)?[0])
    }

    pub(super) fn int16(&mut self) -> Option<i16> {
        self.split(2)?.try_into().ok().map(i16::from_be_bytes)
    }

    pub(super) fn int32(&mut self) -> Option<i32> {
        self.split(4)?.try_into().ok().map(i32::from_be_bytes)
    }

    pub(super) fn text(&mut self) -> Option<&'a str> {
        let length = self.rest.iter().position(|byte| *byte == 0)?;
        let text = self.split(length)?;
        self.byte()?;
        core::str::from_utf8(text).ok()
    }

    /// A value with its length; the inner `None` is NULL.
    pub(super) fn value(&mut self) -> Option<Option<&'a [u8]>> {
        match self.int32()? {
            -1 => Some(None),
            length => self.split(usize::try_from(length).ok()?).map(Some),
        }
    }

    /// As many of something as a count in front says.
    pub(super) fn list<T>(
        &mut self,
        mut item: impl FnMut(&mut Self) -> Option<T>,
    ) -> Option<Vec<T>> {
        let count = self.int16()?;
        (0..count).map(|_| item(self)).collect()
    }
}
