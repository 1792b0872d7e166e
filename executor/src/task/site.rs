//! `Site`: a place in the program that one thread writes and any may read.

use core::panic::Location;
use core::ptr;
use core::sync::atomic::AtomicPtr;
use core::sync::atomic::Ordering::{Acquire, Release};

/// A `&'static Location`, or none yet, as an atomic.
#[derive(Debug)]
pub(crate) struct Site(AtomicPtr<Location<'static>>);

impl Default for Site {
    fn default() -> Self {
        Self(AtomicPtr::new(ptr::null_mut()))
    }
}

impl Site {
    #[inline]
    pub(crate) fn store(&self, place: &'static Location<'static>) {
        self.0.store(ptr::from_ref(place).cast_mut(), Release);
    }

    pub(crate) fn load(&self) -> Option<&'static Location<'static>> {
        // SAFETY: null, or from a `&'static` that `store` was given; nobody writes through it.
        unsafe { self.0.load(Acquire).as_ref() }
    }
}
