//! `Command`: which program to start, and how.

use core::future::Future;
use core::panic::Location;
use std::ffi::OsStr;
use std::io;
use std::path::Path;
use std::rc::Rc;

use super::{Child, ExitStatus, Output, Stdio};
use crate::current;
use crate::driver::{Job, Outcome, Spawn};
use crate::offload::JobFuture;
use crate::shard::Core;

/// Bytes that [`Command::output`] takes from each of the two streams, unless it is told otherwise. A program whose output
/// is longer is read piece by piece.
pub const OUTPUT_BYTES_MAX: usize = 1024 * 1024;

/// A program with what it is given, to be started once or several times.
///
/// A program without a slash in its name is looked for in the folders of `PATH`. It gets the variables and the folder of
/// this program where nothing else is said.
#[derive(Clone, Debug)]
pub struct Command {
    spawn: Spawn,
    /// `None`: as the way to start it has it.
    stdio: [Option<Stdio>; 3],
    output_bytes_max: usize,
}

impl Command {
    /// A program without arguments.
    #[must_use]
    pub fn new(program: impl AsRef<OsStr>) -> Self {
        let spawn = Spawn { program: program.as_ref().to_owned(), ..Spawn::default() };
        Self { spawn, stdio: [None; 3], output_bytes_max: OUTPUT_BYTES_MAX }
    }

    /// Adds an argument: no shell looks at it.
    pub fn arg(&mut self, arg: impl AsRef<OsStr>) -> &mut Self {
        self.spawn.args.push(arg.as_ref().to_owned());
        self
    }

    /// Adds arguments.
    pub fn args(&mut self, args: impl IntoIterator<Item = impl AsRef<OsStr>>) -> &mut Self {
        self.spawn.args.extend(args.into_iter().map(|arg| arg.as_ref().to_owned()));
        self
    }

    /// Sets a variable of its environment.
    pub fn env(&mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> &mut Self {
        let value = value.as_ref().to_owned();
        self.spawn.env.insert(name.as_ref().to_owned(), Some(value));
        self
    }

    /// Keeps a variable from it.
    pub fn env_remove(&mut self, name: impl AsRef<OsStr>) -> &mut Self {
        self.spawn.env.insert(name.as_ref().to_owned(), None);
        self
    }

    /// Gives it no variables but those that are set after this call.
    pub fn env_clear(&mut self) -> &mut Self {
        self.spawn.is_env_cleared = true;
        self.spawn.env.clear();
        self
    }

    /// The folder that it starts in. The program is looked for as seen from there or from here: that depends on the
    /// system, so give an absolute path.
    pub fn current_dir(&mut self, folder: impl AsRef<Path>) -> &mut Self {
        self.spawn.current_dir = Some(folder.as_ref().to_owned());
        self
    }

    /// What it reads: by default what this program does, or nothing for [`Command::output`].
    pub fn stdin(&mut self, stdin: Stdio) -> &mut Self {
        self.stdio[0] = Some(stdin);
        self
    }

    /// What it writes to: by default what this program does, or a pipe for [`Command::output`].
    pub fn stdout(&mut self, stdout: Stdio) -> &mut Self {
        self.stdio[1] = Some(stdout);
        self
    }

    /// What it complains to: as [`Command::stdout`].
    pub fn stderr(&mut self, stderr: Stdio) -> &mut Self {
        self.stdio[2] = Some(stderr);
        self
    }

    /// Bytes that [`Command::output`] takes from each of the two streams; [`OUTPUT_BYTES_MAX`] by default.
    pub fn output_bytes_max(&mut self, bytes_max: usize) -> &mut Self {
        self.output_bytes_max = bytes_max;
        self
    }

    /// Starts it. Starting takes a thread of the machine ([`Lane::Blocking`](crate::driver::Lane)), for the call blocks;
    /// running does not.
    ///
    /// Nothing happens before the first poll. Cancel-safe: a child that starts while this is dropped is killed.
    ///
    /// # Errors
    /// `NotFound` where the program or the folder is missing; `PermissionDenied`; `InvalidInput` for a zero byte in a
    /// name, an argument or a variable; an error of [`Exhausted::is`](crate::driver::Exhausted::is) when too many jobs
    /// wait, or the machine is out of descriptors or memory; the others of the machine.
    ///
    /// # Panics
    /// Outside of a shard.
    #[track_caller]
    pub fn spawn(&self) -> impl Future<Output = io::Result<Child>> + use<> {
        start(current::core(), self.with_stdio([Stdio::Inherit; 3]), Location::caller())
    }

    /// Starts it and waits for its end. Of its streams that are piped, nobody has the other end.
    ///
    /// Dropped, it kills the child.
    ///
    /// # Errors
    /// As [`Command::spawn`].
    ///
    /// # Panics
    /// Outside of a shard.
    #[track_caller]
    pub fn status(&self) -> impl Future<Output = io::Result<ExitStatus>> + use<> {
        let child = self.spawn();
        async move {
            let mut child = child.await?;
            drop((child.stdin.take(), child.stdout.take(), child.stderr.take()));
            child.wait().await
        }
    }

    /// Starts it, waits for its end and gathers what it writes.
    ///
    /// Dropped, it kills the child.
    ///
    /// # Errors
    /// `FileTooLarge` when it writes more than [`Command::output_bytes_max`] to either stream; it is killed then. Else as
    /// [`Command::spawn`].
    ///
    /// # Panics
    /// Outside of a shard.
    #[track_caller]
    pub fn output(&self) -> impl Future<Output = io::Result<Output>> + use<> {
        let spawn = self.with_stdio([Stdio::Null, Stdio::Piped, Stdio::Piped]);
        let child = start(current::core(), spawn, Location::caller());
        let bytes_max = self.output_bytes_max;
        async move { child.await?.output(bytes_max).await }
    }

    fn with_stdio(&self, defaults: [Stdio; 3]) -> Spawn {
        let [stdin, stdout, stderr] = [0, 1, 2].map(|at| self.stdio[at].unwrap_or(defaults[at]));
        Spawn { stdin, stdout, stderr, ..self.spawn.clone() }
    }
}

/// The tokens of a child have an owner in the same poll in which they come to be.
async fn start(
    core: Rc<Core>,
    spawn: Spawn,
    origin: &'static Location<'static>,
) -> io::Result<Child> {
    let job = Job::Spawn { spawn: Box::new(spawn) };
    match JobFuture::new(Rc::clone(&core), job, origin).await? {
        Outcome::Spawned(spawned) => Ok(Child::new(&core, spawned, origin)),
        other => unreachable!("the driver answers Spawn with Spawned, not {other:?}"),
    }
}
