//! `Owner`: somebody whose bytes are counted, and the table of all counts.
//!
//! Nothing here allocates while it counts: an allocator that needs memory for itself has none to ask.

use core::cell::Cell;
use core::marker::PhantomData;
use core::sync::atomic::Ordering::Relaxed;
use core::sync::atomic::{AtomicBool, AtomicUsize};
use std::sync::{Mutex, PoisonError};

/// Owners at a time, with those that are gone and whose bytes are not.
const OWNERS_MAX: usize = 1 << 16;

/// The live bytes of each owner. The first stands for nobody, and is not counted.
static LIVE: [AtomicUsize; OWNERS_MAX] = [const { AtomicUsize::new(0) }; OWNERS_MAX];

/// Whether the allocator is that of this program: it has counted something.
static IS_COUNTING: AtomicBool = AtomicBool::new(false);

static NUMBERS: Mutex<Numbers> = Mutex::new(Numbers { next: 1, gone: Vec::new() });

thread_local! {
    /// Who is charged on this thread. It has no destructor, so it can be asked at any time in the life of the thread.
    static CURRENT: Cell<u32> = const { Cell::new(NOBODY) };
}

/// Charged where nobody was entered.
pub(crate) const NOBODY: u32 = 0;

/// Which numbers are taken.
struct Numbers {
    next: u32,
    /// Of owners that were dropped. One is given out again when nothing of it is alive.
    gone: Vec<u32>,
}

impl Numbers {
    fn take(&mut self) -> u32 {
        let is_clean = |number: &u32| LIVE[*number as usize].load(Relaxed) == 0;
        if let Some(place) = self.gone.iter().rposition(is_clean) {
            return self.gone.swap_remove(place);
        }
        if self.next as usize == OWNERS_MAX {
            return NOBODY;
        }
        self.next += 1;
        self.next - 1
    }
}

/// Somebody whose live bytes are counted. What it has left when it is dropped is no longer told.
#[derive(Debug)]
pub struct Owner(u32);

impl Owner {
    /// One that has nothing. What is beyond 65,535 owners that are alive, or are gone and have left bytes behind, is not counted.
    #[must_use]
    pub fn new() -> Self {
        Self(with_numbers(Numbers::take))
    }

    /// Charges this one for what `body` allocates on this thread; then the one before again.
    pub fn enter<R>(&self, body: impl FnOnce() -> R) -> R {
        let _entered = self.entered();
        body()
    }

    /// Charges this one for what is allocated on this thread while the guard lives; then the one before again. Guards are dropped
    /// in the opposite order to that in which they were made.
    #[must_use = "nobody is charged once the guard is gone"]
    pub fn entered(&self) -> Entered {
        Entered::of(self.0)
    }

    /// How many bytes of it are alive. `None` where the program does not use the
    /// [`CountingAllocator`](crate::CountingAllocator), or there were [too many](Owner::new) owners when it was made.
    #[must_use]
    pub fn bytes_live(&self) -> Option<usize> {
        let is_counted = IS_COUNTING.load(Relaxed) && self.0 != NOBODY;
        is_counted.then(|| LIVE[self.0 as usize].load(Relaxed))
    }
}

impl Default for Owner {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        if self.0 != NOBODY {
            with_numbers(|numbers| numbers.gone.push(self.0));
        }
    }
}

/// Who is charged, until it is dropped: see [`Owner::entered`].
#[derive(Debug)]
pub struct Entered {
    before: u32,
    /// It is of this thread.
    _one_thread: PhantomData<*const ()>,
}

impl Entered {
    /// Charges nobody for what is allocated on this thread while the guard lives, as [`Owner::entered`] charges somebody: for who
    /// keeps account of an owner while it runs.
    #[must_use = "the one before is charged once the guard is gone"]
    pub fn nobody() -> Self {
        Self::of(NOBODY)
    }

    fn of(number: u32) -> Self {
        Self { before: CURRENT.replace(number), _one_thread: PhantomData }
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        CURRENT.set(self.before);
    }
}

/// The list of numbers is nobody's.
fn with_numbers<R>(body: impl FnOnce(&mut Numbers) -> R) -> R {
    let _entered = Entered::nobody();
    body(&mut NUMBERS.lock().unwrap_or_else(PoisonError::into_inner))
}

/// Who is charged on this thread.
pub(crate) fn current() -> u32 {
    CURRENT.get()
}

/// So many bytes more are an owner's.
pub(crate) fn add(owner: u32, bytes: usize) {
    if !IS_COUNTING.load(Relaxed) {
        IS_COUNTING.store(true, Relaxed);
    }
    if owner != NOBODY {
        LIVE[owner as usize].fetch_add(bytes, Relaxed);
    }
}

/// So many bytes less.
pub(crate) fn remove(owner: u32, bytes: usize) {
    if owner != NOBODY {
        LIVE[owner as usize].fetch_sub(bytes, Relaxed);
    }
}
