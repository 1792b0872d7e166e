//! Child processes: how they are started, seen to end and cleared away.
//!
//! On Linux a child is a pidfd, which becomes readable when it ends: no thread waits for it, and no handler of SIGCHLD,
//! which would be the process's and not ours. Where there is none (other systems, Linux before 5.3, some sandboxes), a
//! thread of the pool waits, in [`Lane::Blocking`](crate::driver::Lane).
//!
//! Invariant: whoever holds a [`Process`] is the only one here to wait for it. Where others in this process wait for
//! children, too, or SIGCHLD is ignored, its number may be a stranger's: signals go by the pidfd, and none goes to a child
//! that cannot be waited for any more. A child that was started is waited for, whatever becomes of who wanted it: it
//! leaves no zombie.

use core::cell::RefCell;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command};

use rustix::io::Errno;
use rustix::process::{Pid, WaitId, WaitIdOptions, waitid};

use super::poller::Poller;
use crate::driver::{ExitStatus, Signal, Spawn, Stdio, Token};

/// Killed children whose end has not come. One that does not die is in a call to a disk or the like that does not return;
/// beyond so many of them, whoever drops one waits for it.
const ORPHANS_MAX: usize = 1024;

/// As which the poller reports the end of an orphan. No token is it: that would take 2³² places and as many generations.
/// So the driver takes the edge for one of something that was closed, and looks after its orphans anyway.
const ORPHAN: Token = Token::from_bits(u64::MAX - 1);

/// A child of this process. Dropped before its end, it is killed and waited for, which takes a moment; [`Orphans`] spare
/// the thread of a shard that.
pub(super) struct Process {
    child: Child,
    /// `None`: a thread has to wait for it.
    pidfd: Option<OwnedFd>,
    end: Option<End>,
}

/// What the system told of the end of a child, once: how it ended, or why it cannot tell. From then on its number may be
/// another's.
type End = Result<ExitStatus, Errno>;

/// A child that nobody has a token for as yet, with our ends of its pipes: of what it reads, writes and complains to.
pub(super) struct Started {
    pub(super) process: Process,
    pub(super) pipes: [Option<OwnedFd>; 3],
}

