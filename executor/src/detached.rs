//! `Detached`: a socket on its way from one shard to another. It knows nothing of the socket.

use core::any::Any;
use core::fmt;

/// A socket that one driver let go and another of the same machine may take in; see
/// [`Driver::detach`](crate::driver::Driver::detach). Dropping it closes the socket.
///
/// What is in it is the driver's affair: a value that closes the socket when it is dropped.
pub struct Detached(Box<dyn Any + Send>);

impl Detached {
    /// Wraps what a driver knows of the socket.
    #[must_use]
    pub fn new(socket: impl Any + Send) -> Self {
        Self(Box::new(socket))
    }

    /// Gives back what is in it, to a driver of the same kind.
    ///
    /// # Errors
    /// Itself, when there is something else in it.
    pub fn downcast<T: Any>(self) -> Result<T, Self> {
        self.0.downcast().map(|socket| *socket).map_err(|other| Self(other as Box<dyn Any + Send>))
    }
}

impl fmt::Debug for Detached {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Detached")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_in_it_comes_out_to_who_knows_it() {
        let detached = Detached::new(7_u32);
        let detached = detached.downcast::<String>().expect_err("it is a number");
        assert_eq!(detached.downcast::<u32>().expect("it is one"), 7);
    }
}
