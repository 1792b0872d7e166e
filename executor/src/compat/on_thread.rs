//! `OnThread`: a value that may be moved about as if it were `Send`, and may be used only where it was made.

use core::fmt;
use core::future::Future;
use core::mem;
use core::pin::Pin;
use core::task::{Context, Poll};
use std::io::{self, IoSlice};

use fragile::Fragile;

use crate::net::ByteStream;

/// For crates that insist on `Send` or `Sync`. Tasks never change threads, so nothing that a task holds needs to be
/// either; this says so to the compiler, and checks it at run time.
///
/// A stream in it is a [`ByteStream`] again, and a future a future: `TokioIo::new(OnThread::new(stream))` is `Send`, and
/// so is `OnThread::new(Box::pin(async { … }))`. A future must be `Unpin`, hence the box: of one that is pinned in place
/// and dropped elsewhere, the memory would be given back though it was never dropped.
///
/// ```
/// use mainspring_executor::compat::OnThread;
/// use std::rc::Rc;
///
/// fn wants_send<T: Send>(value: T) -> T {
///     value
/// }
///
/// let shared = wants_send(OnThread::new(Rc::new(42)));
/// assert_eq!(**shared.inner(), 42);
/// ```
///
/// # Panics
/// Whatever is done with it on another thread panics, its drop included, which leaves the value behind, not dropped;
/// only moving it and [`OnThread::is_here`] are free. A value without a destructor may be dropped anywhere. A shard's
/// tasks are dropped on its thread, so only a program that sends such a value away itself gets there.
pub struct OnThread<T> {
    value: Fragile<T>,
}

/// `future` as one that is `Send`: `OnThread::new(Box::pin(future))`, for handlers of frameworks that insist on it.
///
/// ```
/// use core::time::Duration;
/// use mainspring_executor::compat::on_thread;
/// use mainspring_executor::time::sleep;
///
/// fn wants_send<T: Send>(value: T) -> T {
///     value
/// }
///
/// // In an axum handler or middleware: what waits by the driver is not `Send`, and need not be.
/// let _handler = wants_send(async {
///     on_thread(async { sleep(Duration::from_secs(1)).await }).await;
/// });
/// ```
///
/// What it borrows must be `Send` where the future around it has to be.
///
/// Cancel-safe where `future` is.
pub fn on_thread<F: Future>(future: F) -> OnThread<Pin<Box<F>>> {
    OnThread::new(Box::pin(future))
}

impl<T> OnThread<T> {
    /// Binds `value` to the current thread.
    pub fn new(value: T) -> Self {
        Self { value: Fragile::new(value) }
    }

    /// Whether this is its thread.
    #[must_use]
    pub fn is_here(&self) -> bool {
        self.value.is_valid()
    }

    /// The value.
    ///
    /// # Panics
    /// On another thread.
    #[must_use]
    #[track_caller]
    pub fn inner(&self) -> &T {
        self.value.get()
    }

    /// The value.
    ///
    /// # Panics
    /// On another thread.
    #[must_use]
    #[track_caller]
    pub fn inner_mut(&mut self) -> &mut T {
        self.value.get_mut()
    }

    /// The value, free again.
    ///
    /// # Panics
    /// On another thread; the value is left behind, not dropped.
    #[track_caller]
    pub fn into_inner(self) -> T {
        match self.value.try_into_inner() {
            Ok(value) => value,
            Err(value) => {
                // Its drop would panic as well, and two panics at one time end the process.
                mem::forget(value);
                panic!("a value that is bound to its thread was taken out on another one");
            }
        }
    }
}

impl<T: fmt::Debug> fmt::Debug for OnThread<T> {
    /// Shows the value, on its thread.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.value.try_get() {
            Ok(value) => f.debug_tuple("OnThread").field(value).finish(),
            Err(_) => f.write_str("OnThread(elsewhere)"),
        }
    }
}

/// Cancel-safe where the future in it is.
impl<F: Future + Unpin> Future for OnThread<F> {
    type Output = F::Output;

    #[track_caller]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        Pin::new(self.inner_mut()).poll(cx)
    }
}

impl<S: ByteStream> ByteStream for OnThread<S> {
    fn poll_fill(&mut self, cx: &Context<'_>) -> Poll<io::Result<usize>> {
        self.inner_mut().poll_fill(cx)
    }

    fn buffered(&self) -> &[u8] {
        self.inner().buffered()
    }

    fn consume(&mut self, count: usize) {
        self.inner_mut().consume(count);
    }

    fn poll_write(&mut self, cx: &Context<'_>, buffers: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        self.inner_mut().poll_write(cx, buffers)
    }

    fn poll_shutdown_write(&mut self, cx: &Context<'_>) -> Poll<io::Result<()>> {
        self.inner_mut().poll_shutdown_write(cx)
    }
}