/// Starts a child: blocks until it runs its program, or cannot.
pub(super) fn spawn(spawn: &Spawn) -> io::Result<Started> {
    let mut command = Command::new(&spawn.program);
    command.args(&spawn.args);
    if spawn.is_env_cleared {
        command.env_clear();
    }
    for (name, value) in &spawn.env {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    if let Some(folder) = &spawn.current_dir {
        command.current_dir(folder);
    }
    command.stdin(stdio(spawn.stdin)).stdout(stdio(spawn.stdout)).stderr(stdio(spawn.stderr));
    let mut child = command.spawn()?;
    let pipes = [
        child.stdin.take().map(OwnedFd::from),
        child.stdout.take().map(OwnedFd::from),
        child.stderr.take().map(OwnedFd::from),
    ];
    // From here on it is killed when something fails.
    let mut process = Process { child, pidfd: None, end: None };
    process.open_pidfd()?;
    for pipe in pipes.iter().flatten() {
        // Our end is a file of its own: the child's goes on to block.
        rustix::io::ioctl_fionbio(pipe, true)?;
    }
    Ok(Started { process, pipes })
}

fn stdio(stdio: Stdio) -> std::process::Stdio {
    match stdio {
        Stdio::Inherit => std::process::Stdio::inherit(),
        Stdio::Null => std::process::Stdio::null(),
        Stdio::Piped => std::process::Stdio::piped(),
    }
}

/// `None`: this system has no such thing, or does not let us.
#[cfg(any(target_os = "linux", target_os = "android"))]
fn pidfd(pid: Pid) -> Result<Option<OwnedFd>, Errno> {
    use rustix::process::{PidfdFlags, pidfd_open};
    match pidfd_open(pid, PidfdFlags::empty()) {
        Ok(pidfd) => Ok(Some(pidfd)),
        Err(Errno::NOSYS | Errno::PERM) => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn pidfd(_: Pid) -> Result<Option<OwnedFd>, Errno> {
    Ok(None)
}

/// Sends a signal to the child of a pidfd, whoever has its number.
#[cfg(any(target_os = "linux", target_os = "android"))]
fn send(pidfd: BorrowedFd<'_>, pid: Pid, signal: rustix::process::Signal) -> Result<(), Errno> {
    match rustix::process::pidfd_send_signal(pidfd, signal) {
        // A sandbox may let us wait by it, and no more than that.
        Err(Errno::NOSYS | Errno::PERM) => rustix::process::kill_process(pid, signal),
        sent => sent,
    }
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn send(_: BorrowedFd<'_>, pid: Pid, signal: rustix::process::Signal) -> Result<(), Errno> {
    rustix::process::kill_process(pid, signal)
}

/// Waits until a child ends, and leaves it to be waited for again. That it is gone already is as good.
pub(super) fn wait_for_end(pid: Pid) {
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
    while let Err(Errno::INTR) = waitid(WaitId::Pid(pid), options) {}
}

impl Process {
    pub(super) fn id(&self) -> u32 {
        self.child.id()
    }

    pub(super) fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    pub(super) fn pidfd(&self) -> Option<BorrowedFd<'_>> {
        self.pidfd.as_ref().map(AsFd::as_fd)
    }

    /// Whether its end is known: nothing may be asked of its number any more.
    pub(super) fn has_ended(&self) -> bool {
        self.end.is_some()
    }

    /// One that is not there has ended, and somebody else has waited for it.
    fn open_pidfd(&mut self) -> io::Result<()> {
        match pidfd(self.pid()) {
            Ok(pidfd) => self.pidfd = pidfd,
            Err(Errno::SRCH) => self.end = Some(Err(Errno::CHILD)),
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }

    /// How it ended; `WouldBlock` while it has not, and another error if nobody can tell.
    pub(super) fn exit(&mut self) -> io::Result<ExitStatus> {
        if self.end.is_none() {
            self.end = self.ask();
        }
        Ok(self.end.ok_or(io::ErrorKind::WouldBlock)??)
    }

    /// Asks the system for its end. `None`: it runs.
    fn ask(&mut self) -> Option<End> {
        let status = match self.child.try_wait() {
            Ok(status) => status?,
            Err(error) => return Some(Err(Errno::from_io_error(&error).unwrap_or(Errno::CHILD))),
        };
        let exited = status.code().map(ExitStatus::Exited);
        let signaled = status.signal().map(ExitStatus::Signaled);
        Some(Ok(exited.or(signaled).expect("a child that has ended did so in one of the two ways")))
    }

    /// `None` kills it. Does nothing to one that is gone.
    pub(super) fn signal(&mut self, signal: Option<Signal>) -> io::Result<()> {
        if self.has_ended() {
            return Ok(());
        }
        let (pid, number) = (self.pid(), number(signal));
        let sent = match self.pidfd() {
            Some(pidfd) => send(pidfd, pid, number),
            None => rustix::process::kill_process(pid, number),
        };
        match sent {
            // Somebody else has waited for it.
            Err(Errno::SRCH) => self.end = Some(Err(Errno::CHILD)),
            sent => sent?,
        }
        Ok(())
    }

    /// Whether there is nothing left to wait for. That somebody else has waited for it is as good.
    fn is_gone(&mut self) -> bool {
        self.exit().is_ok() || self.has_ended()
    }

    /// Has its end wake the poller. Where that fails, it is found when something else does.
    fn watch_as_orphan(&mut self, poller: &Poller) {
        let added = self.pidfd().map(|pidfd| poller.add(pidfd, ORPHAN));
        if let Some(Err(error)) = added {
            tracing::debug!(%error, "the end of a killed child is not watched");
            self.pidfd = None;
        }
    }

    /// Kills it, unless it has ended.
    fn kill(&mut self) {
        if let Err(error) = self.signal(None) {
            tracing::debug!(%error, id = self.id(), "a child cannot be killed");
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.is_gone() {
            return;
        }
        self.kill();
        if self.has_ended() {
            return;
        }
        if let Err(error) = self.child.wait() {
            tracing::debug!(%error, id = self.id(), "a child cannot be waited for");
        }
    }
}

fn number(signal: Option<Signal>) -> rustix::process::Signal {
    match signal {
        None => rustix::process::Signal::KILL,
        Some(Signal::Interrupt) => rustix::process::Signal::INT,
        Some(Signal::Terminate) => rustix::process::Signal::TERM,
        Some(Signal::Hangup) => rustix::process::Signal::HUP,
        Some(Signal::User1) => rustix::process::Signal::USR1,
        Some(Signal::User2) => rustix::process::Signal::USR2,
    }
}

/// Killed children that nobody waits for but the driver: it looks after each wait, and their ends wake it.
#[derive(Default)]
pub(super) struct Orphans {
    processes: RefCell<Vec<Process>>,
}

impl Orphans {
    /// Kills a child that nobody wants any more. `is_watched`: the poller reports its end under a token.
    pub(super) fn take(&self, mut process: Process, poller: &Poller, is_watched: bool) {
        if let Some(pidfd) = process.pidfd()
            && is_watched
        {
            // It fails where the poller does, which the next wait tells of.
            drop(poller.forget(pidfd));
        }
        if process.is_gone() {
            return;
        }
        process.kill();
        let mut processes = self.processes.borrow_mut();
        // One too many is dropped, and that waits for it.
        if processes.len() < ORPHANS_MAX {
            process.watch_as_orphan(poller);
            processes.push(process);
        }
    }

    /// Clears those away that have ended.
    pub(super) fn clear(&self, poller: &Poller) {
        let mut processes = self.processes.borrow_mut();
        for process in processes.extract_if(.., Process::is_gone) {
            if let Some(pidfd) = process.pidfd() {
                // It fails where the poller does, which the next wait tells of.
                drop(poller.forget(pidfd));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::driver::{Driver, Readiness};
    use crate::os::OsDriver;

    fn cat() -> Started {
        let program = "cat".into();
        spawn(&Spawn { program, stdin: Stdio::Piped, ..Spawn::default() }).expect("there is a cat")
    }

    #[test]
    fn a_thread_can_wait_where_there_is_no_pidfd() {
        let Started { mut process, pipes } = cat();
        let pid = process.pid();
        let waiting = std::thread::spawn(move || wait_for_end(pid));
        assert_eq!(process.exit().unwrap_err().kind(), io::ErrorKind::WouldBlock);
        drop(pipes);
        waiting.join().expect("it does not panic");
        assert_eq!(process.exit().unwrap(), ExitStatus::Exited(0), "it was left to us");
        wait_for_end(pid);
    }

    /// As on systems without pidfds: through the whole driver.
    #[test]
    fn without_a_pidfd_a_thread_tells_the_driver() {
        let driver = OsDriver::new().expect("the system has a poller");
        for is_killed in [false, true] {
            let Started { mut process, pipes } = cat();
            process.pidfd = None;
            let child = driver.open_process(Started { process, pipes }).expect("there is room");
            let early = driver.process_exit(child.process);
            assert_eq!(early.unwrap_err().kind(), io::ErrorKind::WouldBlock);
            match is_killed {
                true => driver.signal_process(child.process, None).expect("it is ours"),
                false => driver.close(child.stdin.expect("it is piped")),
            }
            let mut events = Vec::new();
            while !events.iter().any(|event: &Readiness| event.token == child.process) {
                driver.wait(&mut events, None).expect("the poller works");
            }
            let expected = if is_killed { ExitStatus::Signaled(9) } else { ExitStatus::Exited(0) };
            assert_eq!(driver.process_exit(child.process).unwrap(), expected);
            driver.close(child.process);
        }
    }

    /// As a foreign handler of SIGCHLD does.
    fn reap(process: &Process) {
        waitid(WaitId::Pid(process.pid()), WaitIdOptions::EXITED).expect("it is a child");
    }

    #[cfg(any(target_os = "linux", target_os = "android"))]
    #[test]
    fn a_signal_goes_to_the_child_of_the_descriptor_and_not_to_its_number() {
        let (mut one, mut other) = (cat(), cat());
        core::mem::swap(&mut one.process.pidfd, &mut other.process.pidfd);
        assert!(one.process.pidfd.is_some(), "the tests run where there are pidfds");
        one.process.signal(None).expect("it runs");
        // It ends anyhow, but was killed before it could find the end of its input.
        drop(other.pipes);
        wait_for_end(other.process.pid());
        assert_eq!(other.process.exit().unwrap(), ExitStatus::Signaled(9));
        assert_eq!(one.process.exit().unwrap_err().kind(), io::ErrorKind::WouldBlock);
        // Its end is to be killed by its own descriptor.
        core::mem::swap(&mut one.process.pidfd, &mut other.process.pidfd);
    }

    /// Whatever is asked of it first, and whether there is a pidfd.
    #[test]
    fn a_child_that_somebody_else_has_waited_for_is_left_alone() {
        for (is_asked_first, has_pidfd) in
            [(true, true), (true, false), (false, true), (false, false)]
        {
            let Started { mut process, pipes } = cat();
            drop(pipes);
            reap(&process);
            if !has_pidfd {
                process.pidfd = None;
            }
            let gone = Some(Errno::CHILD.raw_os_error());
            if is_asked_first {
                assert_eq!(process.exit().unwrap_err().raw_os_error(), gone);
                assert!(process.has_ended());
            }
            process.signal(None).expect("there is nothing to kill");
            assert!(process.has_ended());
            assert_eq!(process.exit().unwrap_err().raw_os_error(), gone);
        }
    }

    #[test]
    fn a_child_that_is_gone_before_its_pidfd_is_opened_has_ended() {
        let Started { mut process, pipes } = cat();
        drop(pipes);
        reap(&process);
        process.pidfd = None;
        process.open_pidfd().expect("that is no error");
        if cfg!(any(target_os = "linux", target_os = "android")) {
            assert!(process.has_ended());
        }
        let driver = OsDriver::new().expect("the system has a poller");
        let started = Started { process, pipes: [None, None, None] };
        let child = driver.open_process(started).expect("there is room");
        let mut events = Vec::new();
        while !events.iter().any(|event: &Readiness| event.token == child.process) {
            driver.wait(&mut events, None).expect("the poller works");
        }
        let error = driver.process_exit(child.process).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(Errno::CHILD.raw_os_error()));
        driver.close(child.process);
    }

    #[test]
    fn a_child_that_is_dropped_leaves_nothing() {
        let Started { process, pipes } = cat();
        let pid = process.pid();
        drop(process);
        drop(pipes);
        assert!(rustix::process::test_kill_process(pid).is_err(), "it is not even a zombie");
    }
}
