//! The stack of another thread: taken by a signal, told by names.
//!
//! The thread is sent SIGURG, which is ignored unless somebody asks for it and which next to nobody does. Its handler walks
//! the stack that it finds below itself, and stores addresses into memory that is there all the time. Names are looked up
//! later, by the thread that asked.
//!
//! # What the handler may do
//! It may have interrupted anything, an allocation or a held lock included. So it allocates nothing, takes no lock and
//! calls two things: `gettid`, a bare system call, and the unwinder through `backtrace::trace_unsynchronized`. The unwinder
//! finds the tables of a library by `_dl_find_object`, which takes no lock (glibc 2.35), or before that by
//! `dl_iterate_phdr`, whose lock is recursive: where the interrupted code is in the middle of loading a library it gets
//! through, where another thread is it waits for that one. What it sets up on its first use is set up by
//! [`prepare`]. This is a promise of glibc's, so elsewhere there is no stack.
//!
//! # What the interrupted code notices
//! Calls that the system restarts go on (`SA_RESTART`): reading, writing, locks. `thread::sleep` goes on for the time that
//! is left. Calls that are never restarted (`poll`, `epoll_wait`, a read with a time-out, `nanosleep` from C) return
//! `EINTR`, as they do for any signal.

#[cfg(all(target_os = "linux", target_env = "gnu"))]
pub(super) use of_linux::{Target, prepare};
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub(super) use of_others::{Target, prepare};

/// Frames of a stack that are looked at; what is further out is cut off.
const FRAMES_MAX: usize = 128;

/// Lines of a stack that are told.
const LINES_MAX: usize = 40;

/// The innermost frames are the handler's own, down to the one that has this in its name, and one that the system puts
/// below it.
const HANDLER: &str = "signal_hook_registry";

/// The frames from this one on are the executor's own.
const POLL: &str = "mainspring_executor::task::raw::poll";

/// The names and places behind the addresses, innermost first, one line each, without the frames of the signal's handler
/// and of the executor.
pub(super) fn describe(frames: &[usize]) -> String {
    let lines: Vec<Vec<String>> = frames.iter().map(|address| names(*address)).collect();
    let is_of_handler = |names: &Vec<String>| names.iter().any(|name| name.contains(HANDLER));
    let first = lines.iter().rposition(is_of_handler).map_or(0, |last| last + 2);
    let interrupted = lines.into_iter().skip(first).flatten();
    let shown = interrupted.take_while(|name| !name.contains(POLL)).take(LINES_MAX);
    shown.collect::<Vec<String>>().join("\n")
}

/// The functions of a frame, those that were inlined first.
fn names(address: usize) -> Vec<String> {
    let mut names = Vec::new();
    // The address of a frame is where it goes on: behind its call, and perhaps behind its function.
    let within_call = address.saturating_sub(1) as *mut core::ffi::c_void;
    backtrace::resolve(within_call, |symbol| {
        let Some(name) = symbol.name() else { return };
        names.push(match (symbol.filename(), symbol.lineno()) {
            (Some(file), Some(line)) => format!("{name:#} at {}:{line}", file.display()),
            _ => format!("{name:#}"),
        });
    });
    if names.is_empty() {
        names.push(format!("{address:#x}"));
    }
    names
}

#[cfg(all(target_os = "linux", target_env = "gnu"))]
mod of_linux {
    #![expect(unsafe_code, reason = "signals and stacks")]

    use core::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};
    use core::sync::atomic::{AtomicI32, AtomicUsize};
    use core::time::Duration;
    use std::io;
    use std::sync::Mutex;
    use std::sync::PoisonError;
    use std::time::Instant;

    use super::FRAMES_MAX;

    /// A thread that waits for a disk, or holds signals back, does not answer. Long enough for one that waits for a core.
    const ANSWER_TIMEOUT: Duration = Duration::from_millis(100);

    /// Between two looks for the answer.
    const ANSWER_PERIOD: Duration = Duration::from_micros(100);

    /// The thread whose stack is wanted, or one of the values below; the ids of threads are positive.
    static WANTED: AtomicI32 = AtomicI32::new(NOBODY);
    const NOBODY: i32 = 0;
    /// A handler writes into `FRAMES`.
    const WRITING: i32 = -1;
    /// It has written.
    const WRITTEN: i32 = -2;

    static FRAMES: [AtomicUsize; FRAMES_MAX] = [const { AtomicUsize::new(0) }; FRAMES_MAX];
    static FRAMES_COUNT: AtomicUsize = AtomicUsize::new(0);

    /// A thread of this process.
    #[derive(Clone, Copy)]
    pub(in super::super) struct Target(i32);

    /// Installs the handler, and walks a stack once, for what that sets up.
    pub(in super::super) fn prepare() -> io::Result<()> {
        walk(|_, _| ());
        // SAFETY: the handler does what a handler may; see the top of the file.
        unsafe { signal_hook::low_level::register(libc::SIGURG, answer) }?;
        Ok(())
    }

    /// What a thread does that is sent the signal. Not for us: somebody else has sent it.
    fn answer() {
        let this = Target::this_thread().0;
        if WANTED.compare_exchange(this, WRITING, Acquire, Relaxed).is_err() {
            return;
        }
        let mut count = 0;
        walk(|index, address| {
            FRAMES[index].store(address, Relaxed);
            count = index + 1;
        });
        FRAMES_COUNT.store(count, Relaxed);
        WANTED.store(WRITTEN, Release);
    }

    /// Calls `visit` with each frame of the stack of this thread, innermost first.
    fn walk(mut visit: impl FnMut(usize, usize)) {
        let mut index = 0;
        let visit = |frame: &backtrace::Frame| {
            visit(index, frame.ip() as usize);
            index += 1;
            index < FRAMES_MAX
        };
        // SAFETY: "unsynchronized" is about debuggers' libraries of other systems; here it is the unwinder, which has no
        // state that threads share but what the top of the file speaks of.
        unsafe { backtrace::trace_unsynchronized(visit) };
    }

    impl Target {
        pub(in super::super) fn this_thread() -> Self {
            // SAFETY: it asks for a number, and cannot fail.
            Self(unsafe { libc::gettid() })
        }

        /// The frames of its stack, those of the handler included. `None` where it does not answer.
        pub(in super::super) fn stack(self) -> Option<Vec<usize>> {
            static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
            let _one = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
            let before = WANTED.load(Acquire);
            if before == WRITING {
                // It was asked before, gave up upon, and still writes.
                return None;
            }
            WANTED.store(self.0, Release);
            self.signal();
            if !self.has_answered() {
                return None;
            }
            let count = FRAMES_COUNT.load(Relaxed);
            Some(FRAMES[..count].iter().map(|frame| frame.load(Relaxed)).collect())
        }

        fn signal(self) {
            // SAFETY: it has no conditions.
            let process = unsafe { libc::getpid() };
            // SAFETY: it sends a signal for which a handler is installed; a thread that is gone is an error, no more.
            unsafe { libc::syscall(libc::SYS_tgkill, process, self.0, libc::SIGURG) };
        }

        fn has_answered(self) -> bool {
            let asked = Instant::now();
            while WANTED.load(Acquire) != WRITTEN {
                if asked.elapsed() > ANSWER_TIMEOUT {
                    // Taken back, unless it has begun to write just now.
                    return WANTED.compare_exchange(self.0, NOBODY, AcqRel, Acquire)
                        == Err(WRITTEN);
                }
                std::thread::sleep(ANSWER_PERIOD);
            }
            true
        }
    }
}

#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
mod of_others {
    use std::io;

    /// A thread of this process.
    #[derive(Clone, Copy)]
    pub(in super::super) struct Target;

    pub(in super::super) fn prepare() -> io::Result<()> {
        Ok(())
    }

    impl Target {
        pub(in super::super) fn this_thread() -> Self {
            Self
        }

        /// Nothing: this system has no way to it that is known to be safe.
        pub(in super::super) fn stack(self) -> Option<Vec<usize>> {
            None
        }
    }
}
